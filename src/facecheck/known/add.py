"""known add: put files that people have decided into the table; and show what is in it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from facecheck.core.errors import FacecheckError, UsageError, reason
from facecheck.core.files import atomic_path, named_path, open_regular, path_text, to_path, to_paths
from facecheck.core.lock import only_one
from facecheck.core.parallel import Progress, cpu_count, map_ordered, silent
from facecheck.core.selection import select
from facecheck.core.text import printable
from facecheck.core.tree import Skipped
from facecheck.known.entries import Load, Refused, candidates, entry_of
from facecheck.known.index import index_path
from facecheck.known.lookup import KnownTable, open_known
from facecheck.known.options import KnownAddOptions
from facecheck.known.table import COLUMNS, Entry, Table


@dataclass(frozen=True)
class KnownAddResult:
    """What ``known_add`` did.

    Attributes:
        table: the table.
        added: files that were added.
        replaced: rows that gave way to another verdict, or to one with a kind or note.
        already: files that the table has already, with the same verdict.
        bytes_only: of those added, files of which only the bytes are known: their pixels cannot be
            read, or only their sha256 was given.
        failed: why files were not added, and how many.
        rows: rows in the table now.
        skipped: what was skipped in folders.
    """

    table: Path
    added: int
    replaced: int
    already: int
    bytes_only: int
    failed: Mapping[str, int]
    rows: int
    skipped: Skipped


@dataclass(frozen=True)
class KnownResult:
    """What is in a table of known files.

    Attributes:
        table: the table.
        rows: how many it has.
        verdicts: rows by verdict.
        kinds: rows by kind, of those that have one.
        pictures: rows that are found by their pixels, too.
        thumbnails: rows that near duplicates are compared with.
        sha256: of the table, as a scan's ``.meta.json`` has it.
    """

    table: Path
    rows: int
    verdicts: Mapping[str, int]
    kinds: Mapping[str, int]
    pictures: int
    thumbnails: int
    sha256: str


def known_show(table: Path | str) -> KnownResult:
    """Check a table of known files, row by row, and count what is in it.

    Raises:
        UsageError: there is none.
        FacecheckError: a row is not what it should be, or two decide differently of one file.
    """
    table = to_path(table, "the table")
    known = open_known(table).known
    return KnownResult(
        table=table,
        rows=known.rows,
        verdicts=known.verdicts,
        kinds=known.kinds,
        pictures=known.pictures,
        thumbnails=known.thumbnails,
        sha256=known.sha256,
    )


def _named(_table: Path) -> Load:
    return named_path


def known_add(
    inputs: Path | str | Sequence[Path | str],
    table: Path | str,
    options: KnownAddOptions = KnownAddOptions(),
    *,
    loader_of: Callable[[Path], Load] = _named,
    progress: Progress = silent,
) -> KnownAddResult:
    """Add files to the table of known files, which is made if it is not there.

    The table is replaced at the end, at once: an interrupted run leaves it as it was.

    Args:
        inputs: folders, pictures, and tables (CSV, JSON lines, Parquet) whose rows have ``path`` or
            ``sha256``, and ``verdict`` or ``kind`` unless the options say what is decided of all.
        table: the table, CSV.
        options: what is decided, and how to add it.
        loader_of: returns for a table what reads the files that it names.
        progress: called with files done.

    Raises:
        UsageError: an input is not there, or nothing says what is decided of it; the table has
            another verdict on a file, and ``options.replace`` was not given.
        FacecheckError: a row is not what it should be, or the table cannot be written.
    """
    inputs, table = to_paths(inputs, "inputs"), to_path(table, "the table")
    if table.suffix.lower() != ".csv":
        raise UsageError(f"{path_text(table)}: a table of known files is CSV: end its name in .csv")
    selection = select(options)
    found = candidates(inputs, options, selection, loader_of)
    entries = map_ordered(
        lambda one: (one.name, entry_of(one, thumbnails=options.thumbnails)),
        found,
        workers=options.workers or cpu_count(),
    )
    try:
        with only_one(table, "known add"):
            before = open_known(table) if table.exists() else None
            adding = _Adding(table, before, replace=options.replace)
            with (
                atomic_path(table) as made,
                made.open("w", encoding="utf-8", newline="") as target,
            ):
                rows = adding.write(entries, target, progress)
            index_path(table).unlink(missing_ok=True)
    except OSError as error:
        raise FacecheckError(
            f"{path_text(table)}: cannot be written ({reason(error)}): check the folder"
        ) from None
    return KnownAddResult(
        table=table,
        added=adding.added,
        replaced=adding.replaced,
        already=adding.already,
        bytes_only=adding.bytes_only,
        failed=dict(adding.failed),
        rows=rows,
        skipped=selection.skipped,
    )


@dataclass
class _Adding:
    """New rows on their way to the table, and the old ones behind them."""

    table: Path
    before: KnownTable | None
    replace: bool
    added: int = 0
    replaced: int = 0
    already: int = 0
    bytes_only: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    new: dict[str, Entry] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def write(
        self,
        entries: Iterator[tuple[str, Entry | Refused]],
        target: TextIO,
        progress: Progress,
    ) -> int:
        """Write the new rows, then the old ones that stay; return how many there are."""
        lines = csv.writer(target, lineterminator="\n")
        lines.writerow(COLUMNS)
        for done, (name, entry) in enumerate(entries, 1):
            if isinstance(entry, Refused):
                self.failed[entry.reason] += 1
            elif self._is_new(name, entry):
                lines.writerow(entry)
            progress(done, None)
        kept = 0
        for old in self._old():
            if self.gone.isdisjoint((old.sha256, old.pixel_hash)):
                lines.writerow(old)
                kept += 1
            else:
                self.replaced += 1
        return self.added + kept

    def _is_new(self, name: str, entry: Entry) -> bool:
        for key in filter(None, (entry.sha256, entry.pixel_hash)):
            if (twin := self.new.get(key)) and not twin.agrees(entry):
                raise UsageError(
                    f"{printable(name or entry.sha256)}: given twice, as {twin.verdict} "
                    f"{twin.kind} and as {entry.verdict} {entry.kind}: keep one of them"
                )
        if entry.sha256 in self.new or not self._is_news(name, entry):
            self.already += 1
            return False
        # Without what takes room, since all of them are kept.
        self.new[entry.sha256] = Entry(verdict=entry.verdict, kind=entry.kind)
        if entry.pixel_hash:
            self.new[entry.pixel_hash] = self.new[entry.sha256]
        self.added += 1
        self.bytes_only += not entry.pixel_hash
        return True

    def _is_news(self, name: str, entry: Entry) -> bool:
        """Return whether the table is to have a row; note the old ones that it replaces."""
        old = None if self.before is None else self.before.row_of(entry)
        if old is None:
            return True
        if not old.agrees(entry) and not self.replace:
            raise UsageError(
                f"{printable(name or entry.sha256)}: known as {old.verdict} {old.kind}".rstrip()
                + f", now {entry.verdict} {entry.kind}".rstrip()
                + ": pass --replace if the new verdict is right"
            )
        if not old.agrees(entry):
            self.gone |= {entry.sha256, entry.pixel_hash} - {""}
            return True
        if old.sha256 != entry.sha256:  # other bytes of the same pixels
            return True
        says_more = (entry.kind, entry.note) != (old.kind, old.note) and (
            entry.kind not in {"", old.kind} or entry.note not in {"", old.note}
        )
        if says_more:
            self.gone.add(entry.sha256)
        return says_more

    def _old(self) -> Iterator[Entry]:
        if self.before is None:
            return
        with open_regular(self.table) as stream:
            yield from (row.entry for row in Table(self.table, stream).rows())
