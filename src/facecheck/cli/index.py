"""The command that makes a manifest: index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.display import Display, finish, progress_bar
from facecheck.cli.flags import takes_options
from facecheck.core.options import Trust
from facecheck.core.workspace import MANIFEST
from facecheck.data.options import IndexOptions


@takes_options
def index(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders laid out as <kind>/<source>/… or train/<class>/…, or described by "
            "--labels; and manifests to join."
        ),
    ],
    out: Annotated[
        Path, Trust.NAMED, typer.Option(help="The manifest to write, .csv or .parquet.")
    ] = MANIFEST,
    *,
    options: IndexOptions,
    display: Display,
) -> None:
    """Decode and hash every image of some folders and manifests, and write one manifest.

    Files that cannot be decoded go to a rejects table next to it, with the reason. Files that have
    not changed since the last run are not decoded again.

    Examples:
        facecheck index data/raw
        facecheck index photos --kind photo --source album --out album.csv
    """
    from facecheck.data.index import index as job
    from facecheck.report.terminal.curation import render_index

    with progress_bar("indexing", quiet=display.quiet) as progress:
        result = job(inputs, out, options, progress=progress)
    finish(result, render_index, display)
