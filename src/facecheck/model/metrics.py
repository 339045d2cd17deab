"""Figures of merit, from logits and labels. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


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


def confusion(predicted: Labels, labels: Labels, kinds: int) -> tuple[tuple[int, ...], ...]:
    """Return counts by true kind (rows) and predicted kind (columns)."""
    table = np.zeros((kinds, kinds), np.int64)
    np.add.at(table, (labels, predicted), 1)
    return tuple(tuple(int(count) for count in row) for row in table)
