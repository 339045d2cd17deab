"""Where a scan's rows end: a file that grows as they come and ends in the same bytes, or stdout.

Sinks share two methods, ``write`` and ``finish``: :class:`FileSink` for results in the order of
their items, :class:`ArrivalSink` for those of a watch, :class:`StreamSink` for stdout, and
:class:`~facecheck.scanner.results.update.UpdateSink` for finished results that are updated.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Self

from facecheck.core.errors import FacecheckError, UsageError, reason
from facecheck.core.files import path_text, refuse_to_overwrite, sha256_file, write_json
from facecheck.core.jsonable import parse_json
from facecheck.core.lock import only_one
from facecheck.scanner.chunking import Chunk
from facecheck.scanner.options import ResultOptions
from facecheck.scanner.results.item_rows import ItemRows, RowForm
from facecheck.scanner.results.journal import Line, RowJournal, Tally, journal_path, writing
from facecheck.scanner.results.rows import (
    CSV,
    PARQUET,
    XLSX,
    Columns,
    Row,
    format_of,
    header_line,
    read_rows,
    write_rows,
)
from facecheck.scanner.results.sheet import Pictures, need_excel, write_workbook

#: The key of ``.meta.json`` that says where files are placed after the scan, and whether all are.
PLACING = "placing"

#: The rows of each item of a chunk.
Rows = Sequence[ItemRows]


class FileSink:
    """The rows of one scan on their way to one file.

    A context manager: :meth:`write` the rows of the chunks that
    :func:`~facecheck.scanner.chunking.without_rows` leaves, in their order, then :meth:`finish`.
    Until then they are in ``<out>.partial``. The journal stays next to ``out``, for ``merge`` and
    updates. A second sink of the same ``out`` is refused while it is open.

    Args:
        out: the results: ``.csv``, ``.jsonl``, ``.parquet`` or ``.xlsx``.
        columns: their columns and types, in order.
        facts: what the rows are made from: version, checkpoint, options; JSON values. With others
            the rows that are there are of no use, and the scan starts from scratch.
        options: which rows to write, and how.
        shard: (i, n) where the items are the i-th of n parts.
        pictures: makes the thumbnails of a workbook; None: it has none.

    Attributes:
        journal: the rows that count so far.
        form: what makes the rows that :meth:`write` takes.

    Raises:
        UsageError: ``out`` exists, or has another ending.
        FacecheckError: it cannot be written, or another process writes it.
    """

    def __init__(
        self,
        out: Path,
        columns: Columns,
        facts: Mapping[str, object],
        options: ResultOptions = ResultOptions(),
        *,
        shard: tuple[int, int] | None = None,
        pictures: Pictures | None = None,
    ) -> None:
        self.out, self.format = out, format_of(out, written=True)
        if self.format == XLSX:
            need_excel()
        if options.excel and self.format != CSV:
            raise UsageError(f"--excel is for CSV, not for {path_text(out)}: end its name in .csv")
        self.columns = dict(columns)
        self._options, self._shard = options, shard
        self._pictures = pictures
        lines = CSV if self._is_made_at_the_end else self.format
        raw_paths = options.raw_paths or self._is_made_at_the_end
        self.form = RowForm(self.columns, lines, raw_paths, tuple(options.only))
        mark = options.excel and not self._is_made_at_the_end
        self._top = header_line(lines, columns, excel=mark).encode()
        made_from = self._made_from(facts)
        self.journal = RowJournal(out, self.journal_path, self.rows_path, self._top, made_from)
        with writing(out), ExitStack() as opened:
            opened.enter_context(only_one(out, "scan"))
            self._refuse_existing()
            self._begin()
            opened.enter_context(self.journal)
            self._open = opened.pop_all()

    @property
    def _is_made_at_the_end(self) -> bool:
        """Whether the file cannot grow: until the end its rows are CSV, with exact names."""
        return self.format in {PARQUET, XLSX}

    @property
    def rows_path(self) -> Path:
        """Where the rows are while they come."""
        return _partial_path(self.out)

    @property
    def journal_path(self) -> Path:
        """Where the journal is while they come."""
        return journal_path(self.out)

    @property
    def items(self) -> int:
        """Items whose rows are there."""
        return self.journal.items

    @property
    def resumed(self) -> int:
        """Items whose rows were already there."""
        return self.journal.resumed

    @property
    def dropped(self) -> str:
        """Why rows that were there are dropped, in a phrase; empty if none are."""
        return self.journal.dropped

    @property
    def rows(self) -> int:
        """Rows in the file."""
        return self.journal.rows

    @property
    def tally(self) -> Tally:
        """Rows by :data:`~facecheck.scanner.results.item_rows.TALLIED`, unwritten ones included."""
        return self.journal.tally

    def write(self, chunk: Chunk, rows: Rows) -> None:
        """Append a chunk's rows and hand them to the operating system, so that a kill keeps them.

        Args:
            chunk: the next one without rows.
            rows: for each of its items, in order, the rows of that item, as :attr:`form` makes
                them.

        Raises:
            FacecheckError: the disk is full, or does not take them.
            ValueError: it is another chunk's turn, or an item is without its rows.
        """
        if chunk.number != self.journal.chunks or len(rows) != len(chunk.items):
            raise ValueError(f"not the rows of the items of chunk {self.journal.chunks}")
        self._append(chunk, rows)

    def _append(self, chunk: Chunk, made: Rows) -> None:
        """Append the rows of all items of a chunk."""
        tally = Counter(chain.from_iterable(one.told for one in made))
        places = {values: place for place, values in enumerate(tally)}
        counts = list(map(self.form.written, made))
        line = Line(
            items=len(made),
            rows=sum(counts),
            end=0,
            crc=0,
            stat=chunk.stat,
            content=chunk.content,
            tally=[[*values, count] for values, count in tally.items()],
            files=list(chunk.keys),
            sizes=[len(one.text) for one in made],
            told=[[places[values] for values in one.told] for one in made],
        )
        if self._shard is not None:
            where = [item.place for item in chunk.items]
            line = replace(line, counts=counts, places=where)
        self.journal.append(b"".join(one.text for one in made), line)

    def finish(self, more: Mapping[str, object] = {}) -> None:
        """Put the rows under their final name, with ``<out>.meta.json`` next to them.

        Args:
            more: what that file is to hold as well.

        Raises:
            FacecheckError: they cannot be written; those that are there are kept.
            ValueError: there are chunks that have no rows yet.
        """
        if not self.journal.complete:
            raise ValueError("there are items without rows")
        with writing(self.out):
            self.journal.sync_and_close()
            self._publish(more)

    def _publish(self, more: Mapping[str, object]) -> None:
        made = self._as_whole() if self._is_made_at_the_end else self.rows_path
        counts = {"items": self.items, "rows": self.rows}
        counted = [[*values, count] for values, count in sorted(self.tally.items())]
        facts = {**self.journal.made_from, **counts, "tally": counted, **more}
        write_meta(self.out, made, facts)
        made.replace(self.out)
        self._tidy_up()

    def _tidy_up(self) -> None:
        """Remove what the results were made from."""
        remove_drafts(self.out)

    def _made_from(self, facts: Mapping[str, object]) -> dict[str, object]:
        return {
            "format": self.format,
            "columns": {name: kind.__name__ for name, kind in self.columns.items()},
            "only": sorted(self._options.only),
            "raw_paths": self._options.raw_paths,
            "excel": self._options.excel,
            "shard": None if self._shard is None else list(self._shard),
            **facts,
        }

    def _refuse_existing(self) -> None:
        if not self._options.overwrite and is_published(self.out):
            # A kill may have come between the results' getting their name and these losing theirs.
            remove_drafts(self.out)
        refuse_to_overwrite(
            self.out,
            overwrite=self._options.overwrite,
            or_else="--update to add new and changed files to it" if self.format != XLSX else "",
        )

    def _begin(self) -> None:
        """Find out whether the rows that are there can be continued; if not, restart."""
        why = self.journal.why_not_resumed()
        if why is not None:
            self.journal.dropped = why
            self.journal.restart()

    def _final_rows(self) -> Iterable[Row]:
        """Return the rows as they are to be in the end."""
        return read_rows(self.rows_path, self.columns, CSV)

    def _as_whole(self) -> Path:
        """Write the rows in the format that they are to have in the end."""
        made = self.out.with_name(f"{self.out.name}.making")
        rows, raw_paths = self._final_rows(), self._options.raw_paths
        if self.format == XLSX:
            first = islice(self._final_rows(), self._options.thumbnails)
            pictures = self._pictures(first) if self._pictures else ()
            folder = self.out.parent
            write_workbook(made, rows, self.columns, pictures, folder=folder, raw_paths=raw_paths)
        else:
            mark = self._options.excel
            write_rows(made, rows, self.columns, self.format, raw_paths=raw_paths, excel=mark)
        with made.open("rb+") as written:
            os.fsync(written.fileno())
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


class ArrivalSink(FileSink):
    """The rows of files as they arrive in watched folders, in no order that comes again.

    They are appended to ``out`` itself. Opening it again continues behind them; with
    :func:`~facecheck.scanner.chunking.not_seen_before` an item that has a row is skipped. The
    journal stays next to ``out``.

    Raises:
        UsageError: ``out`` cannot be continued, or is Parquet, which cannot grow.
    """

    @property
    def rows_path(self) -> Path:
        """Where the rows are while they come."""
        return self.out

    def _made_from(self, facts: Mapping[str, object]) -> dict[str, object]:
        return {**super()._made_from(facts), "arrivals": True}

    def _refuse_existing(self) -> None:
        if self.format in {PARQUET, XLSX}:
            kind = "Parquet" if self.format == PARQUET else "a workbook"
            raise UsageError(f"{path_text(self.out)}: {kind} cannot grow: name a .csv or .jsonl")

    def _begin(self) -> None:
        why = self.journal.why_not_resumed()
        if why and not self._options.overwrite:
            raise UsageError(
                f"{path_text(self.out)} cannot be continued ({why}): name another output, or pass "
                "--overwrite to start from scratch"
            )
        if why is not None or self._options.overwrite:
            self.journal.dropped = why or ""
            self.journal.restart()

    def _publish(self, more: Mapping[str, object]) -> None:
        pass


class StreamSink:
    """CSV rows to a stream that nobody can read again: ``--out -``.

    Nothing is resumed. When the reader goes away, as ``head`` does, further rows are dropped.

    Args:
        stream: stdout, binary.
        columns: as of :class:`FileSink`.
        options: likewise.

    Attributes:
        closed: whether the reader went away.
        resumed: 0.
        dropped: empty.
        items: items whose rows were written, or are not to be.
        rows: rows that were written.
        tally: as of :class:`FileSink`.
        form: likewise.
    """

    def __init__(
        self, stream: BinaryIO, columns: Columns, options: ResultOptions = ResultOptions()
    ) -> None:
        self.items = self.rows = self.resumed = 0
        self.dropped, self.closed = "", False
        self.tally: Tally = Counter()
        self.columns = dict(columns)
        self._stream = stream
        self.form = RowForm(self.columns, CSV, options.raw_paths, tuple(options.only))
        self._send(header_line(CSV, columns, excel=options.excel).encode())

    def write(self, chunk: Chunk, rows: Rows) -> None:
        """Write a chunk's rows, those of each of its items as :attr:`form` makes them."""
        if len(rows) != len(chunk.items):
            raise ValueError(f"not the rows of the items of chunk {chunk.number}")
        self.items += len(rows)
        self.tally.update(chain.from_iterable(one.told for one in rows))
        self.rows += sum(map(self.form.written, rows))
        self._send(b"".join(one.text for one in rows))

    def _send(self, text: bytes) -> None:
        if self.closed:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            self.closed = True
            # What the stream still holds would fail again, aloud, when Python ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        except OSError as error:
            raise FacecheckError(
                f"the rows cannot be written to stdout ({reason(error)}): check where it leads"
            ) from None

    def finish(self, more: Mapping[str, object] = {}) -> None:
        """Do nothing: all rows are out."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def meta_path(out: Path) -> Path:
    """Return where it is written what the results at ``out`` were made from."""
    return out.with_name(f"{out.name}.meta.json")


def write_meta(out: Path, made: Path, facts: Mapping[str, object]) -> None:
    """Write what is known of the results ``made``, soon at ``out``, to its ``.meta.json``."""
    size, digest = made.stat().st_size, sha256_file(made)
    write_json(meta_path(out), {"command": "scan", **facts, "bytes": size, "sha256": digest})


def read_meta(out: Path) -> dict[str, Any]:
    """Return what the ``.meta.json`` of results says, empty where there is none."""
    try:
        meta = parse_json(meta_path(out).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return meta if isinstance(meta, dict) else {}


def is_published(out: Path) -> bool:
    """Return whether the results at ``out`` are whole and as their ``.meta.json`` says."""
    return out.is_file() and read_meta(out).get("sha256") == sha256_file(out)


def is_begun(out: Path) -> bool:
    """Return whether an interrupted scan has left rows on their way to ``out``."""
    return _partial_path(out).exists()


def remove_drafts(out: Path) -> None:
    """Remove what finished results were made from, but for their journal."""
    _partial_path(out).unlink(missing_ok=True)


def _partial_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")
