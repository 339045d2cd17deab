"""The command that serves a page to scan folders and review results: serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.arguments import CheckpointOption, chosen_checkpoint
from facecheck.cli.display import Display, finish, tell
from facecheck.cli.flags import takes_options
from facecheck.report.serve.options import LOOPBACK, ServeOptions


@takes_options
def serve(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|RESULTS",
            help="A folder, to scan it or folders in it; or the results of a scan, to review them.",
            show_default=False,
        ),
    ],
    checkpoint: CheckpointOption = None,
    *,
    options: ServeOptions,
    display: Display,
) -> None:
    """Serve a page on this machine to scan folders and review what scans say.

    Open the address that is shown: it has a token, without which nobody is let in. Decisions are
    saved as they are made. Ctrl-C ends it; a scan that runs keeps its rows, and resumes.

    Examples:
        facecheck serve photos
        facecheck serve results.csv
    """
    from facecheck.report.serve.server import serve as job
    from facecheck.report.terminal.pages import render_serve

    def opened(address: str) -> None:
        if options.host not in LOOPBACK:
            tell(f"facecheck: warning: {options.host}: whoever sees the address may use it")
        tell(f"facecheck: open {address}")
        tell("facecheck: Ctrl-C ends it")

    result = job(source, chosen_checkpoint(checkpoint, display), options, opened=opened)
    finish(result, render_serve, display)
