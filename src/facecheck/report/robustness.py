"""What ``benchmark-model`` wrote, read again for a report."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from facecheck.core.errors import UsageError
from facecheck.core.files import path_text
from facecheck.core.labels import Kind
from facecheck.core.manifest import read_table
from facecheck.evaluation.robustness import TABLE
from facecheck.model.metrics import wilson

_NUMBERS = {"images": pl.Int64, **dict.fromkeys(("right", "low", "high", "uncertain"), pl.Float64)}


def read_benchmark(path: Path) -> pl.DataFrame:
    """Return a benchmark's table: every source in every case.

    Args:
        path: the folder that ``benchmark-model --out`` made, or its ``benchmark.csv``.

    Returns:
        columns ``case``, ``kind``, ``source``, ``images``, ``right``, ``low``, ``high`` and
        ``uncertain``.

    Raises:
        UsageError: there is none.
    """
    file = path / TABLE if path.is_dir() else path
    name = path_text(file)
    if not file.is_file():
        raise UsageError(f"no benchmark at {name}: `facecheck benchmark-model --out DIR` makes one")
    try:
        texts = [pl.col(column) for column in ("case", "kind", "source")]
        numbers = [pl.col(column).cast(kind) for column, kind in _NUMBERS.items()]
        return read_table(file).select(*texts, *numbers)
    except pl.exceptions.PolarsError as error:
        reason = (str(error).splitlines() or [""])[0]
        raise UsageError(
            f"{name}: not the table of a benchmark ({reason}): pass the folder that `facecheck "
            "benchmark-model --out` made"
        ) from None


def by_side(table: pl.DataFrame) -> pl.DataFrame:
    """Return how photographs, and all other images, stand each case.

    The same figures as in ``benchmark.json``: each source weighs as many images as it has, and the
    interval is Wilson's.

    Returns:
        columns ``case``, ``side`` (``photo`` or ``artificial``), ``images``, ``right``, ``low`` and
        ``high``.
    """
    side = (
        pl.when(pl.col("kind") == Kind.PHOTO).then(pl.lit("photo")).otherwise(pl.lit("artificial"))
    )
    found = table.group_by("case", side.alias("side"), maintain_order=True).agg(
        pl.col("images").sum(),
        right=(pl.col("right") * pl.col("images")).sum() / pl.col("images").sum(),
    )
    bounds = [wilson(round(right * n), n) for n, right in found.select("images", "right").rows()]
    low, high = (pl.Series([pair[end] for pair in bounds], dtype=pl.Float64) for end in (0, 1))
    return found.with_columns(low=low, high=high)
