"""The command that calibrates a checkpoint: calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.options import (
    BatchSize,
    CheckpointArgument,
    Device,
    Json,
    ManifestOption,
    Overwrite,
    Quiet,
    Workers,
    progress_bar,
    show,
)
from facecheck.core.workspace import find_checkpoint, find_manifest


def calibrate(
    checkpoint: CheckpointArgument = None,
    manifest: ManifestOption = None,
    budget: Annotated[
        float,
        typer.Option(
            help="The share of real images that may be called artificial, and of artificial ones "
            "that may be called real; above 0 and below 0.5."
        ),
    ] = 0.01,
    guard: Annotated[
        float,
        typer.Option(
            min=50,
            max=100,
            help="Percentage of the val images that the guard lets through: what is less like "
            "every kind than they are becomes uncertain; 100: no guard.",
        ),
    ] = 99,
    out: Annotated[
        Path | None,
        typer.Option(help="The calibrated checkpoint.", show_default="update in place"),
    ] = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make scores probabilities, and choose the thresholds that keep an error budget.

    By the val split alone: a temperature, two thresholds with uncertain between them, and a guard
    that sends what is like none of the kinds to uncertain. They replace an earlier calibration in
    the checkpoint; its weights stay as they are. The exit code is 3 when some files could not be
    read.
    """
    found = find_checkpoint(checkpoint), find_manifest(manifest)
    from facecheck.evaluation.calibrate import calibrate as job
    from facecheck.report.terminal.evaluation import render_calibrate

    with progress_bar("calibrating", quiet=quiet) as progress:
        result = job(
            *found,
            budget=budget,
            guard=guard,
            out=out,
            overwrite=overwrite,
            device=device,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
        )
    show(result, render_calibrate, as_json=as_json, quiet=quiet)
    if result.errors:
        raise typer.Exit(3)
