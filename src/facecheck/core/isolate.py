"""Work on strangers' files in processes of their own: one that crashes or hangs costs one row.

Image decoders are native code. A file that makes one crash would take a whole scan with it, and one
that makes it hang would stop the scan for good; neither can be caught in the process itself.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

from facecheck.core.errors import FacecheckError
from facecheck.core.version import PACKAGE

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Failed:
    """There is no result: the process that worked on the item crashed, or was too slow.

    Attributes:
        reason: for the item's row.
    """

    reason: str


class Isolated(Generic[Item, Result]):
    """A function whose calls are done by other processes, one for each thread that calls.

    A call returns the function's result, or :class:`Failed` when its process died or did not answer
    in time; the next call then has a new process. Exceptions of the function are raised, as they
    would be here. Close it, or use it in a ``with`` block, and its processes end.

    Args:
        function: may be pickled, as its items, results and exceptions; picklable results are the
            only thing it may change.
        timeout: seconds that one call may take, the start of a process not counted.
        ahead: processes that are running already, to be used first.

    Raises:
        FacecheckError: a process cannot be started.
    """

    def __init__(
        self,
        function: Callable[[Item], Result],
        *,
        timeout: float,
        ahead: StartedAhead | None = None,
    ) -> None:
        self._function = pickle.dumps(function)
        self._timeout, self._ahead = timeout, ahead
        self._mine = threading.local()
        self._all: set[_Process] = set()
        self._closed = False
        self._lock = threading.Lock()

    def __call__(self, item: Item) -> Result | Failed:
        """Return what the function does of the item, or why there is nothing."""
        process: _Process | None = getattr(self._mine, "process", None)
        if process is None:
            process = self._mine.process = self._start()
        try:
            process.connection.send(item)
            if not process.connection.poll(self._timeout):
                return self._give_up(process, f"took longer than {self._timeout:g} s")
            raised, result = process.connection.recv()
        except (EOFError, ConnectionError):
            return self._give_up(process, "")
        if raised:
            raise result
        answer: Result = result
        return answer

    def _start(self) -> _Process:
        with self._lock:
            process = (self._ahead.take() if self._ahead else None) or _Process()
            if self._closed:
                process.end()
                raise RuntimeError("closed")
            self._all.add(process)
        try:
            # One that was started ahead may have begun in another folder.
            process.connection.send((os.getcwd(), self._function))  # noqa: PTH109
            process.connection.recv_bytes()  # not to count its start, seconds on a busy machine
        except (EOFError, ConnectionError):
            raise FacecheckError(
                f"a process to decode files cannot be started ({_cause(process.end())}): see its "
                "messages above, and check for free memory"
            ) from None
        return process

    def _give_up(self, process: _Process, reason: str) -> Failed:
        self._mine.process = None
        with self._lock:
            self._all.discard(process)
        code = process.end()
        return Failed(reason or f"the decoder crashed ({_cause(code)})")

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        with self._lock:
            self._closed = True
            processes, self._all = self._all, set()
        for process in processes:  # all at once: each takes its time to end
            process.connection.close()
        for process in processes:
            process.end()

    def __enter__(self) -> Isolated[Item, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Process:
    """A Python process that serves calls, until its connection is closed.

    Args:
        module: what it imports before it is told its function.
    """

    def __init__(self, module: str = __name__) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # Not multiprocessing: its processes begin by importing the user's script again. -P: a
            # module must not come from the folder that happens to be scanned.
            code = f"import {module}; from {__name__} import serve; serve({theirs.fileno()})"
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-c", code],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": _python_path()},
                start_new_session=True,  # Ctrl-C is for the scan, which ends these itself
            )
        self.connection = Connection(ours.detach())

    def end(self) -> int:
        """Kill it if need be; return its exit code, minus the signal for a signal."""
        self.connection.close()
        try:
            # One that crashed is about to end by itself, and its own code tells more.
            return self._process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class StartedAhead:
    """Decoding processes that are started while this process is still importing.

    A process takes a third of a second to start. Those that nobody takes end with this process, or
    when it is closed.

    Args:
        count: how many.
        module: what they import: that of the function, which this process has not imported yet.
    """

    def __init__(self, count: int, module: str) -> None:
        self._waiting = [_Process(module) for _ in range(count)]

    def take(self) -> _Process | None:
        """Return one of the processes, or None where all are taken."""
        return self._waiting.pop() if self._waiting else None

    def close(self) -> None:
        """End the processes that were not taken."""
        while self._waiting:
            self._waiting.pop().end()


def _python_path() -> str:
    """Return where this process finds its modules, the folder of facecheck first."""
    package = str(PACKAGE.parent)
    return os.pathsep.join([package, *(folder for folder in sys.path if folder)])


def _cause(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def serve(descriptor: int) -> None:
    """Answer calls over a connected socket until it is closed, and end the process.

    That is what a process is started for.
    """
    # Who ends a job ends all its processes at once; that must not look like a crash of the decoder.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection = Connection(descriptor)
    # The socket is closed when the process is started ahead and not needed, when its work is done,
    # and when its parent was killed, and then an answer may have been left unread.
    with suppress(EOFError, ConnectionError):
        _serve(connection)
    sys.stderr.flush()
    os._exit(0)  # to take modules down one by one takes a fifth of the time of their import


def _serve(connection: Connection) -> None:
    folder, pickled = connection.recv()
    os.chdir(folder)
    function = pickle.loads(pickled)  # noqa: S301, from the process that started us
    _quiet_decoders()
    connection.send_bytes(b"ready")
    while True:
        item = connection.recv()
        try:
            answer = (False, function(item))
        except Exception as error:  # raised again where it was called
            answer = (True, error)
        connection.send(answer)


def _quiet_decoders() -> None:
    """Keep what decoders write to standard error off the terminal: it names no file.

    Python's own words still go there.
    """
    # Pillow warns of odd tags; what counts is said in the file's row.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
