"""Whether a file is known: by its bytes, by its pixels, or as a near duplicate of a known one.

The same bytes or the same pixels decide. A near duplicate never does: a perceptual hash proposes
it, the two pictures are then compared as ``dedup`` compares them, by the thumbnail that the table
keeps, and the file's message says so.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from PIL import Image

from facecheck.core.errors import FacecheckError, ImageError, UsageError, reason
from facecheck.core.files import open_regular, path_text, sha256_stream
from facecheck.core.image import (
    HASH_SIDE,
    MAX_BYTES,
    Decoded,
    frames,
    is_layered,
    perceptual_hash,
    picture_hash,
)
from facecheck.core.image.likeness import WHOLE, align, likeness, look
from facecheck.core.text import printable
from facecheck.known import index as indexes
from facecheck.known.index import Index, Known
from facecheck.known.table import Entry, Table

#: Near rows whose thumbnails are compared, the nearest first: a bound on time.
MOST_COMPARED = 8
#: Letters of a note or name that a message has.
_MOST_SHOWN = 200

_EXACT = {"bytes": "same bytes", "pixels": "same pixels"}
_NEAR = {"picture": "re-encoded or resized", "edited": "edited"}


@dataclass(frozen=True)
class Match:
    """The row of the table that a file matches.

    Attributes:
        entry: the row.
        how: ``bytes`` or ``pixels``, which decide; ``picture``, the same re-encoded or resized, or
            ``edited``, which do not.
    """

    entry: Entry
    how: str

    @property
    def is_exact(self) -> bool:
        """Whether it decides."""
        return self.how in _EXACT

    @property
    def message(self) -> str:
        """What a reader is told, in a phrase."""
        said = self.entry.note or self.entry.path
        tail = f": {printable(said)[:_MOST_SHOWN]}" if said else ""
        if self.is_exact:
            return f"known as {self.entry.verdict} ({_EXACT[self.how]}){tail}"
        return f"like a file known as {self.entry.verdict} ({_NEAR[self.how]}){tail}"


@dataclass(frozen=True)
class KnownTable:
    """A table of known files, by its path and content; it may be sent to other processes.

    Each process opens the file once, and reads the index next to it; where that is not there or of
    another table, it makes one.

    Attributes:
        path: the table, absolute.
        sha256: of its bytes.
        known: what is in it, in numbers.
    """

    path: Path
    sha256: str
    known: Known

    def by_bytes(self, source: Path | bytes) -> Match | None:
        """Return the row of a file of the same bytes.

        Args:
            source: a file, or the bytes of one. What cannot be read has no row.

        Raises:
            FacecheckError: the table has changed, or cannot be read.
        """
        digest = _digest(source)
        return None if digest is None else _opened(self.path, self.sha256).by_bytes(digest)

    def row_of(self, entry: Entry) -> Entry | None:
        """Return the row of the file, else of the picture, that another entry is about."""
        lookup = _opened(self.path, self.sha256)
        match = lookup.by_bytes(entry.sha256) if entry.sha256 else None
        match = match or lookup.by_pixels(entry.pixel_hash)
        return match.entry if match else None

    def by_picture(self, source: Path | bytes, seen: Image.Image) -> Match | None:
        """Return the row of a file of the same pixels, else of a near duplicate.

        Args:
            source: a file, or the bytes of one.
            seen: its first frame, RGB and upright, of any size: its perceptual hash says whether
                there is anything to compare.

        Raises:
            FacecheckError: as :meth:`by_bytes`.
        """
        lookup = _opened(self.path, self.sha256)
        rows = lookup.index.near(int(perceptual_hash(seen), 16))
        if not rows:
            return None
        try:
            further = frames(source, short_side=HASH_SIDE)
            first = next(further)
            return lookup.by_picture(first, picture_hash(first, further, _content(source)), rows)
        except ImageError:  # in a later frame, or at another scale
            return None


def open_known(path: Path) -> KnownTable:
    """Return the table at ``path``, checked from the first row to the last.

    The index next to it is made, or made again, where it is not of this very table.

    Raises:
        UsageError: there is no such file.
        FacecheckError: it is no table of known files, or rows decide differently of one file.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise UsageError(
            f"{path_text(path)}: {what}: `facecheck known add` makes a table of known files"
        )
    absolute = path.absolute()
    try:
        with open_regular(absolute) as stream:
            digest = sha256_stream(stream)
            stored = indexes.read(absolute)
            if stored and stored[0].sha256 == digest and _is_of(stored[0], stream):
                return KnownTable(absolute, digest, stored[0])
            known, index = indexes.build(path, stream, digest)
    except OSError as error:
        raise _unreadable(path, error) from None
    indexes.store(absolute, known, index)
    return KnownTable(absolute, digest, known)


class _Lookup:
    """A table that is open, with its index."""

    def __init__(self, path: Path, stream: BinaryIO, index: Index) -> None:
        self._path, self._stream, self.index = path, stream, index
        self._table = Table(path, stream)
        self._status = _stamp(stream)
        self._lock = Lock()  # for the place in the stream

    def by_bytes(self, sha256: str) -> Match | None:
        rows = self.index.same_bytes(sha256)
        found = [entry for entry in self._entries(rows) if entry.sha256 == sha256]
        return Match(found[-1], "bytes") if found else None

    def by_picture(self, first: Decoded, pixel_hash: str, rows: list[int]) -> Match | None:
        same = self.by_pixels(pixel_hash)
        # A thumbnail shows neither transparency nor other frames.
        return same or (None if is_layered(pixel_hash) else self._near(first.image, rows))

    def by_pixels(self, pixel_hash: str) -> Match | None:
        if not pixel_hash:
            return None
        same = self._entries(self.index.same_pixels(pixel_hash))
        found = [entry for entry in same if entry.pixel_hash == pixel_hash]
        return Match(found[-1], "pixels") if found else None

    def _near(self, image: Image.Image, rows: list[int]) -> Match | None:
        mine = look(image)
        if mine.flat:
            return None
        for entry in self._entries(rows[:MOST_COMPARED]):
            thumbnail = entry.picture()
            if thumbnail is None:
                continue
            other = look(thumbnail)
            if likeness(mine, other).same_picture:
                return Match(entry, "picture")
            if any(align(*pair, WHOLE).same_edited for pair in ((mine, other), (other, mine))):
                return Match(entry, "edited")
        return None

    def _entries(self, rows: range | list[int]) -> Iterator[Entry]:
        for row in rows:
            if _stamp(self._stream) != self._status:
                raise FacecheckError(
                    f"{path_text(self._path)}: changed while it is used: run the same command again"
                )
            with self._lock:
                entry = self._table.at(int(self.index.starts[row]))
            yield entry


@lru_cache(maxsize=2)
def _opened(path: Path, sha256: str) -> _Lookup:
    """Open a table whose content is known, and its index."""
    try:
        stream = open_regular(path)
        stored = indexes.read(path)
        if stored and stored[0].sha256 == sha256 and _is_of(stored[0], stream):
            return _Lookup(path, stream, stored[1])
        if sha256_stream(stream) != sha256:
            raise FacecheckError(
                f"{path_text(path)}: not the table that this scan began with: run the same command "
                "again"
            )
        known, index = indexes.build(path, stream, sha256)
    except OSError as error:
        raise _unreadable(path, error) from None
    indexes.store(path, known, index)
    return _Lookup(path, stream, index)


def _is_of(known: Known, stream: BinaryIO) -> bool:
    return (known.size, known.mtime_ns) == _stamp(stream)


def _stamp(stream: BinaryIO) -> tuple[int, int]:
    status = os.fstat(stream.fileno())
    return status.st_size, status.st_mtime_ns


def _unreadable(path: Path, error: OSError) -> FacecheckError:
    return FacecheckError(f"{path_text(path)}: cannot be read ({reason(error)}): check the path")


def _digest(source: Path | bytes) -> str | None:
    """Return the hex sha256 of a file, or None where it cannot be read or is too large."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with suppress(OSError), open_regular(source) as stream:
        if os.fstat(stream.fileno()).st_size <= MAX_BYTES:
            return sha256_stream(stream)
    return None


def _content(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()
