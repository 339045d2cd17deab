"""The table of what a scan skipped, as ``index`` has one: a path and a reason for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from facecheck.core.errors import FacecheckError, UsageError, reason
from facecheck.core.files import path_text, refuse_to_overwrite, temporary_name
from facecheck.core.tree import Noted, Skipped
from facecheck.scanner.results.rows import CSV, JSONL, header_line, line_writer

COLUMNS: dict[str, type] = {"path": str, "reason": str}


@contextmanager
def noting_rejects(
    path: Path | None, *, out: Path, overwrite: bool
) -> Iterator[tuple[Skipped, Callable[[], None]]]:
    """Yield what counts skipped files, and what gives their table its name.

    The table is written as they are found, in bounded memory, under a temporary name. Where it is
    not given its own, it is removed in the end.

    Args:
        path: the table, ``.csv`` or ``.jsonl``; None writes none.
        out: the results of the scan.
        overwrite: whether the table may be there already.

    Raises:
        UsageError: it is there, is ``out``, or has another ending.
        FacecheckError: it cannot be written.
    """
    if path is None:
        yield Skipped(), lambda: None
        return
    file_format = path.suffix.lower()
    if file_format not in {CSV, JSONL}:
        raise UsageError(f"--rejects {path_text(path)}: end its name in .csv or .jsonl")
    if path.absolute() == out.absolute():
        raise UsageError(f"--rejects {path_text(path)} is the results file: name another one")
    refuse_to_overwrite(path, overwrite=overwrite)
    line, made = line_writer(file_format, COLUMNS), temporary_name(path)

    def note(name: str, why: str) -> None:
        with _writing(path):
            stream.write(line({"path": name, "reason": why}))

    def publish() -> None:
        with _writing(path):
            stream.flush()
            os.fsync(stream.fileno())
            made.replace(path)

    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = made.open("w", encoding="utf-8", newline="\n")
    try:
        stream.write(header_line(file_format, COLUMNS))
        yield Noted(note), publish
    finally:
        with _writing(path):
            stream.close()
            made.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FacecheckError(
            f"{path_text(path)}: cannot be written ({reason(error)}): check the folder"
        ) from None
