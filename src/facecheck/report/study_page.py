"""The page of a study: what was asked, how it was made, what came out."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Sequence
from pathlib import Path

import timm
import torch

from facecheck.core.files import path_text, write_text
from facecheck.core.parallel import cpu_count
from facecheck.core.text import percent
from facecheck.core.version import VERSION
from facecheck.evaluation.studies.spec import Study
from facecheck.evaluation.studies.study import StudyResult
from facecheck.evaluation.studies.summary import VariantRow, kinds_of
from facecheck.report.plots import plot_study

_PLOT = "plot.png"


def study_page(spec: Study, result: StudyResult) -> Path:
    """Write ``README.md``, with ``table.md`` and ``plot.png``, to the folder of a study.

    Args:
        spec: what was asked.
        result: what its runs came to.

    Returns:
        the page.
    """
    plot_study(result, result.out / _PLOT)
    write_text(result.out / "table.md", _markdown(result.variants))
    page = result.out / "README.md"
    write_text(page, _readme(spec, result))
    return page


def table_text(rows: Sequence[VariantRow]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and cells of a table for people: one row a variant, shares in %."""
    columns: dict[str, list[str]] = {
        "variant": [row.variant for row in rows],
        "runs": [str(row.runs) for row in rows],
        "top-1": [percent(row.top1, unit="") for row in rows],
    }
    if any(row.deviation is not None for row in rows):
        columns["sd"] = [percent(row.deviation, unit="") for row in rows]
        columns["95 % over seeds"] = [_between(row.interval) for row in rows]
    columns["95 % Wilson, pooled"] = [_between(row.pooled) for row in rows]
    for kind in kinds_of(rows):
        columns[kind] = [percent(row.by_kind.get(kind), unit="") for row in rows]
    for column in rows[0].judge:
        columns[column] = [percent(row.judge[column], unit="") for row in rows]
    columns["seconds"] = [f"{row.seconds:.0f}" for row in rows]
    if any(row.paper is not None for row in rows):
        columns["paper"] = [percent(row.paper, unit="") for row in rows]
    return list(columns), [list(cells) for cells in zip(*columns.values(), strict=True)]


def _between(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def _markdown(rows: Sequence[VariantRow]) -> str:
    headings, cells = table_text(rows)
    rule = ["---", *["---:"] * (len(headings) - 1)]
    lines = [[text.replace("|", "\\|") for text in line] for line in (headings, rule, *cells)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _readme(spec: Study, result: StudyResult) -> str:
    parts = [
        f"# {spec.title}",
        spec.question,
        _markdown(result.variants).rstrip(),
        f"![{spec.title}]({_PLOT})",
        _reading(spec, result.variants),
    ]
    if spec.paper_says:
        parts.append(f"The paper says: {spec.paper_says}")

    command = shlex.join(
        [
            *("facecheck", "study", spec.origin),
            *("--manifest", path_text(result.manifest), "--out", path_text(result.out)),
        ]
    )
    parts += [
        "## How it was made",
        f"```\n{command}\n```",
        _provenance(result.runs[0].manifest_sha256),
    ]
    return "\n\n".join(parts) + "\n"


def _reading(spec: Study, rows: Sequence[VariantRow]) -> str:
    """Return what the columns mean."""
    several = len(spec.seeds) > 1
    sentences = [
        "All figures are in %, but the seconds of a training. `top-1` is the share right on the "
        f"test split, {'a mean over the seeds' if several else 'with seed'} "
        f"{', '.join(map(str, spec.seeds))}."
    ]
    if several:
        sentences.append(
            "`sd` is its standard deviation over the seeds, and `95 % over seeds` the mean's "
            "interval by Student's t: how far other seeds may move it."
        )
    sentences.append(
        "`95 % Wilson, pooled` counts every run's answers: how far other images may move it"
        + ("; too narrow, since the seeds answer for the same images." if several else ".")
    )
    if rows[0].judge:
        sentences.append("A column named by kinds and sources is the top-1 on those images alone.")
    if any(row.paper is not None for row in rows):
        sentences.append("The paper's figures are of other images.")
    return " ".join(sentences)


def _provenance(sha256: str) -> str:
    versions = {
        "facecheck": VERSION,
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
    }
    software = ", ".join(f"{name} {version}" for name, version in versions.items())
    cores = cpu_count()
    machine = f"{platform.machine()} {platform.system()}, {cores} core{'s' * (cores > 1)}"
    return (
        f"On {machine}, with {software}; the manifest's sha256 is `{sha256}`. `study.yaml` holds "
        "the recipes, `results.jsonl` each run's figures, `table.csv` this table to six digits. "
        "The same command trains only the runs that are missing."
    )
