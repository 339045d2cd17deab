"""The command that cuts faces out of a manifest's images: crop."""

from __future__ import annotations

from facecheck.cli.arguments import ManifestArgument
from facecheck.cli.display import Display, finish, progress_bar
from facecheck.cli.flags import takes_options
from facecheck.core.workspace import find_manifest
from facecheck.scanner.options import CropOptions


@takes_options
def crop(
    manifest: ManifestArgument = None,
    *,
    options: CropOptions,
    display: Display,
) -> None:
    """Cut the largest face out of every image, as a scan does, and write a manifest of the crops.

    Splits, groups and your own columns are kept. Close-ups and images in which no face is found are
    only scaled: a scan classifies these whole. Train on the crops, and the model sees what a scan
    will show it. The exit code is 3 when some files could not be read.

    Examples:
        facecheck crop data/manifest.csv --out data/faces
        facecheck crop --size 512 --out data/faces-512
    """
    found = find_manifest(manifest)
    from facecheck.report.terminal.scanning import render_crop
    from facecheck.scanner.crop import crop as job

    with progress_bar("cropping", quiet=display.quiet) as progress:
        result = job(found, options, progress=progress)
    finish(result, render_crop, display, failed=result.errors)
