"""The commands that download source datasets and list them: fetch, sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.options import (
    CatalogOption,
    Json,
    KindOption,
    Pair,
    Quiet,
    SourceOption,
    Workers,
    progress_bars,
    show,
    split_pairs,
)
from facecheck.core.errors import UsageError
from facecheck.core.workspace import MANIFEST, RAW


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
