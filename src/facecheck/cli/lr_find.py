"""The command that tries learning rates: lr-find."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.arguments import ManifestOption
from facecheck.cli.display import Display, finish, progress_bar
from facecheck.cli.flags import takes_options
from facecheck.cli.recipe import takes_recipe
from facecheck.core.errors import UsageError
from facecheck.core.files import path_text, refuse_to_overwrite
from facecheck.core.options import Trust
from facecheck.core.workspace import find_manifest
from facecheck.training.options import LrFindOptions
from facecheck.training.recipe import Recipe


@takes_recipe
@takes_options
def lr_find(
    manifest: ManifestOption = None,
    *,
    recipe: Recipe,
    out: Annotated[
        Path,
        Trust.NAMED,
        typer.Option(help="Where to write the curve: a PNG, with a .csv next to it."),
    ] = Path("lr-find.png"),
    options: LrFindOptions,
    display: Display,
) -> None:
    """Try learning rates on the train split and suggest one for `facecheck train --lr`.

    The rate rises at every step until the loss diverges, in a training with the given options; what
    it learns is discarded. --lr, --schedule and --epochs have no effect.

    Examples:
        facecheck lr-find --arch resnet50 --batch-size 64
        facecheck lr-find --recipe lite0-quick --out curve.png
    """
    from facecheck.report.plots import plot_lr_find
    from facecheck.report.terminal.training import render_lr_find
    from facecheck.training.lr_find import lr_find as job

    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {path_text(out)}: the curve is a picture: name a .png file")
    picture, table = out.with_suffix(".png"), out.with_suffix(".csv")
    refuse_to_overwrite(picture, overwrite=options.overwrite)
    with progress_bar("trying learning rates", quiet=display.quiet) as progress:
        result = job(find_manifest(manifest), recipe, options, table=table, progress=progress)
    plot_lr_find(result, picture)
    finish(result, render_lr_find, display)
