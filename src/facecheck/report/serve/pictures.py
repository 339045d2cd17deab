"""The pictures of a scan's rows, for a browser: read within bounds, decoded elsewhere, made again.

A row names any file, and a file holds anything. What is opened lies in the folders that are served,
links followed; it is decoded in a process of its own, and what a browser gets is always a picture
that this process made, never a byte of the file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Self

from facecheck.core.errors import ImageError, reason
from facecheck.core.files import named_path, open_regular
from facecheck.core.image import MAX_BYTES
from facecheck.core.isolate import Failed, Isolated
from facecheck.core.parallel import cpu_count
from facecheck.report.thumbs import SIDE
from facecheck.scanner.classified_picture import as_thumbnail, picture_of
from facecheck.scanner.inputs.items import INSIDE
from facecheck.scanner.inputs.named import load_named
from facecheck.scanner.inputs.remote import is_address
from facecheck.scanner.results.rows import PATH, Row

#: Longest side in pixels of a picture that is shown large.
LARGE = 2_000
_SECONDS = 30.0


@dataclass(frozen=True)
class Drawn:
    """A picture for a browser.

    Attributes:
        content: its bytes.
        media_type: what they are.
    """

    content: bytes
    media_type: str


@dataclass(frozen=True)
class _Ask:
    row: Row
    roots: tuple[str, ...]
    large: bool


class Pictures:
    """Draws the pictures of rows, a few at a time; a context manager.

    Args:
        roots: the folders and files that may be read, with all that lies in them.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = tuple(os.path.realpath(root) for root in roots)
        self._draw: Isolated[_Ask, Drawn] = Isolated(_draw, timeout=_SECONDS)
        self._pool = ThreadPoolExecutor(min(4, cpu_count()), thread_name_prefix="pictures")

    def draw(self, row: Row, *, large: bool) -> Drawn:
        """Return what was classified as a thumbnail, or the whole picture, of a scan's row.

        Raises:
            ImageError: it cannot be had, or is out of bounds; the message says why.
        """
        made = self._pool.submit(self._draw, _Ask(row, self._roots, large)).result()
        if isinstance(made, Failed):
            raise ImageError(made.reason)
        return made

    def content(self, name: str) -> bytes:
        """Return the bytes of the file that a row names.

        Raises:
            ImageError: it cannot be had, or is out of bounds.
        """
        return read_within(name, self._roots)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._draw.close()


def _draw(ask: _Ask) -> Drawn:
    content = read_within(str(ask.row[PATH]), ask.roots)
    made = picture_of(ask.row, content, LARGE if ask.large else SIDE, whole=ask.large)
    if not ask.large:
        return Drawn(as_thumbnail(made), "image/webp")
    target = BytesIO()
    made.save(target, "JPEG", quality=88)
    return Drawn(target.getvalue(), "image/jpeg")


def read_within(name: str, roots: Sequence[str]) -> bytes:
    """Return the bytes of what a row names, if it lies in one of some folders.

    What counts is where the file is that was opened, whatever links and ``..`` led there.

    Args:
        name: of a file, or of a member of an archive.
        roots: folders and files, absolute, without links.

    Raises:
        ImageError: it cannot be read, or lies elsewhere.
    """
    path = named_path(name)
    try:
        if not os.path.lexists(path) and INSIDE in name and not is_address(name):
            _require_within(os.path.realpath(_archive_of(name)), roots)
            found = load_named(name)
            if isinstance(found, bytes):
                return found
            path = found
        with open_regular(path) as stream:
            # The name may lead elsewhere since; the open file cannot.
            own = Path(f"/proc/self/fd/{stream.fileno()}")
            _require_within(os.path.realpath(own if own.exists() else path), roots)
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ImageError(f"it cannot be read ({reason(error)})") from None
    if len(content) > MAX_BYTES:
        raise ImageError(f"larger than {MAX_BYTES:,} bytes")
    return content


def _archive_of(name: str) -> Path:
    """Return the file that an archive's member is in: the longest part of its name that is one."""
    at = name.rfind(INSIDE)
    while at >= 0:
        if (path := named_path(name[:at])).is_file():
            return path
        at = name.rfind(INSIDE, 0, at)
    raise FileNotFoundError("the archive is not there")


def _require_within(place: str, roots: Sequence[str]) -> None:
    if not any(Path(place).is_relative_to(root) for root in roots):
        raise ImageError("not in the folder that is served")
