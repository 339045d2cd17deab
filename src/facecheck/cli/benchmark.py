"""The command that tries a model hard: benchmark-model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from facecheck.cli.options import (
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
from facecheck.core.errors import UsageError
from facecheck.core.workspace import find_checkpoint, find_manifest

if TYPE_CHECKING:
    from facecheck.training.recipe import Recipe
    from facecheck.training.state import Epoch


def benchmark_model(
    sources: SourceNames,
    left_out: Annotated[
        list[str],
        typer.Option(
            help="With --leave-one-out, leave out only these kinds' sources, sources or "
            "kind/source pairs, each by itself. Repeatable.",
            default_factory=list,
            show_default=False,
        ),
    ],
    checkpoint: CheckpointArgument = None,
    manifest: ManifestOption = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    per_source: Annotated[
        int, typer.Option(min=0, help="At most this many images of each source; 0: all.")
    ] = 100,
    out: Annotated[
        Path | None, typer.Option(help="Write the result as JSON and CSV to this folder.")
    ] = None,
    leave_one_out: Annotated[
        Literal["source"] | None,
        typer.Option(
            metavar="source",
            help="Instead, train once without each source, and judge each model on the source it "
            "never saw; finished ones are kept in --out.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="With --leave-one-out, how to train.",
            show_default="the checkpoint's own recipe",
        ),
    ] = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge a checkpoint on perturbed, shrunk and re-stored images, photos and artificial apart.

    Each image is judged as it is, under eleven perturbations (encoding, scaling, blur, a
    re-upload), at four face sizes, and, if artificial, stored exactly as the real photos are.
    """
    if leave_one_out:
        _leave_one_out(
            *(checkpoint, find_manifest(manifest), recipe, sources, left_out, split),
            *(per_source, out, device, workers, as_json, quiet),
        )
        return
    for option, given in (("--recipe", recipe), ("--left-out", left_out)):
        if given:
            raise UsageError(f"{option}: goes with --leave-one-out source")
    found = find_checkpoint(checkpoint), find_manifest(manifest)
    from facecheck.evaluation.robustness import benchmark_model as job
    from facecheck.report.terminal.robustness import render_benchmark

    with progress_bar("benchmarking", quiet=quiet) as progress:
        result = job(
            *found,
            split=split,
            sources=sources,
            per_source=per_source,
            out=out,
            overwrite=overwrite,
            device=device,
            workers=workers,
            progress=progress,
        )
    show(result, render_benchmark, as_json=as_json, quiet=quiet)
    if result.errors:
        raise typer.Exit(3)


def _leave_one_out(
    checkpoint: Path | None,
    manifest: Path,
    recipe: str | None,
    sources: list[str],
    left_out: list[str],
    split: str,
    per_source: int,
    out: Path | None,
    device: str,
    workers: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    if out is None:
        raise UsageError("--leave-one-out: name a folder for the results with --out")
    chosen = _recipe(checkpoint, recipe)
    if sources:
        chosen = chosen.changed({"sources": sources})
    from facecheck.evaluation.leave_one_out import leave_one_out as job
    from facecheck.report.terminal.robustness import render_leave_one_out
    from facecheck.report.terminal.training import epoch_line

    def tell(source: str, epoch: Epoch) -> None:
        if not quiet:
            sys.stderr.write(f"without {source}: {epoch_line(epoch)}\n")

    with progress_bar("training", quiet=quiet) as progress:
        result = job(
            manifest,
            chosen,
            out,
            left_out=left_out,
            split=split,
            per_source=per_source,
            device=device,
            workers=workers,
            progress=progress,
            on_epoch=tell,
        )
    show(result, render_leave_one_out, as_json=as_json, quiet=quiet)


def _recipe(checkpoint: Path | None, recipe: str | None) -> Recipe:
    """Return the recipe that is named, or the one that the checkpoint was trained by."""
    from facecheck.model.checkpoint import read_header
    from facecheck.training.recipe import Recipe, load_recipe

    if recipe:
        return load_recipe(recipe)
    return Recipe().changed(read_header(find_checkpoint(checkpoint)).recipe)
