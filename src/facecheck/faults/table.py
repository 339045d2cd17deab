"""The table of faults: one row for each record and reason."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from facecheck.core.table_paths import portable_paths

#: The columns of the table, in order.
SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "path": pl.String, "kind": pl.String, "source": pl.String, "reason": pl.String,
    "score": pl.Float64, "value": pl.Float64, "unit": pl.String, "suggested": pl.String,
    "neighbours": pl.List(pl.String), "excluded": pl.String, "sha256": pl.String,
}  # fmt: skip


def table_rows(rows: pl.DataFrame, reason: str, unit: str) -> pl.DataFrame:
    """Return rows with all columns of the table."""
    known = rows.with_columns(reason=pl.lit(reason), unit=pl.lit(unit))
    return known.select(
        (pl.col(name) if name in known.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in SCHEMA.items()
    )


def ordered(parts: Sequence[pl.DataFrame], reasons: Sequence[str]) -> pl.DataFrame:
    """Return all rows: reason by reason, the worst first."""
    rows = pl.concat([pl.DataFrame(schema=SCHEMA), *parts])
    place = {reason: number for number, reason in enumerate(reasons)}
    return rows.sort(
        pl.col("reason").replace_strict(place, return_dtype=pl.Int64), -pl.col("score"), "path"
    )


def as_written(rows: pl.DataFrame, table: Path) -> pl.DataFrame:
    """Return the rows as the table has them: paths as in a manifest, neighbours as JSON."""
    near = rows["neighbours"].list.eval(portable_paths(pl.element(), table)).to_list()
    written = [json.dumps(paths) if paths else "" for paths in near]
    return rows.with_columns(
        portable_paths(pl.col("path"), table),
        pl.Series("neighbours", written, pl.String),
        pl.col("suggested", "excluded").fill_null(""),
    )
