from __future__ import annotations

import numpy as np
import pytest

from facecheck.model.ood import OODDetector, distances, fit_ood_detector


def blobs(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of two kinds around two directions, of any length."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    middle = np.eye(8)[labels]
    lengths = random.uniform(0.1, 50, (count, 1))
    return lengths * (middle + random.normal(0, 0.05, (count, 8))), labels


def test_what_is_like_no_kind_is_refused() -> None:
    guard = fit_ood_detector(*blobs(0, 400), 99)
    seen = np.array([guard.is_ood(row) for row in blobs(1, 400)[0]])
    assert seen.mean() < 0.04
    assert all(guard.is_ood(row) for row in np.eye(8)[2:])
    assert guard.is_ood(-np.eye(8)[0])
    assert guard.is_ood(np.zeros(8))


@pytest.mark.parametrize("percentile", [50, 90, 99])
def test_so_many_are_let_through(percentile: float) -> None:
    features, labels = blobs(0, 1000)
    guard = fit_ood_detector(features, labels, percentile)
    passed = sum(not guard.is_ood(row) for row in features)
    assert 10 * percentile <= passed <= 10 * percentile + 3


def test_distance_is_one_less_the_cosine_whatever_the_length() -> None:
    centres = np.eye(2)
    found = distances(np.array([[3.0, 0], [0, 0.1], [1, 1], [-1, 0], [0, 0]]), centres)
    assert found == pytest.approx([0, 0, 1 - np.sqrt(0.5), 1, 1])


def test_one_image_is_enough() -> None:
    guard = fit_ood_detector(np.array([[2.0, 0]]), np.array([0]), 99)
    assert guard == OODDetector(((1.0, 0.0),), 1e-6)
    assert not guard.is_ood([5, 0])
    assert guard.is_ood([1, 1])
