"""The command that makes a manifest: index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.options import (
    Json,
    KindOption,
    Overwrite,
    Pair,
    Quiet,
    SourceOption,
    Workers,
    progress_bar,
    show,
    split_pairs,
)
from facecheck.core.workspace import MANIFEST


def index(
    folders: Annotated[list[Path], typer.Argument(help="Folders laid out <kind>/<source>/…")],
    out: Annotated[Path, typer.Option(help="The manifest, .csv or .parquet.")] = MANIFEST,
    kind: KindOption = None,
    source: SourceOption = None,
    *,
    pair: Pair,
    overwrite: Overwrite = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file again, however unchanged it looks.")
    ] = False,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Decode and hash every image of some folders into a manifest.

    Files that cannot be decoded go to a rejects table beside it, with the reason. Files that have
    not changed since the last time are not decoded again.
    """
    from facecheck.data.index import index as job
    from facecheck.report.terminal import render_index

    with progress_bar("indexing", quiet=quiet) as progress:
        result = job(
            folders,
            out,
            kind=kind,
            source=source,
            pairs=split_pairs(pair),
            overwrite=overwrite,
            verify=verify,
            workers=workers,
            progress=progress,
        )
    show(result, render_index, as_json=as_json, quiet=quiet)
