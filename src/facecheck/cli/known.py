"""The commands for the table of known files: known add, known show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.display import Display, finish, progress_bar
from facecheck.cli.flags import takes_options
from facecheck.core.options import Trust
from facecheck.known.options import TABLE, KnownAddOptions
from facecheck.scanner.options import ReachOptions


@takes_options
def add(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders, pictures, and tables (.csv, .jsonl, .parquet) with path or sha256, and "
            "verdict or kind: corrections, or the results of a scan."
        ),
    ],
    known: Annotated[
        Path, Trust.NAMED, typer.Option(help="The table, CSV; made if it is not there.")
    ] = TABLE,
    *,
    options: KnownAddOptions,
    reach: ReachOptions,
    display: Display,
) -> None:
    """Put files that people have decided into a table, for `scan --known`.

    A verdict that is at odds with the table's is refused, and nothing is changed. The exit code is
    3 when some files could not be read.

    Examples:
        facecheck known add confirmed-fakes --verdict artificial
        facecheck known add results.csv --reviewed
    """
    from facecheck.known.add import known_add
    from facecheck.known.entries import Load
    from facecheck.report.terminal.known import render_known_add
    from facecheck.scanner.inputs.named import load_named
    from facecheck.scanner.inputs.reach import reach_of

    def loader_of(table: Path) -> Load:
        # What lies next to a table came with it.
        allowed = reach_of(table, (*reach.root, table.parent), addresses=reach.addresses)

        def load(name: str) -> Path | bytes:
            allowed.check(name)
            return load_named(name)

        return load

    with progress_bar("adding", quiet=display.quiet) as progress:
        result = known_add(inputs, known, options, loader_of=loader_of, progress=progress)
    finish(result, render_known_add, display, failed=result.failed)


@takes_options
def show(
    known: Annotated[
        Path, typer.Argument(metavar="TABLE", help="The table.", show_default=str(TABLE))
    ] = TABLE,
    *,
    display: Display,
) -> None:
    """Check a table of known files row by row, and count what is in it.

    Examples:
        facecheck known show
        facecheck known show known.csv --json
    """
    from facecheck.known.add import known_show
    from facecheck.report.terminal.known import render_known

    finish(known_show(known), render_known, display)
