from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.image import decode
from facecheck.known.add import known_add
from facecheck.known.lookup import Match, open_known
from facecheck.known.options import KnownAddOptions


@pytest.fixture(scope="module")
def faces(portraits: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six portraits and a table that knows three of them as artificial."""
    folder = tmp_path_factory.mktemp("faces")
    for number, path in enumerate(portraits[:6]):
        shutil.copy(path, folder / f"{number}{path.suffix}")
    known = sorted(folder.iterdir())[:3]
    options = KnownAddOptions(verdict="artificial", kind="generated", note="by desk 3")
    result = known_add(known, folder / "known.csv", options)
    assert (result.added, result.rows, result.bytes_only) == (3, 3, 0)
    return folder


def match(faces: Path, image: Path | bytes) -> Match | None:
    table = open_known(faces / "known.csv")
    return table.by_bytes(image) or table.by_picture(image, decode(image, short_side=500).image)


def saved(image: Image.Image, file_format: str, **options: int) -> bytes:
    target = io.BytesIO()
    image.save(target, file_format, **options)
    return target.getvalue()


CHANGES: dict[str, tuple[Callable[[Image.Image], bytes], str | None]] = {
    "another format": (lambda image: saved(image, "PNG"), "pixels"),
    "re-encoded": (lambda image: saved(image, "JPEG", quality=40), "picture"),
    "half the size": (lambda image: saved(image.reduce(2), "PNG"), "picture"),
    "a little brighter": (
        lambda image: saved(image.point(lambda value: min(255, value + 20)), "PNG"), "edited"
    ),
    "mirrored": (lambda image: saved(ImageOps.mirror(image), "PNG"), None),
    "transparent": (lambda image: saved(half_transparent(image), "PNG"), None),
}  # fmt: skip


def half_transparent(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_pixels_decide_and_what_is_like_them_is_confirmed(
    faces: Path, change: str
) -> None:
    make, how = CHANGES[change]
    for path in sorted(faces.glob("[012].*")):
        found = match(faces, make(decode(path).image))
        assert (None if found is None else found.how) == how
        assert found is None or found.is_exact == (how == "pixels")


def test_the_same_bytes_are_the_same_file_and_others_are_not_known(faces: Path) -> None:
    for path in sorted(faces.glob("[0-9].*")):
        found = match(faces, path)
        if int(path.stem) < 3:
            assert found is not None
            assert found.how == "bytes"
            assert found.message == "known as artificial (same bytes): by desk 3"
        else:
            assert found is None


def test_without_thumbnails_nothing_is_like_them(faces: Path, tmp_path: Path) -> None:
    first = next(faces.glob("0.*"))
    known_add([first], tmp_path / "known.csv", KnownAddOptions(verdict="real", thumbnails=False))
    assert "UklGR" not in (tmp_path / "known.csv").read_text()
    changed = saved(decode(first).image, "JPEG", quality=40)
    assert match(tmp_path, changed) is None


def test_a_damaged_thumbnail_is_none(faces: Path, tmp_path: Path) -> None:
    lines = (faces / "known.csv").read_text().splitlines()
    for bad in ("UklGRnoHAABXRUJQ", "not base64!", "QUJD"):
        cut = [lines[0], *(line.rpartition(",")[0] + f",{bad}" for line in lines[1:])]
        (tmp_path / "known.csv").write_text("\n".join(cut) + "\n")
        changed = saved(decode(next(faces.glob("0.*"))).image, "JPEG", quality=40)
        assert match(tmp_path, changed) is None


def test_a_table_that_changes_while_it_is_used_is_an_error(faces: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(faces / "known.csv", tmp_path / "known.csv"))
    first = next(faces.glob("0.*"))
    table = open_known(path)
    assert table.by_bytes(first) is not None
    os.utime(path, (0, 0))
    with pytest.raises(FacecheckError, match="changed while it is used"):
        table.by_bytes(first)


def test_a_table_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file: `facecheck known add` makes"):
        open_known(tmp_path / "known.csv")
    with pytest.raises(UsageError, match="a folder"):
        open_known(tmp_path)


def test_a_file_that_cannot_be_read_is_not_known(faces: Path) -> None:
    table = open_known(faces / "known.csv")
    assert table.by_bytes(faces / "nothing.jpg") is None
    assert table.by_bytes(faces) is None
