"""Where scan's rows go: written as they come, resumable at any moment, ending in the same bytes.

Rows are appended to ``<out>.partial``, and what they were made of to ``<out>.journal``: its first
line says how (model, options, columns), each further one speaks of a chunk, the unit of restart:
how many items and rows, a digest over the items' names, sizes and times, and where in the partial
file the rows end. The rows are written first. So whatever a kill leaves, the journal's whole lines
tell which bytes stand; what lies behind them is cut off, and the scan goes on from there.

When a scan begins again, its items are compared with the journal chunk by chunk, as they are found:
neither items nor rows are ever in memory together.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import zlib
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from io import FileIO
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Self

from facecheck.core.errors import FacecheckError, ImageError, UsageError
from facecheck.core.files import (
    path_text,
    refuse_to_overwrite,
    sha256_file,
    write_json,
    write_text,
)
from facecheck.core.lock import only_one
from facecheck.core.parallel import cpu_count, map_ordered
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.results.rows import (
    CSV,
    PARQUET,
    Columns,
    Row,
    Value,
    format_of,
    header_line,
    line_writer,
    read_rows,
    tidy,
    write_rows,
)

#: Consecutive items whose rows are written together.
CHUNK = 64
#: Items of the first chunk at most, so that the first rows come at once.
FIRST_CHUNK = 8
#: The columns whose values are counted.
TALLIED = ("status", "verdict", "kind")
#: Raised whenever the journal changes its meaning.
JOURNAL = 1

Tally = Counter[tuple[str, ...]]


@dataclass(frozen=True)
class Chunk:
    """Items that are judged together and whose rows are written together.

    Attributes:
        number: chunks before it.
        items: in their order; at least one.
        stat: digest over their names, sizes and times of change; of a shard over their places too.
        content: digest over their names and contents; empty unless ``verify`` asked for it.
    """

    number: int
    items: tuple[Item, ...]
    stat: str
    content: str = ""


@dataclass(frozen=True)
class Line:
    """What the journal says of a chunk: the fields of its JSON.

    Attributes:
        items: how many it has.
        rows: how many of theirs are in the partial file.
        end: length in bytes of the partial file with these rows.
        crc: CRC-32 of their bytes.
        stat: as of :class:`Chunk`.
        content: likewise.
        tally: of all rows that were given: the tallied values and their number, as lists.
        counts: rows of each item; of shards only.
        places: of each item; of shards only.
        arrived: digest of each item; only where items come as they arrive.
    """

    items: int
    rows: int
    end: int
    crc: int
    stat: str
    content: str = ""
    tally: list[list[Any]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    arrived: list[str] = field(default_factory=list)


class Sink:
    """The rows of one scan on their way to one file.

    A context manager: take the chunks that are :meth:`left`, :meth:`write` each one's rows in
    their order, then :meth:`finish`. A second sink of the same ``out`` is refused while it is open.

    Args:
        out: the results: ``.csv``, ``.jsonl`` or ``.parquet``.
        columns: their columns and types, in order.
        facts: what the rows are made from: version, checkpoint, options; JSON values. With others
            the rows that are there are of no use, and the scan starts anew.
        chunk: items in a chunk, 1 or more.
        only: write only rows of these verdicts; all are counted. Empty: all.
        raw_paths: keep names in CSV as they are, even if a spreadsheet would run them.
        verify: know a file by its content instead of its size and time of change.
        overwrite: replace an existing ``out``.
        shard: (i, n) where the items are the i-th of n parts; the journal then stays beside
            ``out``, for ``merge``.
        arrivals: items come in no order that comes again, as files arrive in a folder. Rows are
            appended to ``out`` itself, opening it again goes on behind them, and an item that has
            a row is passed over.

    Attributes:
        done: items whose rows were there; known once :meth:`left` gave its first chunk or ended.
        rows: rows in the file.
        tally: rows by :data:`TALLIED`, those that were there and those that ``only`` leaves out
            included.
        reason: why rows that were there are dropped, in a phrase; empty if none are.

    Raises:
        UsageError: ``out`` exists, or has another ending.
        FacecheckError: it cannot be written, or another process writes it.
    """

    def __init__(
        self,
        out: Path,
        columns: Columns,
        facts: Mapping[str, object],
        *,
        chunk: int = CHUNK,
        only: Collection[str] = (),
        raw_paths: bool = False,
        verify: bool = False,
        overwrite: bool = False,
        shard: tuple[int, int] | None = None,
        arrivals: bool = False,
    ) -> None:
        self.format = format_of(out)
        if arrivals and self.format == PARQUET:
            raise UsageError(f"{path_text(out)}: Parquet cannot grow: name a .csv or .jsonl")
        self.out = out
        self.partial = out if arrivals else out.with_name(f"{out.name}.partial")
        self.journal = journal_path(out)
        self.columns = dict(columns)
        self.done, self.rows, self.reason = 0, 0, ""
        self.tally: Tally = Counter()
        self._chunk, self._only, self._verify = chunk, frozenset(only), verify
        self._shard, self._arrivals = shard, arrivals
        # Parquet cannot be continued: until the end its rows are CSV, with exact names.
        lines = CSV if self.format == PARQUET else self.format
        self._line = line_writer(lines, columns, raw_paths=raw_paths or self.format == PARQUET)
        self._top = header_line(lines, columns).encode()
        self._made_from = {
            "journal": JOURNAL,
            "format": self.format,
            "columns": {name: kind.__name__ for name, kind in columns.items()},
            "chunk": chunk,
            "only": sorted(only),
            "raw_paths": raw_paths,
            "shard": None if shard is None else list(shard),
            "arrivals": arrivals,
            **facts,
        }
        self._items, self._written, self._ended = 0, 0, False
        self._length, self._journal_length = 0, 0
        self._refuse_existing(overwrite=overwrite)
        with _told(out), ExitStack() as opened:
            out.parent.mkdir(parents=True, exist_ok=True)
            opened.enter_context(only_one(out))
            # Again: the one that had the lock may have finished meanwhile.
            self._refuse_existing(overwrite=overwrite)
            self._begin(overwrite=overwrite)
            self._rows_file = opened.enter_context(self.partial.open("ab", buffering=0))
            self._journal_file = opened.enter_context(self.journal.open("ab", buffering=0))
            self._open = opened.pop_all()

    def _refuse_existing(self, *, overwrite: bool) -> None:
        if not self._arrivals:
            refuse_to_overwrite(self.out, overwrite=overwrite)

    def _begin(self, *, overwrite: bool) -> None:
        """Find out whether the rows that are there can be continued; if not, start anew."""
        head = _head(self.journal)
        why = _why_anew(head, self._made_from, self.partial, self._top)
        if self._arrivals and why and not overwrite:
            raise UsageError(
                f"{path_text(self.out)} cannot be continued ({why}): name another output, or pass "
                "--overwrite to start it anew"
            )
        if why is not None or (self._arrivals and overwrite):
            self.reason = why or ""
            self.partial.write_bytes(self._top)
            head = _json_line(self._made_from)
            write_text(self.journal, head.decode())
        self._length, self._journal_length = len(self._top), len(head)

    def left(self, items: Iterable[Item | None]) -> Iterator[Chunk]:
        """Yield the chunks of ``items`` that have no rows yet; call it once.

        Before the first comes, the items are compared with the journal. The first chunk with an
        item that is new, gone or changed is dropped with all behind it, and ``reason`` says so.
        A None among the items ends a chunk early: who waits for arrivals sends it with each pause.
        """
        yield from self._left_arrived(items) if self._arrivals else self._left_in_order(items)
        self._ended = True

    def _left_in_order(self, items: Iterable[Item | None]) -> Iterator[Chunk]:
        chunks = self._chunks(items)
        differing: list[Chunk] = []
        why = ""
        with closing(self._stored()) as stored:
            for line, size in stored:
                found = list(islice(chunks, 1))
                why = _why_differs(line, found, verify=self._verify)
                if why:
                    differing = found
                    break
                self._keep(line, size)
        self._cut(why)
        yield from chain(differing, chunks)

    def _left_arrived(self, items: Iterable[Item | None]) -> Iterator[Chunk]:
        known: set[str] = set()
        with closing(self._stored()) as stored:
            for line, size in stored:
                known.update(line.arrived)
                self._keep(line, size)
        self._cut("")
        new = (item for item in items if item is None or _arrival(item) not in known)
        yield from self._chunks(new, first=self._written)

    def _chunks(self, items: Iterable[Item | None], *, first: int = 0) -> Iterator[Chunk]:
        for number, group in enumerate(_grouped(items, self._chunk), first):
            stat = _digest(_stat(item, placed=self._shard is not None) for item in group)
            content = ""
            if self._verify:
                content = _digest(map_ordered(_content, group, workers=cpu_count()))
            yield Chunk(number, group, stat, content)

    def _stored(self) -> Generator[tuple[Line, int]]:
        """Yield the journal's lines, each with its length in bytes, while their rows are whole."""
        with self.journal.open("rb") as journal, self.partial.open("rb") as partial:
            journal.seek(self._journal_length)
            partial.seek(self._length)
            start = self._length
            for text in journal:
                line = parse_line(text)
                if line is None or line.end < start:
                    return
                rows = partial.read(line.end - start)
                if len(rows) < line.end - start or zlib.crc32(rows) != line.crc:
                    return
                start = line.end
                yield line, len(text)

    def _keep(self, line: Line, size: int) -> None:
        """Count a chunk that has its rows in the partial file, and ``size`` bytes of journal."""
        self._written += 1
        self._items += line.items
        self.rows += line.rows
        self._length = line.end
        self._journal_length += size
        for *values, count in line.tally:
            self.tally[tuple(values)] += count

    def _cut(self, why: str) -> None:
        """Drop all behind what is kept, and say so if it is more than a kill leaves."""
        self.done = self._items
        with self.journal.open("rb") as journal:
            journal.seek(self._journal_length)
            dropped = sum(line.items for line in map(parse_line, journal) if line)
        if dropped:
            self.reason = (
                f"{self.done:,} of {self.done + dropped:,} files keep their rows: "
                f"{why or 'the rows behind them are damaged'}"
            )
        with _told(self.out):
            self._rows_file.truncate(self._length)
            self._journal_file.truncate(self._journal_length)

    def write(self, chunk: Chunk, rows: Sequence[Sequence[Row]]) -> None:
        """Append a chunk's rows and hand them to the operating system, so that a kill keeps them.

        Args:
            chunk: the next one of :meth:`left`.
            rows: for each of its items, in order, the rows of that item.

        Raises:
            FacecheckError: the disk is full, or does not take them.
            ValueError: another chunk's turn it is, an item is without its list of rows, or a row
                has a column that is not there.
        """
        if chunk.number != self._written or len(rows) != len(chunk.items):
            raise ValueError(f"not the rows of the items of chunk {self._written}")
        tidied = [[tidy(row, self.columns) for row in each] for each in rows]
        kept = [[row for row in each if _wanted(row, self._only)] for each in tidied]
        data = "".join(self._line(row) for each in kept for row in each).encode()
        sharded = self._shard is not None
        line = Line(
            items=len(rows),
            rows=sum(map(len, kept)),
            end=self._length + len(data),
            crc=zlib.crc32(data),
            stat=chunk.stat,
            content=chunk.content,
            tally=[[*values, count] for values, count in tallied(chain(*tidied)).items()],
            counts=[len(each) for each in kept] if sharded else [],
            places=[item.place for item in chunk.items] if sharded else [],
            arrived=[_arrival(item) for item in chunk.items] if self._arrivals else [],
        )
        journal_line = _json_line({k: v for k, v in dataclasses.asdict(line).items() if v != []})
        with _told(self.out):
            _append(self._rows_file, data)
            _append(self._journal_file, journal_line)
        self._keep(line, len(journal_line))

    def finish(self) -> None:
        """Put the rows under their final name, with ``<out>.meta.json`` beside them.

        Raises:
            FacecheckError: they cannot be written; those that are there are kept.
            ValueError: :meth:`left` has not come to its end.
        """
        if not self._ended:
            raise ValueError("there are items left")
        with _told(self.out):
            for file in (self._rows_file, self._journal_file):
                os.fsync(file.fileno())
                file.close()
            if self._arrivals:
                return
            made = self._as_parquet() if self.format == PARQUET else self.partial
            counts = {"items": self._items, "rows": self.rows}
            write_meta(self.out, made, {**self._made_from, **counts})
            made.replace(self.out)
            self.partial.unlink(missing_ok=True)
            if self._shard is None:
                self.journal.unlink()

    def _as_parquet(self) -> Path:
        made = self.out.with_name(f"{self.out.name}.making")
        write_rows(made, read_rows(self.partial, self.columns, CSV), self.columns, PARQUET)
        with made.open("rb+") as written:
            os.fsync(written.fileno())
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


class StreamSink:
    """CSV rows to a stream that nobody can read again: ``--out -``.

    It has the methods and attributes of :class:`Sink`; nothing is resumed. When the reader goes
    away, as ``head`` does, :meth:`left` ends and further rows are dropped.

    Args:
        stream: stdout, binary.
        columns: as of :class:`Sink`, like ``chunk``, ``only`` and ``raw_paths``.
        chunk: items in a chunk.
        only: verdicts.
        raw_paths: names as they are.

    Attributes:
        closed: whether the reader went away.
    """

    def __init__(
        self,
        stream: BinaryIO,
        columns: Columns,
        *,
        chunk: int = CHUNK,
        only: Collection[str] = (),
        raw_paths: bool = False,
    ) -> None:
        self.done, self.rows, self.reason = 0, 0, ""
        self.tally: Tally = Counter()
        self.closed = False
        self.columns = dict(columns)
        self._stream, self._chunk, self._only = stream, chunk, frozenset(only)
        self._line = line_writer(CSV, columns, raw_paths=raw_paths)
        self._send(header_line(CSV, columns))

    def left(self, items: Iterable[Item | None]) -> Iterator[Chunk]:
        """Yield all items, in chunks, while somebody reads their rows."""
        for number, group in enumerate(_grouped(items, self._chunk)):
            if self.closed:
                return
            yield Chunk(number, group, stat="")

    def write(self, chunk: Chunk, rows: Sequence[Sequence[Row]]) -> None:
        """Write a chunk's rows, one list for each of its items."""
        if len(rows) != len(chunk.items):
            raise ValueError(f"not the rows of the items of chunk {chunk.number}")
        tidied = [tidy(row, self.columns) for row in chain(*rows)]
        self.tally += tallied(tidied)
        wanted = [row for row in tidied if _wanted(row, self._only)]
        self.rows += len(wanted)
        self._send("".join(map(self._line, wanted)))

    def _send(self, text: str) -> None:
        if self.closed:
            return
        try:
            self._stream.write(text.encode())
            self._stream.flush()
        except BrokenPipeError:
            self.closed = True
            # What the stream still holds would fail again, aloud, when Python ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        except OSError as error:
            raise FacecheckError(
                f"the rows cannot be written to stdout ({error.strerror}): check where it leads"
            ) from None

    def finish(self) -> None:
        """Do nothing: all rows are out."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def journal_path(out: Path) -> Path:
    """Return where the journal of the results at ``out`` lies."""
    return out.with_name(f"{out.name}.journal")


def meta_path(out: Path) -> Path:
    """Return where it lies what is known of the results at ``out``."""
    return out.with_name(f"{out.name}.meta.json")


def write_meta(out: Path, made: Path, facts: Mapping[str, object]) -> None:
    """Write what is known of the results ``made``, soon at ``out``, to its ``.meta.json``."""
    size, digest = made.stat().st_size, sha256_file(made)
    write_json(meta_path(out), {"command": "scan", **facts, "bytes": size, "sha256": digest})


def parse_line(text: bytes) -> Line | None:
    """Return a line of the journal; None of what a kill left of one."""
    if not text.endswith(b"\n"):
        return None
    try:
        return Line(**json.loads(text))
    except (ValueError, TypeError):
        return None


def tallied(rows: Iterable[Mapping[str, Value]]) -> Tally:
    """Count rows by :data:`TALLIED`."""
    return Counter(tuple(str(row.get(name, "")) for name in TALLIED) for row in rows)


def _wanted(row: Row, only: Collection[str]) -> bool:
    return not only or row["verdict"] in only


def _grouped(items: Iterable[Item | None], size: int) -> Iterator[tuple[Item, ...]]:
    """Yield ``size`` items at a time; fewer at first, at the end, and where a None says so."""
    group: list[Item] = []
    wanted = min(FIRST_CHUNK, size)
    for item in chain(items, [None]):
        if item is not None:
            group.append(item)
        if group and (item is None or len(group) == wanted):
            yield tuple(group)
            group, wanted = [], size


def _stat(item: Item, *, placed: bool) -> list[object]:
    place = [item.place] if placed else []
    return [item.name, item.size, item.mtime_ns, *place]


def _content(item: Item) -> list[object]:
    try:
        content = item.load()
        known = sha256_file(content) if isinstance(content, Path) else _sha256(content)
    except (OSError, ImageError) as error:  # its row will say so; if that changes, so does this
        known = f"{type(error).__name__}: {error}"
    return [item.name, known]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _arrival(item: Item) -> str:
    return _digest([_stat(item, placed=False)])


def _digest(values: Iterable[list[object]]) -> str:
    """Return 32 hex digits; JSON keeps apart what no separator would, whatever names hold."""
    digest = hashlib.blake2b(digest_size=16)
    for value in values:
        digest.update(json.dumps(value).encode() + b"\n")
    return digest.hexdigest()


def _json_line(value: Mapping[str, object]) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def _head(journal: Path) -> bytes:
    """Return the journal's first line; nothing if there is none, or not whole."""
    try:
        with journal.open("rb") as stream:
            line = stream.readline()
    except FileNotFoundError:
        return b""
    return line if line.endswith(b"\n") else b""


def _why_anew(
    head: bytes, made_from: Mapping[str, object], partial: Path, top: bytes
) -> str | None:
    """Return why the partial file cannot be continued: None if it can, empty if it has no rows."""
    if not partial.exists() or (not head and partial.stat().st_size <= len(top)):
        return ""
    try:
        before = json.loads(head)
    except ValueError:
        return "nothing says how its rows were made"
    now = json.loads(_json_line(made_from))
    for key in {**now, **before}:
        if before.get(key) != now.get(key):
            return f"{key} was {_brief(before.get(key))} and is {_brief(now.get(key))}"
    with partial.open("rb") as stream:
        return None if stream.read(len(top)) == top else "its rows are damaged"


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _why_differs(line: Line, found: Sequence[Chunk], *, verify: bool) -> str:
    """Return why a chunk's rows cannot be kept; empty if they can."""
    if not found:
        return "the files after them are gone"
    chunk = found[0]
    if verify and not line.content:
        return "the others were not made with --verify"
    same = line.content == chunk.content if verify else line.stat == chunk.stat
    if same:
        return ""
    first, last = (repr(item.name) for item in (chunk.items[0], chunk.items[-1]))
    return f"between {first} and {last} files are new, gone or changed"


@contextmanager
def _told(out: Path) -> Iterator[None]:
    """Turn an error of the disk into one line."""
    try:
        yield
    except OSError as error:
        raise FacecheckError(
            f"{path_text(out)}: cannot be written ({error.strerror or error}): mend that and run "
            "again, it goes on from the rows that are there"
        ) from None


def _append(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0 :]
