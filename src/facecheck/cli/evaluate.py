"""The command that measures a checkpoint: evaluate."""

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
    SourceNames,
    Workers,
    progress_bar,
    show,
)
from facecheck.core.workspace import find_checkpoint, find_manifest


def evaluate(
    sources: SourceNames,
    checkpoint: CheckpointArgument = None,
    manifest: ManifestOption = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    predictions: Annotated[
        Path | None, typer.Option(help="Write every prediction here, .csv or .parquet.")
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(help="Write what the head sees of every image here, .npz, for PCA or t-SNE."),
    ] = None,
    baseline: Annotated[
        bool,
        typer.Option(
            help="Show beside each source what metadata alone gets right, by `facecheck audit`, "
            "which runs first if need be."
        ),
    ] = True,
    overwrite: Overwrite = False,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge a checkpoint on one split, by kind and by source, with 95 % intervals.

    The kinds: loss, top-1, top-5, confusion. Real against artificial: AUC, average precision, equal
    error rate, share found at 1 and 5 % of false alarms, the best possible threshold, calibration,
    risk by coverage, and the verdicts.
    """
    found = find_checkpoint(checkpoint), find_manifest(manifest)
    from facecheck.evaluation.evaluate import evaluate as job
    from facecheck.report.terminal.evaluation import render_evaluate

    with progress_bar("evaluating", quiet=quiet) as progress:
        result = job(
            *found,
            split=split,
            sources=sources,
            predictions=predictions,
            features=features,
            baseline=baseline,
            overwrite=overwrite,
            device=device,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
        )
    show(result, render_evaluate, as_json=as_json, quiet=quiet)
    if result.errors:
        raise typer.Exit(3)
