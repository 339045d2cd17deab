"""The command that trains a classifier: train."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from facecheck.cli.options import (
    Bars,
    Device,
    Json,
    ManifestOption,
    Quiet,
    rich_bars,
    show,
    stderr_console,
)
from facecheck.cli.recipe import takes_recipe
from facecheck.core.errors import UsageError
from facecheck.core.files import path_text
from facecheck.core.parallel import Progress, silent
from facecheck.core.workspace import LAST, RUNS, find_manifest
from facecheck.training.recipe import Recipe

if TYPE_CHECKING:
    from facecheck.training.state import Epoch


@takes_recipe
def train(
    manifest: ManifestOption = None,
    *,
    recipe: Recipe,
    name: Annotated[
        str | None, typer.Option(help="Name of the run folder.", show_default="the architecture")
    ] = None,
    runs: Annotated[Path, typer.Option(help="The folder for run folders.")] = RUNS,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Go on with an interrupted run, by its own recipe, where it stood.",
        ),
    ] = None,
    log_test: Annotated[
        bool, typer.Option(help="Log top-1 and top-5 on the test split too; they choose nothing.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option(help="Write TensorBoard events to the run folder (extra tensorboard).")
    ] = False,
    device: Device = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Decoding threads; 0: none.", show_default="one per core"),
    ] = None,
    cache: Annotated[
        bool, typer.Option(help="Keep decoded images in up to half of the free memory.")
    ] = True,
    compile_model: Annotated[
        Literal["auto", "yes", "no"],
        typer.Option("--compile", help="torch.compile; auto: on a GPU, where it is faster."),
    ] = "auto",
    save_every: Annotated[
        float,
        typer.Option(min=0, help="Seconds between savings of the state within an epoch."),
    ] = 300.0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a classifier on the manifest's train split, judged by its val split each epoch.

    The run folder holds the recipe, a log, and the best and last checkpoints. For several GPUs or
    machines: torchrun --nproc-per-node N -m facecheck train.
    """
    from facecheck.report.terminal.training import render_train
    from facecheck.training.train import read_run
    from facecheck.training.train import train as job

    if resume is not None:
        own_manifest, own_recipe = read_run(resume)
        if recipe not in (Recipe(), own_recipe):
            raise UsageError(
                "--resume goes on with the run's own recipe: leave the recipe's options out, or "
                f"start a new run from it with --weights {path_text(resume / LAST)}"
            )
        manifest, recipe = manifest or own_manifest, own_recipe
    found = find_manifest(manifest)
    # Of several processes, one speaks.
    quiet = quiet or os.environ.get("RANK", "0") != "0"
    with training_table(quiet=quiet) as (progress, tell):
        result = job(
            found,
            recipe,
            name=name,
            runs=runs,
            resume=resume,
            device=device,
            workers=workers,
            cache=cache,
            compile_model=compile_model,
            log_test=log_test,
            tensorboard=tensorboard,
            save_every=save_every,
            progress=progress,
            on_epoch=tell,
        )
    show(result, render_train, as_json=as_json, quiet=quiet)


@contextmanager
def training_table(*, quiet: bool) -> Iterator[tuple[Progress, Callable[[Epoch], None]]]:
    """Yield what to tell of images and of epochs, for a table that grows on stderr.

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
