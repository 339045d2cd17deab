"""update: finished results brought up to date, reading only the files that are new or changed.

The journal that a scan leaves says of each file which bytes are its rows, and by a digest which
name, size and time of change it had. An update lists the inputs again and writes the rows to
another file: those of unchanged files are copied, byte by byte; what is new or changed is
classified. Then all rows are as a scan from scratch would have put them, and after them come those
of files that are gone.

It is resumed as a scan is, from ``<out>.update`` and its journal; until the end the finished
results and their own journal are as they were.
"""

from __future__ import annotations

import os
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Any, Self

import numpy as np

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import atomic_path, path_text
from facecheck.core.parallel import chunked
from facecheck.scanner.chunking import MOST_ITEMS, Chunk, cut, key_of, stat_of, without_rows
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.options import ResultOptions
from facecheck.scanner.results.item_rows import ItemRows
from facecheck.scanner.results.journal import difference, journal_path, read_journal
from facecheck.scanner.results.rows import CSV, PARQUET, XLSX, Columns, read_rows, write_rows
from facecheck.scanner.results.sink import FileSink, Rows, remove_drafts

#: What no row depends on, so that it may differ.
_INDIFFERENT = ("batch_size", "chunk")
_HALF = 16  # hex digits of a key that are of the name


@dataclass(frozen=True)
class Updated:
    """What an update found.

    Attributes:
        new: files that had no rows.
        changed: files whose size or time of change is another; they were classified again.
        kept: files whose rows are as they were.
        gone: files that had rows and were not found.
        gone_rows: ``kept``, behind the others, or ``dropped``.
    """

    new: int
    changed: int
    kept: int
    gone: int
    gone_rows: str


class Finished:
    """The rows of finished results, file by file. A context manager.

    Memory grows by some 60 bytes for each file.

    Args:
        rows: the file of rows, CSV or JSON lines.
        journal: what says which bytes of it are whose.
        top: what it begins with.

    Attributes:
        new, changed, kept: items that were looked for, by what came of it.

    Raises:
        ValueError: the journal is not of these rows.
    """

    def __init__(self, rows: Path, journal: Path, top: bytes) -> None:
        self.new = self.changed = self.kept = 0
        self._names, self._stamps, self._starts = array("Q"), array("Q"), array("Q", [len(top)])
        self._told = array("Q")
        self._kinds: dict[tuple[tuple[str, ...], ...], int] = {}
        self._read(rows, journal, top)
        self._all_told = list(self._kinds)
        names = np.frombuffer(self._names, np.uint64)
        self._order = np.argsort(names, kind="stable")
        self._sorted = array("Q", names[self._order].tobytes())
        self._seen = bytearray(len(names))
        self._file: FileIO = rows.open("rb", buffering=0)

    def _read(self, rows: Path, journal: Path, top: bytes) -> None:
        lines = read_journal(journal)
        head = lines.head()
        with rows.open("rb") as stream:
            if head is None or stream.read(len(top)) != top:
                raise ValueError("not its beginning")
            for entry in lines.entries(head.end):
                line = entry.value
                if zlib.crc32(stream.read(line.end - stream.tell())) != line.crc:
                    raise ValueError("other rows")
                if not line.items == len(line.files) == len(line.sizes) == len(line.told):
                    raise ValueError("a line without files")
                self._add(line.files, line.sizes, line.told, line.tally)
            if stream.read(1) or lines.dropped or self._starts[-1] != stream.tell():
                raise ValueError("rows behind the last ones")

    def _add(
        self,
        files: Sequence[str],
        sizes: Sequence[int],
        told: Sequence[Sequence[int]],
        tally: Sequence[Sequence[Any]],
    ) -> None:
        values = [tuple(map(str, each[:-1])) for each in tally]
        for key, size, places in zip(files, sizes, told, strict=True):
            self._names.append(int(key[:_HALF], 16))
            self._stamps.append(int(key[_HALF:], 16))
            self._starts.append(self._starts[-1] + size)
            kinds = tuple(values[place] for place in places)
            self._told.append(self._kinds.setdefault(kinds, len(self._kinds)))

    def look_for(self, item: Item) -> bool:
        """Return whether an item has rows that can be kept; count it as new, changed or kept."""
        key = key_of(item)
        first = self._first(key)
        if first is None:
            self.new += 1
            return False
        self._seen[first] = 1
        unchanged = self._place(key) is not None
        self.kept += unchanged
        self.changed += not unchanged
        return unchanged

    def rows_of(self, key: str) -> ItemRows | None:
        """Return the rows of a file that is unchanged; None where it is not."""
        place = self._place(key)
        if place is None:
            return None
        start, end = self._starts[place], self._starts[place + 1]
        text = os.pread(self._file.fileno(), end - start, start)
        return ItemRows(text, self._all_told[self._told[place]])

    def gone(self) -> Iterator[str]:
        """Yield the key of each file that has not been looked for, in the order of the rows."""
        for name, stamp in zip(self._names, self._stamps, strict=True):
            key = f"{name:016x}{stamp:016x}"
            first = self._first(key)
            if first is not None and not self._seen[first]:
                yield key

    def _first(self, key: str) -> int | None:
        """Return where in the sorted names the name of a key first stands."""
        name = int(key[:_HALF], 16)
        at = bisect_left(self._sorted, name)
        return at if at < len(self._sorted) and self._sorted[at] == name else None

    def _place(self, key: str) -> int | None:
        """Return the place of a file of this name, size and time of change."""
        at, name, stamp = self._first(key), int(key[:_HALF], 16), int(key[_HALF:], 16)
        while at is not None and at < len(self._sorted) and self._sorted[at] == name:
            place = int(self._order[at])
            if self._stamps[place] == stamp:
                return place
            at += 1
        return None

    def close(self) -> None:
        """Close the file of rows."""
        self._file.close()


class UpdateSink(FileSink):
    """The rows of finished results that are brought up to date.

    As a :class:`FileSink`, but :meth:`todo` gives the chunks, only with the items that are to be
    classified; :meth:`write` takes the rows of these.

    Raises:
        UsageError: the results were made with another model or other options, or their journal is
            not there.
        FacecheckError: they have been changed since.
    """

    def __init__(
        self, out: Path, columns: Columns, facts: Mapping[str, object], options: ResultOptions
    ) -> None:
        self._drops = options.drop_gone
        self._whole: dict[int, Chunk] = {}
        super().__init__(out, columns, facts, options)

    @property
    def rows_path(self) -> Path:
        """Where the rows are while they come."""
        return _update_path(self.out)

    @property
    def journal_path(self) -> Path:
        """Where the journal is while they come."""
        return journal_path(self.rows_path)

    @property
    def updated(self) -> Updated:
        """What was found, once every chunk was given out."""
        found = self._finished
        gone = sum(1 for _ in found.gone())
        return Updated(
            found.new, found.changed, found.kept, gone, "dropped" if self._drops else "kept"
        )

    def todo(self, items: Iterable[Item], size: int) -> Iterator[Chunk]:
        """Yield the chunks that have no rows yet, each with the items that are to be classified.

        Args:
            items: all there are, in their order.
            size: items to classify in a chunk, 1 or more.
        """
        for chunk in without_rows(self._chunks(items, size), self.journal, verify=False):
            self._whole[chunk.number] = chunk
            yield replace(
                chunk, items=tuple(item for item in chunk.items if self._kept(key_of(item)) is None)
            )

    def write(self, chunk: Chunk, rows: Rows) -> None:
        """Append the rows of a chunk of :meth:`todo`, between those that are kept."""
        whole, new = self._whole.pop(chunk.number), iter(rows)
        self._append(whole, [self._kept(key) or next(new) for key in whole.keys])

    def _kept(self, key: str) -> ItemRows | None:
        return self._finished.rows_of(key)

    def _chunks(self, items: Iterable[Item], size: int) -> Iterator[Chunk]:
        first = 0
        for chunk in cut(items, size, work=lambda item: not self._finished.look_for(item)):
            first = chunk.number + 1
            yield chunk
        gone = () if self._drops else self._finished.gone()
        for number, keys in enumerate(chunked(gone, MOST_ITEMS), first):
            yield Chunk(number, (), stat_of(keys), keys=keys)

    def _refuse_existing(self) -> None:
        if self.format == XLSX:
            raise UsageError(
                f"{path_text(self.out)}: a workbook cannot be updated: scan to .csv and update that"
            )
        own, drafted = journal_path(self.out), self.journal_path
        self._refuse_other(own)
        finished = self._found(own)
        if finished is None and drafted.is_file():
            # A kill may have come between the results' getting their name and their journal's.
            finished = self._found(drafted)
            if finished is not None:
                self._tidy_up()
        if finished is None:
            _before_path(self.out).unlink(missing_ok=True)
            raise FacecheckError(
                f"{path_text(self.out)} cannot be updated: it, or {path_text(own)}, was changed "
                "since the scan: scan again with --overwrite"
            )
        self._finished = finished

    def _refuse_other(self, journal: Path) -> None:
        """Raise :class:`UsageError` where the results are not of this model and these options."""
        head = read_journal(journal).head()
        fix = "scan with the model and options they were made with, or scan again with --overwrite"
        if head is None or not isinstance(head.value, dict):
            raise UsageError(
                f"{path_text(self.out)} cannot be updated: a scan leaves {path_text(journal)} "
                "next to it, which is not there: scan again with --overwrite"
            )
        if head.value.get("arrivals"):
            raise UsageError(f"{path_text(self.out)} is of a watch: scan --watch continues it")
        if why := difference(head.value, self.journal.made_from, _INDIFFERENT):
            raise UsageError(f"{path_text(self.out)} cannot be updated: {why}: {fix}")

    def _found(self, journal: Path) -> Finished | None:
        """Return the finished rows; None where the journal is not of them."""
        try:
            if self.format != PARQUET:
                return Finished(self.out, journal, self._top)
            # Its rows as they were before they became Parquet.
            rows, before = read_rows(self.out, self.columns), _before_path(self.out)
            with atomic_path(before) as made:
                write_rows(made, rows, self.columns, CSV, raw_paths=True)
            return Finished(before, journal, self._top)
        except (ValueError, OverflowError):
            return None

    def _publish(self, more: Mapping[str, object]) -> None:
        _before_path(self.out).unlink(missing_ok=True)  # so that no kill leaves it for good
        super()._publish(more)

    def _tidy_up(self) -> None:
        self.rows_path.unlink(missing_ok=True)
        remove_drafts(self.out)
        self.journal_path.replace(journal_path(self.out))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._finished.close()
        _before_path(self.out).unlink(missing_ok=True)
        super().__exit__(*error)


def _update_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.update")


def _before_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.before")
