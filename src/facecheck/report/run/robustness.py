"""The section on robustness: what ``benchmark-model`` wrote, read again and drawn."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import polars as pl

from facecheck.core.errors import UsageError, reason
from facecheck.core.files import path_text
from facecheck.core.labels import Kind
from facecheck.core.tables import read_table
from facecheck.evaluation.robustness import TABLE
from facecheck.model.metrics import wilson
from facecheck.report.run import figures
from facecheck.report.run.context import Plot, ReportContext, Section, join_sections, plotted

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
        raise UsageError(
            f"{name}: not the table of a benchmark ({reason(error)}): pass the folder that "
            "`facecheck benchmark-model --out` made"
        ) from None


def by_class(table: pl.DataFrame) -> pl.DataFrame:
    """Return how many photographs, and how many artificial images, are right in each case.

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


def robustness_section(context: ReportContext, table: pl.DataFrame | None) -> Section:
    """Draw what a benchmark found, if there is one."""
    if table is None:
        return Section(
            left_out=(
                "There is no benchmark: `facecheck benchmark-model --out DIR` makes one, and "
                "--benchmark DIR shows it.",
            )
        )
    sides = by_class(table)
    cases = sides["case"].n_unique()
    changes = Plot(
        "robustness",
        "Share of photographs and of artificial faces right after each change.",
        "How many photographs and artificial faces are still right when images are re-encoded, "
        "scaled, blurred or uploaded again, and when they are shrunk to a short side of so many "
        "pixels.",
        "robustness.csv",
    )
    sources = table.select("kind", "source").unique().height
    lines = Plot(
        "robustness_lines",
        "Each source from clean over web to hard.",
        "Clean: the files as they are. Web: JPEG 95, 75 and 60, WebP 60, scaled by 0.5 and 2, "
        "uploaded again. Hard: JPEG 40, scaled by 0.25, blurred. Colours are kinds.",
        "robustness_sources.csv",
    )
    return join_sections(
        plotted(
            context,
            changes,
            partial(figures.draw_changes, sides=sides),
            (10, 1.6 + 0.2 * cases),
            sides,
        ),
        plotted(
            context,
            lines,
            partial(figures.draw_lines, by_source=table),
            (10, max(4.2, 1 + 0.28 * sources)),
            table,
        ),
    )
