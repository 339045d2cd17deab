"""What was measured of a manifest's files, in a journal that survives a kill.

The journal is a file of JSON lines next to the manifest. A file that has the size and the time of
change that the journal knows is not decoded again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from facecheck.core.isolate import Failed, Isolated
from facecheck.core.journal import Journal
from facecheck.core.parallel import chunked, map_ordered
from facecheck.data.measure import LARGEST, POLICY, Measured, Stamp, measure_each

#: Seconds that a few files may take, before each of them is tried alone; and then each.
TIMEOUT = 60.0

_NUMBERS = frozenset(("bytes", "mtime_ns", "width", "height"))
_SCHEMA = {
    name: pl.Int64 if name in _NUMBERS else pl.String for name in Measured.__dataclass_fields__
}


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


def journal_table(
    journal: Journal[Any], schema: Mapping[str, type[pl.DataType]], filled: Sequence[str]
) -> tuple[pl.DataFrame, int]:
    """Return a journal's entries as a table, and how many bad lines were left out.

    Args:
        journal: of dataclasses, whose fields are the columns.
        schema: the columns' types.
        filled: columns that every good line fills.
    """
    # Polars reads a journal of a million lines in a second, but none that has a bad line.
    with suppress(pl.exceptions.PolarsError):
        frame = pl.read_ndjson(journal.text(), schema=schema)
        if not sum(frame.select(filled).null_count().row(0)):
            return frame, 0
    frame = pl.DataFrame([vars(row) for row in journal.values()], schema=schema)
    return frame, journal.dropped


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
        table, self.dropped = journal_table(self._journal, _SCHEMA, list(_SCHEMA))
        return table.filter(pl.col("policy") == POLICY).unique("path", keep="last")

    def measure(
        self, files: Sequence[Stamp], known: Mapping[str, str], *, workers: int
    ) -> Iterator[None]:
        """Measure files and append what is found, yielding once for each.

        A file whose decoder crashes, or takes longer than :data:`TIMEOUT`, has that for its reason.

        Args:
            files: in any order.
            known: the sha256 by path of files whose bytes decide whether they are decoded.
            workers: decoding processes at most.

        Raises:
            FacecheckError: a process cannot be started, or the journal cannot be written.
        """
        todo = ((file, known.get(file.path, "")) for file in files)
        with Isolated(measure_each, timeout=TIMEOUT) as isolated, self._journal:
            # A process takes as long to start as it takes to measure many files.
            workers = min(workers, 1 + len(files) // 32)
            # A few files a task: handing over each one alone costs a tenth of the time.
            few = max(1, min(16, len(files) // (4 * workers)))
            for found in map_ordered(
                partial(_measured_by, isolated), chunked(todo, few), workers=workers, ahead=8
            ):
                self._journal.append(*(vars(row) for row in found if row is not None))
                yield from (None for _ in found)

    def keep(self, frame: pl.DataFrame) -> None:
        """Replace the journal, atomically, by one with these measurements alone."""
        self._journal.replace(frame.select(list(_SCHEMA)).iter_rows(named=True))


def _measured_by(
    isolated: Isolated[Sequence[tuple[Stamp, str]], list[Measured | None]],
    files: Sequence[tuple[Stamp, str]],
) -> list[Measured | None]:
    """Return what another process measures; if it crashes, each file is tried alone."""
    found = isolated(files)
    if not isinstance(found, Failed):
        return found
    if len(files) == 1:
        return [Measured(**vars(files[0][0]), reason=found.reason)]
    return [row for one in files for row in _measured_by(isolated, [one])]
