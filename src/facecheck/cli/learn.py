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
    Workers,
    progress_bar,
    show,
)
from facecheck.core.workspace import RUNS, find_checkpoint, find_manifest

if TYPE_CHECKING:
    from facecheck.model.train import Epoch


def train(
    arch: Annotated[
        str, typer.Option(help="A timm architecture: seresnet50, resnet50, …")
    ] = "seresnet50",
    manifest: ManifestOption = None,
    pretrained: Annotated[
        bool, typer.Option(help="Start from ImageNet weights, fetched if need be.")
    ] = True,
    weights: Annotated[
        Path | None,
        typer.Option(help="Start from a local safetensors file or state dict instead."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 10,
    image_size: Annotated[int, typer.Option(help="Side of the model's input in pixels.")] = 224,
    batch_size: BatchSize = 32,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 5e-4,
    weight_decay: Annotated[float, typer.Option(help="Adam's L2 penalty.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of weights, shuffling and augmentation.")] = 0,
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
    from facecheck.model.recipe import Recipe
    from facecheck.model.train import train as job
    from facecheck.report.terminal import EPOCH_HEADINGS, epoch_cells, render_train

    recipe = Recipe(
        arch=arch,
        pretrained=pretrained,
        weights=weights,
        epochs=epochs,
        image_size=image_size,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        seed=seed,
    )

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
