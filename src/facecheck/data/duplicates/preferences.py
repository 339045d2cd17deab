"""What the user says of which copy to keep: sources to prefer, and folders to protect."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from facecheck.core.errors import UsageError, did_you_mean
from facecheck.core.files import path_text
from facecheck.core.manifest import Record


def check_preferred(records: Sequence[Record], sources: Sequence[str]) -> None:
    """Raise :class:`UsageError` if no record is of one of the sources to prefer."""
    known = sorted({record.source for record in records})
    for source in sources:
        if source not in known:
            raise UsageError(
                f"--prefer names {source!r}: the sources are {', '.join(known)}"
                + did_you_mean(source, known)
            )


def protected_records(records: Sequence[Record], folders: Sequence[Path]) -> set[int]:
    """Return the indices of the records whose files lie under some folders.

    Raises:
        UsageError: a folder holds none.
    """
    protected: set[int] = set()
    for folder in folders:
        starts = _starts([folder])
        found = {index for index, record in enumerate(records) if record.path.startswith(starts)}
        if not found:
            raise UsageError(
                f"--protect {path_text(folder)}: no record's file lies under it: check the path"
            )
        protected |= found
    return protected


def lies_under(path: Path, folders: Sequence[Path]) -> bool:
    """Return whether a file lies under one of some folders, however these are spelled."""
    return os.fspath(path).startswith(_starts(folders))


def _starts(folders: Sequence[Path]) -> tuple[str, ...]:
    """Return what the absolute paths of the files in some folders begin with."""
    tops = {
        top
        for folder in folders
        for top in (os.path.normpath(folder.absolute()), os.fspath(folder.resolve()))
    }
    return tuple(os.path.join(top, "") for top in sorted(tops))  # noqa: PTH118
