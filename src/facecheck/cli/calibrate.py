"""The command that calibrates a checkpoint: calibrate."""

from __future__ import annotations

from facecheck.cli.arguments import CheckpointArgument, ManifestOption, chosen_checkpoint
from facecheck.cli.display import Display, finish, progress_bar
from facecheck.cli.flags import takes_options
from facecheck.cli.next_step import command_on
from facecheck.core.workspace import find_manifest
from facecheck.evaluation.options import CalibrateOptions


@takes_options
def calibrate(
    checkpoint: CheckpointArgument = None,
    manifest: ManifestOption = None,
    *,
    options: CalibrateOptions,
    display: Display,
) -> None:
    """Calibrate scores and choose thresholds for an error budget.

    Uses only the val split, for a temperature, two thresholds with uncertain between them, and an
    out-of-distribution guard that marks unfamiliar images uncertain. They replace an earlier
    calibration in the checkpoint; its weights stay as they are. The exit code is 3 when some files
    could not be read.

    Examples:
        facecheck calibrate --budget 0.05
        facecheck calibrate runs/resnet50 --budget 0.01 --out calibrated.safetensors
    """
    found = chosen_checkpoint(checkpoint, display), find_manifest(manifest)
    from facecheck.evaluation.calibrate import calibrate as job
    from facecheck.report.terminal.evaluation import render_calibrate

    with progress_bar("calibrating", quiet=display.quiet) as progress:
        result = job(*found, options, progress=progress)
    following = command_on("evaluate", result.out, result.manifest)
    finish(result, render_calibrate, display, failed=result.errors, following=following)
