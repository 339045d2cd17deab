"""The command that assigns images to train, val and test: split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.options import (
    Json,
    ManifestArgument,
    Overwrite,
    Quiet,
    TableOut,
    Workers,
    progress_bar,
    show,
)
from facecheck.core.workspace import find_manifest


def split(
    manifest: ManifestArgument = None,
    ratio: Annotated[
        str,
        typer.Option(help="Shares of train:val:test, or of train:test; more parts are folds."),
    ] = "8:1:1",
    kfold: Annotated[
        int | None,
        typer.Option(
            min=2, help="Fill the column fold with this many equal parts instead; test stays out."
        ),
    ] = None,
    by: Annotated[
        str, typer.Option(help="Columns whose every combination follows the ratio.")
    ] = "kind,source",
    group_column: Annotated[
        str | None, typer.Option(help="A further column whose equal values share a part.")
    ] = None,
    *,
    hold_out_source: Annotated[
        list[str],
        typer.Option(
            metavar="SOURCE",
            help="Put all of this source into test, and what belongs with it. Repeatable.",
            default_factory=list,
            show_default=False,
        ),
    ],
    extend: Annotated[
        bool, typer.Option("--extend", help="Keep the parts that records have; place new ones.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed gives another split.")] = 0,
    check: Annotated[
        Path | None,
        typer.Option(
            help="Split nothing: look for leaks in this manifest, or folder laid out "
            "train/<class>/…, val/…, test/…; exit code 1 if there are any."
        ),
    ] = None,
    out: TableOut = None,
    overwrite: Overwrite = False,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Assign images to train, val and test: groups whole, every kind and source in proportion.

    What belongs together (one group, equal bytes or pixels, a confirmed duplicate) never crosses;
    the proof is printed, and --check repeats it on anybody's split.
    """
    if check is not None:
        _check(check, workers=workers, as_json=as_json, quiet=quiet)
        return
    from facecheck.data.split import parse_ratio
    from facecheck.data.split import split as job
    from facecheck.report.terminal import render_split

    parse_ratio(ratio)  # a typing error is told before a missing manifest
    result = job(
        find_manifest(manifest),
        ratio=ratio,
        kfold=kfold,
        by=[name.strip() for name in by.split(",") if name.strip()],
        group_column=group_column,
        hold_out=hold_out_source,
        extend=extend,
        seed=seed,
        out=out,
        overwrite=overwrite,
    )
    show(result, render_split, as_json=as_json, quiet=quiet)


def _check(path: Path, *, workers: int | None, as_json: bool, quiet: bool) -> None:
    from facecheck.data.leaks import check as job
    from facecheck.report.terminal import render_check

    with progress_bar("looking", quiet=quiet) as progress:
        result = job(path, workers=workers, progress=progress)
    show(result, render_check, as_json=as_json, quiet=quiet)
    if not result.holds:
        raise typer.Exit(1)
