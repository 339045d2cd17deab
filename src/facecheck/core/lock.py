"""One process at a time for one output, told who the other is."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facecheck.core.errors import FacecheckError
from facecheck.core.files import path_text

if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> None:
        # Far behind the text: Windows would not let the other process read what is locked.
        os.lseek(handle, 1 << 30, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)

else:
    import fcntl

    def _try_lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs; it is removed at the end.

    The kernel lets go of the lock when the process dies, however it dies: a file that is left
    behind locks nothing. On network file systems it is as good as their ``flock``.

    Args:
        path: the lock file. It holds the process and the machine of who has it.
        what: what is locked, for the message.

    Raises:
        FacecheckError: another process holds it.
        OSError: the file cannot be made.
    """
    handle = _lock(path, what)
    try:
        os.truncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        if sys.platform == "win32":  # which removes no open file
            os.close(handle)
            path.unlink(missing_ok=True)
        else:
            path.unlink(missing_ok=True)
            os.close(handle)


def _lock(path: Path, what: str) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _try_lock(handle)
        except OSError:
            owner = os.read(handle, 500).decode("utf-8", "replace").strip()
            os.close(handle)
            raise FacecheckError(
                f"{what} is being written by {owner or 'another process'}: wait for it, or name "
                f"another output ({path_text(path)} is the lock)"
            ) from None
        # The one before may have removed the file between our opening and locking it.
        if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
            return handle
        os.close(handle)
