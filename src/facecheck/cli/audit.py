"""The command that looks for shortcuts: audit."""

from __future__ import annotations

from facecheck.cli.arguments import ManifestArgument
from facecheck.cli.display import Display, finish, progress_bar
from facecheck.cli.flags import takes_options
from facecheck.core.workspace import find_manifest
from facecheck.data.options import AuditOptions


@takes_options
def audit(manifest: ManifestArgument = None, *, options: AuditOptions, display: Display) -> None:
    """Measure how well labels can be predicted from metadata and crude pixel statistics.

    Small models predict the kind from the files' headers alone, then from colour, sharpness and an
    8 x 8 thumbnail. What they get right, a classifier may learn instead of faces. The exit code is
    3 when some files could not be read.

    Examples:
        facecheck audit data/manifest.csv
        facecheck audit --fix normalise
    """
    from facecheck.data.audit import audit as job
    from facecheck.report.terminal.curation import render_audit

    with progress_bar("auditing", quiet=display.quiet) as progress:
        result = job(find_manifest(manifest), options, progress=progress)
    finish(result, render_audit, display, failed=result.errors)
