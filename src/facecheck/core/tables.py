"""Tables of any kind, as CSV that other programs read and write, or as Parquet."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from facecheck.core.csv_files import FORMULA, NUMBER, csv_form
from facecheck.core.errors import FacecheckError, ManifestError, UsageError, reason
from facecheck.core.files import atomic_path, path_text
from facecheck.core.whatis import mistaken
from facecheck.core.workspace import require_manifest


def read_table(path: Path) -> pl.DataFrame:
    """Read any table, ``.csv`` (all text) or ``.parquet``, by the suffix of ``path``.

    CSV may be as a spreadsheet saves it, see :func:`~facecheck.core.csv_files.csv_form`.

    Raises:
        UsageError: it is not there, or the suffix is neither.
        ManifestError: it cannot be read.
    """
    require_manifest(path, "check the path")
    if path.suffix.lower() not in {".csv", ".parquet"}:
        raise UsageError(mistaken(path, "a table", "name one that ends in .csv or .parquet"))
    return read_csv(path) if path.suffix.lower() == ".csv" else read_parquet(path)


def read_csv(path: Path) -> pl.DataFrame:
    """Read CSV, whatever the file is called; every column is text.

    Raises:
        ManifestError: it cannot be read.
    """
    with _readable(path):
        form = csv_form(path)
        wide = form.encoding != "utf-8-sig"  # which Polars does not read
        source = path.read_bytes().decode(form.encoding).encode() if wide else path
        table = pl.read_csv(
            source, separator=form.separator, skip_rows=form.skip, infer_schema=False
        )
        marked = [column.name for column in table if column.str.starts_with("'").any()]
        return table.with_columns(pl.col(marked).str.replace(f"^'({FORMULA})", "$1"))


def read_parquet(path: Path) -> pl.DataFrame:
    """Read Parquet, whatever the file is called.

    Raises:
        ManifestError: it cannot be read.
    """
    with _readable(path):
        return pl.read_parquet(path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what may be wrong with a table into one line."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError, UnicodeError, FacecheckError) as error:
        why = reason(error)
        if "invalid utf-8" in why:
            why = "its text is not UTF-8: save it as UTF-8 (in Excel: CSV UTF-8)"
        raise ManifestError(f"{path_text(path)}: not a readable table: {why}") from None


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write any table atomically as ``.csv`` or ``.parquet``, by the suffix of ``path``.

    In CSV numbers have six decimals, but for columns with numbers that these would move by more
    than a hundredth, such as a learning rate of 1e-7: those are written in full.

    Raises:
        UsageError: the suffix is neither.
    """
    check_table_suffix(path)
    with atomic_path(path) as temporary:
        write_frame(frame, temporary)


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Write a table to ``path`` itself, not atomically; as :func:`write_table` otherwise."""
    try:
        if path.suffix.lower() == ".csv":
            small = [column.name for column in frame if _needs_all_digits(column)]
            frame = frame.with_columns(pl.col(small).cast(pl.String))
            frame = frame.with_columns(
                _escaped(column) for column in frame if column.dtype == pl.String
            )
            frame.write_csv(path, float_precision=6, float_scientific=False)
        else:
            frame.write_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        # Polars gives the system's number in words alone.
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(path)) from None


def _escaped(column: pl.Series) -> pl.Series:
    """Return what :func:`~facecheck.core.csv_files.safe_text` makes of each text."""
    is_formula = column.str.contains(f"^{FORMULA}")
    if not is_formula.any():  # true of nearly every column, and much the quicker to find out
        return column
    is_formula &= ~column.str.contains(f"^{NUMBER}$")
    return pl.select(
        pl.when(is_formula).then("'" + column).otherwise(column).alias(column.name)
    ).to_series()


def _needs_all_digits(column: pl.Series) -> bool:
    if not column.dtype.is_float():
        return False
    numbers = column.filter(column.is_finite())
    return bool(((numbers.round(6) - numbers).abs() > numbers.abs() / 100).any())


def check_table_suffix(path: Path) -> None:
    """Raise :class:`UsageError` unless ``path`` ends in ``.csv`` or ``.parquet``."""
    if path.suffix.lower() not in {".csv", ".parquet"}:
        raise UsageError(f"{path_text(path)}: a table's name must end in .csv or .parquet")
