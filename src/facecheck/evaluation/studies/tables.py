"""A study's runs as figures of each variant, as tables, and as a page."""

from __future__ import annotations

import math
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import timm
import torch
from scipy.special import stdtrit

import facecheck
from facecheck.core.files import path_text, write_text
from facecheck.core.labels import KINDS
from facecheck.core.manifest import write_table
from facecheck.core.parallel import cpu_count
from facecheck.evaluation.studies.spec import Study, Variant
from facecheck.model.metrics import wilson

if TYPE_CHECKING:
    from facecheck.evaluation.studies.study import Run


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


def table_text(rows: Sequence[VariantRow]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and cells of a table for people: one row a variant, shares in %."""
    columns: dict[str, list[str]] = {
        "variant": [row.variant for row in rows],
        "runs": [str(row.runs) for row in rows],
        "top-1": [_percent(row.top1) for row in rows],
    }
    if any(row.deviation is not None for row in rows):
        columns["sd"] = [_percent(row.deviation) for row in rows]
        columns["95 % over seeds"] = [_between(row.interval) for row in rows]
    columns["95 % Wilson, pooled"] = [_between(row.pooled) for row in rows]
    for kind in _kinds(rows):
        columns[kind] = [_percent(row.by_kind.get(kind)) for row in rows]
    for column in rows[0].judge:
        columns[column] = [_percent(row.judge[column]) for row in rows]
    columns["seconds"] = [f"{row.seconds:.0f}" for row in rows]
    if any(row.paper is not None for row in rows):
        columns["paper"] = [_percent(row.paper) for row in rows]
    return list(columns), [list(cells) for cells in zip(*columns.values(), strict=True)]


def _kinds(rows: Sequence[VariantRow]) -> list[str]:
    return [kind for kind in KINDS if any(kind in row.by_kind for row in rows)]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _between(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def write_tables(rows: Sequence[VariantRow], out: Path) -> None:
    """Write ``table.csv`` (shares 0 to 1, six digits) and ``table.md`` (for people) to ``out``."""
    records = [_record(row, _kinds(rows)) for row in rows]
    write_table(pl.DataFrame(records, infer_schema_length=None), out / "table.csv")
    write_text(out / "table.md", _markdown(rows))


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


def _markdown(rows: Sequence[VariantRow]) -> str:
    headings, cells = table_text(rows)
    rule = ["---", *["---:"] * (len(headings) - 1)]
    lines = [[text.replace("|", "\\|") for text in line] for line in (headings, rule, *cells)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def study_readme(
    spec: Study, rows: Sequence[VariantRow], manifest: Path, sha256: str, out: Path, plot: str
) -> str:
    """Return the page of a study: what was asked, how it was made, what came out."""
    parts = [f"# {spec.title}", spec.question, _markdown(rows).rstrip(), f"![{spec.title}]({plot})"]
    parts.append(_reading(spec, rows))
    if spec.paper_says:
        parts.append(f"The paper says: {spec.paper_says}")

    command = shlex.join(
        [
            "facecheck",
            "study",
            spec.origin,
            "--manifest",
            path_text(manifest),
            "--out",
            path_text(out),
        ]
    )
    parts += ["## How it was made", f"```\n{command}\n```", _provenance(sha256)]
    return "\n\n".join(parts) + "\n"


def _reading(spec: Study, rows: Sequence[VariantRow]) -> str:
    """Return what the columns mean."""
    several = len(spec.seeds) > 1
    told = [
        "All figures are in %, but the seconds of a training. `top-1` is the share right on the "
        f"test split, {'a mean over the seeds' if several else 'with seed'} "
        f"{', '.join(map(str, spec.seeds))}."
    ]
    if several:
        told.append(
            "`sd` is its standard deviation over the seeds, and `95 % over seeds` the mean's "
            "interval by Student's t: how far other seeds may move it."
        )
    told.append(
        "`95 % Wilson, pooled` counts every run's answers: how far other images may move it"
        + ("; too narrow, since the seeds answer for the same images." if several else ".")
    )
    if rows[0].judge:
        told.append("A column named by kinds and sources is the top-1 on those images alone.")
    if any(row.paper is not None for row in rows):
        told.append("The paper's figures are of other images.")
    return " ".join(told)


def _provenance(sha256: str) -> str:
    versions = {
        "facecheck": facecheck.__version__,
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
    }
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    cores = cpu_count()
    machine = f"{platform.machine()} {platform.system()}, {cores} core{'s' * (cores > 1)}"
    return (
        f"On {machine}, with {told}; the manifest's sha256 is `{sha256}`. `study.yaml` holds the "
        "recipes, `results.jsonl` each run's figures, `table.csv` this table to six digits. The "
        "same command goes on with what is missing, and keeps what is done."
    )
