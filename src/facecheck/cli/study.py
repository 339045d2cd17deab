"""The command that compares recipes: study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecheck.cli.arguments import ManifestOption
from facecheck.cli.display import Display, finish, progress_bar, tell
from facecheck.cli.flags import takes_options
from facecheck.core.options import Trust
from facecheck.core.workspace import find_manifest
from facecheck.evaluation.options import StudyOptions

if TYPE_CHECKING:
    from facecheck.evaluation.studies.runs import Run


@takes_options
def study(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FILE",
            help="A study of the package, or a YAML file.",
            show_default="lists the package's",
        ),
    ] = None,
    manifest: ManifestOption = None,
    out: Annotated[
        Path | None,
        Trust.NAMED,
        typer.Option(help="The study's folder.", show_default="studies/<name>"),
    ] = None,
    *,
    options: StudyOptions,
    display: Display,
) -> None:
    """Train recipes that differ in one choice, with several seeds each, and compare them.

    The folder gets a table (CSV and Markdown), a plot and a page. Safe to interrupt: run the same
    command again to train the missing runs. `facecheck study` alone lists the package's studies.

    Examples:
        facecheck study optimiser
        facecheck study networks --out networks
    """
    from facecheck.core.text import percent
    from facecheck.evaluation.studies.spec import load_study, packaged_studies
    from facecheck.evaluation.studies.study import study as job
    from facecheck.report.study_page import study_page
    from facecheck.report.terminal.training import render_packaged, render_study

    if name is None:
        finish(packaged_studies(), render_packaged, display)
        return
    spec = load_study(name)

    def tell_run(run: Run) -> None:
        if not display.quiet:
            tell(
                f"{run.variant}, seed {run.seed}: test top-1 {percent(run.top1)} of {run.count:,}, "
                f"{run.seconds:.0f} s"
            )

    folder = out or Path("studies") / Path(name).stem
    with progress_bar("runs", quiet=display.quiet) as progress:
        result = job(
            spec, find_manifest(manifest), folder, options, progress=progress, on_run=tell_run
        )
    study_page(spec, result)
    finish(result, render_study, display)
