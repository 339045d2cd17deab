"""The commands that classify files: scan, merge for the results of its parts, and place."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facecheck.cli.arguments import CheckpointOption, chosen_checkpoint
from facecheck.cli.display import Display, finish, progress_bar, tell
from facecheck.cli.flags import takes_options
from facecheck.cli.next_step import command_on
from facecheck.core.common_options import OverwriteOption
from facecheck.core.errors import UsageError
from facecheck.core.files import path_text
from facecheck.core.isolate import StartedAhead
from facecheck.core.labels import Status
from facecheck.core.options import Trust
from facecheck.core.parallel import cpu_count
from facecheck.core.text import printable
from facecheck.core.tree import skipped_sentences
from facecheck.core.workspace import builtin_name
from facecheck.scanner.options import PlaceOptions, PlacingOptions, ScanOptions

if TYPE_CHECKING:
    from facecheck.scanner.job import ScanResult


#: The module of what decodes, which this process has not imported when others start with it.
DECODER = "facecheck.scanner.prepare"


@takes_options
def scan(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Folders, files, archives (zip, tar, WebDataset shards), addresses such as "
            "s3://bucket/folder, and - for a list of paths on stdin.",
            default_factory=list,
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        Trust.NAMED,
        typer.Option(help="The results, .csv, .jsonl, .parquet or .xlsx; - for CSV on stdout."),
    ] = Path("results.csv"),
    checkpoint: CheckpointOption = None,
    *,
    options: ScanOptions,
    display: Display,
) -> None:
    """Classify every image; writes one row per file, unreadable files included.

    Safe to interrupt: run the same command again to resume. The exit code is 3 when some rows are
    errors.

    With --video it classifies the faces in videos, and follows each from frame to frame.

    Examples:
        facecheck scan photos --out results.csv
        facecheck scan photos --out faces.csv --per-face --only artificial --copy-to sorted
    """
    found = chosen_checkpoint(checkpoint, display)
    # Before the imports below, which take as long as the processes need to start, and a core.
    workers = options.workers or cpu_count()
    started = StartedAhead(0 if options.on_ray else max(1, min(workers, cpu_count() - 1)), DECODER)
    if checkpoint is None and builtin_name(found) is None and not display.quiet:
        tell(f"facecheck: {_who_answers(found)}")
    from facecheck.scanner.job import STDOUT
    from facecheck.scanner.job import scan as job

    if out == STDOUT and display.as_json:
        raise UsageError("--out - and --json: both would go to stdout: name a file with --out")
    options = replace(options, yes=_agreed(options, when=" when done"))
    stop = Event() if options.watch else None
    with _ended_by_signals(stop, out), progress_bar("scanning", quiet=display.quiet) as progress:
        result = job(inputs, out, found, options, stop=stop, started=started, progress=progress)
    _warn(result, quiet=display.quiet)
    # On stdout the rows are the result.
    failed = result.statuses.get(Status.ERROR) or (result.placed and result.placed.failed)
    shown = replace(display, quiet=display.quiet or out == STDOUT)
    finish(result, _rendered, shown, failed=failed, following=command_on("report", out))


def _rendered(result: ScanResult) -> Any:
    """Return what is printed of a result."""
    # Only when it is printed: it takes as long to import as some files to classify.
    from facecheck.report.terminal.scanning import render_scan

    return render_scan(result)


def _who_answers(checkpoint: Path) -> str:
    """Return which run's model answers, since nobody named it, and what state it is in."""
    from facecheck.model.checkpoint import read_header
    from facecheck.model.facts import facts_of, state_text

    state = state_text(facts_of(read_header(checkpoint)))
    return f"the newest run answers, {path_text(checkpoint.parent)}: {state}"


@contextmanager
def _ended_by_signals(stop: Event | None, out: Path) -> Iterator[None]:
    """End cleanly on SIGINT and SIGTERM: at once, or a watch once all arrivals have rows."""

    def interrupt(number: int, _frame: object) -> None:
        raise KeyboardInterrupt(number)

    def end_watch(_number: int, _frame: object) -> None:
        assert stop is not None  # noqa: S101
        # In a thread: this one may be just about to wait for the event, and holds its lock.
        Thread(target=stop.set).start()
        for ending in (signal.SIGINT, signal.SIGTERM):  # who asks again will not wait
            signal.signal(ending, interrupt)

    handler = end_watch if stop else interrupt
    before = [(n, signal.signal(n, handler)) for n in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    except KeyboardInterrupt as interrupted:
        hint = "" if str(out) == "-" else "; rows are kept, run the same again to resume"
        sys.stderr.write(f"facecheck: interrupted{hint}\n")
        number = interrupted.args[0] if interrupted.args else signal.SIGINT
        raise typer.Exit(128 + number) from None
    finally:
        for number, handled in before:
            signal.signal(number, handled)


def _warn(result: ScanResult, *, quiet: bool) -> None:
    if quiet:
        return
    if result.dropped:
        tell(f"facecheck: earlier rows were dropped: {result.dropped}")
    if str(result.out) == "-":  # else the table says so
        for sentence in skipped_sentences(result.skipped):
            tell(f"facecheck: skipped {sentence}")


@takes_options
def merge(
    out: Annotated[Path, typer.Argument(help="The file to write, .csv, .jsonl or .parquet.")],
    parts: Annotated[
        list[Path],
        typer.Argument(
            help="The results of every part, each with its .meta.json and .journal next to it."
        ),
    ],
    *,
    output: OverwriteOption,
    display: Display,
) -> None:
    """Join the results of a scan in parts (`--shard 1/N` to `N/N`) into one file.

    It has the same bytes as the results of one scan of everything.

    Examples:
        facecheck merge all.csv part1.csv part2.csv
        facecheck merge all.parquet part1.csv part2.csv
    """
    from facecheck.report.terminal.scanning import render_merge
    from facecheck.scanner.results.merge import merge as job

    with progress_bar("merging", quiet=display.quiet) as progress:
        result = job(out, parts, overwrite=output.overwrite, progress=progress)
    finish(result, render_merge, display)


@takes_options
def place(
    results: Annotated[Path, typer.Argument(help="The results of a scan.")],
    *,
    options: PlaceOptions,
    display: Display,
) -> None:
    """Copy or move the files of finished results to a folder for each verdict.

    The same as `scan --copy-to` and `--move-to` do at the end. Safe to interrupt: run the same
    command again to resume.

    Examples:
        facecheck place results.csv --copy-to placed
        facecheck place results.csv --copy-to artificial --verdict artificial
    """
    from facecheck.report.terminal.scanning import render_place
    from facecheck.scanner.inputs.reach import reach_of
    from facecheck.scanner.results.place import place as job

    if options.folder is None:
        raise UsageError("--copy-to and --move-to: name one of them")
    with progress_bar("placing", quiet=display.quiet) as progress:
        result = job(
            results,
            options.folder,
            move=options.move_to is not None,
            confirmed=_agreed(options, when=""),
            verdicts=options.verdict,
            roots=options.root,
            reach=reach_of(results, options.root, addresses=options.addresses),
            progress=progress,
        )
    finish(result, render_place, display, failed=result.failed)


def _agreed(options: PlacingOptions, *, when: str) -> bool:
    """Ask before files are moved; return True, for there is no way on without agreeing."""
    if options.move_to is not None and not options.yes:
        question = f"Move files to {path_text(options.move_to)}{when}?"
        typer.confirm(printable(question), abort=True, err=True)
    return True
