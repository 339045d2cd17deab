from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from facecheck.core.errors import ImageError, UsageError
from facecheck.data.duplicates.dedup import dedup
from facecheck.data.duplicates.explain import explain
from facecheck.data.index import index
from facecheck.data.options import DedupOptions, Level


@pytest.fixture
def copies(drawn: Path, tmp_path: Path) -> Path:
    """A folder with one drawn photo and a copy of it for every level, and another photo."""
    folder = tmp_path / "photo" / "s"
    folder.mkdir(parents=True)
    shutil.copy(drawn / "photo" / "drawn-photo" / "003.png", folder / "face.png")
    shutil.copy(folder / "face.png", folder / "bytes.png")
    face = Image.open(folder / "face.png").convert("RGB")
    face.save(folder / "pixels.bmp")
    face.resize((80, 80)).save(folder / "picture.jpg", quality=60)
    ImageOps.mirror(face).save(folder / "edited.png")
    shutil.copy(drawn / "photo" / "drawn-photo" / "004.png", folder / "other.png")
    Image.new("RGB", (50, 50), "white").save(folder / "blank.png")
    return folder


@pytest.mark.parametrize(
    ("name", "found", "reason"),
    [
        ("bytes.png", "bytes", "same bytes"),
        ("pixels.bmp", "pixels", "same pixels"),
        ("picture.jpg", "picture", "same picture"),
        ("edited.png", "edited", "--level edited would take them"),
        ("blank.png", None, "too little contrast"),
    ],
)
def test_each_level_is_told_and_why(
    copies: Path, name: str, found: str | None, reason: str
) -> None:
    for pair in ((name, "face.png"), ("face.png", name)):
        told = explain(copies / pair[0], copies / pair[1])
        assert told.found == found
        assert told.duplicates == (found not in {"edited", None})
        assert any(reason in line for line in told.why)


def test_two_that_differ_are_told_by_how_much(copies: Path) -> None:
    told = explain(
        copies / "face.png", copies / "other.png", DedupOptions(level="edited", radius=16)
    )
    assert not told.duplicates
    assert told.found is None
    assert told.why
    assert told.aligned.detail < 0.85
    strict = explain(copies / "face.png", copies / "other.png", DedupOptions(radius=0))
    assert "more than the radius of 0" in strict.why[0]


def test_it_agrees_with_dedup(copies: Path) -> None:
    manifest = copies.parents[1] / "m.csv"
    index([copies.parents[1]], manifest)
    levels: tuple[Level, ...] = ("pixels", "picture", "edited")
    for level in levels:
        dropped = dedup(manifest, DedupOptions(level=level)).dropped
        names = ("bytes.png", "pixels.bmp", "picture.jpg", "edited.png", "other.png", "blank.png")
        told = [
            explain(copies / "face.png", copies / name, DedupOptions(level=level)) for name in names
        ]
        assert sum(dropped.values()) == sum(item.duplicates for item in told)


def test_what_cannot_be_compared_is_named(copies: Path) -> None:
    (copies / "text.png").write_text("text")
    with pytest.raises(ImageError, match=r"text.png: a text file, not an image"):
        explain(copies / "face.png", copies / "text.png")
    with pytest.raises(UsageError, match="did you mean"):
        DedupOptions(level="byte")  # type: ignore[arg-type]
