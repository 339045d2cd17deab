"""The commands that make and shape a manifest: fetch, index, dedup, split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.options import (
    CatalogOption,
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
    progress_bars,
    show,
    split_pairs,
)
from facecheck.core.errors import UsageError
from facecheck.core.workspace import MANIFEST, RAW, find_manifest


def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", help="Sources of the catalogue.", show_default="the default set"
        ),
    ] = None,
    origin: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A local folder or zip/tar archive instead: of the source NAME as you got it, or "
            "laid out <kind>/<source>/…",
        ),
    ] = None,
    catalog: CatalogOption = None,
    root: Annotated[Path, typer.Option(help="Where fetched images go.")] = RAW,
    manifest: Annotated[Path, typer.Option(help="The manifest to make.")] = MANIFEST,
    kind: KindOption = None,
    source: SourceOption = None,
    *,
    pair: Pair,
    listing: Annotated[
        bool, typer.Option("--list", help="List the catalogue and fetch nothing.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be fetched: size, time, licence."),
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Sources fetched at a time.")] = 2,
    keep_archives: Annotated[
        bool, typer.Option("--keep-archives", help="Keep archives once they are unpacked.")
    ] = False,
    locked: Annotated[
        bool, typer.Option("--locked", help="Refuse what differs from facecheck.lock.")
    ] = False,
    deduplicate: Annotated[
        bool, typer.Option("--dedup/--no-dedup", help="Deduplicate what was fetched.")
    ] = True,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring source datasets to data/raw, then index and deduplicate them.

    Kill it at any moment: the same command goes on where it was. A local origin is copied,
    and nothing already fetched is replaced.
    """
    from facecheck.data.sources.fetch import fetch as job
    from facecheck.data.sources.fetch import list_sources
    from facecheck.report.terminal import render_fetch, render_plan, render_sources

    if dry_run and origin:
        raise UsageError("--dry-run tells what downloads would take, and --from is here already")
    if listing or dry_run:
        rows = list_sources(None if listing else names or (), catalog=catalog, root=root)
        render = render_sources if listing else render_plan
        show(rows, render, as_json=as_json, quiet=quiet)
        return
    with progress_bars(quiet=quiet) as bars:
        result = job(
            names or (),
            origin=origin,
            catalog=catalog,
            root=root,
            manifest=manifest,
            kind=kind,
            source=source,
            pairs=split_pairs(pair),
            jobs=jobs,
            keep_archives=keep_archives,
            locked=locked,
            deduplicate=deduplicate,
            workers=workers,
            progress=bars.counter("indexing"),
            download_progress=bars.download,
        )
    show(result, render_fetch, as_json=as_json, quiet=quiet)
    for name, reason in result.failed.items():
        typer.echo(f"facecheck: {name}: {reason}", err=True)
    if result.failed:
        raise typer.Exit(1)


def sources(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Show all that is known of these."),
    ] = None,
    catalog: CatalogOption = None,
    root: Annotated[Path, typer.Option(help="Where fetched images are.")] = RAW,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the datasets that fetch knows: platform, size, licence, and whether verified."""
    from facecheck.data.sources.fetch import list_sources
    from facecheck.report.terminal import render_source_details, render_sources

    listing = list_sources(names or None, catalog=catalog, root=root)
    render = render_source_details if names else render_sources
    show(listing, render, as_json=as_json, quiet=quiet)


def index(
    folders: Annotated[list[Path], typer.Argument(help="Folders laid out <kind>/<source>/…")],
    out: Annotated[Path, typer.Option(help="The manifest, .csv or .parquet.")] = MANIFEST,
    kind: KindOption = None,
    source: SourceOption = None,
    *,
    pair: Pair,
    overwrite: Overwrite = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file again, however unchanged it looks.")
    ] = False,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Decode and hash every image of some folders into a manifest.

    Files that cannot be decoded go to a rejects table beside it, with the reason. Files that have
    not changed since the last time are not decoded again.
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
            verify=verify,
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
        from facecheck.data.duplicates.explain import explain as explain_job
        from facecheck.report.terminal import render_explain

        reasons = explain_job(*explain, level=level, radius=radius)
        show(reasons, render_explain, as_json=as_json, quiet=quiet)
        return
    from facecheck.data.duplicates.dedup import dedup as job
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
