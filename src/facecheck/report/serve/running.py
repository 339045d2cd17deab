"""A scan in a process of its own: started, watched by its journal, and stopped.

It is the command `facecheck scan`, so that it resumes as ever, and ends with the same bytes as one
that was started in a terminal.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from facecheck.core.errors import FacecheckError
from facecheck.core.text import printable
from facecheck.core.version import PACKAGE
from facecheck.scanner.inputs.items import find_inputs
from facecheck.scanner.options import InputOptions

#: Exit codes of a scan that is finished; with 3 some rows are errors.
DONE = {0, 3}
_SECONDS_TO_STOP = 20.0


@dataclass(frozen=True)
class Progress:
    """How far a scan is.

    Attributes:
        state: ``new``, ``running``, ``stopped``, ``done`` or ``failed``.
        done: files that have rows.
        total: files in all; None while they are counted.
        seconds_left: at the pace of this run; None while that is not known.
        message: why it failed, in a line.
    """

    state: str
    done: int
    total: int | None
    seconds_left: float | None
    message: str


class Running:
    """A scan's process, and how many files it has to go through.

    Args:
        folder: what is scanned.
        arguments: of `facecheck scan`, without the folder.
        done: files that have rows already.
    """

    def __init__(self, folder: Path, arguments: list[str], done: int) -> None:
        self.total: int | None = None
        self._begun, self._done = time.monotonic(), done
        self._stopped = Event()
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  # closed with this object
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", "facecheck", "scan", *arguments, "--", os.fspath(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._words,
            env={**os.environ, "PYTHONPATH": _python_path()},
            start_new_session=True,  # Ctrl-C is for the server, which ends this itself
        )
        Thread(target=self._count, args=(folder,), daemon=True).start()

    def _count(self, folder: Path) -> None:
        number = 0
        try:
            for number, _ in enumerate(find_inputs([folder], InputOptions()), 1):  # noqa: B007
                if self._stopped.is_set():
                    return
        except (FacecheckError, OSError):  # the scan itself will come to it
            return
        self.total = number

    @property
    def code(self) -> int | None:
        """How the process ended; None while it runs."""
        return self._process.poll()

    def progress(self, done: int) -> Progress:
        """Return how far it is, by how many files have rows."""
        code = self.code
        if code is None:
            return Progress("running", done, self.total, self._seconds_left(done), "")
        if code in DONE:
            return Progress("done", done, done, None, "")
        state = "stopped" if self._stopped.is_set() else "failed"
        return Progress(state, done, self.total, None, "" if state == "stopped" else self._reason())

    def _seconds_left(self, done: int) -> float | None:
        new = done - self._done
        if self.total is None or new <= 0:
            return None
        return (self.total - done) * (time.monotonic() - self._begun) / new

    def _reason(self) -> str:
        self._words.seek(0)
        lines = self._words.read().decode("utf-8", "replace").strip().splitlines()
        said = lines[-1].removeprefix("facecheck: ") if lines else f"exit code {self.code}"
        return printable(said[:500])

    def stop(self) -> None:
        """End it as Ctrl-C does, and wait until it has; its rows are kept."""
        self._stopped.set()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()  # whole chunks have their rows all the same
            self._process.wait()


def _python_path() -> str:
    """Return where the process finds its modules, the folder of facecheck first."""
    return os.pathsep.join([str(PACKAGE.parent), *(folder for folder in sys.path if folder)])
