"""Results as tables for a terminal. Each function turns one job's result into one renderable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from facecheck.core.manifest import SPLITS

if TYPE_CHECKING:
    from facecheck.data.dedup import DedupResult
    from facecheck.data.explain import Explanation
    from facecheck.data.fetch import FetchResult
    from facecheck.data.index import IndexResult
    from facecheck.data.split import SplitResult
    from facecheck.model.evaluate import EvaluateResult
    from facecheck.model.metrics import Summary
    from facecheck.model.train import Epoch, TrainResult
    from facecheck.scanner.job import ScanResult

_TEXT_COLUMNS = frozenset((
    *("kind", "source", "other source", "reason", "kinds in conflict", "measure"),
    *("verdict", "status", "true \\ predicted"),
))  # fmt: skip


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in _TEXT_COLUMNS else "right")
    return table


def _line(text: str, style: str = "") -> Text:
    # Text, never markup: a path may hold square brackets.
    return Text(text, style=style, overflow="fold")


def _counts(heading: str, counts: Mapping[str, int]) -> Table:
    table = _table(heading, "count")
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(Text(name), f"{count:,}")
    return table


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 as text such as ``93.42 %``, or a dash for None."""
    return "-" if share is None else f"{100 * share:.2f} %"


def render_index(result: IndexResult) -> RenderableType:
    """Render counts by kind and source, and the reasons of rejects."""
    table = _table("kind", "source", "images")
    for (kind, source), count in result.by_source.items():
        table.add_row(kind, Text(source), f"{count:,}")
    parts: list[RenderableType] = [
        table,
        _line(
            f"{result.records:,} images in {result.manifest}; {result.rejected:,} rejected "
            f"({result.rejects}); {result.ignored:,} other files passed over"
        ),
    ]
    if result.reasons:
        parts.append(_counts("reason", result.reasons))
    return Group(*parts)


def render_dedup(result: DedupResult) -> RenderableType:
    """Render what was excluded and why, which sources share pictures, and what is in conflict."""
    dropped = sum(result.dropped.values())
    parts: list[RenderableType] = []
    if result.dropped:
        parts.append(_counts("reason", result.dropped))
    if result.by_sources:
        table = _table("source", "other source", "pairs")
        for (source, other), pairs in result.by_sources.items():
            table.add_row(Text(source), Text(other), f"{pairs:,}")
        parts.append(table)
    if result.by_kinds:
        parts.append(_counts("kinds in conflict", result.by_kinds))
    parts.append(
        _line(
            f"{result.records:,} records: {dropped:,} excluded as duplicates, {result.conflicts:,} "
            f"set aside as label conflicts ({result.duplicates}); {result.groups:,} groups left "
            f"in {result.manifest}"
        )
    )
    if result.applied:
        done = result.applied
        parts.append(
            _line(
                f"{done.placed:,} files placed by {done.how} in {done.to}, {done.already:,} were "
                f"there; {done.left_out:,} excluded records left out; in {done.manifest}"
            )
        )
    return Group(*parts)


def render_explain(result: Explanation) -> RenderableType:
    """Render the decision, its reasons, and the measures behind it."""
    verdict = "duplicates" if result.duplicates else "not duplicates"
    table = _table("measure", "whole", "aligned")
    nearest = f"{result.edited_distance} ({result.edited_view})"
    table.add_row("hash distance, bits", str(result.distance), nearest)
    for name in ("correlation", "detail"):
        measures = (getattr(alike, name) for alike in (result.whole, result.aligned))
        table.add_row(name, *(f"{measure:.4f}" for measure in measures))
    table.add_row("colour difference", f"{result.whole.difference:.2f}", "-")
    return Group(
        _line(f"{verdict} at level {result.level}, radius {result.radius}", "bold"),
        *(_line(f"  {reason}") for reason in result.why),
        table,
    )


def render_fetch(result: FetchResult) -> RenderableType:
    """Render what was placed, then its index and deduplication."""
    marker = result.marker
    done = "already there" if result.already_there else "fetched"
    head = f"{done}: {marker.files:,} files, {marker.bytes:,} bytes, in {result.root}"
    parts: list[RenderableType] = [_line(head), render_index(result.indexed)]
    if result.deduplicated:
        parts.append(render_dedup(result.deduplicated))
    return Group(*parts)


def render_split(result: SplitResult) -> RenderableType:
    """Render counts and real shares, by source and overall."""
    table = _table("kind", "source", *SPLITS, *(f"{name} %" for name in SPLITS))
    for (kind, source), counts in result.by_source.items():
        table.add_row(kind, Text(source), *_split_cells(counts))
    table.add_section()
    table.add_row("all", "", *_split_cells(result.counts), style="bold")
    return Group(
        table,
        _line(
            f"{result.groups:,} groups, {result.crossing} of them in more than one split; "
            f"{result.excluded:,} records left out as excluded; in {result.manifest}"
        ),
    )


def _split_cells(counts: Mapping[str, int]) -> list[str]:
    total = max(1, sum(counts.values()))
    numbers = [counts[name] for name in SPLITS]
    return [f"{count:,}" for count in numbers] + [f"{100 * n / total:.2f}" for n in numbers]


EPOCH_HEADINGS = (
    *("epoch", "seconds", "train loss", "train top-1", "train top-5"),
    *("val loss", "val top-1", "val top-5"),
)


def epoch_cells(epoch: Epoch) -> list[str]:
    """Return one epoch's row under :data:`EPOCH_HEADINGS`."""
    return [
        str(epoch.epoch),
        f"{epoch.seconds:.1f}",
        f"{epoch.train_loss:.4f}",
        percent(epoch.train_top1),
        percent(epoch.train_top5),
        "-" if epoch.val_loss is None else f"{epoch.val_loss:.4f}",
        percent(epoch.val_top1),
        percent(epoch.val_top5),
    ]


def render_train(result: TrainResult) -> RenderableType:
    """Render the log and where the checkpoints are."""
    table = _table(*EPOCH_HEADINGS)
    for epoch in result.epochs:
        style = "bold" if epoch.epoch == result.best_epoch else ""
        table.add_row(*epoch_cells(epoch), style=style)
    return Group(
        table,
        _line(
            f"{result.train_images:,} training and {result.val_images:,} validation images of "
            f"{', '.join(result.kinds)}, on {result.device}, from weights: {result.weights}"
        ),
        _line(f"best checkpoint: {result.best} (epoch {result.best_epoch})"),
    )


def render_evaluate(result: EvaluateResult) -> RenderableType:
    """Render figures by kind and source, and the confusion matrix."""
    headings = ("images", "loss", "top-1", "95 % interval", "top-5", "verdicts right")
    table = _table("kind", "source", *headings)
    for (kind, source), part in result.by_source.items():
        verdicts = result.verdicts_by_source[kind, source]
        right = percent(verdicts.right / verdicts.count)
        table.add_row(kind, Text(source), *_summary_cells(part), right)
    table.add_section()
    for kind, part in result.by_kind.items():
        table.add_row(kind, "all", *_summary_cells(part))
    table.add_section()
    right = percent(result.verdicts.right / result.verdicts.count)
    table.add_row("all", "all", *_summary_cells(result.overall), right, style="bold")
    matrix = _table("true \\ predicted", *result.kinds)
    for kind, row in zip(result.kinds, result.confusion, strict=True):
        matrix.add_row(kind, *(f"{count:,}" for count in row))
    parts: list[RenderableType] = [
        _line(f"{result.checkpoint} on split {result.split} of {result.manifest}", "bold"),
        table,
        _line(
            f"balanced accuracy {percent(result.balanced_accuracy)}; verdicts: "
            f"{result.verdicts.wrong:,} wrong, {result.verdicts.uncertain:,} uncertain"
        ),
        matrix,
    ]
    if result.errors:
        parts.append(_counts("reason", _tally_errors(result)))
    return Group(*parts)


def _tally_errors(result: EvaluateResult) -> dict[str, int]:
    reasons: dict[str, int] = {}
    for path, reason in result.errors:
        reasons[f"{path}: {reason}"] = 1
    return reasons


def _summary_cells(summary: Summary) -> list[str]:
    low, high = summary.interval
    return [
        f"{summary.count:,}",
        f"{summary.loss:.4f}",
        percent(summary.top1),
        f"{100 * low:.1f} to {100 * high:.1f}",
        percent(summary.top5),
    ]


def render_scan(result: ScanResult) -> RenderableType:
    """Render counts by verdict, kind and status."""
    table = _table("verdict", "count")
    styles = {"real": "green", "artificial": "red", "uncertain": "yellow"}
    for verdict, style in styles.items():
        table.add_row(Text(verdict, style), f"{result.verdicts.get(verdict, 0):,}")
    errors = result.statuses.get("error", 0)
    table.add_row(Text("error", "magenta" if errors else ""), f"{errors:,}")
    resumed = f", {result.resumed:,} of them from an interrupted run" if result.resumed else ""
    return Group(
        table,
        _line(f"{result.files:,} rows in {result.out}{resumed}; model {result.checkpoint}"),
    )
