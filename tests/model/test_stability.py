from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facecheck.core.errors import ImageError
from facecheck.core.image import decode
from facecheck.model.engine import load_predictor
from facecheck.model.predict import Predictor
from facecheck.model.stability import judge_stably, stability, variants
from facecheck.scanner.checker import Checker


@pytest.fixture
def predictor(trained: tuple[Path, Path]) -> Predictor:
    return load_predictor(trained[1], "cpu")


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


def test_the_answer_is_the_images_own(
    predictor: Predictor, trained: tuple[Path, Path], face: Path
) -> None:
    told = stability(face, predictor, 4)
    assert told == stability(face.read_bytes(), predictor, 4)
    own = Checker(trained[1], device="cpu").check(face)
    assert told.answer.score == pytest.approx(own.score, abs=1e-6)
    assert told.answer.verdict == own.verdict
    assert len(told.scores) == 5
    assert told.spread == max(told.scores) - min(told.scores) > 0
    assert stability(face, predictor, 0).spread == 0


def test_a_verdict_that_flips_is_uncertain(predictor: Predictor, face: Path) -> None:
    told = stability(face, predictor, 4)
    assert not told.flips or told.verdict == "uncertain"
    middle = float(np.mean([min(told.scores), max(told.scores)]))
    predictor.header = replace(predictor.header, thresholds=(middle, middle))
    flipped = stability(face, predictor, 4)
    assert flipped.scores == told.scores
    assert flipped.flips
    assert flipped.answer.verdict in {"real", "artificial"}
    assert flipped.verdict == "uncertain"
    # All on one side of the threshold: no flip.
    predictor.header = replace(predictor.header, thresholds=(0.0, 0.0))
    steady = stability(face, predictor, 4)
    assert (steady.flips, steady.verdict) == (False, "artificial")


def test_files_are_judged_in_their_order(predictor: Predictor, drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no image")
    faces = sorted(drawn.rglob("*.png"))[:5]
    found = list(judge_stably([*faces[:2], tmp_path / "bad.jpg", *faces[2:]], predictor, 2))
    assert found.pop(2) == "not an image in a known format"
    assert found == [stability(path, predictor, 2) for path in faces]
    with pytest.raises(ImageError):
        stability(tmp_path / "bad.jpg", predictor, 2)
