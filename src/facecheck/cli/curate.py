"""The commands that make and shape a manifest: fetch, index, dedup, split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.options import (
    Json,
    KindOption,
    ManifestArgument,
    Overwrite,
    Pair,
    Quiet,
    SourceOption,
    TableOut,
    Workers,
    progress_bar,
    show,
    split_pairs,
)
from facecheck.core.workspace import MANIFEST, RAW, find_manifest


def fetch(
    origin: Annotated[
        Path,
        typer.Option(
            "--from", help="A local folder or zip/tar archive, laid out <kind>/<source>/…"
        ),
    ],
    root: Annotated[Path, typer.Option(help="Where fetched images go.")] = RAW,
    manifest: Annotated[Path, typer.Option(help="The manifest to make.")] = MANIFEST,
    kind: KindOption = None,
    source: SourceOption = None,
    *,
    pair: Pair,
    deduplicate: Annotated[
        bool, typer.Option("--dedup/--no-dedup", help="Deduplicate what was fetched.")
    ] = True,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring images to data/raw, then index and deduplicate them.

    The origin is copied, never moved; nothing already fetched is replaced.
    """
    from facecheck.data.fetch import fetch as job
    from facecheck.report.terminal import render_fetch

    with progress_bar("fetching", quiet=quiet) as progress:
        result = job(
            origin,
            root=root,
            manifest=manifest,
            kind=kind,
            source=source,
            pairs=split_pairs(pair),
            deduplicate=deduplicate,
            workers=workers,
            progress=progress,
        )
    show(result, render_fetch, as_json=as_json, quiet=quiet)


def index(
    folders: Annotated[list[Path], typer.Argument(help="Folders laid out <kind>/<source>/…")],
    out: Annotated[Path, typer.Option(help="The manifest, .csv or .parquet.")] = MANIFEST,
    kind: KindOption = None,
    source: SourceOption = None,
    *,
    pair: Pair,
    overwrite: Overwrite = False,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Decode and hash every image of some folders into a manifest.

    Files that cannot be decoded go to a rejects table beside it, with the reason.
    """
    from facecheck.data.index import index as job
    from facecheck.report.terminal import render_index

    with progress_bar("indexing", quiet=quiet) as progress:
        result = job(
            folders,
            out,
            kind=kind,
            source=source,
            pairs=split_pairs(pair),
            overwrite=overwrite,
            workers=workers,
            progress=progress,
        )
    show(result, render_index, as_json=as_json, quiet=quiet)


def dedup(
    manifest: ManifestArgument = None,
    out: TableOut = None,
    level: Annotated[
        str,
        typer.Option(
            help="What counts as a duplicate: equal bytes; equal pixels; the same picture "
            "re-encoded or resized; or edited: cropped, mirrored, recoloured too.",
            metavar="bytes|pixels|picture|edited",
        ),
    ] = "picture",
    radius: Annotated[
        int, typer.Option(min=0, max=16, help="Largest pHash distance in bits to look at.")
    ] = 8,
    explain: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="FILE FILE", help="Only say why two files are, or are not, one."),
    ] = None,
    apply: Annotated[
        str | None,
        typer.Option(
            help="Then lay what was kept out as TO/<kind>/<source>/<file>.",
            metavar="move|hardlink|symlink",
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option(help="The folder for --apply.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Move without asking.")] = False,
    overwrite: Overwrite = False,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Group files that hold the same picture and exclude all but one of each.

    The manifest's group and excluded columns change; tables beside it say which, why, how sure,
    which sources share pictures, and which pictures carry two kinds. Files are touched by --apply
    move alone.
    """
    if explain is not None:
        from facecheck.data.explain import explain as explain_job
        from facecheck.report.terminal import render_explain

        reasons = explain_job(*explain, level=level, radius=radius)
        show(reasons, render_explain, as_json=as_json, quiet=quiet)
        return
    from facecheck.data.dedup import dedup as job
    from facecheck.report.terminal import render_dedup

    if apply == "move" and not yes:
        typer.confirm(f"Move the files that are kept to {to}?", abort=True, err=True)
    with progress_bar("comparing", quiet=quiet) as progress:
        result = job(
            find_manifest(manifest),
            out=out,
            level=level,
            radius=radius,
            apply=apply,
            to=to,
            overwrite=overwrite,
            workers=workers,
            progress=progress,
        )
    show(result, render_dedup, as_json=as_json, quiet=quiet)


def split(
    manifest: ManifestArgument = None,
    ratio: Annotated[str, typer.Option(help="Shares of train:val:test.")] = "8:1:1",
    seed: Annotated[int, typer.Option(help="Another seed gives another split.")] = 0,
    out: TableOut = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Assign images to train, val and test: groups whole, every kind and source in proportion."""
    from facecheck.data.split import parse_ratio
    from facecheck.data.split import split as job
    from facecheck.report.terminal import render_split

    parse_ratio(ratio)  # a typing error is told before a missing manifest
    result = job(find_manifest(manifest), ratio=ratio, seed=seed, out=out, overwrite=overwrite)
    show(result, render_split, as_json=as_json, quiet=quiet)
