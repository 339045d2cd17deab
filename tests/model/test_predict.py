from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facecheck.model.checkpoint import Header
from facecheck.model.ood import OODDetector
from facecheck.model.predict import decide
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
