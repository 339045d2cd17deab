"""Small pictures of images, for pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from facecheck.core.errors import ImageError
from facecheck.core.files import atomic_path
from facecheck.core.image import decode
from facecheck.core.parallel import cpu_count, map_ordered

#: Faces across and down one sheet.
SHEET = 16
_GREY = (128, 128, 128)


def square(path: Path, side: int) -> Image.Image:
    """Return the middle square of an image, ``side`` pixels wide; grey if it cannot be read."""
    try:
        return ImageOps.fit(decode(path, short_side=side).image, (side, side))
    except ImageError:
        return Image.new("RGB", (side, side), _GREY)


def write_squares(paths: Sequence[Path], folder: Path, side: int, workers: int | None) -> list[str]:
    """Write each image's square as a JPEG of its own; return their names in ``folder``.

    They are numbered: a stranger's file name is no name for ours.
    """
    names = [f"{number:03}.jpg" for number in range(len(paths))]
    squares = map_ordered(lambda path: square(path, side), paths, workers=workers or cpu_count())
    for name, picture in zip(names, squares, strict=True):
        _save(picture, folder / name)
    return names


def write_sheets(paths: Sequence[Path], folder: Path, side: int, workers: int | None) -> list[str]:
    """Write many images' squares as few sheets of 16 by 16, row by row; return the sheets' names.

    Thousands of files would take long to copy, and as long to open.
    """
    names = []
    squares = map_ordered(lambda path: square(path, side), paths, workers=workers or cpu_count())
    sheet = Image.new("RGB", (SHEET * side, SHEET * side), _GREY)
    for number, picture in enumerate(squares):
        place = number % SHEET**2
        sheet.paste(picture, (place % SHEET * side, place // SHEET * side))
        if place == SHEET**2 - 1 or number == len(paths) - 1:
            names.append(f"{number // SHEET**2:03}.jpg")
            _save(sheet, folder / names[-1])
    return names


def _save(picture: Image.Image, path: Path) -> None:
    with atomic_path(path) as temporary:
        picture.save(temporary, format="JPEG", quality=82)
