"""A scan's rows as columns: how a page holds them, be they a million.

A row of a million is a dictionary of two kilobytes; as columns of small numbers it takes eighty
bytes here and twenty in a page. What a page gets is compressed, and decoded by assets/rows.js.
"""

from __future__ import annotations

import base64
import re
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

import numpy as np

from facecheck.core.labels import KINDS, Basis, Status, Verdict
from facecheck.scanner.inputs.items import INSIDE
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import PATH, Row, Value

STATUSES = tuple(status.value for status in Status)
# Those first that a reader looks for.
VERDICTS = (Verdict.ARTIFICIAL.value, Verdict.UNCERTAIN.value, Verdict.REAL.value)
VIEWS = ("face", "whole")
BASES = tuple(basis.value for basis in Basis)
#: Why a row asks to be reviewed: what its verdict rests on if not on the pixels, or why it is
#: ``uncertain``; each with how the message of a row says it.
REASONS: Mapping[str, str] = {
    "known": "",
    "provenance": "",
    "unfamiliar": "unlike the images that the model was trained on",
    "between": r"score [\d.]+ (lies between|of one of \d+ faces is below) ",
    "flips": r"(real|artificial) as it is, but not when scaled or re-encoded",
    "like known": "(.*; )?like a file known as ",
}
#: Columns whose values are few; a row has the place of its value, or -1.
FEW: Mapping[str, Sequence[str]] = {
    "status": STATUSES,
    "verdict": VERDICTS,
    "kind": KINDS,
    "basis": BASES,
    "view": VIEWS,
    "reason": tuple(REASONS),
}
#: Texts, of which many rows have the same; a row has the place of its own.
TEXTS = ("message", "provenance", "generator")
#: Numbers that are not whole, which results hold with six decimals; here in millionths.
MILLIONTHS = tuple(name for name, kind in COLUMNS.items() if kind is float)
WHOLE = tuple(name for name, kind in COLUMNS.items() if kind is int)

#: What stands for a number that a row does not have.
_NONE = -(2**31)
_REASONS = {reason: re.compile(said).match for reason, said in REASONS.items() if said}


class GalleryRows(Sequence[Row]):
    """The rows of a scan, kept as columns; as a sequence it gives each row as it was.

    Args:
        rows: the first ones; :meth:`add` takes more.

    Attributes:
        folders: the distinct folders of the rows' names, archives included.
        texts: the distinct texts of each column of :data:`TEXTS`.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.folders: list[str] = []
        self.texts: dict[str, list[str]] = {name: [] for name in TEXTS}
        self._names: list[str] = []
        self._columns = {name: array("b") for name in FEW}
        self._columns |= {name: array("i") for name in ("folder", *TEXTS, *MILLIONTHS, *WHOLE)}
        self._places: dict[str, dict[str, int]] = {name: {} for name in ("folder", *TEXTS)}
        self._codes = {name: {v: at for at, v in enumerate(few)} for name, few in FEW.items()}
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """Append a row, which has every column of a scan."""
        path, columns = str(row[PATH]), self._columns
        at = _inner(path)
        self._names.append(path[at:])
        columns["folder"].append(self._place("folder", path[:at], self.folders))
        for name in TEXTS:
            columns[name].append(self._place(name, str(row[name]), self.texts[name]))
        for name, codes in self._codes.items():
            value = reason_of(row) if name == "reason" else row[name]
            columns[name].append(codes.get(str(value), -1))
        for name in MILLIONTHS:
            columns[name].append(_whole(row[name], 1_000_000))
        for name in WHOLE:
            columns[name].append(_whole(row[name], 1))

    def _place(self, column: str, text: str, distinct: list[str]) -> int:
        place = self._places[column].setdefault(text, len(distinct))
        if place == len(distinct):
            distinct.append(text)
        return place

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> list[Row]: ...
    def __getitem__(self, number: int | slice) -> Row | list[Row]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        return {name: self._value(name, number) for name in COLUMNS}

    def path(self, number: int) -> str:
        """Return what the row ``number`` calls its file."""
        return self.folders[self._columns["folder"][number]] + self._names[number]

    def face(self, number: int) -> tuple[str, str]:
        """Return which face of its file a row is about, and how many of them have rows, as text."""
        folder, name = self._columns["folder"], self._names[number]
        first = last = number
        while first > 0 and (folder[first - 1], self._names[first - 1]) == (folder[number], name):
            first -= 1
        for last in range(number, len(self)):
            if (folder[last], self._names[last]) != (folder[number], name):
                break
        else:
            last = len(self)
        face = self._columns["face"][number]
        return ("", "") if face == _NONE else (str(face), str(last - first))

    def _value(self, name: str, number: int) -> Value:
        if name == PATH:
            return self.path(number)
        value: int = self._columns[name][number]
        if name in TEXTS:
            return self.texts[name][value]
        if name in FEW:
            return FEW[name][value] if value >= 0 else ""
        if value == _NONE:
            return None
        return value / 1_000_000 if name in MILLIONTHS else value

    def scores(self, verdict: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the scores of the rows of a verdict, those that have one, 0 to 1, shape (n,)."""
        scores = np.frombuffer(self._columns["score"], np.int32)
        verdicts = np.frombuffer(self._columns["verdict"], np.int8)
        chosen = (verdicts == VERDICTS.index(verdict)) & (scores != _NONE)
        found: np.ndarray[Any, np.dtype[np.float64]] = scores[chosen] / 1_000_000
        return found

    def packed(self, start: int = 0, stop: int | None = None) -> dict[str, Any]:
        """Return rows as JSON values, which ``addRows`` of assets/rows.js reads."""
        stop = len(self) if stop is None else stop
        names = "\0".join(name.replace("\0", "\ufffd") for name in self._names[start:stop])
        return {
            "first": start,
            "rows": stop - start,
            "order": list(COLUMNS),
            "few": FEW,
            "millionths": MILLIONTHS,
            "folders": self.folders,
            "texts": self.texts,
            "names": _compressed(names.encode()),
            "columns": {
                name: _packed(np.frombuffer(values, values.typecode)[start:stop])
                for name, values in self._columns.items()
            },
        }


def reason_of(row: Row) -> str:
    """Return which of :data:`REASONS` a row has, empty if none."""
    if row["basis"] in {Basis.KNOWN, Basis.PROVENANCE}:
        return str(row["basis"])
    message = str(row["message"])
    return next((reason for reason, said in _REASONS.items() if said(message)), "")


def _inner(name: str) -> int:
    """Return where the last part of a name begins: behind a slash, or within an archive."""
    return max(name.rfind("/") + 1, name.rfind(INSIDE) + len(INSIDE) if INSIDE in name else 0)


def _whole(value: Value, unit: int) -> int:
    if value is None:
        return _NONE
    return max(-(2**31) + 1, min(2**31 - 1, round(float(value) * unit)))


def _packed(values: np.ndarray[Any, Any]) -> dict[str, Any] | None:
    """Return numbers in the fewest bytes that hold them; None where no row has one.

    What stands for none is the least number of so many bytes.
    """
    known = values != _NONE if values.dtype == np.int32 else np.ones(len(values), bool)
    if not known.any():
        return None
    low, high = int(values[known].min()), int(values[known].max())
    kind = next(
        kind
        for kind in (np.int8, np.int16, np.int32)
        if np.iinfo(kind).min < low and high <= np.iinfo(kind).max
    )
    small = np.where(known, values, np.iinfo(kind).min).astype(kind)
    return {"bytes": small.itemsize, "data": _compressed(small.tobytes())}


def _compressed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 1)).decode()
