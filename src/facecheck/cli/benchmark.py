"""The command that tests a model's robustness: benchmark-model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from facecheck.cli.arguments import CheckpointArgument, ManifestOption, chosen_checkpoint
from facecheck.cli.display import Display, finish, progress_bar, tell
from facecheck.cli.flags import takes_options
from facecheck.core.errors import UsageError
from facecheck.core.workspace import find_checkpoint, find_manifest
from facecheck.evaluation.options import BenchmarkOptions, LeaveOneOutOptions

if TYPE_CHECKING:
    from facecheck.training.recipe import Recipe
    from facecheck.training.state import Epoch


@takes_options
def benchmark_model(
    checkpoint: CheckpointArgument = None,
    manifest: ManifestOption = None,
    *,
    options: BenchmarkOptions,
    leave_one_out: Annotated[
        Literal["source"] | None,
        typer.Option(
            metavar="source",
            help="Instead, train once without each source, and evaluate each model on the source "
            "it never saw; finished ones are kept in --out.",
        ),
    ] = None,
    left_out: Annotated[
        list[str] | None,
        typer.Option(
            help="With --leave-one-out, leave out only these kinds' sources, sources or "
            "kind/source pairs, one at a time. Repeatable.",
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
    display: Display,
) -> None:
    """Test robustness: accuracy on degraded, resized and re-encoded images.

    Each image is classified as it is, under eleven perturbations (encoding, scaling, blur, a
    re-upload), at four face sizes, and, if artificial, stored exactly as the real photos are.
    Photos and artificial images are counted separately. The exit code is 3 when some files could
    not be read.

    Examples:
        facecheck benchmark-model runs/resnet50 --out robustness
        facecheck benchmark-model --recipe lite0-quick --leave-one-out source --out left-out
    """
    if leave_one_out:
        _leave_one_out(
            *(checkpoint, find_manifest(manifest), recipe, tuple(left_out or ()), options, display)
        )
        return
    for option, given in (("--recipe", recipe), ("--left-out", left_out)):
        if given:
            raise UsageError(f"{option} needs --leave-one-out source")
    found = chosen_checkpoint(checkpoint, display), find_manifest(manifest)
    from facecheck.evaluation.robustness import benchmark_model as job
    from facecheck.report.terminal.robustness import render_benchmark

    with progress_bar("benchmarking", quiet=display.quiet) as progress:
        result = job(*found, options, progress=progress)
    finish(result, render_benchmark, display, failed=result.errors)


def _leave_one_out(
    checkpoint: Path | None,
    manifest: Path,
    recipe: str | None,
    left_out: tuple[str, ...],
    options: BenchmarkOptions,
    display: Display,
) -> None:
    if options.out is None:
        raise UsageError("--leave-one-out: name a folder for the results with --out")
    chosen = _recipe(checkpoint, recipe)
    if options.sources:
        chosen = chosen.changed({"sources": options.sources})
    from facecheck.evaluation.leave_one_out import leave_one_out as job
    from facecheck.report.terminal.robustness import render_leave_one_out
    from facecheck.report.terminal.training import epoch_line

    def tell_epoch(source: str, epoch: Epoch) -> None:
        if not display.quiet:
            tell(f"without {source}: {epoch_line(epoch)}")

    sources = LeaveOneOutOptions(
        left_out=left_out,
        split=options.split,
        per_source=options.per_source,
        device=options.device,
        workers=options.workers,
    )
    with progress_bar("training", quiet=display.quiet) as progress:
        result = job(manifest, chosen, options.out, sources, progress=progress, on_epoch=tell_epoch)
    finish(result, render_leave_one_out, display)


def _recipe(checkpoint: Path | None, recipe: str | None) -> Recipe:
    """Return the recipe that is named, or the one that the checkpoint was trained by."""
    from facecheck.model.checkpoint import read_header
    from facecheck.training.recipe import Recipe, load_recipe

    if recipe:
        return load_recipe(recipe)
    return Recipe().changed(read_header(find_checkpoint(checkpoint)).recipe)
