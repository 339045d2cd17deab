"""The table of known files: what a row holds, and reading it row by row.

It is CSV, made by ``facecheck known add``, by hand or by a spreadsheet, and may be a stranger's: a
row that is not what it should be is an error that names it, never a row that is left out. Rows are
read one at a time, and again later by where they begin, so that memory does not grow with them.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image

from facecheck.core.errors import FacecheckError, ImageError, UsageError
from facecheck.core.files import path_text, safe_cell
from facecheck.core.image import decode
from facecheck.core.text import printable
from facecheck.core.whatis import mistaken, what_is
from facecheck.known.options import bad_note, decided

#: Bytes in a line of the table; the largest thumbnail takes half of it.
MOST_LINE = 2**16
#: Pixels a side of a thumbnail, at most.
THUMBNAIL_SIDE = 96

# What the first three columns, the hashes, look like, and how to say so.
_HASHES = (
    (re.compile(r"[0-9a-f]{64}").fullmatch, "64 hex digits"),
    (
        re.compile(r"[0-9a-f]{64}(-[0-9a-f]{16})?").fullmatch,
        "what `facecheck known add` writes",
    ),
    (re.compile(r"[0-9a-f]{16}").fullmatch, "16 hex digits"),
)


class Entry(NamedTuple):
    """A row of the table: the fields are its columns, in order. All are text, empty if not known.

    Attributes:
        sha256: of the file's bytes, in hex.
        pixel_hash: as :func:`facecheck.core.image.picture_hash` of the picture at
            :data:`~facecheck.core.image.HASH_SIDE`, as in a manifest. It is found by ``phash``.
        phash: as :func:`facecheck.core.image.perceptual_hash`, likewise.
        verdict: what was decided.
        kind: what the file shows.
        note: in free words; shown with what is found.
        path: where the file was when it was added. It is never opened.
        thumbnail: base64 of a WebP of at most 96 x 96 pixels, by which near duplicates are
            confirmed.
    """

    sha256: str = ""
    pixel_hash: str = ""
    phash: str = ""
    verdict: str = ""
    kind: str = ""
    note: str = ""
    path: str = ""
    thumbnail: str = ""

    def agrees(self, other: Entry) -> bool:
        """Return whether two entries decide the same; a kind that is not known is any kind."""
        kinds = {self.kind, other.kind} - {""}
        return self.verdict == other.verdict and len(kinds) < 2

    def picture(self) -> Image.Image | None:
        """Return the thumbnail, RGB; None where there is none, or it is damaged."""
        try:
            content = base64.b64decode(self.thumbnail, validate=True)
            image = Image.open(BytesIO(content), formats=("WEBP",)) if content else None
            if image is None or max(image.size) > THUMBNAIL_SIDE:
                return None
            return decode(content).image
        except (OSError, ValueError, binascii.Error, ImageError):
            return None


#: The columns, in order.
COLUMNS: tuple[str, ...] = Entry._fields


class Row(NamedTuple):
    """An entry, and where it stands.

    Attributes:
        number: of the row as a spreadsheet counts; the header is row 1.
        start: the byte of the file at which it begins.
        entry: what it holds.
    """

    number: int
    start: int
    entry: Entry


class Table:
    """A table that is open for reading.

    Args:
        path: for messages.
        stream: the file; it is read from its beginning.

    Raises:
        FacecheckError: it is no table of known files.
    """

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path, self._name, self._stream = path, path_text(path), stream
        stream.seek(0)
        self._separator = ","
        header = self._first_line()
        self._separator = max(",;\t", key=header.count)
        names = [name.strip().lower() for name in self._parsed([header], "row 1")]
        self._names = tuple(names)
        self._check_columns()
        self._places = [self._names.index(name) if name in names else -1 for name in COLUMNS]
        self._verdicts: dict[tuple[str, str], str] = {}

    def _first_line(self) -> str:
        start = self._stream.readline(MOST_LINE)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise FacecheckError(f"{self._name}: in UTF-16: save it as CSV in UTF-8")
        return self.text(start.removeprefix(codecs.BOM_UTF8), "row 1")

    def _check_columns(self) -> None:
        names = set(self._names)
        if what_is(self._path) in ("a table of scan results", "a manifest"):
            fix = "`facecheck known add` makes a table of it"
            raise UsageError(mistaken(self._path, "a table of known files", fix))
        if unknown := sorted(names - set(COLUMNS)):
            raise FacecheckError(
                f"{self._name}: row 1: unknown column {printable(unknown[0][:40])!r}: the columns "
                f"are {', '.join(COLUMNS)}; `facecheck known add` makes a table of any other"
            )
        if len(names) < len(self._names):
            raise FacecheckError(f"{self._name}: row 1: a column is there twice: remove one")
        if not names & {"verdict", "kind"} or not names & {"sha256", "pixel_hash"}:
            raise FacecheckError(
                f"{self._name}: row 1: no known files: a table has sha256 or pixel_hash, and "
                "verdict or kind"
            )

    def rows(self) -> Iterator[Row]:
        """Yield all rows in their order.

        Raises:
            FacecheckError: a row is not what it should be; the message names it.
        """
        lines = _Lines(self, self._stream)
        reader = csv.reader(lines, strict=True, delimiter=self._separator)
        number = 1
        while True:
            start, number = lines.end, number + 1
            lines.where = f"row {number}"
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise self._wrong(lines.where, f"{error}: correct its quotes") from None
            if cells is None:
                return
            if cells:
                yield Row(number, start, self._entry(cells, lines.where))

    def again(self) -> Iterator[Row]:
        """Yield all rows from the first one on, as :meth:`rows` did."""
        return Table(self._path, self._stream).rows()

    def at(self, start: int) -> Entry:
        """Return the entry of the row that begins at a byte."""
        self._stream.seek(start)
        lines = _Lines(self, self._stream)
        cells = next(csv.reader(lines, strict=True, delimiter=self._separator), [])
        return self._entry(cells, f"the row at byte {start:,}")

    def _parsed(self, lines: Sequence[str], where: str) -> list[str]:
        try:
            return next(csv.reader(lines, strict=True, delimiter=self._separator), [])
        except csv.Error as error:
            raise self._wrong(where, f"{error}: correct its quotes") from None

    def _entry(self, cells: list[str], where: str) -> Entry:
        if len(cells) != len(self._names):
            raise self._wrong(
                where, f"{len(cells)} cells instead of {len(self._names)}: correct it"
            )
        # A million rows go through here: what is made of each is made once.
        values = [cells[place].strip() if place >= 0 else "" for place in self._places]
        for place, (form, words) in enumerate(_HASHES):
            value = values[place] = values[place].lower()
            if value and not form(value):
                name = f"{COLUMNS[place]} {printable(value[:40])!r}"
                raise self._wrong(where, f"{name}: must be {words}")
        return self._checked(Entry(*values), where)

    def _checked(self, found: Entry, where: str) -> Entry:
        if not found.sha256 and not found.pixel_hash:
            raise self._wrong(where, "neither sha256 nor pixel_hash: which file is it?")
        if bool(found.pixel_hash) != bool(found.phash):
            raise self._wrong(where, "pixel_hash and phash belong together: write both or neither")
        if why := bad_note(found.note):
            raise self._wrong(where, why)
        said = (found.verdict, found.kind)
        if said not in self._verdicts:
            self._verdicts[said] = self._decided(*said, where)
        if found.verdict != self._verdicts[said] or found.path:
            return found._replace(verdict=self._verdicts[said], path=safe_cell(found.path))
        return found

    def _decided(self, verdict: str, kind: str, where: str) -> str:
        try:
            return decided(verdict, kind, f"{self._name}: {where}").value
        except UsageError as error:
            raise FacecheckError(str(error)) from None

    def text(self, line: bytes, where: str) -> str:
        """Return a line of the file as text.

        Raises:
            FacecheckError: it is too long, or no text.
        """
        if len(line) >= MOST_LINE:
            raise self._wrong(where, f"a line of more than {MOST_LINE:,} bytes: shorten it")
        if b"\0" in line:
            raise self._wrong(where, "bytes that no text holds: name a CSV file")
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError:
            raise self._wrong(where, "not UTF-8: save the table as CSV in UTF-8") from None

    def _wrong(self, where: str, what: str) -> FacecheckError:
        return FacecheckError(f"{self._name}: {where}: {what}")


class _Lines:
    """The lines of a table as text, and where in the file the next one begins."""

    def __init__(self, table: Table, stream: BinaryIO) -> None:
        self._table, self._stream = table, stream
        self.end = stream.tell()
        self.where = "row 1"

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(MOST_LINE)
        if not line:
            raise StopIteration
        self.end += len(line)
        return self._table.text(line, self.where)
