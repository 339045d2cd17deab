"""The rows of a scan on their way to a file, and the journal that says which of them count.

Rows are appended to one file, and what they were made from to another, the journal: its head says
how (model, options, columns), each further line speaks of a chunk, the unit of restart: how many
items and rows, a digest of the items' names, sizes and times, and where the rows end. The rows are
written first. So whatever a kill leaves, the whole lines of the journal say which bytes count; what
lies behind them is cut off, and the scan resumes from there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zlib
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, Self

from facecheck.core.errors import FacecheckError, reason
from facecheck.core.files import path_text
from facecheck.core.journal import Entry, Journal

#: Raised whenever the journal changes its meaning.
VERSION = 2

#: Rows by the values of some of their columns.
Tally = Counter[tuple[str, ...]]


@dataclass(frozen=True)
class Line:
    """What the journal says of a chunk: the fields of its JSON.

    Attributes:
        items: how many it has.
        rows: how many rows they have in the file of rows.
        end: length in bytes of the file of rows with these.
        crc: CRC-32 of their bytes.
        stat: as of :class:`~facecheck.scanner.chunking.Chunk`.
        content: likewise.
        tally: of all rows that there were: the tallied values and their number, as lists.
        files: of each item, its :func:`~facecheck.scanner.chunking.key_of`.
        sizes: of each item, the bytes that its rows take.
        told: of each item, for each of its rows where in ``tally`` it is counted.
        counts: rows of each item; of shards only.
        places: of each item; of shards only.
    """

    items: int
    rows: int
    end: int
    crc: int
    stat: str
    content: str = ""
    tally: list[list[Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    told: list[list[int]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


class RowJournal:
    """A file of rows and its journal, of which one scan at a time is the writer.

    Find out :meth:`why_not_resumed`, perhaps :meth:`restart`, enter it as a context, compare what
    is :meth:`stored` and :meth:`keep` it or not, :meth:`drop_the_rest`, then :meth:`append`.

    Args:
        out: the results, for messages.
        path: the journal.
        rows: the file of rows.
        top: what that file begins with.
        made_from: what the rows are made from: version, checkpoint, options; JSON values. Rows that
            were made from others are of no use.

    Attributes:
        chunks: chunks whose rows count.
        items: their items.
        rows: their rows in the file.
        tally: all of their rows, those that were not to be written included.
        resumed: items whose rows were already there.
        dropped: why rows that were there are dropped, in a phrase; empty if none are.
        complete: whether every chunk of the scan was given out.
    """

    def __init__(
        self, out: Path, path: Path, rows: Path, top: bytes, made_from: Mapping[str, object]
    ) -> None:
        self.out, self.path = out, path
        self.made_from = {"journal": VERSION, **made_from}
        self.chunks = self.items = self.rows = self.resumed = 0
        self.tally: Tally = Counter()
        self.dropped, self.complete = "", False
        self._lines = read_journal(self.path)
        self._file, self._top = rows, top
        self._length, self._end = len(top), 0
        self._rows_file: FileIO | None = None
        self._open = ExitStack()

    def why_not_resumed(self) -> str | None:
        """Return why the rows cannot be continued: None if they can, empty if there are none."""
        head = self._lines.head()
        nothing = (
            head is None and self._file.exists() and self._file.stat().st_size <= len(self._top)
        )
        if nothing or not self._file.exists():
            return ""
        if head is None or not isinstance(head.value, dict):
            return "nothing says how its rows were made"
        if differs := difference(head.value, self.made_from):
            return differs
        with self._file.open("rb") as stream:
            return None if stream.read(len(self._top)) == self._top else "its rows are damaged"

    def restart(self) -> None:
        """Begin with no rows."""
        self._file.write_bytes(self._top)
        self._lines.replace([self.made_from])

    def stored(self) -> Generator[Entry[Line]]:
        """Yield the journal's lines while their rows are whole."""
        with self._file.open("rb") as rows:
            start = rows.seek(self._length)
            for entry in self._lines.entries(self._end):
                line = entry.value
                if line.end < start:
                    return
                written = rows.read(line.end - start)
                if len(written) < line.end - start or zlib.crc32(written) != line.crc:
                    return
                start = line.end
                yield entry

    def keep(self, entry: Entry[Line]) -> None:
        """Count a chunk whose rows are in the file."""
        line = entry.value
        self.chunks += 1
        self.items += line.items
        self.rows += line.rows
        self._length, self._end = line.end, entry.end
        for *values, count in line.tally:
            self.tally[tuple(values)] += count

    def drop_the_rest(self, why: str) -> None:
        """Cut off what lies behind the rows that were kept, and note it if rows are lost.

        Args:
            why: in a phrase; empty where no item is to blame.
        """
        self.resumed = self.items
        lost = sum(entry.value.items for entry in self._lines.entries(self._end))
        if lost:
            self.dropped = (
                f"{self.items:,} of {self.items + lost:,} files keep their rows: "
                f"{why or 'the rows behind them are damaged'}"
            )
        with writing(self.out):
            self._opened.truncate(self._length)
            self._lines.truncate(self._end)

    def append(self, rows: bytes, line: Line) -> None:
        """Add a chunk's rows and its line, and hand both to the operating system.

        ``end`` and ``crc`` of the line are filled in.

        Raises:
            FacecheckError: the disk is full, or does not take them.
        """
        whole = dataclasses.replace(line, end=self._length + len(rows), crc=zlib.crc32(rows))
        with writing(self.out):
            _write(self._opened, rows)
            self._lines.append({k: v for k, v in vars(whole).items() if v != []})
        self.keep(Entry(whole, self.path.stat().st_size))

    def sync_and_close(self) -> None:
        """Wait until the disk has everything, and close both files."""
        os.fsync(self._opened.fileno())
        self._lines.sync()
        self._open.close()

    @property
    def _opened(self) -> FileIO:
        if self._rows_file is None:
            raise ValueError(f"{self._file} is not open for writing")
        return self._rows_file

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._rows_file = opened.enter_context(self._file.open("ab", buffering=0))
            opened.enter_context(self._lines)
            head = self._lines.head()
            self._end = head.end if head else 0
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def journal_path(out: Path) -> Path:
    """Return where the journal of the results at ``out`` lies."""
    return out.with_name(f"{out.name}.journal")


def read_lines(out: Path) -> Iterator[Line]:
    """Yield the lines of the journal of finished results at ``out``."""
    journal = read_journal(journal_path(out))
    head = journal.head()
    for entry in journal.entries(head.end if head else 0):
        yield entry.value


def read_head(out: Path) -> Entry[Any] | None:
    """Return what the rows of a scan that is not finished are made from; None if it has none."""
    return Journal(journal_path(out), _line).head()


def read_entries(out: Path, start: int) -> Iterator[Entry[Line]]:
    """Yield the lines of a scan's journal behind one that ended at the byte ``start``."""
    return Journal(journal_path(out), _line).entries(start)


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Turn an error of the disk within the block into one line."""
    try:
        yield
    except OSError as error:
        raise FacecheckError(
            f"{path_text(out)}: cannot be written ({reason(error)}): fix that and run the same "
            "command again; it resumes from the rows that are there"
        ) from None


def read_journal(path: Path) -> Journal[Line]:
    """Return a scan's journal, to read."""
    return Journal(path, _line)


def difference(
    before: Mapping[str, object], now: Mapping[str, object], but: Collection[str] = ()
) -> str:
    """Return the first thing that rows were made from and are not any more; empty without one.

    Args:
        before: as in the head of a journal.
        now: the same, not yet as JSON.
        but: what may differ.
    """
    after = json.loads(json.dumps(now))
    for key in {**after, **before}:
        if key not in but and before.get(key) != after.get(key):
            return f"{key} was {_brief(before.get(key))} and is {_brief(after.get(key))}"
    return ""


def _line(value: Any) -> Line:
    return Line(**value)


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _write(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]
