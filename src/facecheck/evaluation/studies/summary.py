"""What the runs of a study come to: the figures of each variant, and the table of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.special import stdtrit

from facecheck.core.labels import KINDS
from facecheck.core.tables import write_table
from facecheck.evaluation.studies.runs import Run
from facecheck.evaluation.studies.spec import Variant
from facecheck.model.metrics import wilson


@dataclass(frozen=True)
class VariantRow:
    """What the runs of one variant come to. Shares are 0 to 1.

    Attributes:
        variant: its name.
        series: the name without the value along the study's axis.
        at: the value along the axis; None without one.
        runs: how many.
        top1: mean test top-1 over the runs.
        deviation: standard deviation of it over the runs (n - 1); None with one run.
        interval: 95 % interval of the mean by Student's t over the runs, cut to [0, 1]; None with
            one run. It tells how far another seed may move the figure, not other images.
        pooled: 95 % Wilson interval of all runs' answers together. It tells how far other images
            may, and is too narrow with several runs, since they answer for the same images.
        by_kind: mean top-1 of each kind.
        judge: mean top-1 of each entry of ``judge``; None where there are no such images.
        seconds: mean time of a training.
        paper: the paper's top-1, or None.
    """

    variant: str
    series: str
    at: float | None
    runs: int
    top1: float
    deviation: float | None
    interval: tuple[float, float] | None
    pooled: tuple[float, float]
    by_kind: Mapping[str, float]
    judge: Mapping[str, float | None]
    seconds: float
    paper: float | None


def summarise_variant(variant: Variant, runs: Sequence[Run], paper: float | None) -> VariantRow:
    """Return what the runs of one variant come to; there is at least one."""
    shares = [run.top1 for run in runs]
    first = runs[0]
    return VariantRow(
        variant=variant.name,
        series=variant.series,
        at=variant.at,
        runs=len(runs),
        top1=float(np.mean(shares)),
        deviation=float(np.std(shares, ddof=1)) if len(runs) > 1 else None,
        interval=student_interval(shares),
        pooled=wilson(sum(run.right for run in runs), sum(run.count for run in runs)),
        by_kind={
            kind: float(np.mean([run.by_kind[kind] for run in runs]))
            for kind in KINDS
            if kind in first.by_kind
        },
        judge={
            column: _mean([share for run in runs if (share := run.judge[column]) is not None])
            for column in first.judge
        },
        seconds=float(np.mean([run.seconds for run in runs])),
        paper=paper,
    )


def student_interval(shares: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean by Student's t, cut to [0, 1]; None for one share.

    Student 1908, "The probable error of a mean": mean +- t * s / sqrt(n), n - 1 degrees of freedom.
    """
    count = len(shares)
    if count < 2:
        return None
    mean = float(np.mean(shares))
    half = float(stdtrit(count - 1, 0.975)) * float(np.std(shares, ddof=1)) / math.sqrt(count)
    return max(0.0, mean - half), min(1.0, mean + half)


def _mean(shares: Sequence[float]) -> float | None:
    return float(np.mean(shares)) if shares else None


def kinds_of(rows: Sequence[VariantRow]) -> list[str]:
    """Return the kinds that any variant has figures of, in their order."""
    return [kind for kind in KINDS if any(kind in row.by_kind for row in rows)]


def write_summary(rows: Sequence[VariantRow], out: Path) -> None:
    """Write ``table.csv`` to ``out``: one row for each variant, shares 0 to 1, six digits."""
    records = [_record(row, kinds_of(rows)) for row in rows]
    write_table(pl.DataFrame(records, infer_schema_length=None), out / "table.csv")


def _record(row: VariantRow, kinds: Sequence[str]) -> dict[str, Any]:
    low, high = row.interval or (None, None)
    return {
        "variant": row.variant,
        "runs": row.runs,
        "top1": row.top1,
        "deviation": row.deviation,
        "seeds_low": low,
        "seeds_high": high,
        "wilson_low": row.pooled[0],
        "wilson_high": row.pooled[1],
        **{f"top1_{kind}": row.by_kind.get(kind) for kind in kinds},
        **{f"top1 {column}": share for column, share in row.judge.items()},
        "seconds": row.seconds,
        "paper": row.paper,
    }
