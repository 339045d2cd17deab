"""What index needs of a file's content, and a journal of it that survives a kill.

The journal is a file of JSON lines next to the manifest. A file that has the size and the time of
change that the journal knows is not decoded again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from facecheck.core.errors import ImageError, reason
from facecheck.core.image import DECODE_POLICY, HASH_SIDE, frames, perceptual_hash, picture_hash
from facecheck.core.journal import Journal
from facecheck.core.parallel import chunked, map_ordered

#: Files measured under another policy are measured again.
POLICY = f"decode {DECODE_POLICY}, side {HASH_SIDE}, picture 3, phash 2"


#: The largest integer a table holds; in nanoseconds it is in the year 2262.
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Stamp:
    """What tells a file from a changed one: its path, size in bytes, and time of change in ns.

    A time after the year 2262, which the table cannot hold, counts as the last one before it.
    """

    path: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Measured:
    """One file's content, under :data:`POLICY`. A file that cannot be read has a reason alone.

    Attributes:
        path: the file.
        bytes: its size.
        mtime_ns: when it was last changed, in nanoseconds.
        policy: the policy it was measured under.
        sha256: of the file's bytes.
        pixel_hash: see :func:`facecheck.core.image.picture_hash`.
        phash: see :func:`facecheck.core.image.perceptual_hash`.
        width: of the whole image once upright.
        height: likewise.
        format: by its content.
        reason: why it cannot be used, or empty.
    """

    path: str
    bytes: int
    mtime_ns: int
    policy: str = POLICY
    sha256: str = ""
    pixel_hash: str = ""
    phash: str = ""
    width: int = 0
    height: int = 0
    format: str = ""
    reason: str = ""


_NUMBERS = frozenset(("bytes", "mtime_ns", "width", "height"))
_SCHEMA = {
    name: pl.Int64 if name in _NUMBERS else pl.String for name in Measured.__dataclass_fields__
}


def stamp(path: Path) -> Stamp:
    """Return a file's stamp; one that cannot be asked has size and time 0, and is never known."""
    try:
        status = path.stat()
    except OSError:
        return Stamp(str(path), 0, 0)
    return Stamp(str(path), status.st_size, min(status.st_mtime_ns, LARGEST))


def measure(file: Stamp, known_sha256: str = "") -> Measured | None:
    """Read and decode one file; return None if its bytes are those of ``known_sha256``."""
    try:
        content = Path(file.path).read_bytes()
    except OSError as error:  # vanished or turned unreadable since it was listed
        return Measured(**asdict(file), reason=_why_unread(error))
    digest = hashlib.sha256(content).hexdigest()
    if digest == known_sha256:
        return None
    try:
        further = frames(content, short_side=HASH_SIDE)
        decoded = next(further)
    except ImageError as error:
        return Measured(**asdict(file), sha256=digest, reason=str(error))
    return Measured(
        **asdict(file),
        sha256=digest,
        pixel_hash=picture_hash(decoded, further, content),
        phash=perceptual_hash(decoded.image),
        width=decoded.width,
        height=decoded.height,
        format=decoded.format,
    )


def _why_unread(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file is not there"
    if isinstance(error, PermissionError):
        return "no permission to read the file"
    return f"cannot be read: {reason(error)}"


def _measured(value: Any) -> Measured:
    """Return the measurement that a line of the journal holds.

    Raises:
        TypeError: it is not one, or a field is of another type.
        ValueError: a number is too large for the table, or a text no table can hold.
    """
    row = Measured(**value)
    for name, found in vars(row).items():
        if name in _NUMBERS:
            if type(found) is not int:
                raise TypeError(name)
            if abs(found) > LARGEST:
                raise ValueError(name)
        else:
            found.encode()
    return row


class Measurements:
    """The measurements of one manifest's files, each written as soon as it is made.

    Attributes:
        dropped: lines of the journal that were no measurement; their files are measured again.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path, _measured)
        self.dropped = 0

    def read(self) -> pl.DataFrame:
        """Return what is known under the present policy, the latest measurement of each file."""
        return self._table().filter(pl.col("policy") == POLICY).unique("path", keep="last")

    def _table(self) -> pl.DataFrame:
        # Polars reads a journal of a million lines in a second, but none that has a bad line.
        with suppress(pl.exceptions.PolarsError):
            frame = pl.read_ndjson(self._journal.text(), schema=_SCHEMA)
            if not sum(frame.null_count().row(0)):
                self.dropped = 0
                return frame
        frame = pl.DataFrame([vars(row) for row in self._journal.values()], schema=_SCHEMA)
        self.dropped = self._journal.dropped
        return frame

    def measure(
        self, files: Iterable[Stamp], known: Mapping[str, str], *, workers: int
    ) -> Iterator[None]:
        """Measure files and append what is found, yielding once for each.

        Args:
            files: in any order.
            known: the sha256 by path of files whose bytes decide whether they are decoded.
            workers: decoding threads.
        """
        # A few files a task: handing over each one alone costs a tenth of the time.
        batches = map_ordered(
            lambda batch: [measure(file, known.get(file.path, "")) for file in batch],
            chunked(files, 16),
            workers=workers,
            ahead=8,
        )
        with self._journal:
            for batch in batches:
                self._journal.append(*(asdict(row) for row in batch if row is not None))
                yield from (None for _ in batch)

    def keep(self, frame: pl.DataFrame) -> None:
        """Replace the journal, atomically, by one with these measurements alone."""
        self._journal.replace(frame.select(list(_SCHEMA)).iter_rows(named=True))
