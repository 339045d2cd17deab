"""The command between manifests and other tools' layouts: convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.display import Display, finish, progress_bar
from facecheck.cli.flags import takes_options
from facecheck.data.options import ConvertOptions


@takes_options
def convert(
    origin: Annotated[Path, typer.Argument(help="A manifest, or a folder of another tool.")],
    target: Annotated[
        Path, typer.Argument(help="A manifest (.csv, .parquet), or a folder that does not exist.")
    ],
    options: ConvertOptions,
    display: Display,
) -> None:
    """Convert a manifest to other tools' folders and back, or to another table format.

    Nothing is moved or overwritten: files are linked or copied into a new folder. The exit code is
    3 when some files of a folder are missing or cannot be read.

    Examples:
        facecheck convert data/manifest.csv faces --layout huggingface
        facecheck convert imagefolder data/theirs.csv --label real=photo --label fake=generated
    """
    from facecheck.data.interchange import convert as job
    from facecheck.report.terminal.curation import render_convert

    with progress_bar("converting", quiet=display.quiet) as progress:
        result = job(origin, target, options, progress=progress)
    finish(result, render_convert, display, failed=result.errors)
