"""An index of a table of known files: which rows may be about a file, by its hashes.

The index holds numbers alone, 56 bytes a row, in a file next to the table, and is read through the
memory that the system shares between processes. It only proposes: a row is read again from the
table, and compared in full, before it decides anything.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from facecheck.core.errors import FacecheckError
from facecheck.core.files import atomic_path, path_text
from facecheck.core.jsonable import parse_json
from facecheck.core.labels import KINDS, Verdict
from facecheck.known.table import Entry, Row, Table

#: Raised whenever the file changes its meaning.
VERSION = 1
#: How many bits of two perceptual hashes may differ for the pictures to be compared. Copies that
#: were re-encoded or resized are no more than 5 apart.
RADIUS = 7
#: Rows from which on an index is stored: those of fewer are read in a tenth of a second.
FEW = 10_000
#: Rows that may begin with the same 64 bits of a sha256; more are no accident.
MOST_ALIKE = 64

# A hash of 64 bits is four bands of 16, and two within RADIUS bits differ by at most one bit in one
# of these: 68 look-ups find all of them.
_BANDS = 4
_MASKS = np.array([0, *(1 << bit for bit in range(16))], np.uint16)
_HEAD = 4096
_ALIGNED = 64

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Index:
    """The arrays of an index, by row in the order of ``sha``.

    Attributes:
        sha: the first 64 bits of each row's sha256, sorted; 0 where there is none. uint64.
        starts: the byte at which the row begins. uint64.
        phash: its perceptual hash, 0 where there is none. uint64.
        pixels: the first 64 bits of the pixel hashes that there are, sorted. uint64.
        pixel_rows: the row of each of them. uint32.
        band_rows: the rows that have a perceptual hash, by each band of it, shape (4, n). uint32.
        band_starts: where in that the rows of each value of the band begin, shape (4, 65537).
    """

    sha: Numbers
    starts: Numbers
    phash: Numbers
    pixels: Numbers
    pixel_rows: Numbers
    band_rows: Numbers
    band_starts: Numbers

    def same_bytes(self, sha256: str) -> range:
        """Return the rows that may be of a file of this sha256."""
        return _run(self.sha, int(sha256[:16], 16))

    def same_pixels(self, pixel_hash: str) -> list[int]:
        """Return the rows that may be of a picture of this hash, at most :data:`MOST_ALIKE`."""
        run = _run(self.pixels, int(pixel_hash[:16], 16))
        return self.pixel_rows[run.start : run.start + min(len(run), MOST_ALIKE)].tolist()  # type: ignore[no-any-return]

    def near(self, phash: int) -> list[int]:
        """Return the rows whose perceptual hash is within :data:`RADIUS` bits, the nearest first.

        Equally near ones come in the order of the index.
        """
        value = np.uint64(phash)
        rows = np.concatenate([self._in_band(value, band) for band in range(_BANDS)])
        distances = np.bitwise_count(self.phash[rows] ^ value)
        near = np.flatnonzero(distances <= RADIUS)
        # A row may share several bands: once each, and by distance.
        found, first = np.unique(rows[near], return_index=True)
        return found[np.argsort(distances[near][first], kind="stable")].tolist()  # type: ignore[no-any-return]

    def _in_band(self, value: np.uint64, band: int) -> Numbers:
        """Return the rows of which a band differs from that of ``value`` by a bit at most."""
        keys = (_band(value, band) ^ _MASKS).astype(np.intp)
        first = self.band_starts[band, keys].astype(np.intp)
        counts = self.band_starts[band, keys + 1] - first
        ends = np.cumsum(counts)
        places = np.arange(ends[-1]) + np.repeat(first - ends + counts, counts)
        found: Numbers = self.band_rows[band, places]
        return found


def _band(values: Any, band: int) -> Any:
    return (values >> np.uint64(16 * band)).astype(np.uint16)


def _run(values: Numbers, value: int) -> range:
    first, last = (int(np.searchsorted(values, np.uint64(value), side)) for side in _SIDES)
    return range(first, last)


_SIDES: tuple[Any, ...] = ("left", "right")


@dataclass(frozen=True)
class Known:
    """What an index says of its table.

    Attributes:
        sha256: of the table's bytes.
        size: of the table in bytes.
        mtime_ns: when it was last changed.
        rows: how many it has.
        verdicts: rows by verdict.
        kinds: rows by kind, of those that have one.
        thumbnails: rows with a thumbnail.
        pictures: rows with the hash of the pixels.
    """

    sha256: str
    size: int
    mtime_ns: int
    rows: int
    verdicts: Mapping[str, int]
    kinds: Mapping[str, int]
    thumbnails: int
    pictures: int


class _Gathered:
    """What is gathered of each row while the table is read."""

    def __init__(self) -> None:
        self.sha, self.starts = array("Q"), array("Q")
        self.phash, self.pixels, self.decided = array("Q"), array("Q"), array("B")
        self.has_pixels = bytearray()
        self.thumbnails = self.pictures = 0

    def add(self, row: Row) -> None:
        entry = row.entry
        self.sha.append(int(entry.sha256[:16] or "0", 16))
        self.starts.append(row.start)
        self.phash.append(int(entry.phash or "0", 16))
        self.pixels.append(int(entry.pixel_hash[:16] or "0", 16))
        self.has_pixels.append(entry.pixel_hash != "")
        self.decided.append(_DECIDED[entry.verdict, entry.kind])
        self.thumbnails += entry.thumbnail != ""
        self.pictures += entry.pixel_hash != ""

    def take(self, name: str, kind: type[Any], order: Numbers) -> Numbers:
        """Return what was gathered under a name, in an order; it is given up, for its memory."""
        return np.frombuffer(self.__dict__.pop(name), kind)[order]


_VERDICTS = tuple(verdict.value for verdict in Verdict)
_ALL_KINDS = ("", *KINDS)
_DECIDED = {
    (verdict, kind): number
    for number, (verdict, kind) in enumerate(
        (verdict, kind) for verdict in _VERDICTS for kind in _ALL_KINDS
    )
}


def build(path: Path, stream: BinaryIO, sha256: str) -> tuple[Known, Index]:
    """Read a whole table, check it, and return its index.

    Args:
        path: the table, for messages.
        stream: the same, open.
        sha256: of its bytes.

    Raises:
        FacecheckError: a row is not what it should be, or two rows decide differently of one file.
    """
    table, gathered = Table(path, stream), _Gathered()
    for row in table.rows():
        gathered.add(row)
    keys = (np.frombuffer(gathered.decided, np.uint8), np.frombuffer(gathered.sha, np.uint64))
    # Of one file the rows without a kind come first.
    order = np.lexsort(keys).astype(np.uint32)
    decided = gathered.take("decided", np.uint8, order)
    index = _index(gathered, order, decided)
    _refuse_contradictions(path, table, index, decided)
    status = os.fstat(stream.fileno())
    return _known(sha256, status, gathered, decided), index


def _index(gathered: _Gathered, order: Numbers, decided: Numbers) -> Index:
    rows = np.flatnonzero(gathered.take("has_pixels", np.bool_, order)).astype(np.uint32)
    pixels = gathered.take("pixels", np.uint64, order)[rows]
    by_pixels = np.lexsort((decided[rows], pixels)).astype(np.uint32)
    phash = gathered.take("phash", np.uint64, order)
    band_rows = np.empty((_BANDS, len(rows)), np.uint32)
    band_starts = np.zeros((_BANDS, 2**16 + 1), np.uint32)
    for band in range(_BANDS):
        keys = _band(phash[rows], band)
        band_rows[band] = rows[np.argsort(keys, kind="stable")]
        np.cumsum(np.bincount(keys, minlength=2**16), out=band_starts[band, 1:])
    return Index(
        sha=gathered.take("sha", np.uint64, order),
        starts=gathered.take("starts", np.uint64, order),
        phash=phash,
        pixels=pixels[by_pixels],
        pixel_rows=rows[by_pixels],
        band_rows=band_rows,
        band_starts=band_starts,
    )


def _refuse_contradictions(path: Path, table: Table, index: Index, decided: Numbers) -> None:
    sha = index.sha[MOST_ALIKE:]
    if np.any((sha == index.sha[:-MOST_ALIKE]) & (sha > 0)):
        raise FacecheckError(
            f"{path_text(path)}: more than {MOST_ALIKE} rows of one sha256: keep one of them"
        )
    by_pixels = decided[index.pixel_rows]
    for values, codes, rows in (
        (index.sha, decided, None),
        (index.pixels, by_pixels, index.pixel_rows),
    ):
        alike = (values[1:] == values[:-1]) & (codes[1:] != codes[:-1])
        for at in np.flatnonzero(alike).tolist():
            pair = (at, at + 1) if rows is None else (int(rows[at]), int(rows[at + 1]))
            starts = sorted(int(index.starts[row]) for row in pair)
            _refuse_pair(path, table, starts[0], starts[1])


def _refuse_pair(path: Path, table: Table, first: int, second: int) -> None:
    one, two = table.at(first), table.at(second)
    for name, what in (("sha256", "file"), ("pixel_hash", "picture")):
        value = getattr(one, name)
        if value and value == getattr(two, name) and not one.agrees(two):
            numbers = _numbers(table, {first, second})
            raise FacecheckError(
                f"{path_text(path)}: rows {numbers[first]} and {numbers[second]} decide "
                f"differently of one {what} ({_said(one)} and {_said(two)}): remove one of them"
            )


def _said(entry: Entry) -> str:
    return " ".join(filter(None, (entry.verdict, entry.kind)))


def _numbers(table: Table, starts: set[int]) -> dict[int, int]:
    """Return the numbers of the rows that begin at some bytes; reads the table again."""
    return {row.start: row.number for row in table.again() if row.start in starts}


def _known(sha256: str, status: os.stat_result, gathered: _Gathered, decided: Numbers) -> Known:
    counts = np.bincount(decided, minlength=len(_DECIDED)).reshape(len(_VERDICTS), len(_ALL_KINDS))
    verdicts = dict(zip(_VERDICTS, counts.sum(axis=1).tolist(), strict=True))
    kinds = dict(zip(_ALL_KINDS[1:], counts.sum(axis=0).tolist()[1:], strict=True))
    return Known(
        sha256=sha256,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        rows=len(decided),
        verdicts={name: count for name, count in verdicts.items() if count},
        kinds={name: count for name, count in kinds.items() if count},
        thumbnails=gathered.thumbnails,
        pictures=gathered.pictures,
    )


def index_path(table: Path) -> Path:
    """Return where the index of a table lies."""
    return table.with_name(f"{table.name}.index")


def write(target: BinaryIO, known: Known, index: Index) -> None:
    """Write an index to an open file."""
    at, places = _HEAD, {}
    for name, values in vars(index).items():
        places[name] = [values.dtype.str, list(values.shape), at]
        at += -(-values.nbytes // _ALIGNED) * _ALIGNED
    head = json.dumps({"facecheck_known": VERSION, **vars(known), "arrays": places})
    target.write(head.encode().ljust(_HEAD))
    for name, values in vars(index).items():
        target.seek(places[name][2])
        values.tofile(target)
    target.truncate(at)


def store(table: Path, known: Known, index: Index) -> None:
    """Write an index next to its table, unless it is as soon made again, or cannot be written."""
    if known.rows < FEW:
        return
    try:
        with atomic_path(index_path(table)) as made, made.open("wb") as target:
            write(target, known, index)
    except OSError:
        return


def read(table: Path) -> tuple[Known, Index] | None:
    """Return the index next to a table, or None where there is none, or a damaged one."""
    path = index_path(table)
    try:
        with path.open("rb") as stream:
            head = parse_json(stream.read(_HEAD).decode())
            if head.pop("facecheck_known") != VERSION:
                return None
            arrays = {name: _mapped(stream, *place) for name, place in head.pop("arrays").items()}
        return Known(**head), _whole(Index(**arrays))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _mapped(stream: BinaryIO, kind: str, shape: list[int], at: int) -> Numbers:
    if 0 in shape:  # nothing can be mapped
        return np.empty(shape, kind)
    # As a plain array: each part of a memmap is one again, which takes longer than most look-ups.
    return np.memmap(stream, kind, "r", at, tuple(shape)).view(np.ndarray)


def _whole(index: Index) -> Index:
    """Return an index whose arrays fit together; raise :class:`ValueError` for another."""
    rows = len(index.sha)
    fits = (
        len(index.starts) == len(index.phash) == rows
        and len(index.pixels) == len(index.pixel_rows) == index.band_rows.shape[1]
        and index.band_starts.shape == (_BANDS, 2**16 + 1)
        and int(index.pixel_rows.max(initial=0)) <= max(0, rows - 1)
        and int(index.band_rows.max(initial=0)) <= max(0, rows - 1)
        and int(index.band_starts.max(initial=0)) == index.band_rows.shape[1]
    )
    if not fits:
        raise ValueError("the index is damaged")
    return index
