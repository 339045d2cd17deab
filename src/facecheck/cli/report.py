"""The command that makes a page of what other commands left: report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facecheck.cli.display import Display, finish, progress_bars, tell
from facecheck.cli.flags import takes_options
from facecheck.core.errors import UsageError
from facecheck.core.files import path_text
from facecheck.core.options import Trust
from facecheck.core.whatis import mistaken
from facecheck.core.workspace import BEST, BUILTINS, find_checkpoint
from facecheck.report.options import CurationReportOptions, RunReportOptions, ScanReportOptions

if TYPE_CHECKING:
    from rich.console import RenderableType

    from facecheck.cli.display import Bars
    from facecheck.report.scan_report import HeatMaps

#: A report, and what shows it in the terminal.
Reported = tuple[Any, "Callable[[Any], RenderableType]"]

_SCAN, _VIDEOS = "a scan", "a scan of videos"
_RUN, _CURATION, _FAULTS = "a run", "a curation", "faults"
_TABLES = (".csv", ".jsonl", ".parquet")
_MODELS = (".safetensors", ".onnx")


@dataclass(frozen=True)
class ReportOptions(RunReportOptions, ScanReportOptions, CurationReportOptions):
    """Those of every report; each takes its own."""


@takes_options
def report(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="Results of scan; a run, a checkpoint, or a folder of evaluate; a manifest; or "
            "the table of check.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        Trust.NAMED,
        typer.Option(help="The report's folder.", show_default="INPUT's name and -report"),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="For scans with heat maps: the model that the scan used.",
            show_default="the newest run, or the built-in model",
        ),
    ] = None,
    *,
    options: ReportOptions,
    display: Display,
) -> None:
    """Make a folder with one page that shows a scan, a run, a curation or its faults.

    Open index.html by double-clicking it: the page needs no network. Next to it are its pictures,
    and the numbers as CSV.

    Examples:
        facecheck report results.csv
        facecheck report runs/resnet50 --out page
    """
    kind = _kind_of(source)
    name = source.stem if source.is_file() else source.absolute().name
    folder = out or source.parent / f"{name}-report"
    with progress_bars(quiet=display.quiet) as bars:
        if kind == _SCAN:
            result, render = _scan(source, folder, checkpoint, options, bars)
        elif kind == _VIDEOS:
            result, render = _videos(source, folder, options, bars)
        elif kind == _RUN:
            result, render = _run(source, folder, options, bars)
        elif kind == _FAULTS:
            result, render = _faults(source, folder, options, bars)
        else:
            result, render = _curation(source, folder, options, bars)
    hint = getattr(result, "hint", "")
    if hint:
        tell(f"facecheck: {hint}")
    finish(result, render, display, failed=hint)


def _kind_of(source: Path) -> str:
    """Return what ``source`` is to be reported as.

    Raises:
        UsageError: nothing is there, or nothing that there is a report of.
        FacecheckError: it cannot be read.
    """
    suffix = source.suffix.lower()
    if source.is_dir() and not (source / BEST).is_file():
        raise _unsupported(source)
    if source.is_dir() or suffix in _MODELS or str(source) in BUILTINS:
        return _RUN
    if not source.is_file():
        raise UsageError(f"nothing to report at {path_text(source)}: check the path")
    if suffix in _TABLES:
        from facecheck.scanner.results.columns import are_of_videos
        from facecheck.scanner.results.rows import read_columns

        found = read_columns(source)
        columns = found.keys()
        if are_of_videos(found):
            return _VIDEOS
        if {"path", "status", "verdict", "score"} <= columns:
            return _SCAN
        if {"path", "reason", "suggested", "neighbours"} <= columns:
            return _FAULTS
        if {"path", "source", "kind"} <= columns:
            return _CURATION
    raise _unsupported(source)


def _unsupported(source: Path) -> UsageError:
    wanted = "the results of a scan, a run folder, a checkpoint, a manifest, or the table of check"
    return UsageError(mistaken(source, "what a report is made of", f"name {wanted}"))


def _curation(manifest: Path, out: Path, options: ReportOptions, bars: Bars) -> Reported:
    from facecheck.report.curation.report import curation_report
    from facecheck.report.terminal.pages import render_curation_report

    result = curation_report(manifest, out, options, progress=bars.counter("thumbnails"))
    return result, render_curation_report


def _faults(table: Path, out: Path, options: ReportOptions, bars: Bars) -> Reported:
    from facecheck.report.fault_page import fault_report
    from facecheck.report.terminal.pages import render_fault_report

    result = fault_report(table, out, options, progress=bars.counter("thumbnails"))
    return result, render_fault_report


def _heat(results: Path, checkpoint: Path | None, options: ReportOptions) -> HeatMaps | None:
    """Return what draws the heat maps of a scan, by the model that it was made with.

    Raises:
        UsageError: that is another one.
    """
    if not options.heat_maps:
        return None
    from facecheck.core.files import sha256_file
    from facecheck.core.manifest import read_meta
    from facecheck.report.heat_pictures import heat_pictures
    from facecheck.report.scan_report import named_bases
    from facecheck.scanner.inputs.reach import reach_of

    found = find_checkpoint(checkpoint)
    wanted = read_meta(results).get("checkpoint_sha256")
    if wanted is not None and sha256_file(found) != wanted:
        raise UsageError(
            f"{path_text(results)} was not made with {path_text(found)}: name its model with "
            "--checkpoint"
        )
    reach = reach_of(results, [*options.root, *named_bases(options)], addresses=options.addresses)
    return partial(heat_pictures, checkpoint=found, device=options.device, reach=reach)


def _scan(
    results: Path, out: Path, checkpoint: Path | None, options: ReportOptions, bars: Bars
) -> Reported:
    from facecheck.report.scan_report import named_bases, scan_report
    from facecheck.report.terminal.pages import render_scan_report
    from facecheck.scanner.inputs.reach import reach_of

    draw = _heat(results, checkpoint, options)
    counter = bars.counter("thumbnails")
    reach = reach_of(results, [*options.root, *named_bases(options)], addresses=options.addresses)
    result = scan_report(results, out, options, draw_heat=draw, reach=reach, progress=counter)
    return result, render_scan_report


def _videos(results: Path, out: Path, options: ReportOptions, bars: Bars) -> Reported:
    from facecheck.report.scan_report import named_bases
    from facecheck.report.terminal.pages import render_video_report
    from facecheck.report.video_page import video_report
    from facecheck.scanner.inputs.reach import reach_of

    reach = reach_of(results, [*options.root, *named_bases(options)])
    result = video_report(results, out, options, reach=reach, progress=bars.counter("videos"))
    return result, render_video_report


def _run(run: Path, out: Path, options: ReportOptions, bars: Bars) -> Reported:
    from facecheck.report.run.report import run_report
    from facecheck.report.terminal.pages import render_run_report

    result = run_report(run, out, options, progress=bars.counter("evaluating"))
    return result, render_run_report
