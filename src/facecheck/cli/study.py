"""The command that compares recipes: study."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecheck.cli.options import Device, Json, ManifestOption, Quiet, progress_bar, show
from facecheck.core.workspace import find_manifest

if TYPE_CHECKING:
    from facecheck.evaluation.studies.runs import Run


def study(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A study of the package, or a YAML file.")
    ],
    manifest: ManifestOption = None,
    out: Annotated[
        Path | None, typer.Option(help="The study's folder.", show_default="studies/<name>")
    ] = None,
    keep_checkpoints: Annotated[
        bool, typer.Option(help="Keep each run's checkpoints once it has been judged.")
    ] = False,
    device: Device = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Decoding processes; 0: none.", show_default="one per core"),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train recipes that differ in one choice, with several seeds each, and compare them.

    The folder gets a table (CSV and Markdown), a plot and a page. The same command again goes on
    with the runs that are missing. The package's studies: augmentation, doubling, freeze, loss,
    optimiser, pretrained, sources.
    """
    from facecheck.evaluation.studies.spec import load_study
    from facecheck.evaluation.studies.study import study as job
    from facecheck.report.study_page import study_page
    from facecheck.report.terminal.tables import percent
    from facecheck.report.terminal.training import render_study

    spec = load_study(name)

    def tell(run: Run) -> None:
        if not quiet:
            sys.stderr.write(
                f"{run.variant}, seed {run.seed}: test top-1 {percent(run.top1)} of {run.count:,}, "
                f"{run.seconds:.0f} s\n"
            )

    with progress_bar("runs", quiet=quiet) as progress:
        result = job(
            spec,
            find_manifest(manifest),
            out or Path("studies") / Path(name).stem,
            keep_checkpoints=keep_checkpoints,
            device=device,
            workers=workers,
            progress=progress,
            on_run=tell,
        )
    study_page(spec, result)
    show(result, render_study, as_json=as_json, quiet=quiet)
