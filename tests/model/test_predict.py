from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facecheck.model.checkpoint import Header
from facecheck.model.ood import OODDetector
from facecheck.model.predict import Finish, NotFiniteError, Pixels, Predictor, decide
from facecheck.model.transforms import Transform

HEADER = Header(
    "resnet10t", ("photo", "sketch"), Transform(32, 37, (0.5,) * 3, (0.5,) * 3),
    thresholds=(0.2, 0.8),
)  # fmt: skip


@pytest.mark.parametrize(
    ("score", "verdict"),
    [(0.0, "real"), (0.19, "real"), (0.21, "uncertain"), (0.79, "uncertain"), (0.81, "artificial")],
)
def test_thresholds_make_the_verdict(score: float, verdict: str) -> None:
    logits = np.log(np.array([1 - score, score]) + 1e-12)
    answer = decide(logits, HEADER)
    assert answer.verdict == verdict
    assert answer.score == pytest.approx(score, abs=1e-9)
    assert answer.kind == ("photo" if score < 0.5 else "sketch")


def test_the_temperature_softens() -> None:
    logits = np.array([2.0, -2.0])
    soft = decide(logits, replace(HEADER, temperature=4.0))
    assert soft.probabilities["photo"] == pytest.approx(1 / (1 + np.exp(-1)))
    assert decide(logits, HEADER).probabilities["photo"] == pytest.approx(1 / (1 + np.exp(-4)))


def test_the_guard_sends_what_it_refuses_to_uncertain() -> None:
    guarded = replace(HEADER, guard=OODDetector(((1.0, 0.0),), 0.1))
    logits = np.array([-5.0, 5.0])
    assert decide(logits, guarded, np.array([9.0, 0.1])).verdict == "artificial"
    refused = decide(logits, guarded, np.array([0.0, 9.0]))
    assert (refused.verdict, refused.kind) == ("uncertain", "sketch")
    assert refused.score == decide(logits, HEADER).score
    with pytest.raises(ValueError, match="needs features"):
        decide(logits, guarded)


class Fixed(Predictor):
    """An engine that gives the logits it was made with, one row for each crop."""

    def __init__(self, logits: list[list[float]], features: list[list[float]] | None = None):
        self.header, self.device, self.gives_features = HEADER, "cpu", features is not None
        self._logits = np.array(logits)
        self._features = None if features is None else np.array(features)

    def begin_crops(self, pixels: Pixels) -> Finish:
        return lambda: (self._logits, self._features)

    def save(self, header: Header, path: Path) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_no_finite_number_is_none(number: float) -> None:
    batch = np.zeros((3, 1, 32, 32, 3), np.uint8)
    engine = Fixed([[3.0, -3.0], [number, 0.0], [-3.0, 3.0]])
    real, none, artificial = engine.all_predictions([batch])
    assert none is None
    assert real is not None
    assert artificial is not None
    assert (real.verdict, artificial.verdict) == ("real", "artificial")
    with pytest.raises(NotFiniteError, match="not a finite number: train or export it again"):
        engine.predictions(batch)
    seen = Fixed([[3.0, -3.0]], [[0.0, number]])
    assert list(seen.all_predictions([batch[:1]])) == [None]


def test_uncertain_has_a_reason_and_nothing_else_has() -> None:
    between = decide(np.log([0.5, 0.5]), HEADER)
    assert between.reason == "score 0.500 lies between 0.200 (real) and 0.800 (artificial)"
    guarded = replace(HEADER, guard=OODDetector(((1.0, 0.0),), 0.1))
    unlike = decide(np.array([-5.0, 5.0]), guarded, np.array([0.0, 9.0]))
    assert unlike.reason == "unlike the images that the model was trained on"
    assert decide(np.array([-5.0, 5.0]), HEADER).reason == ""
