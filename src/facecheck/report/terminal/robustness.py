"""Results of benchmark-model and leave-one-out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from facecheck.core.text import percent
from facecheck.report.terminal.tables import (
    count_table,
    interval_text,
    make_table,
    tally_errors,
    text_line,
)

if TYPE_CHECKING:
    from facecheck.evaluation.leave_one_out import LeaveOneOutResult
    from facecheck.evaluation.leave_out import LeaveOutResult
    from facecheck.evaluation.robustness import BenchmarkResult, Case, Share


def render_benchmark(result: BenchmarkResult) -> RenderableType:
    """Render every change, the benchmark's lines by source, the format test and the sizes."""
    parts: list[RenderableType] = [
        text_line(f"{result.checkpoint} on split {result.split} of {result.manifest}", "bold"),
        _change_table(result),
        text_line(
            f"clean to hard: {100 * result.clean_to_hard:.1f} points lost; a score from "
            f"{result.threshold:.3f} counts as artificial"
        ),
        _source_table(result),
    ]
    if result.format_test:
        heading = "Artificial faces stored exactly as the real photos are"
        parts += [text_line(heading, "bold"), _format_table(result)]
    if result.errors:
        parts.append(count_table("reason", tally_errors(result.errors)))
    where = f"; written to {result.folder}" if result.folder else ""
    parts.append(text_line(f"{result.images:,} images{where}"))
    return Group(*parts)


def render_leave_out(result: LeaveOutResult) -> RenderableType:
    """Render each source by the scores of a model that never saw it."""
    table = make_table("kind", "source", "images", "AUC", "found", "false alarms", "95 % interval")
    for row in result.rows:
        table.add_row(
            *(row.kind, row.source, f"{row.images:,}", f"{row.auc:.3f}"),
            *(percent(row.recall), percent(row.alarms), interval_text(row.interval)),
        )
    kept = f", {result.resumed:,} of them finished before" if result.resumed else ""
    return Group(
        table,
        text_line(
            "AUC: against each source of the opposite class, unseen as well, averaged; found: at 1 "
            "% false alarms of all left-out photographs; false alarms: at 1 % of the other photo "
            "sources"
        ),
        text_line(f"{result.folds:,} trainings{kept}; scores: {result.scores}"),
    )


def _change_table(result: BenchmarkResult) -> Table:
    share = ("right", "95 % interval")
    table = make_table("change", "photos", *share, "artificial", *share, "both")
    for rows, style in ((result.cases, ""), (result.lines, "bold"), (result.sizes, "")):
        for row in rows:
            table.add_row(row.name, *_case_cells(row), style=style)
        table.add_section()
    return table


def _source_table(result: BenchmarkResult) -> Table:
    lines = [row.name for row in result.lines]
    table = make_table("kind", "source", "images", *lines)
    shares = {(row.kind, row.source, row.name): row.share for row in result.by_source}
    for kind, source in dict.fromkeys((row.kind, row.source) for row in result.by_source):
        found = [shares[kind, source, name] for name in lines]
        cells = (percent(share.right) for share in found)
        table.add_row(kind, Text(source), f"{found[0].count:,}", *cells)
    return table


def _format_table(result: BenchmarkResult) -> Table:
    table = make_table("kind", "images", "recall", "as a real", "95 % interval", "lost")
    for test in result.format_test:
        table.add_row(
            *(test.kind, f"{test.as_it_is.count:,}", percent(test.as_it_is.right)),
            *(percent(test.as_a_real.right), interval_text(test.as_a_real.interval)),
            f"{100 * test.lost:+.1f}",
        )
    return table


def _case_cells(case: Case) -> list[str]:
    shares = (*_share_cells(case.photo), *_share_cells(case.artificial))
    return [*shares, percent(case.accuracy)]


def _share_cells(share: Share | None) -> list[str]:
    if share is None:
        return ["-"] * 3
    return [f"{share.count:,}", percent(share.right), interval_text(share.interval)]


def render_leave_one_out(result: LeaveOneOutResult) -> RenderableType:
    """Render each source left out: whether its kind was seen, and how well it was classified."""
    headings = (
        *("images", "AUC", "accuracy", "at best", "gap", "wrong", "95 % interval"),
        *("uncertain", "wrong verdicts"),
    )
    table = make_table("kind", "left out", "model", *headings)
    for row in result.rows:
        table.add_row(
            *(row.kind, Text(row.source), "never saw the kind" if row.kind_unseen else ""),
            *(f"{row.images:,}", f"{row.auc:.3f}", percent(row.accuracy)),
            *(percent(row.best_accuracy), f"{100 * row.gap:.1f}", percent(row.wrong_share)),
            interval_text(row.interval),
            *(percent(row.uncertain), percent(row.wrong_verdicts)),
        )
    count = len(result.rows)
    resumed = f", {result.resumed:,} of them from an earlier run" if result.resumed else ""
    return Group(
        table,
        text_line(
            "accuracy: balanced, against all images of the opposite class (photos, or artificial "
            "ones), at the threshold that is best on the validation images of the other sources; "
            "wrong: false alarms among photos, else misses. uncertain, wrong verdicts: of the "
            "images left out, once the model is calibrated"
        ),
        *(text_line(f"{name} not left out: {why}", "yellow") for name, why in result.skipped),
        text_line(f"{count:,} source{'s' * (count != 1)} left out{resumed}; in {result.folder}"),
    )
