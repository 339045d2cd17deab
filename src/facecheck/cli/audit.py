"""The command that looks for shortcuts: audit."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.options import (
    Json,
    ManifestArgument,
    Overwrite,
    Quiet,
    Workers,
    progress_bar,
    show,
)
from facecheck.core.workspace import find_manifest


class Fix(StrEnum):
    """What ``audit --fix`` can do about shortcuts."""

    NORMALISE = "normalise"


def audit(
    manifest: ManifestArgument = None,
    per_source: Annotated[
        int, typer.Option(min=0, help="At most this many images of each source; 0 for all.")
    ] = 500,
    warn_above: Annotated[
        float,
        typer.Option(min=0, max=1, help="Balanced accuracy above which a guess is a warning."),
    ] = 0.7,
    fix: Annotated[
        Fix | None,
        typer.Option(
            help="normalise: write a training recipe that takes the container's cues away, and "
            "measure again on images normalised in memory."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where --fix writes them.", show_default="<manifest>.normalise.yaml"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides folds, forests and what --fix draws.")] = 0,
    overwrite: Overwrite = False,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure how far the kind can be guessed without looking at the face.

    Small models guess from the files' headers alone, then from colour, sharpness and an 8 x 8
    thumbnail; what they get right, a classifier may learn instead of faces. The exit code is 3
    when some files could not be read.
    """
    from facecheck.data.audit import audit as job
    from facecheck.data.features import Normalise
    from facecheck.report.terminal import render_audit

    with progress_bar("auditing", quiet=quiet) as progress:
        result = job(
            find_manifest(manifest),
            per_source=per_source,
            warn_above=warn_above,
            fix=Normalise() if fix else None,
            out=out,
            seed=seed,
            overwrite=overwrite,
            workers=workers,
            progress=progress,
        )
    show(result, render_audit, as_json=as_json, quiet=quiet)
    if result.errors:
        raise typer.Exit(3)
