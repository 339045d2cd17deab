"""The command that finds duplicates: dedup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.arguments import ManifestArgument
from facecheck.cli.display import Display, finish, progress_bar
from facecheck.cli.flags import takes_options
from facecheck.core.options import Trust
from facecheck.core.text import printable
from facecheck.core.workspace import find_manifest
from facecheck.data.options import DedupOptions


@takes_options
def dedup(
    manifest: ManifestArgument = None,
    *,
    options: DedupOptions,
    explain: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="FILE FILE",
            help="Explain whether two files count as duplicates; change nothing.",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Move without asking."), Trust.NO_FILE
    ] = False,
    display: Display,
) -> None:
    """Group files that hold the same picture and exclude all but one of each.

    The manifest's columns group and excluded change. Tables next to it say which files are
    duplicates, why and how surely, which sources share pictures, and which pictures have two kinds.
    Only --apply move changes files.

    Examples:
        facecheck dedup --level edited
        facecheck dedup --explain portrait.jpg photos/1.jpg
    """
    from facecheck.report.terminal.curation import render_dedup, render_explain

    if explain is not None:
        from facecheck.data.duplicates.explain import explain as explain_job

        reasons = explain_job(*explain, options)
        finish(reasons, render_explain, display)
        return
    from facecheck.data.duplicates.dedup import dedup as job

    if options.apply == "move" and not yes:
        question = f"Move the files that are kept to {options.to}?"
        typer.confirm(printable(question), abort=True, err=True)
    with progress_bar("comparing", quiet=display.quiet) as progress:
        result = job(find_manifest(manifest), options, progress=progress)
    finish(result, render_dedup, display)
