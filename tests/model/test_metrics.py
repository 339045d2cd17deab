from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch.nn import functional

from facecheck.model.metrics import confusion, softmax, summarise, wilson


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
