from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facecheck.engines.load import load_predictor
from facecheck.model.transforms import load_input
from facecheck.report.heat_pictures import heat_pictures, overlay
from facecheck.scanner.inputs.reach import EVERYWHERE
from facecheck.scanner.job import scan
from facecheck.scanner.options import ScanOptions
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import read_rows
from tests.scanner.conftest import pasted


def test_the_hotter_the_less_of_the_crop_shows_through() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    cold, hot = (overlay(pixels, np.full((16, 16), heat)) for heat in (0.0, 1.0))
    assert (cold.std(axis=(0, 1)) > 2 * hot.std(axis=(0, 1))).all()
    assert hot.mean() > cold.mean()


@pytest.mark.slow
def test_a_row_without_an_answer_has_no_picture(
    drawn: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    face = drawn / "photo" / "drawn-photo" / "000.png"
    gone, changed = tmp_path / "gone.png", tmp_path / "changed.png"
    (tmp_path / "text.png").write_text("no picture")
    for copy in (gone, changed):
        Image.open(face).save(copy)
    table = tmp_path / "rows.csv"
    scan([face, tmp_path / "text.png", gone, changed], table, trained[1], ScanOptions(faces="off"))
    gone.unlink()
    Image.new("RGB", (50, 60)).save(changed)
    rows = list(read_rows(table, COLUMNS))
    pictures = list(heat_pictures(rows, checkpoint=trained[1], reach=EVERYWHERE))
    assert [picture is not None for picture in pictures] == [True, False, False, False]
    side = load_predictor(trained[1]).header.transform.image_size
    assert pictures[0] is not None
    assert pictures[0].size == (side, side)


@pytest.mark.slow
def test_each_face_of_an_image_has_its_own(
    portraits: list[Path], detector: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    image = tmp_path / os.fsdecode(b"caf\xe9.png")
    pasted((900, 500), [(portraits[0], 50, 50, 300), (portraits[1], 500, 100, 350)]).save(image)
    table = tmp_path / "rows.csv"
    scan([image], table, trained[1], ScanOptions(face_detector=detector, per_face=True))
    rows = list(read_rows(table, COLUMNS))
    one, two = heat_pictures(rows, checkpoint=trained[1], reach=EVERYWHERE, face_detector=detector)
    assert one is not None
    assert two is not None
    assert np.asarray(one).tolist() != np.asarray(two).tolist()
    whole = load_input(image, load_predictor(trained[1]).header.transform)
    assert np.asarray(one).shape == whole[0].shape
