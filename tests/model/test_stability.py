from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from facecheck.core.image import decode
from facecheck.core.labels import Verdict
from facecheck.model.predict import Prediction
from facecheck.model.stability import flag_unstable, variants


@pytest.fixture
def face(drawn: Path) -> Path:
    return drawn / "photo" / "drawn-photo" / "000.png"


def test_variants_are_mild_and_the_same_every_time(face: Path) -> None:
    image = decode(face).image
    found = list(variants(image, 8, seed=3))
    assert found == list(variants(image, 8, seed=3))
    assert found != list(variants(image, 8, seed=4))
    assert found[:5] == list(variants(image, 5, seed=3))
    opened = [Image.open(io.BytesIO(data)) for data in found]
    assert {one.format for one in opened} == {"JPEG", "WEBP"}
    assert all(72 <= one.width <= 96 for one in opened)


def verdict(score: float) -> Prediction:
    return Prediction(
        Verdict.ARTIFICIAL if score > 0.6 else Verdict.REAL if score < 0.4 else Verdict.UNCERTAIN,
        "photo", score, {"photo": 1 - score, "cartoon": score},
    )  # fmt: skip


def test_the_answer_is_the_images_own() -> None:
    told = flag_unstable([verdict(0.7), verdict(0.9), verdict(0.65)])
    assert told == replace(verdict(0.7), spread=0.9 - 0.65)
    assert flag_unstable([verdict(0.7)]) == verdict(0.7)
    assert flag_unstable([verdict(0.7)]).spread is None


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ((0.7, 0.3), "uncertain"),
        ((0.3, 0.7), "uncertain"),
        ((0.5, 0.7, 0.3), "uncertain"),
        ((0.7, 0.5, 0.9), "artificial"),  # never real
        ((0.1, 0.5, 0.3), "uncertain"),  # what is real must be so however it is stored
        ((0.1, 0.2, 0.05), "real"),
    ],
)
def test_a_verdict_that_flips_is_uncertain(scores: tuple[float, ...], told: str) -> None:
    answer = flag_unstable([verdict(score) for score in scores])
    assert answer.verdict == told
    assert (answer.score, answer.kind) == (scores[0], "photo")
    assert answer.spread == max(scores) - min(scores)
