"""From the rows of an item to what a file of rows takes: lines, and what is counted of them.

It is most of what writing a row costs, so it is done where the rows are made, which may be another
machine; the process that writes the file only puts them in order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from facecheck.scanner.results.journal import Tally
from facecheck.scanner.results.rows import Columns, Row, Value, line_writer

#: The columns whose values are counted.
TALLIED = ("status", "verdict", "kind", "basis")

_VERDICT = TALLIED.index("verdict")


class ItemRows(NamedTuple):
    """The rows of one item, as they are written.

    Attributes:
        text: the lines of those that are to be written.
        told: of every row, the values of :data:`TALLIED`.
    """

    text: bytes
    told: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class RowForm:
    """How the rows of a scan are written. It can be sent to another process.

    Attributes:
        columns: with their types, in order.
        file_format: that of the lines, ``.csv`` or ``.jsonl``.
        raw_paths: as of :func:`~facecheck.scanner.results.rows.line_writer`.
        only: the verdicts of the rows that are written; empty for all.
    """

    columns: Columns
    file_format: str
    raw_paths: bool = False
    only: tuple[str, ...] = ()

    def maker(self) -> Callable[[Sequence[Row]], ItemRows]:
        """Return what makes :class:`ItemRows` of an item's rows.

        It raises ValueError where a row has a column that there is not.
        """
        line = line_writer(self.file_format, self.columns, raw_paths=self.raw_paths)

        def make(rows: Sequence[Row]) -> ItemRows:
            told = [told_of(row) for row in rows]
            lines = [line(row) for row in rows]  # of all, so that a bad one is found
            if self.only:
                pairs = zip(lines, told, strict=True)
                lines = [text for text, values in pairs if self.takes(values)]
            return ItemRows("".join(lines).encode(), told)

        return make

    def takes(self, told: tuple[str, ...]) -> bool:
        """Return whether a row of these values is written."""
        return not self.only or told[_VERDICT] in self.only

    def written(self, one: ItemRows) -> int:
        """Return how many rows of an item are written."""
        return sum(map(self.takes, one.told)) if self.only else len(one.told)


def tallied(rows: Iterable[Mapping[str, Value]]) -> Tally:
    """Count rows by :data:`TALLIED`."""
    return Counter(map(told_of, rows))


def told_of(row: Row) -> tuple[str, ...]:
    """Return a row's values of :data:`TALLIED`."""
    get = row.get
    return _told(get("status"), get("verdict"), get("kind"), get("basis"))


@lru_cache(maxsize=1024)  # of few different ones; and equal ones are sent as one
def _told(*values: Value) -> tuple[str, ...]:
    return tuple("" if value is None else str(value) for value in values)


def counts_of(tally: Tally, name: str) -> dict[str, int]:
    """Return the rows of a tally by one of :data:`TALLIED`, leaving out the empty value."""
    place, sums = TALLIED.index(name), Counter[str]()
    for key, count in tally.items():
        if key[place]:
            sums[key[place]] += count
    return dict(sums)
