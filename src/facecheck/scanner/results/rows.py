"""Scan's rows as CSV, JSON lines and Parquet, written and read in bounded memory.

A value has one text in all formats, and is formatted once: numbers that are not whole are rounded
to six decimals. Text is never missing, only empty; a number may be missing (an empty cell, null).
"""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facecheck.core.csv_files import csv_form, exact_text, safe_text
from facecheck.core.errors import FacecheckError, UsageError, reason
from facecheck.core.files import path_text, safe_cell
from facecheck.core.jsonable import parse_json
from facecheck.core.whatis import mistaken

if TYPE_CHECKING:
    import polars as pl

Value = str | int | float | None
#: One row: values by column. A column that is left out is empty.
Row = Mapping[str, Value]
#: The columns in their order, each with ``str``, ``int`` or ``float``.
Columns = Mapping[str, type]

CSV, JSONL, PARQUET = ".csv", ".jsonl", ".parquet"
FORMATS = (CSV, JSONL, PARQUET)
#: What is written for people alone, by :mod:`~facecheck.scanner.results.sheet`.
XLSX = ".xlsx"
#: The column that names the file.
PATH = "path"

# Rows in a Parquet row group, and in memory while one is made.
_GROUP = 16_384
# The byte order mark.
_MARK = "\ufeff"
# Bytes that are free on a disk that is full: the end of a Parquet file may not fit in them.
_FULL = 65_536
# Ours, since the csv module of Python 3.11 leaves a carriage return unquoted and later ones do not.
_NEEDS_QUOTES = re.compile('[,"\r\n]')


def format_of(path: Path, *, written: bool = False) -> str:
    """Return which of :data:`FORMATS` the ending of ``path`` asks for.

    Args:
        path: the results.
        written: a scan writes them: :data:`XLSX` will do, too.

    Raises:
        UsageError: another.
    """
    suffix = path.suffix.lower()
    if suffix == XLSX and not written:
        raise UsageError(
            f"{path_text(path)}: a workbook is for people, not read by facecheck: scan to "
            f"{', '.join(FORMATS)} and name that"
        )
    if suffix not in {*FORMATS, XLSX}:
        raise UsageError(
            f"{path_text(path)}: results are written as {', '.join((*FORMATS, XLSX))}, or to "
            "stdout as -: give such a name"
        )
    return suffix


def tidy(row: Row, columns: Columns) -> dict[str, Value]:
    """Return the values of ``row`` in the order and types of ``columns``, as every format has them.

    A number that is not finite is missing.

    Raises:
        ValueError: the row holds a column that is not there.
    """
    _refuse_others(row, columns)
    return {name: _tidy(row.get(name), kind) for name, kind in columns.items()}


def _refuse_others(row: Row, columns: Columns) -> None:
    if not row.keys() <= columns.keys():
        raise ValueError(f"no such columns: {', '.join(sorted(row.keys() - columns.keys()))}")


def _tidy(value: Value, kind: type) -> Value:
    if kind is str:
        return _tidy_text(value)
    if value is None or not math.isfinite(value):  # type: ignore[arg-type]
        return None
    # Adding 0.0 takes the sign from a zero.
    return int(value) if kind is int else round(float(value), 6) + 0.0


def _tidy_text(value: Value) -> str:
    text = "" if value is None else str(value)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def header_line(file_format: str, columns: Columns, *, excel: bool = False) -> str:
    """Return what a file of ``.csv`` or ``.jsonl`` starts with.

    With ``excel`` CSV starts with a byte order mark, without which Excel takes UTF-8 for the
    encoding of the computer's language.
    """
    header = ",".join(map(_quoted, columns)) + "\n" if file_format == CSV else ""
    return f"{_MARK}{header}" if excel and header else header


def line_writer(
    file_format: str, columns: Columns, *, raw_paths: bool = False
) -> Callable[[Row], str]:
    """Return what makes a line of ``.csv`` or ``.jsonl`` of a row.

    Its values are as :func:`tidy` makes them, whether it did or not. In CSV every text is made safe
    for spreadsheets (:func:`~facecheck.core.csv_files.safe_text`); the path in a way of its own
    (:func:`~facecheck.core.files.safe_cell`), and not with ``raw_paths``. JSON and Parquet hold
    exact text: no spreadsheet runs what it finds there.
    """
    if file_format == JSONL:
        return lambda row: json.dumps(tidy(row, columns), ensure_ascii=False) + "\n"
    texts = {str: _text, int: _whole, float: _decimal}
    cells: dict[str, Callable[[Any], str]]
    cells = {name: texts[kind] for name, kind in columns.items()}
    if PATH in cells:
        cells[PATH] = _raw_path if raw_paths else _path

    def line(row: Row) -> str:
        _refuse_others(row, columns)
        value_of = row.get
        return ",".join([cell(value_of(name)) for name, cell in cells.items()]) + "\n"

    return line


def _text(value: Value) -> str:
    return "" if value is None else _text_cell(str(value))


@lru_cache(maxsize=1024)  # most are one of a few words
def _text_cell(text: str) -> str:
    return _quoted(safe_text(_tidy_text(text)))


def _path(value: Value) -> str:
    return _quoted(safe_cell(_tidy_text(value)))


def _raw_path(value: Value) -> str:
    return _quoted(_tidy_text(value))


def _whole(value: Any) -> str:
    return "" if value is None or not math.isfinite(value) else str(int(value))


def _decimal(value: Any) -> str:
    if value is None or not math.isfinite(value):
        return ""
    text = f"{value:.6f}"
    return text if text != "-0.000000" else "0.000000"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def read_rows(path: Path, columns: Columns, file_format: str | None = None) -> Iterator[Row]:
    """Yield the rows of a results file, typed as ``columns`` says.

    Args:
        path: the file.
        columns: the columns it must have, in this order.
        file_format: one of :data:`FORMATS`; None goes by the ending of ``path``.

    Raises:
        FacecheckError: it is not there, or not a file of these columns.
    """
    reader = {CSV: _read_csv, JSONL: _read_jsonl, PARQUET: _read_parquet}
    try:
        for row in reader[file_format or format_of(path)](path, columns):
            yield _finite(row)
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise FacecheckError(
            f"{path_text(path)}: not results of scan ({reason(error)}): scan again"
        ) from None
    except OSError as error:
        raise FacecheckError(
            f"{path_text(path)}: cannot be read ({reason(error)}): check the path"
        ) from None


def _finite(row: Row) -> Row:
    """Return a row whose numbers are numbers: no scan writes ``nan`` or ``inf``."""
    for name, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
    return row


def read_columns(path: Path) -> Columns:
    """Return the columns of a results file; of CSV and JSON lines, which name no types, as text.

    Raises:
        UsageError: it is a folder, or a file of another kind.
        FacecheckError: it is not there, or cannot be read.
    """
    if path.exists() and (path.is_dir() or path.suffix.lower() not in FORMATS):
        wanted = f"name a file that ends in {', '.join(FORMATS)}"
        raise UsageError(mistaken(path, "a table of scan results", wanted))
    file_format = format_of(path)
    try:
        if file_format == PARQUET:
            return _parquet_columns(path)
        form = csv_form(path)
        with path.open(encoding=form.encoding, newline="") as stream:
            if file_format == CSV:
                return dict.fromkeys(next(csv.reader(stream, delimiter=form.separator), ()), str)
            return dict.fromkeys(parse_json(stream.readline() or "{}"), str)
    except (OSError, ValueError, csv.Error) as error:
        raise FacecheckError(
            f"{path_text(path)}: cannot be read ({reason(error)}): check the path"
        ) from None


def _read_csv(path: Path, columns: Columns) -> Iterator[Row]:
    form = csv_form(path)
    with path.open(encoding=form.encoding, newline="") as stream:
        lines = csv.reader(stream, strict=True, delimiter=form.separator)
        _check_columns(next(lines, []), columns)
        for cells in lines:
            row: dict[str, Value] = {}
            for (name, kind), text in zip(columns.items(), cells, strict=True):
                if kind is str:
                    row[name] = text if name == PATH else exact_text(text)
                else:
                    row[name] = kind(form.number(text)) if text else None
            yield row


def _read_jsonl(path: Path, columns: Columns) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="\n") as stream:
        for line in stream:
            row = parse_json(line)
            _check_columns(list(row), columns)
            yield tidy(_finite(row), columns)


def _check_columns(found: list[str], columns: Columns) -> None:
    if found != list(columns):
        raise ValueError(f"its columns are {', '.join(found)}, not {', '.join(columns)}")


def _read_parquet(path: Path, columns: Columns) -> Iterator[Row]:
    import polars as pl

    try:
        table = pl.scan_parquet(path)
        _check_columns(table.collect_schema().names(), columns)
        height: int = table.select(pl.len()).collect().item()
        for start in range(0, height, _GROUP):
            yield from table.slice(start, _GROUP).collect().iter_rows(named=True)
    except pl.exceptions.PolarsError as error:
        raise ValueError(reason(error)) from None


def _parquet_columns(path: Path) -> Columns:
    import polars as pl

    kinds: dict[Any, type] = {pl.String: str, pl.Int64: int, pl.Float64: float}
    try:
        schema = pl.scan_parquet(path).collect_schema()
    except pl.exceptions.PolarsError as error:
        raise ValueError(reason(error)) from None
    return {name: kinds.get(kind, str) for name, kind in schema.items()}


def write_rows(
    path: Path,
    rows: Iterable[Row],
    columns: Columns,
    file_format: str,
    *,
    raw_paths: bool = False,
    excel: bool = False,
) -> int:
    """Write rows by :func:`tidy` to ``path``, in bounded memory; return how many.

    Not atomic: hand in a temporary name.

    Raises:
        OSError: the file cannot be written.
    """
    counted = _Counted(rows)
    if file_format == PARQUET:
        _write_parquet(path, counted, columns)
    else:
        line = line_writer(file_format, columns, raw_paths=raw_paths)
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(header_line(file_format, columns, excel=excel))
            stream.writelines(map(line, counted))
    return counted.count


class _Counted:
    """An iterable that knows how many rows have gone by, and what error ended them."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self.count = 0
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Row]:
        try:
            for row in self._rows:
                self.count += 1
                yield row
        except Exception as error:
            self.error = error
            raise


def _write_parquet(path: Path, rows: _Counted, columns: Columns) -> None:
    """Stream rows to a Parquet file whose bytes depend on the rows alone."""
    import polars as pl
    from polars.io.plugins import register_io_source

    kinds = {str: pl.String, int: pl.Int64, float: pl.Float64}
    schema = {name: kinds[kind] for name, kind in columns.items()}
    iterator = iter(rows)

    def frames(*_: object) -> Iterator[pl.DataFrame]:
        while group := list(islice(iterator, _GROUP)):
            yield pl.DataFrame(group, schema=schema)

    try:
        source = register_io_source(frames, schema=schema)
        source.sink_parquet(path, row_group_size=_GROUP, maintain_order=True)
    except pl.exceptions.PolarsError as error:
        if rows.error is not None:  # of the rows, wrapped by polars
            raise rows.error from None
        if shutil.disk_usage(path.parent).free < _FULL:  # which polars may call broken Thrift
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        raise OSError(reason(error)) from None
