"""The command that shows what moved the score of one image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.arguments import CheckpointOption, chosen_checkpoint
from facecheck.cli.display import Display, finish
from facecheck.cli.flags import takes_options
from facecheck.core.labels import Status
from facecheck.core.options import Trust
from facecheck.scanner.options import ExplainOptions


@takes_options
def explain(
    image: Annotated[Path, typer.Argument(help="An image file.", show_default=False)],
    out: Annotated[
        Path | None,
        Trust.NAMED,
        typer.Option(
            help="The picture, a PNG.", show_default="<name>.explained.png in the current folder"
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    *,
    options: ExplainOptions,
    display: Display,
) -> None:
    """Classify one image as a scan does, and draw what moved the score of each of its faces.

    The picture holds the image, each face as the model sees it, its heat map and the probability of
    each kind. The exit code is 3 when the file cannot be read.

    Examples:
        facecheck explain portrait.jpg
        facecheck explain portrait.jpg --faces off --out why.png
    """
    found = chosen_checkpoint(checkpoint, display)
    from facecheck.report.explain import explain as job
    from facecheck.report.terminal.scanning import render_explained

    result = job(image, found, out, options)
    finish(result, render_explained, display, failed=result.status == Status.ERROR)
