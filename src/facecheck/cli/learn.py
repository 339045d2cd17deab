"""The commands that make a model and judge it: train, evaluate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecheck.cli.options import (
    BatchSize,
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
from facecheck.cli.recipe import takes_recipe
from facecheck.core.workspace import RUNS, find_checkpoint, find_manifest
from facecheck.model.recipe import Recipe

if TYPE_CHECKING:
    from facecheck.model.train import Epoch


@takes_recipe
def train(
    manifest: ManifestOption = None,
    *,
    recipe: Recipe,
    name: Annotated[
        str | None, typer.Option(help="Of the run folder.", show_default="the architecture")
    ] = None,
    runs: Annotated[Path, typer.Option(help="The folder for run folders.")] = RUNS,
    device: Device = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Decoding processes; 0: none.", show_default="one per core"),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a classifier on the manifest's train split, judged by its val split each epoch.

    The run folder holds the recipe, a log, and the best and last checkpoints.
    """
    found = find_manifest(manifest)
    from facecheck.model.train import train as job
    from facecheck.report.terminal import EPOCH_HEADINGS, epoch_cells, render_train

    def tell(epoch: Epoch) -> None:
        cells = zip(EPOCH_HEADINGS, epoch_cells(epoch), strict=True)
        text = ", ".join(f"{heading} {cell}" for heading, cell in cells)
        if not quiet:
            sys.stderr.write(f"{text}\n")

    with progress_bar("training", quiet=quiet) as progress:
        result = job(
            found,
            recipe,
            name=name,
            runs=runs,
            device=device,
            workers=workers,
            progress=progress,
            on_epoch=tell,
        )
    show(result, render_train, as_json=as_json, quiet=quiet)


def evaluate(
    sources: SourceNames,
    checkpoint: Annotated[
        Path | None,
        typer.Argument(help="A checkpoint or run folder.", show_default="the newest run"),
    ] = None,
    manifest: ManifestOption = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    predictions: Annotated[
        Path | None, typer.Option(help="Write every prediction here, .csv or .parquet.")
    ] = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge a checkpoint on one split: loss, top-1, top-5 by kind and source, confusion."""
    found = find_checkpoint(checkpoint), find_manifest(manifest)
    from facecheck.model.evaluate import evaluate as job
    from facecheck.report.terminal import render_evaluate

    with progress_bar("evaluating", quiet=quiet) as progress:
        result = job(
            *found,
            split=split,
            sources=sources,
            predictions=predictions,
            overwrite=overwrite,
            device=device,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
        )
    show(result, render_evaluate, as_json=as_json, quiet=quiet)
    if result.errors:
        raise typer.Exit(3)
