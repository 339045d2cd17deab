"""The errors facecheck raises for what its user can fix, and how an error becomes a line.

    FacecheckError             exit code 1
    ├── UsageError             exit code 2: an argument, option or setting that cannot be
    │   ├── ConfigError        the same, in a project file or recipe
    │   └── UnknownNameError   the same, of a name in Python; an AttributeError as well
    ├── ImageError             one file that cannot be decoded
    ├── ManifestError          a table of records that is not what a step needs
    ├── SourceError            a dataset that cannot be fetched or unpacked
    ├── CheckpointError        weights or a checkpoint that cannot be used
    └── TrainingError          a training that cannot start or resume

Each message is one line that says what is wrong, where, and how to fix it. The command line
prints it alone; anything else that is raised is a bug and shows its traceback.
"""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from facecheck.core.text import printable, without_secrets


class FacecheckError(Exception):
    """Something the user can fix. ``exit_code`` is what the command line returns for it."""

    exit_code = 1


class UsageError(FacecheckError):
    """An argument, option or setting that cannot be right, whatever the data holds."""

    exit_code = 2


class ConfigError(UsageError):
    """A project file or recipe with an unknown key or a value of the wrong type or range."""


class UnknownNameError(UsageError, AttributeError):
    """A name that the Python API does not have; ``hasattr`` sees an :class:`AttributeError`."""


class ImageError(FacecheckError):
    """One image file cannot be decoded under the decode policy."""


class ManifestError(FacecheckError):
    """A manifest lacks a column, holds a bad value, or names files that are not there."""


class SourceError(FacecheckError):
    """A source dataset cannot be fetched, verified or unpacked; secrets of addresses are left out.

    What raised it may have put an address with its token into the message.
    """

    def __init__(self, message: str) -> None:
        super().__init__(without_secrets(message))


class CheckpointError(FacecheckError):
    """Weights or a checkpoint are missing, damaged, or made for something else."""


class TrainingError(FacecheckError):
    """A training cannot start with this data, or cannot be resumed."""


class FacecheckWarning(UserWarning):
    """Something the user should know that stops nothing; the command line shows it as a line."""


def reason(error: BaseException) -> str:
    """Return why ``error`` was raised, as one printable line of at most 300 characters.

    It is the operating system's reason without the file's name, or the message with its lines
    joined; of an error without a message the name of its type.
    """
    told = error.strerror if isinstance(error, OSError) else None
    line = " ".join(str(told or error).split()) or type(error).__name__
    return printable(line if len(line) <= 300 else f"{line[:299]}…")


#: What to do about a failure of the operating system, by its number.
_HINTS = {
    errno.EACCES: "write elsewhere, or change the permissions",
    errno.EPERM: "write elsewhere, or change the permissions",
    errno.EROFS: "write elsewhere",
    errno.ENOSPC: "make room, and run the same command again",
    errno.EDQUOT: "make room, and run the same command again",
    errno.EFBIG: "write elsewhere, or raise the limit (ulimit -f)",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "check the path, and whether its disk is still there",
    errno.EIO: "check the disk",
    errno.ESTALE: "check the network drive",
}


def system_failure(error: OSError) -> str:
    """Return what the operating system refused, where, and what to do, in one line."""
    where = error.filename2 or error.filename
    name = "" if where is None else os.fsdecode(where) if isinstance(where, bytes) else str(where)
    path = Path(name)
    if path.name.startswith(".facecheck"):  # of ours for a moment: what counts is its folder
        name = str(path.parent)
    hint = _HINTS.get(error.errno or 0, "")
    return printable(f"{name}{': ' if name else ''}{reason(error)}{': ' if hint else ''}{hint}")


def did_you_mean(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """Return ``"; did you mean 'a' or 'b'?"`` for the nearest known names, or ``""``."""
    near = difflib.get_close_matches(name, list(known), n=most, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(match) for match in near)}?" if near else ""
