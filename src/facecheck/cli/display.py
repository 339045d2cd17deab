"""How a command shows what it does: progress on stderr, its result on stdout."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from facecheck.core.errors import FacecheckError, reason
from facecheck.core.jsonable import jsonable
from facecheck.core.options import Options, option
from facecheck.core.parallel import Progress, silent
from facecheck.core.text import printable, printable_json

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID
    from rich.segment import Segment


@dataclass(frozen=True)
class Display(Options):
    """How a command shows its result."""

    as_json: bool = option(False, "Print the result as JSON on stdout.", flags=("--json",))
    quiet: bool = option(False, "No progress and no tables.", flags=("--quiet", "-q"))


def finish(
    result: Any,
    render: Callable[[Any], RenderableType],
    display: Display,
    *,
    failed: object = None,
    following: str = "",
) -> None:
    """Print a result on stdout, as JSON, as a table, or not at all; exit with 3 if any failed.

    A command to run next is named on stderr, below the table.

    Raises:
        FacecheckError: stdout is closed, or its disk is full.
    """
    with stdout_errors():
        _print(result, render, display)
    if following and not display.quiet:
        tell(f"next: {following}")
    if failed:
        raise typer.Exit(3)


@contextmanager
def stdout_errors() -> Iterator[None]:
    """Say in one line that stdout cannot be written; a reader that went away is no error."""
    if sys.stdout is None:  # what Python makes of a descriptor that is closed
        raise FacecheckError("stdout is closed: all is done, but its result cannot be shown")
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # What the stream still holds would fail again, aloud, when Python ends.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        raise FacecheckError(
            f"the result cannot be written to stdout ({reason(error)}): check where it leads"
        ) from None


def _print(result: Any, render: Callable[[Any], RenderableType], display: Display) -> None:
    if display.as_json:
        # Where stdout cannot hold é, it is \u00e9: JSON either way.
        text = json.dumps(jsonable(result), indent=2, ensure_ascii=not _takes("é█"))
        sys.stdout.write(printable_json(text) + "\n")
    elif not display.quiet:
        from rich.console import Console

        # Piped tables keep their columns: a narrow default would fold them.
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160
        Console(highlight=False, width=width).print(Printable(render(result)))


def _takes(text: str) -> bool:
    """Return whether standard output can hold some characters."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def tell(line: str) -> None:
    """Write a line to stderr; names of strangers in it cannot command the terminal."""
    sys.stderr.write(printable(line) + "\n")


def stderr_console() -> Console:
    """Return a console for messages; it honours NO_COLOR and whether stderr is a terminal."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


class Printable:
    """What it is made of, for Rich, with control characters of strangers' names escaped."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        # Bars drawn in blocks are drawn in hashes where there are no blocks.
        drawn = {} if _takes("█░…") else str.maketrans({"█": "#", "░": "-", "…": "..."})
        for segment in console.render(self._inner, options):
            if segment.control:  # Rich's own, such as the colours of a terminal
                yield segment
            else:
                text = segment.text.translate(drawn)
                yield segment._replace(text=printable(text, keep="\n"))


class Bars:
    """Progress bars on stderr, one for each thing that is counted; none where there is no one.

    Threads may report their progress at the same time.
    """

    def __init__(self, bars: RichProgress | None) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def counter(self, label: str) -> Progress:
        """Return a :data:`Progress` whose bar appears when it is first called."""
        if self._bars is None:
            return silent
        return lambda done, total: self._tell(label, done, total, lambda amount: f"{amount:,.0f}")

    def download(self, name: str, done: int, total: int | None) -> None:
        """Tell bytes of one download, here and in all."""
        if self._bars is not None:
            from rich.filesize import decimal

            self._tell(name, done, total, lambda amount: decimal(int(amount)))

    def _tell(
        self, label: str, done: int, total: int | None, words: Callable[[float], str]
    ) -> None:
        bars = self._bars
        if bars is None:
            return
        with self._lock:
            if label not in self._tasks:
                self._tasks[label] = bars.add_task(
                    printable(label), total=total, amount="", rate=""
                )
            task = self._tasks[label]
            speed = next((row.speed for row in bars.tasks if row.id == task), None)
            amount = words(done) if total is None else f"{words(done)} of {words(total)}"
            rate = f"{words(speed)}/s" if speed else ""
            bars.update(task, completed=done, total=total, amount=amount, rate=rate)


def rich_bars() -> RichProgress:
    """Return the bars as Rich draws them, on stderr, with amount, rate and time left."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichBars

    return RichBars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=stderr_console(),
        transient=True,
    )


@contextmanager
def progress_bars(*, quiet: bool) -> Iterator[Bars]:
    """Yield :class:`Bars` that draw on stderr, when that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield Bars(None)
        return
    with rich_bars() as bars:
        yield Bars(bars)


@contextmanager
def progress_bar(label: str, *, quiet: bool) -> Iterator[Progress]:
    """Yield a :data:`Progress` that draws a bar on stderr, when that is a terminal."""
    with progress_bars(quiet=quiet) as bars:
        yield bars.counter(label)
