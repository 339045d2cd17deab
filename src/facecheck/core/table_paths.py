"""The paths of a table: absolute in memory; in the file, relative to a folder if they lie in it.

Both ways work on whole columns: a million path objects take longer than reading the table.
"""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from facecheck.core.files import FORMULA_STARTS

#: What :func:`os.path.normpath` would change in an absolute path.
_NOT_NORMAL = r"//|/\.\.?(?:/|$)|/$"


def absolute_paths(paths: pl.Series, base: Path) -> pl.Series:
    """Return a table's paths as absolute and normal ones, as text.

    Args:
        paths: as the table has them.
        base: the absolute folder that relative ones count from.
    """
    top = os.path.join(os.path.normpath(base), "")  # noqa: PTH118
    joined = paths.to_frame("path").select(
        pl.when(pl.col("path").str.starts_with("/"))
        .then(pl.col("path"))
        .otherwise(pl.lit(top) + pl.col("path"))
    )["path"]
    odd = joined.str.contains(_NOT_NORMAL).arg_true()
    if odd.is_empty():
        return joined
    return joined.scatter(odd, [os.path.normpath(text) for text in joined[odd]])


def portable_paths(paths: pl.Expr, table: Path, root: Path | None = None) -> pl.Expr:
    """Return absolute paths as a table has them: relative to its folder if they are inside.

    Args:
        paths: absolute.
        table: where the table will lie.
        root: a manifest's root, which takes the place of the folder.
    """
    top = os.path.join(root or table.absolute().parent, "")  # noqa: PTH118
    short = paths.str.strip_prefix(top)
    # As `safe_cell` writes each.
    safe = pl.when(short.str.slice(0, 1).is_in(FORMULA_STARTS)).then("./" + short).otherwise(short)
    return pl.when(~paths.str.starts_with(top)).then(paths).otherwise(safe)
