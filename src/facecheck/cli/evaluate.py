"""The command that measures a checkpoint: evaluate."""

from __future__ import annotations

from facecheck.cli.arguments import CheckpointArgument, ManifestOption, chosen_checkpoint
from facecheck.cli.display import Display, finish, progress_bar
from facecheck.cli.flags import takes_options
from facecheck.cli.next_step import command_on
from facecheck.core.workspace import find_manifest
from facecheck.evaluation.options import EvaluateOptions


@takes_options
def evaluate(
    checkpoint: CheckpointArgument = None,
    manifest: ManifestOption = None,
    *,
    options: EvaluateOptions,
    display: Display,
) -> None:
    """Measure a checkpoint on one split, by kind and by source, with 95 % intervals.

    For the kinds: loss, top-1, top-5, confusion. For real against artificial: AUC, average
    precision, equal error rate, share of artificial images found at 1 and 5 % false alarms, the
    best possible threshold, calibration, risk by coverage, and the verdicts. The exit code is 3
    when some files could not be read.

    Examples:
        facecheck evaluate --split val
        facecheck evaluate runs/resnet50 --predictions predictions.csv
    """
    found = chosen_checkpoint(checkpoint, display), find_manifest(manifest)
    from facecheck.evaluation.evaluate import evaluate as job
    from facecheck.report.terminal.evaluation import render_evaluate

    with progress_bar("evaluating", quiet=display.quiet) as progress:
        result = job(*found, options, progress=progress)
    following = command_on("report", result.checkpoint, result.manifest)
    finish(result, render_evaluate, display, failed=result.errors, following=following)
