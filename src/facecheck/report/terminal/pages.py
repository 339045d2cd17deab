"""Where a report is, and what is in it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from facecheck.core.files import path_text
from facecheck.core.text import percent
from facecheck.report.terminal.tables import text_line

if TYPE_CHECKING:
    from facecheck.report.curation.report import CurationReport
    from facecheck.report.fault_page import FaultReport
    from facecheck.report.run.report import RunReport
    from facecheck.report.scan_report import ScanReport
    from facecheck.report.serve.server import ServeResult
    from facecheck.report.video_page import VideoReport

#: Reasons that are shown, the most frequent first.
_REASONS = 5


def render_curation_report(result: CurationReport) -> RenderableType:
    """Return where a curation's report is, and what is in it."""
    counts = {
        "duplicates": result.duplicates,
        "files in conflict": result.conflicts,
        "shortcuts": result.warnings,
    }
    found = ", ".join(
        f"{name} not searched" if count is None else f"{count:,} {name}"
        for name, count in counts.items()
    )
    lines = [text_line(f"{result.records:,} images of {result.sources:,} sources: {found}")]
    if result.missing:
        lines.append(text_line(f"{result.missing:,} files could not be shown", "yellow"))
    if result.audit_is_old:
        lines.append(text_line("the audit is of another state of the manifest", "yellow"))
    return Group(*lines, text_line(f"open {path_text(result.page)}"))


def render_scan_report(result: ScanReport) -> RenderableType:
    """Return where a scan's report is, and what is in it."""
    lines = [text_line(f"{result.rows:,} rows, {result.thumbnails:,} thumbnails")]
    return Group(*lines, *_not_shown(result), text_line(f"open {path_text(result.page)}"))


def render_video_report(result: VideoReport) -> RenderableType:
    """Return where the report of a scan of videos is, and what is in it."""
    errors = "1 error" if result.errors == 1 else f"{result.errors:,} errors"
    line = text_line(
        f"{result.videos:,} videos, {result.shown:,} of them shown; {result.faces:,} faces, "
        f"{result.thumbnails:,} frames shown, {errors}"
    )
    return Group(line, *_not_shown(result), text_line(f"open {path_text(result.page)}"))


def _not_shown(result: ScanReport | VideoReport) -> list[RenderableType]:
    return [
        text_line(f"{count:,} could not be shown: {why}", "yellow")
        for why, count in islice(result.reasons.items(), _REASONS)
    ]


def render_run_report(result: RunReport) -> RenderableType:
    """Return the evaluation in a line, what the page leaves out, and where it is."""
    found = result.result
    auc = found.ranking.auc.value
    told = "" if auc is None else f", AUC {auc:.4f}"
    lines = [
        text_line(
            f"{result.images:,} images of split {found.split}: top-1 "
            f"{percent(found.overall.top1)}{told}; {len(result.figures)} figures, "
            f"{result.points:,} faces on the map"
        )
    ]
    lines += [text_line(f"not shown: {why}", "yellow") for _, why in result.left_out]
    if found.errors:
        lines.append(text_line(f"{len(found.errors):,} files could not be read", "magenta"))
    return Group(*lines, text_line(f"open {path_text(result.page)}"))


def render_serve(result: ServeResult) -> RenderableType:
    """Return how many decisions there are about what was served, and where they are kept."""
    noun = "decision" if result.decided == 1 else "decisions"
    lines = [text_line(f"{result.scans:,} scans, {result.decided:,} {noun}")]
    if result.scans == 1:
        lines = [text_line(f"1 scan, {result.decided:,} {noun}")]
    lines += [text_line(f"corrections in {path_text(path)}") for path in result.corrections]
    return Group(*lines)


def render_fault_report(result: FaultReport) -> RenderableType:
    """Return where the page of faults is, and how many rows are on it."""
    shown, rows = sum(result.shown.values()), sum(result.rows.values())
    lines = [text_line(f"{shown:,} of {rows:,} rows, the worst of each reason: {result.page}")]
    if result.missing:
        lines.append(text_line(f"{result.missing:,} images could not be shown", "yellow"))
    return Group(*lines)
