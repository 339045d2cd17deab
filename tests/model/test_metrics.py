from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from scipy.stats import binomtest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    roc_auc_score,
    roc_curve,
)
from torch.nn import functional

from facecheck.model.metrics import (
    Figure,
    balanced_top1,
    bootstrap,
    calibration,
    calibration_error,
    confusion,
    ranking,
    ranking_curve,
    reliability,
    risk_coverage,
    share,
    softmax,
    summarise,
    wilson,
)


def test_the_loss_is_torchs_cross_entropy() -> None:
    random = np.random.default_rng(0)
    logits, labels = random.normal(0, 30, (200, 6)), random.integers(0, 6, 200)
    wanted = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
    assert summarise(logits, labels).loss == pytest.approx(float(wanted))
    assert np.allclose(softmax(logits), torch.softmax(torch.from_numpy(logits), 1))


def test_top_one_and_top_five_count_ranks() -> None:
    logits = np.tile(np.arange(6.0), (3, 1))
    summary = summarise(logits, np.array([5, 1, 0]))
    assert summary.top1 == pytest.approx(1 / 3)
    assert summary.top5 == pytest.approx(2 / 3)


@pytest.mark.parametrize(("right", "count"), [(0, 10), (10, 10), (3, 10), (950, 1000), (1, 1)])
def test_the_interval_is_scipys(right: int, count: int) -> None:
    wanted = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson(right, count) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_no_trials_tell_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_confusion_counts_true_rows_and_predicted_columns() -> None:
    table = confusion(np.array([1, 1, 0]), np.array([0, 1, 0]), 2)
    assert table == ((1, 1), (0, 1))


def drawn_scores(seed: int, count: int, decimals: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    artificial = np.arange(count) % 3 == 0
    scores = 1 / (1 + np.exp(-random.normal(np.where(artificial, 1, -1), 1.5)))
    return np.round(scores, decimals), artificial


@pytest.mark.parametrize(("count", "decimals"), [(300, 9), (300, 1), (300, 0), (2, 9), (7, 2)])
def test_rankings_are_scikit_learns_with_ties_and_without(count: int, decimals: int) -> None:
    scores, artificial = drawn_scores(count, count, decimals)
    found = ranking(scores, artificial, 0.4)
    assert (found.real, found.artificial) == ((~artificial).sum(), artificial.sum())
    assert found.auc.value == pytest.approx(roc_auc_score(artificial, scores))
    assert found.ap.value == pytest.approx(average_precision_score(artificial, scores))
    fpr, tpr, _ = roc_curve(artificial, scores, drop_intermediate=False)
    assert found.tpr_at_1.value == pytest.approx(tpr[fpr <= 0.01].max())
    assert found.tpr_at_5.value == pytest.approx(tpr[fpr <= 0.05].max())
    at = balanced_accuracy_score(artificial, scores >= 0.4)
    assert found.accuracy.value == pytest.approx(at)
    balanced = (tpr + 1 - fpr) / 2
    assert found.best_accuracy.value == pytest.approx(balanced.max())
    assert found.best_threshold is not None
    again = balanced_accuracy_score(artificial, scores >= found.best_threshold)
    assert again == pytest.approx(balanced.max())
    if len(set(fpr)) == len(fpr):
        wanted = brentq(lambda x: 1 - x - float(interp1d(fpr, tpr)(x)), 0, 1)
        assert found.eer.value == pytest.approx(wanted, abs=1e-6)


def test_the_equal_error_rate_by_hand() -> None:
    # One of four real images scores above one of four artificial ones: both rates are 1/4 there.
    scores = np.array([0.1, 0.2, 0.3, 0.7, 0.6, 0.8, 0.9, 0.95])
    artificial = np.arange(8) >= 4
    assert ranking(scores, artificial).eer.value == pytest.approx(0.25)
    assert ranking(1 - scores, ~artificial).eer.value == pytest.approx(0.25)
    assert ranking(scores, scores > 0.5).eer.value == 0
    assert ranking(np.full(8, 0.5), artificial).eer.value == pytest.approx(0.5)


@pytest.mark.parametrize("side", [True, False])
@pytest.mark.parametrize("count", [1, 5])
def test_one_side_alone_has_no_ranking(side: bool, count: int) -> None:
    found = ranking(np.linspace(0, 1, count), np.full(count, side))
    nothing = Figure(None, None)
    sides = (0, count) if side else (count, 0)
    assert (found.real, found.artificial, found.best_threshold) == (*sides, None)
    figures = [value for value in vars(found).values() if isinstance(value, Figure)]
    assert figures == [nothing] * 7


def test_where_nothing_should_be_called_artificial() -> None:
    found = ranking(np.array([1.0, 0.0]), np.array([False, True]))
    assert found.best_accuracy.value == 0.5
    assert found.best_threshold is not None
    assert found.best_threshold > 1
    assert found.accuracy.value == 0.0


@pytest.mark.slow
def test_bootstrap_intervals_hold_the_figure_repeat_and_narrow() -> None:
    few, many = (ranking(*drawn_scores(1, count, 6)).auc for count in (60, 3000))
    for figure in (few, many):
        assert figure.value is not None
        assert figure.interval is not None
        assert figure.interval[0] < figure.value < figure.interval[1]
    assert few == ranking(*drawn_scores(1, 60, 6)).auc
    assert np.diff(many.interval) < np.diff(few.interval) / 4  # type: ignore[arg-type]


def test_the_bootstrap_of_a_mean_is_the_normal_interval() -> None:
    values = np.random.default_rng(3).normal(5, 2, 2000)
    mean = bootstrap(lambda w: {"mean": w @ values / w.sum(axis=1)}, 2000)["mean"]
    assert mean.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / np.sqrt(2000)
    assert mean.interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_a_large_bootstrap_is_done_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facecheck.model.metrics._CELLS", 3000)
    seen = []

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        seen.append(weights.shape)
        return {"count": weights.sum(axis=1)}

    assert bootstrap(measure, 100)["count"] == Figure(100.0, (100.0, 100.0))
    assert set(seen) == {(1, 100), (30, 100)}


def test_a_share_has_wilsons_interval() -> None:
    assert share(3, 10) == Figure(0.3, wilson(3, 10))
    assert share(0, 0) == Figure(None, None)


def test_the_calibration_error_by_hand() -> None:
    # Bins of 1/15: two images at 0.95 of which one is right, two at 0.5 that are both right.
    confidence, right = np.array([0.95, 0.95, 0.5, 0.5]), np.array([1.0, 0.0, 1.0, 1.0])
    assert calibration_error(confidence, right) == pytest.approx((0.45 + 0.5) / 2)
    assert calibration_error(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 0
    assert calibration_error(np.array([1.0]), np.array([0.0])) == 1


def test_calibration_sees_confidence_that_is_too_high() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 3))
    chances = softmax(logits)
    labels = (random.random((4000, 1)) > chances.cumsum(axis=1)).sum(axis=1)

    def judged(probabilities: np.ndarray) -> list[float]:
        scores, artificial = 1 - probabilities[:, 0], labels != 0
        found = calibration(probabilities, labels, scores, artificial)
        assert found.brier.value == pytest.approx(brier_score_loss(artificial, scores))
        return [figure.value or 0 for figure in (found.ece, found.score_ece, found.brier)]

    honest, boastful = judged(chances), judged(softmax(3 * logits))
    assert max(honest[:2]) < 0.03
    assert min(boastful[:2]) > 0.08
    assert boastful[2] > honest[2]


def test_calibration_of_one_image() -> None:
    found = calibration(np.array([[0.8, 0.2]]), np.array([0]), np.array([0.2]), np.array([False]))
    assert (found.ece.value, found.score_ece.value) == pytest.approx((0.2, 0.2))
    assert found.brier.value == pytest.approx(0.04)
    assert found.brier.interval == pytest.approx((0.04, 0.04))


def test_risk_falls_where_the_unsure_are_left_out() -> None:
    confidence = np.linspace(1, 0.5, 40)
    wrong = np.arange(40) >= 36
    found = risk_coverage(confidence, wrong)
    assert len(found.points) == 20
    assert found.points[-1] == pytest.approx((1.0, 0.1))
    assert found.points[17] == pytest.approx((0.9, 0.0))
    by_hand = np.mean([wrong[:count].mean() for count in range(1, 41)])
    assert found.aurc.value == pytest.approx(by_hand)
    assert found.aurc.interval is not None
    assert found.aurc.interval[0] <= by_hand <= found.aurc.interval[1]


def test_the_order_of_equally_sure_images_does_not_matter() -> None:
    wrong = np.arange(30) < 10
    found = risk_coverage(np.ones(30), wrong)
    turned = risk_coverage(np.ones(30), wrong[::-1])
    assert (turned.points, turned.aurc.value) == (found.points, found.aurc.value)
    assert [risk for _, risk in found.points] == pytest.approx([1 / 3] * 20)
    assert {risk for _, risk in risk_coverage(np.ones(1), np.array([True])).points} == {1.0}


def test_balanced_top_one_weighs_kinds_alike() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    right = np.array([True] * 90 + [False] * 5 + [True] * 5)
    found = balanced_top1(right, labels, 3)
    assert found.value == pytest.approx(0.75)
    assert found.interval is not None
    assert 0.5 <= found.interval[0] < 0.75 < found.interval[1] <= 1


def test_the_curves_have_the_areas_that_ranking_tells() -> None:
    random = np.random.default_rng(5)
    artificial = random.random(300) < 0.4
    drawn = random.normal(np.where(artificial, 0.6, 0.4), 0.2)
    scores = np.round(np.clip(drawn, 0, 1), 2).astype(np.float64)  # with ties
    curve = ranking_curve(scores, artificial)
    assert curve is not None
    found = ranking(scores, artificial)
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(found.auc.value)
    average = (np.diff(curve.tpr) * curve.precision[1:]).sum()
    assert average == pytest.approx(found.ap.value)
    assert (curve.fpr[0], curve.tpr[0], curve.precision[0]) == (0, 0, 1)
    assert (curve.fpr[-1], curve.tpr[-1]) == (1, 1)
    called = scores >= curve.thresholds[3]
    assert curve.precision[3] == pytest.approx(artificial[called].mean())
    assert ranking_curve(scores, np.ones(300, bool)) is None


def test_the_bins_of_a_reliability_diagram_give_the_calibration_error() -> None:
    random = np.random.default_rng(6)
    confidence = random.random(500)
    right = random.random(500) < confidence**2
    bins = reliability(confidence, right)
    assert sum(one.count for one in bins) == 500
    filled = [one for one in bins if one.confidence is not None]
    gaps = [one.count * abs(one.confidence - (one.right.value or 0)) for one in filled]  # type: ignore[operator]
    error = calibration_error(confidence, right.astype(float))
    assert sum(gaps) / 500 == pytest.approx(error)
    empty = reliability(np.array([0.99]), np.array([True]))
    assert [one.count for one in empty] == [0] * 14 + [1]
    assert empty[0].right.value is None
