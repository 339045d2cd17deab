"""The commands that judge files: scan, and merge for the results of its parts."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from facecheck.cli.options import (
    BatchSize,
    Device,
    Json,
    Overwrite,
    Quiet,
    progress_bar,
    show,
)
from facecheck.core.errors import UsageError
from facecheck.core.files import path_text
from facecheck.core.labels import Status
from facecheck.core.parallel import cpu_count
from facecheck.core.workspace import find_checkpoint
from facecheck.scanner.isolate import start_ahead

if TYPE_CHECKING:
    from facecheck.scanner.job import ScanResult

_FILES, _FACES, _ROWS, _PLACES = "Files", "Faces", "Rows", "Places"


CopyTo = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="When done, copy files to DIR/real, DIR/artificial and DIR/uncertain.",
        rich_help_panel=_PLACES,
    ),
]
MoveTo = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Move them there instead; asks first.", rich_help_panel=_PLACES
    ),
]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Move without asking.", rich_help_panel=_PLACES)
]


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
    include: Annotated[
        list[str],
        typer.Option(
            metavar="GLOB",
            help="Take only what matches one of these, as in .gitignore. Repeatable.",
            rich_help_panel=_FILES,
            default_factory=list,
            show_default=False,
        ),
    ],
    exclude: Annotated[
        list[str],
        typer.Option(
            metavar="GLOB",
            help="Leave out what matches one of these. Repeatable.",
            rich_help_panel=_FILES,
            default_factory=list,
            show_default=False,
        ),
    ],
    split: Annotated[
        list[str],
        typer.Option(
            help="With --manifest, scan only this split. Repeatable.",
            rich_help_panel=_FILES,
            default_factory=list,
            show_default=False,
        ),
    ],
    only: Annotated[
        list[str],
        typer.Option(
            metavar="VERDICT",
            help="Write only rows of this verdict; all are counted. Repeatable.",
            rich_help_panel=_ROWS,
            default_factory=list,
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="The results, .csv, .jsonl or .parquet; - for CSV on stdout.")
    ] = Path("results.csv"),
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="A checkpoint, an export of one, a run folder, or `builtin`.",
            show_default="the newest run, or builtin",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="Scan the records of this manifest, too.", rich_help_panel=_FILES),
    ] = None,
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Take hidden files, too.", rich_help_panel=_FILES)
    ] = False,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", help="Enter folders behind symbolic links.", rich_help_panel=_FILES
        ),
    ] = False,
    archives: Annotated[
        bool,
        typer.Option(
            "--archives", help="Open the archives in folders, too.", rich_help_panel=_FILES
        ),
    ] = False,
    null: Annotated[
        bool,
        typer.Option(
            "--null",
            "-0",
            help="The list on stdin is separated by NUL; mostly found out by itself.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Scan only the I-th of N parts; `facecheck merge` joins their results.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    faces: Annotated[
        Literal["auto", "off"],
        typer.Option(
            help="auto: find faces and judge each, by a detector that is downloaded once; off: "
            "judge every image whole.",
            rich_help_panel=_FACES,
        ),
    ] = "auto",
    per_face: Annotated[
        bool,
        typer.Option(
            "--per-face",
            help="A row for each face, not one for the file's most artificial.",
            rich_help_panel=_FACES,
        ),
    ] = False,
    face_detector: Annotated[
        Path | None,
        typer.Option(
            help="YuNet's ONNX file.",
            show_default="downloaded once, or FACECHECK_FACE_DETECTOR",
            rich_help_panel=_FACES,
        ),
    ] = None,
    stability: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Judge N variants of each face too, scaled and encoded anew: a verdict that "
            "flips becomes uncertain, and the column spread tells how far the score moves.",
        ),
    ] = 0,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SCORE",
            help="Artificial is what has this score or more, real the rest: nothing between.",
            show_default="the checkpoint's two",
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="The share of either side that may be judged wrong: less makes more uncertain. "
            "One of those that the checkpoint was calibrated for.",
            show_default="what it was calibrated with",
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Go on as files come into the folders; end it with Ctrl-C or SIGTERM.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    copy_to: CopyTo = None,
    move_to: MoveTo = None,
    yes: Yes = False,
    raw_paths: Annotated[
        bool,
        typer.Option(
            "--raw-paths",
            help="Keep names in CSV that a spreadsheet would run as formulas.",
            rich_help_panel=_ROWS,
        ),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="When going on, know files by content rather than by size and time.",
            rich_help_panel=_ROWS,
        ),
    ] = False,
    overwrite: Overwrite = False,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="Where to judge: on this machine, or on a Ray cluster; the same rows."),
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="The cluster, such as 10.0.0.1:6379; auto: the one of this machine; local: one "
            "started for this scan.",
            show_default="RAY_ADDRESS, or local",
        ),
    ] = None,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Decoding processes; on a cluster chunks in progress.",
            show_default="one per core; on a cluster four",
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds one file may take to be decoded.")
    ] = 60.0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge every image: one row per file, bad files included.

    Interrupt at any moment and run the same again: it goes on where it was. The exit code is 3
    when some rows are errors.
    """
    part = None if shard is None else _part(shard)
    found = find_checkpoint(checkpoint)
    if engine != "ray":
        start_ahead(workers or cpu_count(), "facecheck.scanner.prepare")
    from facecheck.report.terminal.scanning import render_scan
    from facecheck.scanner.job import STDOUT
    from facecheck.scanner.job import scan as job

    if out == STDOUT and as_json:
        raise UsageError("--out - and --json: both would go to stdout: name a file with --out")
    _agree(move_to, yes=yes, when=" when done")
    stop = Event() if watch else None
    with _ended_by_signals(stop, out), progress_bar("scanning", quiet=quiet) as progress:
        result = job(
            inputs,
            out,
            found,
            manifest=manifest,
            splits=split,
            include=include,
            exclude=exclude,
            hidden=hidden,
            follow=follow,
            archives=archives,
            null=null,
            faces=faces,
            face_detector=face_detector,
            per_face=per_face,
            stability=stability,
            threshold=threshold,
            budget=budget,
            only=only,
            raw_paths=raw_paths,
            verify=verify,
            part=part,
            watch=stop,
            copy_to=copy_to,
            move_to=move_to,
            confirmed=True,
            overwrite=overwrite,
            engine=engine,
            ray_address=ray_address,
            device=device,
            batch_size=batch_size,
            workers=workers,
            timeout=timeout,
            progress=progress,
        )
    _warn(result, quiet=quiet)
    # On stdout the rows are the result.
    show(result, render_scan, as_json=as_json, quiet=quiet or out == STDOUT)
    if result.statuses.get(Status.ERROR) or (result.placed and result.placed.failed):
        raise typer.Exit(3)


@contextmanager
def _ended_by_signals(stop: Event | None, out: Path) -> Iterator[None]:
    """End cleanly on SIGINT and SIGTERM: at once, or a watch when what has come is judged."""

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
        hint = "" if str(out) == "-" else "; rows are kept, run the same again to go on"
        sys.stderr.write(f"facecheck: interrupted{hint}\n")
        number = interrupted.args[0] if interrupted.args else signal.SIGINT
        raise typer.Exit(128 + number) from None
    finally:
        for number, handled in before:
            signal.signal(number, handled)


def _part(text: str) -> tuple[int, int]:
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(f"--shard {text!r}: write I/N, as in 1/4 for the first of four parts")
    return int(number), int(count)


def _warn(result: ScanResult, *, quiet: bool) -> None:
    if quiet:
        return
    if result.no_detector:
        sys.stderr.write(f"facecheck: every image was judged whole: {result.no_detector}\n")
    if result.dropped:
        sys.stderr.write(f"facecheck: earlier rows were dropped: {result.dropped}\n")
    if result.passed.unlistable:
        sys.stderr.write(
            f"facecheck: {result.passed.unlistable:,} folders cannot be listed, such as "
            f"{result.passed.first_unlistable}\n"
        )


def merge(
    out: Annotated[Path, typer.Argument(help="The whole results, .csv, .jsonl or .parquet.")],
    parts: Annotated[
        list[Path],
        typer.Argument(help="The results of every part, each beside its .meta.json and .journal."),
    ],
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Join the results of `scan --shard 1/N` to N/N, to the bytes of one unsharded scan."""
    from facecheck.report.terminal.scanning import render_merge
    from facecheck.scanner.results.merge import merge as job

    with progress_bar("merging", quiet=quiet) as progress:
        result = job(out, parts, overwrite=overwrite, progress=progress)
    show(result, render_merge, as_json=as_json, quiet=quiet)


def place(
    results: Annotated[Path, typer.Argument(help="The results of a scan.")],
    copy_to: CopyTo = None,
    move_to: MoveTo = None,
    verdict: Annotated[
        list[str] | None, typer.Option(help="Place only these. Repeatable.", show_default="all")
    ] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="Name files from here, as a scan of it did.", show_default="none"
        ),
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Copy or move the files of finished results to a folder for each verdict.

    What `scan --copy-to` and `--move-to` do at their end. An interrupted one goes on.
    """
    from facecheck.report.terminal.scanning import render_place
    from facecheck.scanner.results.place import place as job

    to = move_to or copy_to
    if to is None or (move_to and copy_to):
        raise UsageError("--copy-to and --move-to: name one of them")
    _agree(move_to, yes=yes, when="")
    with progress_bar("placing", quiet=quiet) as progress:
        result = job(
            results,
            to,
            move=move_to is not None,
            confirmed=True,
            verdicts=verdict or (),
            roots=root or (),
            progress=progress,
        )
    show(result, render_place, as_json=as_json, quiet=quiet)
    if result.failed:
        raise typer.Exit(3)


def _agree(move_to: Path | None, *, yes: bool, when: str) -> None:
    if move_to is not None and not yes:
        typer.confirm(f"Move files to {path_text(move_to)}{when}?", abort=True, err=True)
