"""Copying and moving files so that a kill at any moment neither doubles nor loses one.

Where a file goes is written to a :class:`Plan` before anything is done; a copy is made under a
temporary name, read back, and given its own, which fails where there is a file; only then is the
original of a move removed. Run again with the same plan: it resumes.
"""

from __future__ import annotations

import errno
import filecmp
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

from facecheck.core.errors import ImageError
from facecheck.core.files import sha256_file
from facecheck.core.journal import Journal

#: A file, or what loads the content of something that is none, such as a member of an archive.
Origin = Path | Callable[[], Path | bytes]

# Files of one folder are copied one after the other, so one name serves.
_PART = ".facecheck-part"


class Plan:
    """Where files go: a journal with an entry for each file, read in step with the files.

    The journal lies next to the table that names the files, one for each of what is done with
    them, and is never replaced: after a move it is the record of where files came from. An entry is
    written before its file is touched. Of moves the disk has it by then: after a power cut nothing
    else would say where an original went.

    Args:
        table: the table, such as the results of a scan.
        what: what is done: the table's sha256, the folder, ``move`` as a truth value; JSON values.
        notes: what else the first line keeps.

    Attributes:
        path: the journal.
    """

    def __init__(
        self, table: Path, what: Mapping[str, object], notes: Mapping[str, object] | None = None
    ) -> None:
        self.path = plan_path(table, what)
        self._journal: Journal[tuple[str, str]] = Journal(self.path, _entry)
        first = self._journal.head()
        if first is None:
            self._journal.replace([{**what, **(notes or {})}])
            first = self._journal.head()
        self._sync = bool(what["move"])
        self._entries = self._journal.entries(first.end if first else 0)
        self._astray: dict[str, str] = {}

    def known(self, name: str) -> str | None:
        """Return what was written for the next file; None if it is its turn to be written."""
        entry = next(self._entries, None)
        if entry is not None and entry.value[0] == name:
            return entry.value[1]
        if entry is not None:  # a damaged line: others follow in their order, but none in step
            self._astray = dict([entry.value, *(each.value for each in self._entries)])
        return self._astray.get(name)

    def add(self, name: str, target: str) -> None:
        """Write where the next file goes."""
        self._journal.append([name, target], sync=self._sync)

    def __enter__(self) -> Self:
        self._journal.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._entries.close()
        self._journal.__exit__(*error)


def plan_path(table: Path, what: Mapping[str, object]) -> Path:
    """Return where the plan of doing ``what`` with the files of a table lies."""
    text = json.dumps(what, sort_keys=True)
    return table.with_name(
        f"{table.name}.placed-{hashlib.sha256(text.encode()).hexdigest()[:12]}.jsonl"
    )


def read_plans(table: Path) -> dict[str, dict[str, Any]]:
    """Return the first line of every plan of a table, by the plan's name."""
    start, found = f"{table.name}.placed-", {}
    for path in sorted(table.absolute().parent.iterdir()):
        if path.name.startswith(start) and path.suffix == ".jsonl":
            first = Journal(path, _entry).head()
            if first is not None and isinstance(first.value, dict):
                found[path.name] = first.value
    return found


def put(origin: Origin, target: Path, *, fresh: bool, move: bool) -> bool:
    """Copy or move a file to its target, which no other file has been given.

    Args:
        origin: the file; what is none can only be copied.
        target: its path to be. The folder is made if needed.
        fresh: whether the target was added to the plan just now, not by an earlier run.
        move: remove the original.

    Returns:
        Whether something was done: false if the file is there already.

    Raises:
        ImageError: the file is not there, changed meanwhile, or another took its place.
        OSError: it cannot be read, or the target cannot be written.
    """
    if isinstance(origin, Path) and origin.absolute() == target.absolute():
        return False
    there = os.path.lexists(target)
    if there and not fresh:  # a kill may have left the copy's first name
        target.with_name(_PART).unlink(missing_ok=True)
    gone = isinstance(origin, Path) and not os.path.lexists(origin)
    if there and (gone or not (isinstance(origin, Path) or fresh)):
        return False  # by an earlier run
    if gone:
        raise ImageError("the file is not there")
    if not there:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (move and _linked(origin, target)):
            _copy(origin, target)
    elif not same(origin, target, quick=not (move or fresh)):
        raise ImageError("another file was written there in the meantime")
    elif not move:
        return False
    if move and isinstance(origin, Path):
        sync_folder(target.parent)
        origin.unlink()
    return True


def same(origin: Origin, target: Path, *, quick: bool = False) -> bool:
    """Return whether the file at ``target`` has this content; ``quick`` trusts size and time."""
    content = _content(origin)
    if not target.is_file() or target.stat().st_size != _stamp(content)[0]:
        return False
    if isinstance(content, bytes):
        return target.read_bytes() == content
    return filecmp.cmp(content, target, shallow=quick)


def sync_folder(folder: Path) -> None:
    """Make new names outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _entry(value: Any) -> tuple[str, str]:
    name, target = value
    return str(name), str(target)


def _linked(origin: Origin, target: Path) -> bool:
    """Give a file a second name, its target; return whether that can be."""
    if not isinstance(origin, Path) or origin.is_symlink():
        return False
    try:
        target.hardlink_to(origin)
    except FileExistsError:
        raise
    except OSError:  # another disk, or one without hard links
        return False
    return True


def _copy(origin: Origin, target: Path) -> None:
    """Copy a file, whole or not at all, and never over another."""
    content, part = _content(origin), target.with_name(_PART)
    # One that a kill left may be a placed file's second name: it must not be written to.
    part.unlink(missing_ok=True)
    try:
        _copy_checked(content, part)
        _name_as(part, target)
    finally:
        part.unlink(missing_ok=True)


def _copy_checked(content: Path | bytes, part: Path) -> None:
    digest = hashlib.sha256()
    before = _stamp(content)
    with _opened(content) as original, part.open("xb") as copy:
        while block := original.read(1 << 20):
            digest.update(block)
            copy.write(block)
        copy.flush()
        os.fsync(copy.fileno())
    if _stamp(content) != before:
        raise ImageError("the file changed while it was copied")
    if sha256_file(part) != digest.hexdigest():
        raise OSError(errno.EIO, "the copy is not the same")
    if isinstance(content, Path):
        shutil.copystat(content, part)


def _name_as(part: Path, target: Path) -> None:
    """Give a file its name, unless that is taken."""
    try:
        target.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links; the lock keeps our like away
        if os.path.lexists(target):
            raise
        part.rename(target)


def _content(origin: Origin) -> Path | bytes:
    return origin if isinstance(origin, Path) else origin()


def _opened(content: Path | bytes) -> BinaryIO:
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)


def _stamp(content: Path | bytes) -> tuple[int, int]:
    if isinstance(content, bytes):
        return len(content), 0
    known = content.stat()
    return known.st_size, known.st_mtime_ns
