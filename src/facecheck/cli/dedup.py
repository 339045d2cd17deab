"""The command that finds duplicates: dedup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.options import (
    Json,
    ManifestArgument,
    Overwrite,
    Quiet,
    TableOut,
    Workers,
    progress_bar,
    show,
)
from facecheck.core.workspace import find_manifest


def dedup(
    manifest: ManifestArgument = None,
    out: TableOut = None,
    level: Annotated[
        str,
        typer.Option(
            help="What counts as a duplicate: equal bytes; equal pixels; the same picture "
            "re-encoded or resized; or edited: cropped, mirrored, recoloured too.",
            metavar="bytes|pixels|picture|edited",
        ),
    ] = "picture",
    radius: Annotated[
        int, typer.Option(min=0, max=16, help="Largest pHash distance in bits to look at.")
    ] = 8,
    explain: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="FILE FILE", help="Only say why two files are, or are not, one."),
    ] = None,
    apply: Annotated[
        str | None,
        typer.Option(
            help="Then lay what was kept out as TO/<kind>/<source>/<file>.",
            metavar="move|hardlink|symlink",
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option(help="The folder for --apply.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Move without asking.")] = False,
    overwrite: Overwrite = False,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Group files that hold the same picture and exclude all but one of each.

    The manifest's group and excluded columns change; tables beside it say which, why, how sure,
    which sources share pictures, and which pictures carry two kinds. Files are touched by --apply
    move alone.
    """
    if explain is not None:
        from facecheck.data.duplicates.explain import explain as explain_job
        from facecheck.report.terminal import render_explain

        reasons = explain_job(*explain, level=level, radius=radius)
        show(reasons, render_explain, as_json=as_json, quiet=quiet)
        return
    from facecheck.data.duplicates.dedup import dedup as job
    from facecheck.report.terminal import render_dedup

    if apply == "move" and not yes:
        typer.confirm(f"Move the files that are kept to {to}?", abort=True, err=True)
    with progress_bar("comparing", quiet=quiet) as progress:
        result = job(
            find_manifest(manifest),
            out=out,
            level=level,
            radius=radius,
            apply=apply,
            to=to,
            overwrite=overwrite,
            workers=workers,
            progress=progress,
        )
    show(result, render_dedup, as_json=as_json, quiet=quiet)
