from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from scipy.stats import binomtest

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.labels import Verdict
from facecheck.core.manifest import read_manifest, write_manifest
from facecheck.evaluation.calibrate import calibrate, choose_thresholds, fit_temperature
from facecheck.evaluation.evaluate import evaluate
from facecheck.evaluation.options import CalibrateOptions, EvaluateOptions
from facecheck.model.checkpoint import load_checkpoint, read_header, save_checkpoint
from facecheck.model.metrics import softmax, summarise
from facecheck.model.ood import OODDetector
from facecheck.model.several_faces import file_threshold
from facecheck.scanner.checker import Checker
from facecheck.scanner.job import scan
from facecheck.scanner.options import CheckOptions, ScanOptions


@pytest.mark.parametrize("wanted", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_logits_is_found(wanted: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20_000, 4))
    labels = (random.random((20_000, 1)) > softmax(logits).cumsum(axis=1)).sum(axis=1)
    found = fit_temperature(logits * wanted, labels)
    assert found == pytest.approx(wanted, rel=0.03)
    near = [summarise(logits * wanted / t, labels).loss for t in (found, found * 1.1, found / 1.1)]
    assert near[0] == min(near)


def test_a_few_images_that_are_all_right_do_not_make_certainty() -> None:
    found = fit_temperature(np.array([[2.0, 0], [0, 2.0]]), np.array([0, 1]))
    assert softmax(np.array([2.0, 0]) / found)[0] == pytest.approx(0.75, abs=0.001)  # 1 - 1/(2+2)


scores = st.lists(st.integers(1, 999).map(lambda n: n / 1000), min_size=1, max_size=300)


@settings(max_examples=200, deadline=None)
@given(scores, scores, st.sampled_from([0.01, 0.05, 0.2]))
def test_neither_side_exceeds_its_budget(
    real: list[float], artificial: list[float], budget: float
) -> None:
    low, high = choose_thresholds(np.array(real), np.array(artificial), budget)
    assert 0 <= low <= high <= 1
    assert sum(score >= high for score in real) <= budget * len(real)
    wrong = [score <= low and not (low == high and score >= high) for score in artificial]
    assert sum(wrong) <= budget * len(artificial)


def test_what_is_well_apart_meets_in_the_middle() -> None:
    assert choose_thresholds(np.full(50, 0.01), np.full(50, 0.99), 0.01) == (0.5, 0.5)
    low, high = choose_thresholds(np.full(50, 0.6), np.full(50, 0.9), 0.01)
    assert low == high == pytest.approx(0.75)


def test_what_overlaps_is_uncertain_between() -> None:
    real, artificial = np.linspace(0, 0.7, 1000), np.linspace(0.3, 1, 1000)
    low, high = choose_thresholds(real, artificial, 0.01)
    assert low == pytest.approx(0.306, abs=0.002)
    assert high == pytest.approx(0.694, abs=0.002)
    assert (real >= high).sum() == (artificial <= low).sum() == 9  # floor(0.01 * 1001) - 1
    wide = choose_thresholds(real, artificial, 0.001)
    assert wide[0] < low < high < wide[1]


def test_new_images_keep_the_budget_on_average() -> None:
    random = np.random.default_rng(0)
    rates = []
    for _ in range(200):
        real, artificial = random.normal(0.4, 0.1, 150), random.normal(0.6, 0.1, 150)
        _, high = choose_thresholds(real.clip(0, 1), artificial.clip(0, 1), 0.05)
        rates.append((random.normal(0.4, 0.1, 2000) >= high).mean())
    assert 0.03 < np.mean(rates) <= 0.05


@pytest.mark.slow
def test_a_checkpoint_is_calibrated_in_place_and_repeatably(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    manifest, best = trained
    path = Path(shutil.copy(best, tmp_path / "c.safetensors"))
    result = calibrate(path, manifest, CalibrateOptions(budget=0.2, guard=90, device="cpu"))
    assert result.out == path
    header, before = read_header(path), read_header(best)
    assert (header.temperature, header.thresholds) == (result.temperature, result.thresholds)
    assert header.guard is not None
    assert header.guard.limit == result.guard
    assert len(header.guard.centres) == 3
    assert header.calibration["budget"] == 0.2
    assert ("several_faces" in header.calibration) == (result.real.images >= 20)
    assert file_threshold(header).table() == result.artificial_from_by_faces
    assert (header.recipe, header.metrics) == (before.recipe, before.metrics)
    weights, old = load_file(path), load_file(best)
    assert all((weights[name] == old[name]).all() for name in old)
    val = read_manifest(manifest).in_split("val")
    assert result.images == len(val) == result.real.images + result.artificial.images
    assert result.real.wrong <= 0.2 * result.real.images
    assert result.artificial.wrong <= 0.2 * result.artificial.images
    for rate in (result.real, result.artificial):
        interval = binomtest(rate.wrong, rate.images).proportion_ci(0.9, method="exact")
        assert rate.bound == pytest.approx(interval.high)
    bytes_once = path.read_bytes()
    calibrate(path, manifest, CalibrateOptions(budget=0.2, guard=90, device="cpu"))
    assert path.read_bytes() == bytes_once
    judged = evaluate(path, manifest, EvaluateOptions(split="val", device="cpu", baseline=False))
    assert judged.verdicts.uncertain == result.real.uncertain + result.artificial.uncertain
    assert judged.verdicts.wrong == result.real.wrong + result.artificial.wrong
    assert judged.overall.loss == pytest.approx(result.loss_before)
    assert judged.calibration.ece.value == pytest.approx(result.ece)


@pytest.mark.slow
def test_the_guard_acts_in_every_command_that_judges(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    loaded = load_checkpoint(trained[1])
    width = loaded.model.get_classifier().in_features  # type: ignore[operator]
    shut = OODDetector((tuple([-1.0] + [0.0] * (width - 1)),), 0.5)  # features are 0 or more
    path = tmp_path / "c.safetensors"
    save_checkpoint(loaded.model, replace(loaded.header, guard=shut), path)
    assert read_header(path).guard == shut
    face = drawn / "photo" / "drawn-photo" / "000.png"
    whole = CheckOptions(faces="off", device="cpu")
    without, answer = (Checker(model, whole).check(face) for model in (trained[1], path))
    assert without.verdict in {Verdict.REAL, Verdict.ARTIFICIAL}
    assert answer.verdict == Verdict.UNCERTAIN
    assert (answer.kind, answer.score) == (without.kind, without.score)
    options = ScanOptions(faces="off", device="cpu")
    scanned = scan([drawn / "photo"], tmp_path / "r.csv", path, options)
    assert scanned.verdicts == {"uncertain": 12}
    judged = evaluate(path, trained[0], EvaluateOptions(device="cpu", baseline=False))
    assert judged.verdicts.uncertain == judged.verdicts.count
    assert judged.verdicts.accuracy.value is None


def test_what_cannot_be_calibrated_is_told(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, best = trained
    for budget in (0.0, 0.5):
        with pytest.raises(UsageError, match="--budget"):
            calibrate(best, manifest, CalibrateOptions(budget=budget))
    with pytest.raises(UsageError, match="--guard 20"):
        calibrate(best, manifest, CalibrateOptions(guard=20))
    with pytest.raises(UsageError, match="--overwrite"):
        calibrate(best, manifest, CalibrateOptions(out=manifest))
    data = read_manifest(manifest)
    for kinds, said in (({"photo"}, "only photo"), ({"cartoon", "sketch"}, "no photo")):
        part = data.where(data.frame["kind"].is_in(kinds))  # type: ignore[arg-type]
        write_manifest(part, tmp_path / "m.csv", {})
        with pytest.raises(FacecheckError, match=said):
            calibrate(
                best,
                tmp_path / "m.csv",
                CalibrateOptions(out=tmp_path / "o.safetensors", device="cpu"),
            )
