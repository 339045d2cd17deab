"""The command that makes a page of what other commands left: report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facecheck.cli.options import (
    BatchSize,
    Device,
    Json,
    Overwrite,
    Quiet,
    Workers,
    progress_bars,
    show,
)
from facecheck.core.errors import UsageError
from facecheck.core.files import path_text
from facecheck.core.workspace import BUILTIN_NAME, find_checkpoint

if TYPE_CHECKING:
    from rich.console import RenderableType

    from facecheck.cli.options import Bars
    from facecheck.report.scan_report import HeatMaps

#: A report, and what shows it in the terminal.
Reported = tuple[Any, "Callable[[Any], RenderableType]"]

_SCAN, _RUN, _CURATION = "a scan", "a run", "a curation"
_TABLES = (".csv", ".jsonl", ".parquet")
_MODELS = (".safetensors", ".onnx")


def report(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="Results of scan; a run, a checkpoint, or a folder of evaluate; or a manifest.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The report's folder.", show_default="INPUT's name and -report"),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="For runs: the manifest to evaluate on.",
            show_default="the run's own, or data/manifest.csv",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(help="For runs: the split to evaluate on: train, val or test.")
    ] = "test",
    per_source: Annotated[
        int,
        typer.Option(min=0, help="For runs: evaluate at most this many images per source; 0: all."),
    ] = 0,
    benchmark: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="For runs: the results of `facecheck benchmark-model --out DIR`.",
            show_default="benchmark in the run folder",
        ),
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option(
            help="For runs: the manifest's audit.", show_default="the .audit.json beside it"
        ),
    ] = None,
    thumbnails: Annotated[
        int, typer.Option(min=0, help="For scans: thumbnails for at most this many rows.")
    ] = 100_000,
    heat_maps: Annotated[
        int,
        typer.Option(
            min=0,
            help="For scans: number of heat maps, drawn for the most artificial and for the most "
            "uncertain rows each.",
        ),
    ] = 0,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="For scans with heat maps: the model that the scan used.",
            show_default="the newest run, or the built-in model",
        ),
    ] = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a folder with one page to look at: of a scan, a run or a curation.

    Open its index.html by a double click: the page needs no network. Beside it lie its pictures,
    and the numbers as CSV.
    """
    kind = _kind_of(source)
    name = source.stem if source.is_file() else source.absolute().name
    folder = out or source.parent / f"{name}-report"
    with progress_bars(quiet=quiet) as bars:
        if kind == _SCAN:
            draw = _heat(source, heat_maps, checkpoint, device)
            result, render = _scan(
                *(source, folder, thumbnails, heat_maps, draw, overwrite, workers, bars)
            )
        elif kind == _RUN:
            result, render = _run(
                *(source, folder, manifest, split, per_source, benchmark, audit),
                *(overwrite, device, batch_size, workers, bars),
            )
        else:
            result, render = _curation(source, folder, overwrite, workers, bars)
    show(result, render, as_json=as_json, quiet=quiet)


def _kind_of(source: Path) -> str:
    """Return what ``source`` is to be reported as.

    Raises:
        UsageError: nothing is there, or nothing that there is a report of.
        FacecheckError: it cannot be read.
    """
    suffix = source.suffix.lower()
    if source.is_dir() or suffix in _MODELS or str(source) == BUILTIN_NAME:
        return _RUN
    if not source.is_file():
        raise UsageError(f"nothing to report at {path_text(source)}: check the path")
    if suffix in _TABLES:
        from facecheck.scanner.results.rows import read_columns

        columns = read_columns(source).keys()
        if {"path", "status", "verdict", "score"} <= columns:
            return _SCAN
        if {"path", "source", "kind"} <= columns:
            return _CURATION
    raise _unsupported(source)


def _unsupported(source: Path) -> UsageError:
    return UsageError(
        f"{path_text(source)}: no report is made of this: name results of scan "
        f"({', '.join(_TABLES)}), a run, a checkpoint, or a manifest"
    )


def _curation(
    manifest: Path, out: Path, overwrite: bool, workers: int | None, bars: Bars
) -> Reported:
    from facecheck.report.curation_report import curation_report
    from facecheck.report.terminal.pages import render_curation_report

    result = curation_report(
        manifest, out, overwrite=overwrite, workers=workers, progress=bars.counter("thumbnails")
    )
    return result, render_curation_report


def _heat(results: Path, number: int, checkpoint: Path | None, device: str) -> HeatMaps | None:
    """Return what draws the heat maps of a scan, by the model that it was made with.

    Raises:
        UsageError: that is another one.
    """
    if not number:
        return None
    from facecheck.core.files import sha256_file
    from facecheck.core.manifest import read_meta
    from facecheck.report.heat_pictures import heat_pictures

    found = find_checkpoint(checkpoint)
    wanted = read_meta(results).get("checkpoint_sha256")
    if wanted is not None and sha256_file(found) != wanted:
        raise UsageError(
            f"{path_text(results)} was not made with {path_text(found)}: name its model with "
            "--checkpoint"
        )
    return partial(heat_pictures, checkpoint=found, device=device)


def _scan(
    results: Path,
    out: Path,
    thumbnails: int,
    heat_maps: int,
    draw_heat: HeatMaps | None,
    overwrite: bool,
    workers: int | None,
    bars: Bars,
) -> Reported:
    from facecheck.report.scan_report import scan_report
    from facecheck.report.terminal.pages import render_scan_report

    result = scan_report(
        results,
        out,
        thumbnails=thumbnails,
        heat_maps=heat_maps,
        draw_heat=draw_heat,
        overwrite=overwrite,
        workers=workers,
        progress=bars.counter("thumbnails"),
    )
    return result, render_scan_report


def _run(
    run: Path,
    out: Path,
    manifest: Path | None,
    split: str,
    per_source: int,
    benchmark: Path | None,
    audit: Path | None,
    overwrite: bool,
    device: str,
    batch_size: int,
    workers: int | None,
    bars: Bars,
) -> Reported:
    from facecheck.report.run_report import run_report
    from facecheck.report.terminal.pages import render_run_report

    result = run_report(
        run,
        out,
        manifest=manifest,
        split=split,
        per_source=per_source,
        benchmark=benchmark,
        audit=audit,
        overwrite=overwrite,
        device=device,
        batch_size=batch_size,
        workers=workers,
        progress=bars.counter("evaluating"),
    )
    return result, render_run_report
