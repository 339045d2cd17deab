"""The commands that download source datasets and list them: fetch, sources."""

from __future__ import annotations

from typing import Annotated

import typer

from facecheck.cli.display import Display, finish, progress_bars, tell
from facecheck.cli.flags import takes_options
from facecheck.core.errors import UsageError
from facecheck.data.options import CatalogOptions, FetchOptions


@takes_options
def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", help="Sources of the catalogue.", show_default="the default set"
        ),
    ] = None,
    *,
    options: FetchOptions,
    listing: Annotated[
        bool, typer.Option("--list", help="List the catalogue and fetch nothing.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be downloaded: size, time, licence."),
    ] = False,
    display: Display,
) -> None:
    """Download datasets to data/raw, then index and deduplicate them.

    Safe to interrupt: run the same command again to resume. A local folder or archive is copied,
    and no file that has been fetched is replaced.

    Examples:
        facecheck fetch cufs selfie2anime
        facecheck fetch --from drawn
    """
    from facecheck.data.sources.fetch import fetch as job
    from facecheck.data.sources.offer import list_sources
    from facecheck.report.terminal.sources import render_fetch, render_plan, render_sources

    if dry_run and options.origin:
        raise UsageError("--dry-run and --from: nothing is downloaded with --from: leave one out")
    if listing or dry_run:
        rows = list_sources(None if listing else names or (), options)
        finish(rows, render_sources if listing else render_plan, display)
        return
    with progress_bars(quiet=display.quiet) as bars:
        result = job(
            names or (),
            options,
            progress=bars.counter("indexing"),
            download_progress=bars.download,
        )
    finish(result, render_fetch, display)
    for name, reason in result.failed.items():
        tell(f"facecheck: {name}: {reason}")
    if result.failed:
        raise typer.Exit(1)


@takes_options
def sources(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Show details for these sources."),
    ] = None,
    *,
    options: CatalogOptions,
    display: Display,
) -> None:
    """List the datasets that fetch knows: platform, size, licence, and whether verified.

    Examples:
        facecheck sources
        facecheck sources cufs
    """
    from facecheck.data.sources.offer import list_sources
    from facecheck.report.terminal.sources import render_source_details, render_sources

    listing = list_sources(names or None, options)
    finish(listing, render_source_details if names else render_sources, display)
