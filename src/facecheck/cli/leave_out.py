"""The command that scores each source by a model that never saw it: leave-out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facecheck.cli.arguments import ManifestOption
from facecheck.cli.display import Display, finish, progress_bar, tell
from facecheck.cli.flags import takes_options
from facecheck.cli.recipe import takes_recipe
from facecheck.core.workspace import find_manifest
from facecheck.evaluation.options import LeaveOutOptions
from facecheck.training.recipe import Recipe

if TYPE_CHECKING:
    from facecheck.training.state import Epoch


@takes_recipe
@takes_options
def leave_out(
    manifest: ManifestOption = None,
    *,
    recipe: Recipe,
    options: LeaveOutOptions,
    display: Display,
) -> None:
    """Score the images of each source by a model that was trained without it.

    Shows what the recipe is worth on cameras and generators that it never saw, and writes the
    scores for `facecheck calibrate --left-out`. Finished trainings are kept; the same command
    resumes.

    Examples:
        facecheck leave-out --recipe lite0-quick
        facecheck leave-out --recipe builtin --together ffhq-256:stylegan-256
    """
    found = find_manifest(manifest)
    from facecheck.evaluation.leave_out import leave_out as job
    from facecheck.report.terminal.robustness import render_leave_out
    from facecheck.report.terminal.training import epoch_line

    def tell_epoch(fold: str, epoch: Epoch) -> None:
        if not display.quiet and epoch.epoch == recipe.epochs:
            tell(f"without {fold}: {epoch_line(epoch)}")

    with progress_bar("training", quiet=display.quiet) as progress:
        result = job(found, recipe, options, progress=progress, on_epoch=tell_epoch)
    finish(result, render_leave_out, display)
