"""The command between manifests and other tools' layouts: convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.options import Json, Overwrite, Quiet, SourceOption, Workers, progress_bar, show


def convert(
    origin: Annotated[Path, typer.Argument(help="A manifest, or a folder of another tool.")],
    target: Annotated[
        Path, typer.Argument(help="A manifest (.csv, .parquet), or a folder that is not there yet.")
    ],
    layout: Annotated[
        str | None,
        typer.Option(
            help="The folder's layout: imagefolder, huggingface or fiftyone.",
            show_default="imagefolder, or what the folder looks like",
        ),
    ] = None,
    link: Annotated[
        str, typer.Option(help="How files get into a folder: hardlink, symlink or copy.")
    ] = "hardlink",
    source: SourceOption = None,
    *,
    label: Annotated[
        list[str],
        typer.Option(
            metavar="CLASS=KIND",
            help="What a foreign class name stands for, as in fake=generated. Repeatable.",
            default_factory=list,
            show_default=False,
        ),
    ],
    overwrite: Overwrite = False,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn a manifest into other tools' folders and back, or into another table.

    Nothing is moved or overwritten: files are linked or copied into a new folder. The exit code is
    3 when some files of a folder are gone or cannot be read.
    """
    from facecheck.core.errors import UsageError
    from facecheck.data.interchange import convert as job
    from facecheck.report.terminal import render_convert

    pairs = [text.partition("=") for text in label]
    for text, (name, _, kind) in zip(label, pairs, strict=True):
        if not name or not kind:
            raise UsageError(f"--label {text!r}: write CLASS=KIND, as in fake=generated")
    with progress_bar("converting", quiet=quiet) as progress:
        result = job(
            origin,
            target,
            layout=layout,
            link=link,
            source=source,
            labels={name: kind for name, _, kind in pairs},
            overwrite=overwrite,
            workers=workers,
            progress=progress,
        )
    show(result, render_convert, as_json=as_json, quiet=quiet)
    if result.errors:
        raise typer.Exit(3)
