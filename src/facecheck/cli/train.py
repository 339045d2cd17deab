"""The command that trains a classifier: train."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from facecheck.cli.arguments import ManifestOption
from facecheck.cli.display import Bars, Display, finish, rich_bars, stderr_console
from facecheck.cli.flags import takes_options
from facecheck.cli.next_step import command_on
from facecheck.cli.recipe import takes_recipe
from facecheck.core.errors import UsageError
from facecheck.core.files import path_text
from facecheck.core.parallel import Progress, silent
from facecheck.core.workspace import LAST, find_manifest
from facecheck.training.options import TrainOptions
from facecheck.training.recipe import Recipe

if TYPE_CHECKING:
    from facecheck.training.feature_cache import CachePlan
    from facecheck.training.state import Epoch


@takes_recipe
@takes_options
def train(
    manifest: ManifestOption = None,
    *,
    recipe: Recipe,
    options: TrainOptions,
    display: Display,
) -> None:
    """Train a classifier on the manifest's train split, and validate it after every epoch.

    The run folder holds the recipe, a log, and the best and last checkpoints. For several GPUs or
    machines: torchrun --nproc-per-node N -m facecheck train.

    Examples:
        facecheck train --arch resnet50 --epochs 20
        facecheck train --recipe lite0-quick --name quick
    """
    from facecheck.report.terminal.training import render_train
    from facecheck.training.train import read_run
    from facecheck.training.train import train as job

    if options.resume is not None:
        own_manifest, own_recipe = read_run(options.resume)
        if recipe not in (Recipe(), own_recipe):
            raise UsageError(
                "--resume uses the run's own recipe: leave the recipe's options out, or start a "
                f"new run from it with --weights {path_text(options.resume / LAST)}"
            )
        manifest, recipe = manifest or own_manifest, own_recipe
    if os.environ.get("RANK", "0") != "0":  # of several processes, one speaks
        display = replace(display, quiet=True)
    manifest = find_manifest(manifest)
    with training_table(quiet=display.quiet) as (progress, tell):
        result = job(
            *(manifest, recipe, options),
            progress=progress,
            on_epoch=tell,
            on_plan=silent if display.quiet else _say_plan,
        )
    finish(result, render_train, display, following=command_on("calibrate", result.best, manifest))


def _say_plan(plan: CachePlan) -> None:
    if plan.missing:
        sys.stderr.write(
            f"features: {plan.missing:,} views of images to compute once ({plan.present:,} are "
            f"there), {plan.bytes / 1e6:,.0f} MB in {path_text(plan.folder)}\n"
        )


@contextmanager
def training_table(*, quiet: bool) -> Iterator[tuple[Progress, Callable[[Epoch], None]]]:
    """Yield what to call with images and with epochs, for a table that grows on stderr.

    On a terminal it is drawn live, with the time left; elsewhere each epoch is one line.
    """
    from facecheck.report.terminal.training import epoch_line, epoch_table
    from facecheck.training.state import best_of

    log: list[Epoch] = []
    if quiet or not sys.stderr.isatty():

        def write_line(epoch: Epoch) -> None:
            if not quiet:
                sys.stderr.write(f"{epoch_line(epoch)}\n")

        yield silent, write_line
        return

    from rich.console import Group
    from rich.live import Live

    bars = rich_bars()
    drawn = Bars(bars)
    with Live(bars, console=stderr_console(), transient=True) as live:

        def add_row(epoch: Epoch) -> None:
            log.append(epoch)
            live.update(Group(epoch_table(log, best_of(log)), bars))

        yield drawn.counter("training"), add_row
