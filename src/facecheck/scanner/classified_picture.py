"""What a scan classified for a row, as a small picture, found again by the row alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image

from facecheck.core.errors import ImageError
from facecheck.core.labels import Status
from facecheck.core.parallel import cpu_count, map_ordered
from facecheck.scanner.faces.boxes import Box, face_square
from facecheck.scanner.inputs.named import load_named
from facecheck.scanner.picture import Picture
from facecheck.scanner.results.rows import PATH, Row


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


def as_thumbnail(picture: Image.Image) -> bytes:
    """Return a small picture as pages have it: WebP."""
    out = BytesIO()
    picture.save(out, "WEBP", quality=78, method=2)
    return out.getvalue()


def jpegs(rows: Iterable[Row], side: int) -> Iterator[bytes | None]:
    """Yield for each row a JPEG of what was classified, of at most ``side`` pixels a side.

    None comes where the scan could not read the file, which is not tried again, and where it is
    gone or has changed.
    """

    def one(row: Row) -> bytes | None:
        if row["status"] == Status.ERROR:
            return None
        out = BytesIO()
        try:
            classified_picture(row, side).save(out, "JPEG", quality=80)
        except ImageError:
            return None
        return out.getvalue()

    return map_ordered(one, rows, workers=cpu_count())
