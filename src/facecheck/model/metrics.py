"""Figures of merit, from logits and labels. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Bins of the expected calibration error.
ECE_BINS = 15
#: Points of a risk-coverage curve, evenly spaced in coverage.
COVERAGES = 20
#: Resamples of a bootstrap, fewer where there are so many images that the interval is narrow.
_RESAMPLES = 1000
#: Numbers held at once by a bootstrap: 32 MB in each array.
_CELLS = 4_000_000


def softmax(logits: Floats) -> Floats:
    """Return probabilities over the last axis of ``logits``, which sum to 1."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson score interval of a share, in [0, 1]; (0, 1) without trials.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference". ``z`` is
    the normal quantile, by default of 95 %.
    """
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


@dataclass(frozen=True)
class Summary:
    """How well logits fit labels.

    Attributes:
        count: images.
        loss: mean cross-entropy in nats, at temperature 1.
        top1: share whose largest logit is the label's, 0 to 1.
        top5: share whose label is among the five largest (all, with five kinds or fewer).
        interval: 95 % Wilson interval of ``top1``.
    """

    count: int
    loss: float
    top1: float
    top5: float
    interval: tuple[float, float]


def summarise(logits: Floats, labels: Labels) -> Summary:
    """Summarise logits of shape (n, kinds) against labels of shape (n,); n is 1 or more."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    loss = float(np.mean(log_sum - shifted[rows, labels]))
    # The label's rank: how many logits are larger. Ties count for the label.
    rank = (logits > logits[rows, labels][:, None]).sum(axis=1)
    right = int((rank == 0).sum())
    return Summary(
        count=len(labels),
        loss=loss,
        top1=right / len(labels),
        top5=float((rank < 5).mean()),
        interval=wilson(right, len(labels)),
    )


def auc_of(positive: Floats, negative: Floats) -> float:
    """Return the area under the ROC curve, ties counted half, by ranks (Mann & Whitney 1947).

    Args:
        positive: scores that should be high, shape (n,), n of 1 or more.
        negative: scores that should be low, likewise.
    """
    order = np.sort(negative)
    below = np.searchsorted(order, positive) + np.searchsorted(order, positive, "right")
    return float(below.mean() / 2 / len(negative))


def confusion(predicted: Labels, labels: Labels, kinds: int) -> tuple[tuple[int, ...], ...]:
    """Return counts by true kind (rows) and predicted kind (columns)."""
    table = np.zeros((kinds, kinds), np.int64)
    np.add.at(table, (labels, predicted), 1)
    return tuple(tuple(int(count) for count in row) for row in table)


@dataclass(frozen=True)
class Figure:
    """One figure of merit.

    Attributes:
        value: the figure; None where it is not defined, such as an AUC of one side alone.
        interval: its 95 % interval; None where it is not defined.
    """

    value: float | None
    interval: tuple[float, float] | None


def share(successes: int, trials: int) -> Figure:
    """Return a share with its Wilson interval; not defined without trials."""
    if trials == 0:
        return Figure(None, None)
    return Figure(successes / trials, wilson(successes, trials))


def bootstrap(
    measure: Callable[[Floats], Mapping[str, Floats]], count: int, *, seed: int = 0
) -> dict[str, Figure]:
    """Measure figures, and their 95 % percentile intervals over resampled images.

    Efron 1979, "Bootstrap methods". A resample is a row of weights, how often each image was drawn,
    so that one call measures many. Resamples in which a figure is not defined are left out.

    Args:
        measure: from weights, shape (resamples, count), to each figure, shape (resamples,); NaN
            where a figure is not defined.
        count: images, 1 or more.
        seed: decides what is drawn.
    """
    plain = {name: float(values[0]) for name, values in measure(np.ones((1, count))).items()}
    random = np.random.default_rng(seed)
    resamples = min(_RESAMPLES, max(100, 5 * _CELLS // count))
    block = max(1, _CELLS // count)
    drawn: dict[str, list[Floats]] = {name: [] for name in plain}
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        weights = random.multinomial(count, np.full(count, 1 / count), size=rows)
        for name, values in measure(weights.astype(np.float64)).items():
            drawn[name].append(values)
    return {name: _figure(value, np.concatenate(drawn[name])) for name, value in plain.items()}


def _figure(value: float, resampled: Floats) -> Figure:
    known = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(known):
        return Figure(None, None)
    low, high = np.quantile(known, (0.025, 0.975))
    return Figure(value, (float(low), float(high)))


@dataclass(frozen=True)
class Ranking:
    """How well scores part real from artificial images.

    Attributes:
        real: real images.
        artificial: artificial images.
        auc: area under the ROC curve, 0 to 1: the probability that an artificial image scores
            higher than a real one, a tie counting half (Hanley & McNeil 1982).
        ap: average precision, 0 to 1: precision where each artificial image is found, mean.
        eer: the rate at which as many real images are called artificial as artificial ones real,
            0 to 1, interpolated between the two nearest thresholds.
        tpr_at_1: share of artificial images found by the threshold that calls at most 1 % of real
            ones artificial.
        tpr_at_5: the same at 5 %.
        accuracy: mean of the shares of real and of artificial images that are right at the given
            threshold.
        best_accuracy: the same at the threshold that would have been best here.
        best_threshold: that threshold, the highest of several; above 1 when it is best to call
            nothing artificial; None where accuracy is not defined.
    """

    real: int
    artificial: int
    auc: Figure
    ap: Figure
    eer: Figure
    tpr_at_1: Figure
    tpr_at_5: Figure
    accuracy: Figure
    best_accuracy: Figure
    best_threshold: float | None


def ranking(scores: Floats, artificial: Flags, threshold: float = 0.5) -> Ranking:
    """Measure how scores rank artificial images above real ones.

    With one side only no figure is defined; intervals are by :func:`bootstrap`.

    Args:
        scores: shape (n,), 0 to 1, n of 1 or more.
        artificial: shape (n,), which images are.
        threshold: a score from which on an image is called artificial, for ``accuracy``.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, positive = scores[order], artificial[order].astype(np.float64)
    # Images of one score are called artificial together: only the last of them is a threshold.
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    called = int((ranked >= threshold).sum())
    place = int(np.searchsorted(ends, called - 1)) + 1 if called else 0

    def measure(weights: Floats) -> dict[str, Floats]:
        return _rank_figures(weights[:, order], positive, ends, place)

    figures = bootstrap(measure, len(scores))
    count = int(artificial.sum())
    best_threshold = None
    if 0 < count < len(scores):
        balanced = _balanced(*_rates(np.ones((1, len(scores))), positive, ends))[0]
        thresholds = np.append(np.nextafter(ranked[0], np.inf), ranked[ends])
        best_threshold = float(thresholds[balanced.argmax()])
    return Ranking(
        real=len(scores) - count, artificial=count, best_threshold=best_threshold, **figures
    )


@dataclass(frozen=True)
class RankingCurve:
    """ROC and precision-recall, one point for each threshold, from above all scores downwards.

    Attributes:
        thresholds: shape (m,); the first is infinite: nothing is called artificial.
        fpr: share of real images called artificial, shape (m,), rising from 0 to 1.
        tpr: share of artificial images called artificial, which is the recall; shape (m,).
        precision: share artificial of what is called so, shape (m,); 1 where nothing is.
    """

    thresholds: Floats
    fpr: Floats
    tpr: Floats
    precision: Floats


def ranking_curve(scores: Floats, artificial: Flags) -> RankingCurve | None:
    """Return the curves whose areas :func:`ranking` measures; None with one side only.

    Args:
        scores: shape (n,), 0 to 1.
        artificial: shape (n,), which images are.
    """
    if artificial.all() or not artificial.any():
        return None
    order = np.argsort(-scores, kind="stable")
    ranked, positive = scores[order], artificial[order].astype(np.float64)
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    fpr, tpr = (rates[0] for rates in _rates(np.ones((1, len(ranked))), positive, ends))
    precision = np.append(1.0, np.cumsum(positive)[ends] / (ends + 1))
    return RankingCurve(np.append(np.inf, ranked[ends]), fpr, tpr, precision)


def _rates(weights: Floats, positive: Floats, ends: Labels) -> tuple[Floats, Floats]:
    """Return false and true positive rates, shape (resamples, thresholds), from 0 to 1."""
    rates = []
    for side in (1 - positive, positive):
        counts = np.cumsum(weights * side, axis=1)[:, ends]
        with np.errstate(invalid="ignore"):
            rates.append(np.pad(counts / counts[:, -1:], ((0, 0), (1, 0))))
    return rates[0], rates[1]


def _balanced(fpr: Floats, tpr: Floats) -> Floats:
    return (tpr + 1 - fpr) / 2


def _rank_figures(weights: Floats, positive: Floats, ends: Labels, place: int) -> dict[str, Floats]:
    fpr, tpr = _rates(weights, positive, ends)
    balanced = _balanced(fpr, tpr)
    found = np.cumsum(weights * positive, axis=1)[:, ends]
    called = np.cumsum(weights, axis=1)[:, ends]
    precision = found / np.maximum(called, 1)  # none called: none found, and no share of the mean
    area = np.diff(fpr) * (tpr[:, 1:] + tpr[:, :-1]) / 2
    undefined = np.isnan(balanced[:, -1])
    figures = {
        "auc": area.sum(axis=1),
        "ap": (np.diff(tpr) * precision).sum(axis=1),
        "eer": _equal_error(fpr, tpr),
        "tpr_at_1": np.where(fpr <= 0.01, tpr, 0).max(axis=1),
        "tpr_at_5": np.where(fpr <= 0.05, tpr, 0).max(axis=1),
        "accuracy": balanced[:, place],
        "best_accuracy": balanced.max(axis=1),
    }
    return {name: np.where(undefined, np.nan, values) for name, values in figures.items()}


def _equal_error(fpr: Floats, tpr: Floats) -> Floats:
    """Return where the false positive rate meets the false negative rate, shape (resamples,)."""
    gap = fpr - (1 - tpr)  # rises from -1 to 1
    after = np.argmax(gap >= 0, axis=1)
    rows = np.arange(len(gap))
    with np.errstate(invalid="ignore"):
        part = gap[rows, after - 1] / (gap[rows, after - 1] - gap[rows, after])
    return np.asarray(
        fpr[rows, after - 1] + part * (fpr[rows, after] - fpr[rows, after - 1]), np.float64
    )


@dataclass(frozen=True)
class Calibration:
    """How far probabilities can be taken at their word.

    Attributes:
        ece: expected calibration error of the most probable kind, 0 to 1.
        score_ece: the same of the score, against the share that is artificial.
        brier: mean squared difference of the score and 1 for artificial, 0 for real; 0 to 1
            (Brier 1950).
    """

    ece: Figure
    score_ece: Figure
    brier: Figure


def calibration(
    probabilities: Floats, labels: Labels, scores: Floats, artificial: Flags
) -> Calibration:
    """Measure calibration, with intervals by :func:`bootstrap`.

    Args:
        probabilities: shape (n, kinds), each row summing to 1, n of 1 or more.
        labels: shape (n,), the true kinds.
        scores: shape (n,), 0 to 1.
        artificial: shape (n,), which images are.
    """
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    truth = artificial.astype(np.float64)
    squared = (scores - truth) ** 2

    def measure(weights: Floats) -> dict[str, Floats]:
        return {
            "ece": _calibration_error(confidence, right, weights),
            "score_ece": _calibration_error(scores, truth, weights),
            "brier": weights @ squared / weights.sum(axis=1),
        }

    return Calibration(**bootstrap(measure, len(labels)))


def calibration_error(confidence: Floats, right: Floats) -> float:
    """Return the expected calibration error, 0 to 1, over 15 bins of equal width.

    The gap between mean confidence and share right in each bin, weighted by the bin's images
    (Guo et al. 2017, "On calibration of modern neural networks"). A bin holds its upper edge.

    Args:
        confidence: shape (n,), 0 to 1, n of 1 or more.
        right: shape (n,), 1 for right and 0 for wrong.
    """
    return float(_calibration_error(confidence, right, np.ones((1, len(right))))[0])


def _calibration_error(confidence: Floats, right: Floats, weights: Floats) -> Floats:
    bins = _bins(confidence)
    gaps = np.zeros((len(bins), ECE_BINS))
    gaps[np.arange(len(bins)), bins] = confidence - right
    return np.asarray(np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1), np.float64)


def _bins(confidence: Floats) -> Labels:
    return np.clip(np.ceil(confidence * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)


@dataclass(frozen=True)
class Bin:
    """One bar of a reliability diagram: the images whose confidence is above ``low``, to ``high``.

    Attributes:
        low: lower edge, 0 to 1.
        high: upper edge.
        count: images.
        confidence: their mean confidence; None without any.
        right: share of them that is right, with a Wilson interval; not defined without any.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    right: Figure


def reliability(confidence: Floats, right: Flags) -> tuple[Bin, ...]:
    """Return the bins of :func:`calibration_error` (Guo et al. 2017, figure 1).

    Args:
        confidence: shape (n,), 0 to 1.
        right: shape (n,).
    """
    places = _bins(confidence)
    bins = []
    for place in range(ECE_BINS):
        inside = places == place
        count = int(inside.sum())
        mean = float(confidence[inside].mean()) if count else None
        edges = (place / ECE_BINS, (place + 1) / ECE_BINS)
        bins.append(Bin(*edges, count, mean, share(int(right[inside].sum()), count)))
    return tuple(bins)


@dataclass(frozen=True)
class RiskCoverage:
    """What is left of the errors when only the surest images are answered.

    Attributes:
        points: (coverage, risk): the share of wrong answers among the surest 5, 10, … 100 %.
        aurc: area under the whole curve, 0 to 1 (Geifman et al. 2019); less is better.
    """

    points: tuple[tuple[float, float], ...]
    aurc: Figure


def risk_coverage(confidence: Floats, wrong: Flags) -> RiskCoverage:
    """Return the risk-coverage curve (El-Yaniv & Wiener 2010).

    Equally sure images share their errors evenly, so that their order does not matter.

    Args:
        confidence: shape (n,), in any unit, n of 1 or more.
        wrong: shape (n,), whether the answer is.
    """
    order = np.argsort(-confidence, kind="stable")
    _, ties = np.unique(-confidence[order], return_inverse=True)
    errors = wrong[order].astype(np.float64)

    def measure(weights: Floats) -> dict[str, Floats]:
        drawn = weights[:, order]
        risk = _risks(drawn, errors, ties)
        # An image that was drawn twice makes two points.
        return {"aurc": (drawn * risk).sum(axis=1) / drawn.sum(axis=1)}

    curve = _risks(np.ones((1, len(errors))), errors, ties)[0]
    marks = np.arange(1, COVERAGES + 1) / COVERAGES
    places = np.maximum(1, np.ceil(marks * len(errors) - 1e-9).astype(int)) - 1
    points = zip(marks.tolist(), curve[places].tolist(), strict=True)
    return RiskCoverage(tuple(points), bootstrap(measure, len(errors))["aurc"])


def _risks(weights: Floats, errors: Floats, ties: Labels) -> Floats:
    """Return the share of wrong answers up to each image, shape (resamples, n)."""
    starts = np.flatnonzero(np.append(True, ties[1:] != ties[:-1]))
    per_tie = np.add.reduceat(weights * errors, starts, axis=1)
    size = np.add.reduceat(weights, starts, axis=1)
    shared = (per_tie / np.maximum(size, 1))[:, ties]
    return np.asarray(
        np.cumsum(weights * shared, axis=1) / np.maximum(np.cumsum(weights, axis=1), 1)
    )


def balanced_top1(right: Flags, labels: Labels, kinds: int) -> Figure:
    """Return the mean of the kinds' top-1, over those that are there, by :func:`bootstrap`.

    Args:
        right: shape (n,), whether the largest logit is the label's, n of 1 or more.
        labels: shape (n,), the true kinds.
        kinds: how many kinds there are.
    """
    member = np.eye(kinds)[labels]

    def measure(weights: Floats) -> dict[str, Floats]:
        size = weights @ member
        shares = weights @ (member * right[:, None]) / np.maximum(size, 1)
        return {"top1": shares.sum(axis=1) / (size > 0).sum(axis=1)}

    return bootstrap(measure, len(labels))["top1"]
