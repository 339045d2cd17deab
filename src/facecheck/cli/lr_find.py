"""The command that tries learning rates: lr-find."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.options import (
    Device,
    Json,
    ManifestOption,
    Overwrite,
    Quiet,
    progress_bar,
    show,
)
from facecheck.cli.recipe import takes_recipe
from facecheck.core.files import refuse_to_overwrite
from facecheck.core.workspace import find_manifest
from facecheck.training.recipe import Recipe


@takes_recipe
def lr_find(
    manifest: ManifestOption = None,
    *,
    recipe: Recipe,
    lowest: Annotated[float, typer.Option(help="The first rate tried.")] = 1e-7,
    highest: Annotated[
        float, typer.Option(help="The last rate, if the loss does not diverge before.")
    ] = 1.0,
    steps: Annotated[int, typer.Option(help="Rates tried, one a batch, 20 or more.")] = 100,
    out: Annotated[
        Path, typer.Option(help="Where the curve goes: this picture, and a .csv beside it.")
    ] = Path("lr-find.png"),
    overwrite: Overwrite = False,
    device: Device = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Decoding threads; 0: none.", show_default="one per core"),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Try learning rates on the train split and suggest one for `facecheck train --lr`.

    The rate rises at every step until the loss diverges, in a training by the options given; what
    it learns is thrown away. --lr, --schedule and --epochs play no part.
    """
    from facecheck.report.plots import plot_lr_find
    from facecheck.report.terminal.training import render_lr_find
    from facecheck.training.lr_find import lr_find as job

    picture, table = out.with_suffix(".png"), out.with_suffix(".csv")
    refuse_to_overwrite(picture, overwrite=overwrite)
    with progress_bar("trying learning rates", quiet=quiet) as progress:
        result = job(
            find_manifest(manifest),
            recipe,
            lowest=lowest,
            highest=highest,
            steps=steps,
            table=table,
            overwrite=overwrite,
            device=device,
            workers=workers,
            progress=progress,
        )
    plot_lr_find(result, picture)
    show(result, render_lr_find, as_json=as_json, quiet=quiet)
