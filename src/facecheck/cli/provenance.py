"""The command that reads what files say of their own origin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.display import Display, finish, progress_bar
from facecheck.cli.flags import takes_options
from facecheck.core.options import Trust
from facecheck.scanner.options import ProvenanceTableOptions


@takes_options
def provenance(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Folders, files, archives, addresses, and - for a list of paths on stdin.",
            default_factory=list,
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        Trust.NAMED,
        typer.Option(
            help="Write a table with a row for each file: .csv, .jsonl or .parquet.",
            show_default="none",
        ),
    ] = None,
    *,
    options: ProvenanceTableOptions,
    display: Display,
) -> None:
    """Read what files say of their own origin: C2PA, IPTC, XMP, EXIF and generators' marks.

    No model is used, no pixel is decoded and nothing is fetched. A file that says nothing may still
    be artificial. The exit code is 3 when some files could not be read.

    Examples:
        facecheck provenance portrait.jpg
        facecheck provenance photos --out origins.csv
    """
    from facecheck.report.terminal.provenance import render_provenance
    from facecheck.scanner.provenance import provenance as job

    with progress_bar("reading", quiet=display.quiet) as progress:
        result = job(inputs, out, options, progress=progress)
    finish(result, render_provenance, display, failed=result.errors)
