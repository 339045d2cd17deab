"""Sampling from a generator."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import facecheck
from facecheck.core.errors import FacecheckError, UsageError
from facecheck.generator.options import GenerateSampleOptions
from facecheck.generator.pictures import grid
from facecheck.generator.sample import DIGITAL_SOURCE_TYPE, generate_sample
from facecheck.generator.train import GenerateTrainResult


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_seed_gives_the_same_bytes(made: GenerateTrainResult, tmp_path: Path) -> None:
    first, again, other, more = (
        generate_sample(
            made.checkpoint,
            tmp_path / name,
            GenerateSampleOptions(kind="cartoon", count=count, seed=seed, device="cpu"),
        )
        for name, count, seed in (("a", 5, 0), ("b", 5, 0), ("c", 5, 1), ("d", 40, 0))
    )
    assert first.images == {"cartoon": 5}
    assert sorted(contents(first.out))[:2] == ["cartoon-0-000000.png", "cartoon-0-000001.png"]
    assert contents(first.out) == contents(again.out)
    assert first.grid.read_bytes() == again.grid.read_bytes()
    assert not set(contents(first.out).values()) & set(contents(other.out).values())
    # More images begin with those of fewer.
    assert contents(first.out).items() <= contents(more.out).items()


def test_all_kinds_take_turns(made: GenerateTrainResult, tmp_path: Path) -> None:
    result = generate_sample(
        made.checkpoint, tmp_path / "all", GenerateSampleOptions(count=7, device="cpu")
    )
    assert result.images == {"photo": 3, "cartoon": 2, "sketch": 2}
    with Image.open(result.grid) as picture:
        assert picture.size == (3 * 66 - 2, 3 * 66 - 2)
    assert result.grid == tmp_path / "all.grid.png"


def test_every_image_says_that_it_is_synthetic(made: GenerateTrainResult, tmp_path: Path) -> None:
    result = generate_sample(
        made.checkpoint, tmp_path / "s", GenerateSampleOptions(count=2, seed=9, device="cpu")
    )
    for path in (*result.out.iterdir(), result.grid):
        with Image.open(path) as image:
            image.load()
            text = image.text  # type: ignore[attr-defined]
        xmp = ElementTree.fromstring(text["XML:com.adobe.xmp"].strip("\ufeff"))
        found = xmp.find(".//{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
        assert found is not None
        assert text["Description"].startswith("Synthetic image")
        assert "seed 9" in text["Source"]
        named = found.attrib["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"]
        assert named == DIGITAL_SOURCE_TYPE
        assert named.endswith("/digitalsourcetype/trainedAlgorithmicMedia")
    answer = facecheck.Checker(options=facecheck.CheckOptions(faces="off")).check(result.grid)
    assert (answer.verdict, answer.kind, answer.basis) == ("artificial", "generated", "provenance")
    assert answer.provenance.short == "iptc:generated;mark:facecheck;software"


def test_nothing_is_overwritten_silently(made: GenerateTrainResult, tmp_path: Path) -> None:
    out = tmp_path / "s"
    generate_sample(made.checkpoint, out, GenerateSampleOptions(count=2, device="cpu"))
    (out / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and is not empty: .* --overwrite"):
        generate_sample(made.checkpoint, out, GenerateSampleOptions(count=3, device="cpu"))
    generate_sample(
        made.checkpoint, out, GenerateSampleOptions(count=3, device="cpu", overwrite=True)
    )
    assert len(contents(out)) == 4
    with pytest.raises(UsageError, match=r"mine\.txt is a file"):
        generate_sample(
            made.checkpoint, out / "mine.txt", GenerateSampleOptions(count=1, device="cpu")
        )
    (tmp_path / "t.grid.png").touch()
    with pytest.raises(UsageError, match=r"t\.grid\.png exists: "):
        generate_sample(
            made.checkpoint, tmp_path / "t", GenerateSampleOptions(count=1, device="cpu")
        )
    assert not (tmp_path / "t").exists()


def test_folders_that_cannot_be(made: GenerateTrainResult, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a folder's own name"):
        generate_sample(made.checkpoint, Path(), GenerateSampleOptions(count=1, device="cpu"))
    with pytest.raises(FacecheckError, match=r"cannot be written \(File name too long\)"):
        generate_sample(
            made.checkpoint, tmp_path / ("x" * 300), GenerateSampleOptions(count=1, device="cpu")
        )
    hostile = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff<b>\n"))
    result = generate_sample(made.checkpoint, hostile, GenerateSampleOptions(count=1, device="cpu"))
    assert result.grid.is_file()


def test_a_kind_that_was_not_learned(made: GenerateTrainResult, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="makes photo, cartoon, sketch, not painting"):
        generate_sample(
            made.checkpoint, tmp_path / "s", GenerateSampleOptions(kind="painting", device="cpu")
        )
    assert not (tmp_path / "s").exists()


def test_samples_can_be_indexed_as_a_source(made: GenerateTrainResult, tmp_path: Path) -> None:
    out = generate_sample(
        made.checkpoint, tmp_path / "s", GenerateSampleOptions(count=5, device="cpu")
    ).out
    result = facecheck.index(
        [out], tmp_path / "m.csv", facecheck.IndexOptions(kind="generated", source="ours")
    )
    assert result.by_source == {("generated", "ours"): 5}
    assert result.rejected == 0


def test_a_grid_keeps_pixels_and_order() -> None:
    pixels = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 3), np.uint8)
    sheet = np.asarray(grid(pixels, across=2))
    assert sheet.shape == (3 * 5 - 2, 2 * 6 - 2, 3)
    assert [sheet[row, column, 0] for row in (0, 5, 10) for column in (0, 6)] == [
        0,
        1,
        2,
        3,
        4,
        255,
    ]
