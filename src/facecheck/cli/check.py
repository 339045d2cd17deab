"""The command that finds images and labels that a person should see: check."""

from __future__ import annotations

from facecheck.cli.arguments import ManifestArgument
from facecheck.cli.display import Display, finish, progress_bars
from facecheck.cli.flags import takes_options
from facecheck.core.workspace import find_manifest
from facecheck.faults.options import FaultOptions


@takes_options
def check(manifest: ManifestArgument = None, *, options: FaultOptions, display: Display) -> None:
    """Find bad images and faces, duplicates, suspected label errors, and outliers.

    A table next to the manifest has a row for each image and reason, with a score from 0 (at the
    threshold) to 1; `facecheck report` makes a page of it to decide on. What is measured is kept:
    other thresholds take seconds. Label errors and outliers take a tenth of a second of a core for
    each image, once. The exit code is 3 when some files could not be read.

    Examples:
        facecheck check
        facecheck check --blurred 0.7
    """
    from facecheck.faults.check import check as job
    from facecheck.report.terminal.faults import render_faults

    with progress_bars(quiet=display.quiet) as bars:
        result = job(
            find_manifest(manifest),
            options,
            progress=bars.counter("measuring"),
            on_features=bars.counter("features"),
        )
    finish(result, render_faults, display, failed=result.errors)
