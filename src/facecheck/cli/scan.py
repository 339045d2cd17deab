"""The command that judges folders of images: scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.options import (
    BatchSize,
    Device,
    Json,
    Overwrite,
    Quiet,
    Workers,
    progress_bar,
    show,
)
from facecheck.core.workspace import find_checkpoint


def scan(
    inputs: Annotated[list[Path], typer.Argument(help="Folders and image files.")],
    out: Annotated[Path, typer.Option(help="The results, .csv.")] = Path("results.csv"),
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="A checkpoint, its .onnx export, a run folder, or `builtin`.",
            show_default="the newest run, or builtin",
        ),
    ] = None,
    stability: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Judge N variants of each image too, scaled and encoded anew: a verdict that "
            "flips becomes uncertain, and the column spread tells how far the score moves.",
        ),
    ] = 0,
    overwrite: Overwrite = False,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge every image: one row per file, bad files included.

    Interrupt at any moment and run the same again: it goes on where it was. The exit code is 3
    when some rows are errors.
    """
    found = find_checkpoint(checkpoint)
    from facecheck.report.terminal import render_scan
    from facecheck.scanner.job import scan as job

    with progress_bar("scanning", quiet=quiet) as progress:
        result = job(
            inputs,
            out,
            found,
            stability=stability,
            overwrite=overwrite,
            device=device,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
        )
    show(result, render_scan, as_json=as_json, quiet=quiet)
    if result.statuses.get("error"):
        raise typer.Exit(3)
