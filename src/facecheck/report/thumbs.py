"""Small pictures of what a scan classified, made from its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from facecheck.core.errors import ImageError
from facecheck.core.labels import Status
from facecheck.core.parallel import Progress, cpu_count, map_ordered, silent
from facecheck.scanner.faces.boxes import Box, face_square
from facecheck.scanner.inputs.named import load_named
from facecheck.scanner.inputs.reach import Reach
from facecheck.scanner.picture import Picture
from facecheck.scanner.results.rows import PATH, Row

#: Longest side of a thumbnail in pixels.
SIDE = 128
#: Thumbnails in one sub-folder: file managers stall at hundreds of thousands.
FOLDER = 1_000
_QUALITY = 78
#: Why there is no thumbnail of what the scan could not read.
UNREAD = "the scan could not read it"
# Archives whose members are known: rows come in the order of the scan, archive by archive.
_ARCHIVES = 2


def numbered(number: int) -> str:
    """Return where the picture of the row ``number`` lies in its folder: ``012/012345.webp``."""
    return f"{number // FOLDER:03}/{number:06}.webp"


def write_thumbnails(
    rows: Iterable[Row],
    folder: Path,
    *,
    reach: Reach,
    workers: int | None = None,
    progress: Progress = silent,
) -> Iterator[str]:
    """Write a thumbnail of each row to ``folder``; yield for each why there is none, or nothing.

    It shows what was classified: the square around the face, or the whole image. What the scan
    could not read is not tried again: a file may hang or crash its decoder.

    Args:
        rows: of a scan; relative names are of the current folder.
        folder: files are at :func:`numbered` in it.
        reach: which files the rows may name.
        workers: decoding threads; None: one per core.
        progress: told rows done.
    """

    def make(numbered_row: tuple[int, Row]) -> str:
        number, row = numbered_row
        if row["status"] == Status.ERROR:
            return UNREAD
        try:
            reach.check(str(row[PATH]))
            thumbnail = classified_picture(row, SIDE)
        except ImageError as error:
            return str(error)
        target = folder / numbered(number)
        target.parent.mkdir(parents=True, exist_ok=True)
        thumbnail.save(target, "WEBP", quality=_QUALITY, method=2)
        return ""

    made = map_ordered(make, enumerate(rows), workers=workers or cpu_count())
    for done, each in enumerate(made, 1):
        yield each
        progress(done, None)


def classified_picture(row: Row, side: int) -> Image.Image:
    """Return what a scan classified for a row, at most ``side`` pixels wide and high, RGB.

    Raises:
        ImageError: the file is gone, has changed its size, or cannot be decoded.
    """
    return picture_of(row, load_named(str(row[PATH])), side)


def picture_of(row: Row, source: Path | bytes, side: int, *, whole: bool = False) -> Image.Image:
    """Return what a scan classified for a row, or with ``whole`` all of it, from its file.

    Args:
        row: of a scan.
        source: its file.
        side: the picture is at most so many pixels wide and high, RGB.
        whole: show the whole picture where the scan classified a face in it.

    Raises:
        ImageError: it has changed its size, or cannot be decoded.
    """
    picture = Picture(source, side, int(row["frame"] or 1) - 1)
    if (picture.width, picture.height) != (row["width"], row["height"]):
        raise ImageError("another image than was scanned")
    image = picture.whole
    box = box_of(row)
    if row["view"] == "face" and box is not None and not whole:
        square = face_square(box, picture.width, picture.height)
        image = picture.at(2 * side / square.width)
        scale = image.width / picture.width
        edges = (square.left, square.top, square.left + square.width, square.top + square.height)
        image = image.crop(tuple(round(edge * scale) for edge in edges))  # type: ignore[arg-type]
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return image


def box_of(row: Row) -> Box | None:
    """Return the box of the face that a scan's row is about, None where it is about none."""
    edges = [row[name] for name in ("face_left", "face_top", "face_width", "face_height")]
    return None if None in edges else Box(*map(int, edges))  # type: ignore[arg-type]
