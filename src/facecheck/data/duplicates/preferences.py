"""What the user says of which copy to keep: sources to prefer, and folders to protect."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import reduce
from operator import or_
from pathlib import Path

import polars as pl

from facecheck.core.errors import UsageError, did_you_mean
from facecheck.core.files import path_text


def check_preferred(frame: pl.DataFrame, sources: Sequence[str]) -> None:
    """Raise :class:`UsageError` if no record is of one of the sources to prefer."""
    known = frame["source"].unique().sort().to_list()
    for source in sources:
        if source not in known:
            raise UsageError(
                f"--prefer names {source!r}: the sources are {', '.join(known)}"
                + did_you_mean(source, known)
            )


def protected_records(frame: pl.DataFrame, folders: Sequence[Path]) -> pl.Series:
    """Return whether the file of each record lies under one of some folders.

    Raises:
        UsageError: a folder holds none.
    """
    protected = pl.repeat(False, frame.height, eager=True)
    for folder in folders:
        starts = (frame["path"].str.starts_with(start) for start in _starts([folder]))
        found = reduce(or_, starts)
        if not found.any():
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
