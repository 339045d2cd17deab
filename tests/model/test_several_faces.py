"""The threshold for a file of several faces keeps the budget that a face has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecheck.core.errors import CheckpointError
from facecheck.evaluation.calibrate import choose_thresholds
from facecheck.model.checkpoint import Header
from facecheck.model.metrics import Floats
from facecheck.model.several_faces import (
    SEVERAL_FACES,
    FileThreshold,
    Tail,
    file_threshold,
    fit_tail,
    precise,
)
from facecheck.model.transforms import Transform

HEADER = Header("resnet18", ("photo", "cartoon"), Transform(32, 32, (0.5,) * 3, (0.5,) * 3))


def drawn(random: np.random.Generator, *shape: int) -> Floats:
    """Scores whose log-odds rise by 1.5 as they get e times rarer."""
    return np.asarray(1 / (1 + np.exp(4 - random.exponential(1.5, shape))))


def test_the_tail_of_scores_is_found() -> None:
    found = fit_tail(drawn(np.random.default_rng(0), 20_000))
    assert found is not None
    assert found.rise == pytest.approx(1.5, rel=0.05)
    assert found.images == 2000
    assert fit_tail(np.ones(20)) == Tail(0.0, 10)
    assert fit_tail(drawn(np.random.default_rng(0), 19)) is None


@pytest.mark.parametrize("faces", [4, 16, 64])
def test_files_of_real_faces_are_wrong_as_rarely_as_one_face(faces: int) -> None:
    random = np.random.default_rng(0)
    before: list[float] = []
    now: list[float] = []
    for _ in range(300):
        calibrated = drawn(random, 400)
        _, high = choose_thresholds(calibrated, np.array([0.9999999]), 0.01)
        threshold = FileThreshold(high, fit_tail(calibrated))
        for rates, score in ((before, high), (now, threshold.of(faces))):
            odds = (np.log(score / (1 - score)) + 4) / 1.5
            rates.append(1 - (1 - np.exp(-odds)) ** faces)
    assert np.mean(before) > 0.007 * faces**0.9
    assert 0.008 < np.mean(now) < 0.012


@given(st.floats(0, 1), st.floats(0, 5), st.integers(1, 500), st.integers(1, 64))
def test_more_faces_never_lower_the_threshold(
    high: float, rise: float, images: int, faces: int
) -> None:
    threshold = FileThreshold(high, Tail(rise, images))
    assert threshold.of(1) == high
    assert high <= threshold.of(faces) <= threshold.of(faces + 1) + 1e-12 <= 1 + 1e-12
    assert FileThreshold(high).of(faces) == high


def test_what_a_header_says_of_the_tail_is_checked() -> None:
    assert file_threshold(HEADER) == FileThreshold(HEADER.thresholds[1], None, HEADER.thresholds[0])
    assert file_threshold(HEADER).table() is None
    stored = {SEVERAL_FACES: {"rise": 2, "images": 39}}
    known = file_threshold(replace(HEADER, thresholds=(0.3, 0.9), calibration=stored))
    assert list(known.table() or {}) == ["1", "4", "16", "64"]
    for bad in (
        *("text", 1, [1], {}, {"rise": "x", "images": 1}, {"rise": -1, "images": 9}),
        *({"rise": float("nan"), "images": 9}, {"rise": 1, "images": 0}, {"rise": 1}),
    ):
        with pytest.raises(CheckpointError, match=r"'calibration' cannot have several_faces"):
            file_threshold(replace(HEADER, calibration={SEVERAL_FACES: bad}))


def test_a_threshold_near_one_keeps_its_digits() -> None:
    assert [precise(score) for score in (0.5, 0.9614, 0.99973, 0.9999834, 1)] == [
        *("0.500", "0.961", "0.99973", "0.999983", "1.000"),
    ]
