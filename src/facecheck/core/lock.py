"""One process at a time for one output; the second learns who the first is."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from facecheck.core.errors import FacecheckError, FacecheckWarning, reason
from facecheck.core.files import path_text
from facecheck.core.text import printable

_TAKEN = {errno.EWOULDBLOCK, errno.EAGAIN}


@contextmanager
def only_one(
    output: Path, command: str, *, inside: bool = True, wait: float = 2.0
) -> Iterator[None]:
    """Keep other processes out of ``output`` while the block runs.

    The lock is a file next to it, ``<name>.lock``, or ``.facecheck.lock`` in it if it is a folder.
    It says which process on which machine has it, since when and for which command, and is removed
    at the end. The kernel frees the lock when the process dies, however it dies: a file that is
    left behind locks nothing. On a network file system it is as good as that system's ``flock``;
    where there is none at all, the block runs unprotected, after a :class:`FacecheckWarning`.

    Args:
        output: the file or folder that is about to be written. Its parent is made if needed.
        command: what is about to write it, such as ``index``.
        inside: whether the lock of a folder lies in it; not where the folder may be new.
        wait: how long to wait for another process that has it, in seconds.

    Raises:
        FacecheckError: another process still has it.
        OSError: the lock file cannot be made.
    """
    within = inside and output.is_dir()
    path = output / ".facecheck.lock" if within else output.with_name(f"{output.name}.lock")
    new = [folder for folder in path.parents if not folder.exists()]
    handle = _locked(path, output, time.monotonic() + wait)
    try:
        os.truncate(handle, 0)
        os.pwrite(handle, _owner(command).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)
        with suppress(OSError):  # of folders that were made for the lock alone none is left
            for folder in new:
                folder.rmdir()


def _owner(command: str) -> str:
    since = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    return f"process {os.getpid()} on {socket.gethostname()} ({command}, since {since})\n"


def _locked(path: Path, output: Path, until: float) -> int:
    """Return an open handle on the lock file, which nobody else holds."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _TAKEN:
                _warn_unprotected(output, error)
                return handle
            owner = printable(os.pread(handle, 500, 0).decode("utf-8", "replace").strip())
            os.close(handle)
            if time.monotonic() >= until:
                raise FacecheckError(
                    f"{path_text(output)} is being written by {owner or 'another process'}: wait "
                    f"until it ends, or name another output ({path_text(path)} is the lock)"
                ) from None
            time.sleep(0.05)
            continue
        # The one before may have removed the file between our opening and locking it.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)


def _warn_unprotected(output: Path, error: OSError) -> None:
    warnings.warn(
        f"{path_text(output)}: its file system has no locks ({reason(error)}), so nothing stops a "
        "second facecheck from writing it: run one at a time",
        FacecheckWarning,
        stacklevel=5,
    )
