"""Results as a table for data analysis: a polars or pandas frame with typed columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from facecheck.core.errors import FacecheckError, UsageError, did_you_mean
from facecheck.core.files import to_path
from facecheck.core.install import extra_hint
from facecheck.scanner.answers import Answer
from facecheck.scanner.results.columns import COLUMNS, VIDEO_COLUMNS, rows_of
from facecheck.scanner.results.rows import (
    PARQUET,
    Columns,
    Row,
    format_of,
    read_columns,
    read_rows,
    tidy,
)

if TYPE_CHECKING:
    import polars as pl

#: The kinds of frame.
Table = Literal["polars", "pandas"]
FileTable = Literal["polars", "pandas", "lazy"]

# Rows that are made to a part of a frame at a time.
_GROUP = 16_384


def to_frame(answers: Iterable[Answer], table: Table = "polars", *, per_face: bool = False) -> Any:
    """Return answers as a frame: the rows that a scan would have written for them.

    Args:
        answers: of a :class:`~facecheck.scanner.checker.Checker`.
        table: ``polars`` for a ``polars.DataFrame``; ``pandas`` for a ``pandas.DataFrame``, whose
            whole numbers are ``Int64``, so that they stay whole where some are missing.
        per_face: a row for each face that was classified, instead of one for each image.

    Returns:
        a frame with the columns of docs/scan-columns.md.

    Raises:
        UsageError: there is no such kind of frame.
        FacecheckError: pandas is asked for, and is not installed.
    """
    _check(table, get_args(Table))
    rows = chain.from_iterable(rows_of(answer, per_face=per_face) for answer in answers)
    return _as(table, _frame((tidy(row, COLUMNS) for row in rows), COLUMNS), COLUMNS)


def read_results(results: Path | str, table: FileTable = "polars") -> Any:
    """Return the results file of a scan as a frame, whose columns have their types.

    Args:
        results: what ``scan`` or ``merge`` wrote.
        table: ``polars``, ``pandas``, as of :func:`to_frame`; or ``lazy`` for a
            ``polars.LazyFrame``, which reads the file in parts when it is collected, for results
            that memory does not hold.

    Raises:
        UsageError: there is no such kind of frame, or the file has another ending.
        FacecheckError: it is not there, or not results of scan; pandas is asked for, and is not
            installed.
    """
    _check(table, get_args(FileTable))
    path = to_path(results, "the results")
    columns = VIDEO_COLUMNS if read_columns(path).keys() == VIDEO_COLUMNS.keys() else COLUMNS
    if table == "lazy":
        return _lazy(path, columns)
    return _as(table, _frame(read_rows(path, columns), columns), columns)


def _check(table: str, known: tuple[str, ...]) -> None:
    """Raise before anything is computed, if no such frame can be made."""
    if table not in known:
        near = did_you_mean(str(table), known) or f": there are {', '.join(known)}"
        raise UsageError(f"no kind of frame is called {table!r}{near}")
    if table == "pandas" and find_spec("pandas") is None:
        raise FacecheckError(extra_hint("a pandas frame", "pandas"))


def _schema(columns: Columns) -> dict[str, Any]:
    import polars as pl

    kinds = {str: pl.String, int: pl.Int64, float: pl.Float64}
    return {name: kinds[kind] for name, kind in columns.items()}


def _parts(rows: Iterable[Row], columns: Columns) -> Iterator[pl.DataFrame]:
    import polars as pl

    iterator, schema = iter(rows), _schema(columns)
    while group := list(islice(iterator, _GROUP)):
        yield pl.DataFrame(group, schema=schema, orient="row")


def _frame(rows: Iterable[Row], columns: Columns) -> pl.DataFrame:
    import polars as pl

    return pl.concat([pl.DataFrame(schema=_schema(columns)), *_parts(rows, columns)])


def _lazy(path: Path, typed: Columns) -> pl.LazyFrame:
    import polars as pl
    from polars.io.plugins import register_io_source

    next(read_rows(path, typed), None)  # what cannot be read is said now
    if format_of(path) == PARQUET:
        return pl.scan_parquet(path)

    def parts(
        columns: list[str] | None, predicate: pl.Expr | None, most: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        for part in _parts(islice(read_rows(path, typed), most), typed):
            chosen = part if predicate is None else part.filter(predicate)
            yield chosen if columns is None else chosen.select(columns)

    return register_io_source(parts, schema=_schema(typed))


def _as(table: str, frame: pl.DataFrame, columns: Columns) -> Any:
    return _pandas(frame, columns) if table == "pandas" else frame


def _pandas(frame: pl.DataFrame, columns: Columns) -> Any:
    import pandas as pd

    kinds = {str: "str", int: "Int64", float: "float64"}
    return pd.DataFrame(
        {
            name: pd.Series(frame[name].to_list(), dtype=kinds[kind])
            for name, kind in columns.items()
        }
    )
