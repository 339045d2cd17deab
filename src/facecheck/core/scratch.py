"""Folders for temporary files that are removed at the end, or by the next run after a kill."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: What the names of these folders begin with, and those of nothing else.
PREFIX = "facecheck-tmp-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new folder for temporary files; it is removed when the block ends.

    The process holds a lock on it, which the kernel frees when it dies, however it dies. So what a
    killed process of the same user left behind is known by its lock, and removed before.

    Raises:
        OSError: no folder can be made.
    """
    clear_scratch()
    folder, handle = _made()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def clear_scratch() -> None:
    """Remove the folders of this user whose process is dead."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another's, gone, or no folder
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(handle).st_uid == os.geteuid():
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def _made() -> tuple[Path, int]:
    """Return a new folder and a handle that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(OSError):  # a file system without locks: such a folder is never cleared
            fcntl.flock(handle, fcntl.LOCK_EX)
        if folder.exists():
            return folder, handle
        os.close(handle)  # another process took it for a dead one's, before it was locked
