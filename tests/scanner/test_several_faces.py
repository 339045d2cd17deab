"""Montages of real photographs: the budget holds for a file, however many faces it shows."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from facecheck.core.labels import Kind, Verdict
from facecheck.core.workspace import BUILTIN_FAST
from facecheck.evaluation.calibrate import choose_thresholds
from facecheck.model.metrics import softmax
from facecheck.model.several_faces import SEVERAL_FACES, fit_tail
from facecheck.scanner.classifier import Classifier, load_classifier
from facecheck.scanner.inputs.items import find_inputs
from tests.conftest import RealImages
from tests.scanner.conftest import pasted

TILE = 250


def montage(files: list[Path], path: Path) -> Path:
    """Write the images next to each other, on one background."""
    across = max(2, round(len(files) ** 0.5))
    side = TILE + 40
    places = [
        (file, 40 + number % across * side, 40 + number // across * side, TILE)
        for number, file in enumerate(files)
    ]
    pasted((across * side + 40, across * side + 40), places).save(path)
    return path


def calibrated_on(files: list[Path]) -> Classifier:
    """The built-in model, calibrated on these photographs for a budget of 5 %."""
    classifier = load_classifier(BUILTIN_FAST)
    header = classifier.predictor.header
    found = [one.logits for one in classifier.predictor.file_outputs(files)]
    logits = np.stack([one for one in found if one is not None])
    scores = 1 - softmax(logits / header.temperature)[:, header.kinds.index(Kind.PHOTO)]
    tail = fit_tail(scores)
    assert tail is not None
    classifier.predictor.header = replace(
        header,
        thresholds=choose_thresholds(scores, np.ones(1), 0.05),
        calibration={SEVERAL_FACES: asdict(tail)},
    )
    return classifier


@pytest.mark.slow
def test_group_photographs_of_real_people_keep_the_budget(
    real_images: RealImages, tmp_path: Path
) -> None:
    photos = real_images("photo/")
    classifier = calibrated_on(photos[::2])
    others = photos[1::2]
    for_one, for_file = [], []
    for faces, files in ((1, 4), (4, 6), (16, 5), (64, 2)):
        for number in range(files):
            chosen = [others[(number * faces + place) % len(others)] for place in range(faces)]
            path = montage(chosen, tmp_path / f"{faces} {number}.png")
            (item,) = find_inputs([path])
            _, answer = classifier.classify(item)
            assert len(answer.classified) >= 0.9 * faces
            each = {one.prediction.verdict for one in answer.classified}
            for_one.append(Verdict.ARTIFICIAL in each)
            for_file.append(answer.verdict == Verdict.ARTIFICIAL)
            if len(answer.classified) > 1 and for_one[-1] and not for_file[-1]:
                assert "of so many is artificial" in answer.message
    assert sum(for_one) >= 3
    assert sum(for_file) <= 1  # of 17, at a budget of 5 %
