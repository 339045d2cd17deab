"""Small pictures of what a scan classified, made from its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from facecheck.core.errors import ImageError
from facecheck.core.labels import Status
from facecheck.core.parallel import Progress, cpu_count, map_ordered, silent
from facecheck.scanner.classified_picture import as_thumbnail, classified_picture
from facecheck.scanner.inputs.reach import Reach
from facecheck.scanner.results.rows import PATH, Row

#: Longest side of a thumbnail in pixels.
SIDE = 128
#: Thumbnails in one sub-folder: file managers stall at hundreds of thousands.
FOLDER = 1_000
#: Why there is no thumbnail of what the scan could not read.
UNREAD = "the scan could not read it"


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
        target.write_bytes(as_thumbnail(thumbnail))
        return ""

    made = map_ordered(make, enumerate(rows), workers=workers or cpu_count())
    for done, each in enumerate(made, 1):
        yield each
        progress(done, None)
