"""Small pictures of what a scan judged, made from its rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from PIL import Image

from facecheck.core.errors import FacecheckError, ImageError
from facecheck.core.files import named_path
from facecheck.core.parallel import Progress, cpu_count, map_ordered, silent
from facecheck.scanner.archives import is_archive_name
from facecheck.scanner.faces import Box, face_square
from facecheck.scanner.inputs import Item, find_inputs
from facecheck.scanner.picture import Picture
from facecheck.scanner.place import INSIDE
from facecheck.scanner.remote import is_address
from facecheck.scanner.rows import PATH, Row

#: Longest side of a thumbnail in pixels.
SIDE = 128
#: Thumbnails in one sub-folder: file managers stall at hundreds of thousands.
FOLDER = 1_000
_QUALITY = 78
# Archives whose members are known: rows come in the order of the scan, archive by archive.
_ARCHIVES = 2


def numbered(number: int) -> str:
    """Return where the picture of the row ``number`` lies in its folder: ``012/012345.webp``."""
    return f"{number // FOLDER:03}/{number:06}.webp"


def write_thumbnails(
    rows: Iterable[Row], folder: Path, *, workers: int | None = None, progress: Progress = silent
) -> Iterator[bool]:
    """Write a thumbnail of each row to ``folder``; yield for each whether it could be made.

    It shows what was judged: the square around the face, or the whole image. What the scan could
    not judge is not tried again: a file may hang or crash its decoder.

    Args:
        rows: of a scan; relative names are of the current folder, as for the scan.
        folder: files are at :func:`numbered` in it.
        workers: decoding threads; None: one per core.
        progress: told rows done.
    """

    def make(numbered_row: tuple[int, Row]) -> bool:
        number, row = numbered_row
        if row["status"] == "error":
            return False
        try:
            thumbnail = judged_picture(row, SIDE)
        except ImageError:
            return False
        target = folder / numbered(number)
        target.parent.mkdir(parents=True, exist_ok=True)
        thumbnail.save(target, "WEBP", quality=_QUALITY, method=2)
        return True

    made = map_ordered(make, enumerate(rows), workers=workers or cpu_count())
    for done, each in enumerate(made, 1):
        yield each
        progress(done, None)


def judged_picture(row: Row, side: int) -> Image.Image:
    """Return what a scan judged for a row, at most ``side`` pixels wide and high, RGB.

    Raises:
        ImageError: the file is gone, has changed its size, or cannot be decoded.
    """
    picture = Picture(load(str(row[PATH])), side)
    if (picture.width, picture.height) != (row["width"], row["height"]):
        raise ImageError("another image than was scanned")
    image = picture.whole
    box = _box(row)
    if row["view"] == "face" and box is not None:
        square = face_square(box, picture.width, picture.height)
        image = picture.at(2 * side / square.width)
        scale = image.width / picture.width
        edges = (square.left, square.top, square.left + square.width, square.top + square.height)
        image = image.crop(tuple(round(edge * scale) for edge in edges))  # type: ignore[arg-type]
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return image


def _box(row: Row) -> Box | None:
    edges = [row[name] for name in ("face_left", "face_top", "face_width", "face_height")]
    return None if None in edges else Box(*map(int, edges))  # type: ignore[arg-type]


def load(name: str) -> Path | bytes:
    """Return what the decoder takes for a file, an archive's member or an address of a scan's rows.

    Raises:
        ImageError: it cannot be had.
    """
    path = named_path(name)
    if os.path.lexists(path) or not (INSIDE in name or is_address(name)):
        return path
    for place in _places(name):
        try:
            found = _items(place).get(name)
        except FacecheckError as error:  # no such archive; a store that cannot be reached
            raise ImageError(str(error)) from None
        if found is not None:
            return found.load()
    raise ImageError("the file is not there")


def _places(name: str) -> Iterator[str]:
    """Yield what a scan was given, or found, where its row is called ``name``."""
    at = name.find(INSIDE)
    while at >= 0:
        outer = name[:at]
        if is_address(outer) and is_archive_name(outer):
            yield outer
        elif named_path(outer).is_file():
            yield os.fspath(named_path(outer))
        at = name.find(INSIDE, at + 1)
    if is_address(name):
        yield name


@lru_cache(maxsize=_ARCHIVES)
def _items(place: str) -> dict[str, Item]:
    return {item.name: item for item in find_inputs([place], hidden=True)}
