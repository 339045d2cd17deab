"""The command that assigns images to train, val and test: split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.arguments import ManifestArgument
from facecheck.cli.display import Display, finish, progress_bar
from facecheck.cli.flags import takes_options
from facecheck.core.common_options import WorkersOption
from facecheck.core.workspace import find_manifest
from facecheck.data.options import SplitOptions


@takes_options
def split(
    manifest: ManifestArgument = None,
    *,
    options: SplitOptions,
    check: Annotated[
        Path | None,
        typer.Option(
            help="Only check this manifest, or folder laid out as train/<class>/…, val/…, test/…, "
            "for leaks; exit code 1 if there are any."
        ),
    ] = None,
    decoding: WorkersOption,
    display: Display,
) -> None:
    """Assign images to train, val and test: groups together, kinds and sources balanced.

    Related images (one group, equal bytes or pixels, a confirmed duplicate) never end up in
    different splits. The proof is printed; --check verifies any existing split.

    Examples:
        facecheck split --ratio 8:1:1 --hold-out-source ffhq-256
        facecheck split --check data/manifest.csv
    """
    from facecheck.report.terminal.curation import render_check, render_split

    if check is None:
        from facecheck.data.split import split as job

        finish(job(find_manifest(manifest), options), render_split, display)
        return
    from facecheck.data.leaks import check as check_job

    with progress_bar("checking", quiet=display.quiet) as progress:
        proof = check_job(check, workers=decoding.workers, progress=progress)
    finish(proof, render_check, display)
    if not proof.holds:
        raise typer.Exit(1)
