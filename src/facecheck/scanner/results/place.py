"""place: copy or move scanned files to a folder for each verdict, from the finished results.

Nothing is overwritten, and a kill at any moment neither doubles nor loses a file: where a file goes
is written to a journal (``<results>.placed.jsonl``) before anything is done; a copy is made under
a temporary name, read back, and given its own, which fails where there is a file; only then is the
original of a move removed.
"""

from __future__ import annotations

import errno
import filecmp
import hashlib
import io
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

from facecheck.core.errors import FacecheckError, ImageError, UsageError, reason
from facecheck.core.files import name_text, named_path, numbered, path_text, sha256_file
from facecheck.core.journal import Journal
from facecheck.core.labels import Verdict
from facecheck.core.lock import only_one
from facecheck.core.parallel import Progress, silent
from facecheck.scanner.inputs.items import INSIDE
from facecheck.scanner.inputs.named import load_named
from facecheck.scanner.results.rows import PATH, Row, read_columns, read_rows

#: The verdicts, which are the names of folders: nothing else in a results file becomes one.
VERDICTS = frozenset(verdict.value for verdict in Verdict)

_PLACED, _ALREADY, _LEFT, _FAILED = "placed", "already", "left", "failed"
# Errors of the target, not of one file: no other file would fare better.
_HOPELESS = {errno.ENOSPC, errno.EROFS, errno.EDQUOT}


@dataclass(frozen=True)
class PlaceResult:
    """What ``place`` did.

    Attributes:
        to: the folder; files are at ``<verdict>/<name>`` in it.
        how: ``copy`` or ``move``.
        verdicts: files placed, now or earlier, by verdict.
        placed: files copied or moved now.
        already: files that were there already.
        left: files without a verdict, and with ``move`` members of archives and URLs, which can
            only be copied.
        failed: files that could not be placed, by reason.
    """

    to: Path
    how: str
    verdicts: Mapping[str, int]
    placed: int
    already: int
    left: int
    failed: Mapping[str, int]


@dataclass
class _Tally:
    outcomes: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def note(self, verdict: str, outcome: str, reason: str = "") -> None:
        self.outcomes[outcome] += 1
        if outcome in {_PLACED, _ALREADY}:
            self.verdicts[verdict] += 1
        elif outcome == _FAILED:
            self.failed[reason] += 1


def place(
    results: Path,
    to: Path,
    *,
    move: bool = False,
    confirmed: bool = False,
    verdicts: Collection[str] = (),
    roots: Sequence[Path] = (),
    progress: Progress = silent,
) -> PlaceResult:
    """Put every file that has a verdict at ``to/<verdict>/<its name>``.

    A file below one of ``roots`` is named from there; another one by its whole path, without a
    leading slash or ``..``. A file that has several rows goes by the most artificial one. Where
    another file has its name it gets a number, ``name~2.jpg``; a copy that is there already, byte
    by byte, is left as it is. A link counts as the file it leads to.

    Args:
        results: finished results of ``scan``. Their relative names are of the current folder.
        to: the folder.
        move: remove the originals.
        confirmed: the user agreed to ``move``.
        verdicts: place only these; empty: all.
        roots: the folders that were scanned.
        progress: called with files done.

    Raises:
        UsageError: ``move`` was not confirmed, or there is no such verdict.
        FacecheckError: the results cannot be read, the folder cannot be written or is full, or
            another process fills it. Run again: what is placed stays.
    """
    if move and not confirmed:
        raise UsageError(
            f"moving to {path_text(to)} takes files from where they are: agree, or pass --yes"
        )
    if unknown := set(verdicts) - VERDICTS:
        raise UsageError(
            f"no verdict is called {min(unknown)!r}: there are {', '.join(sorted(VERDICTS))}"
        )
    tally = _Tally()
    try:
        to.mkdir(parents=True, exist_ok=True)
        with only_one(to, "place"):
            journal = results.with_name(f"{results.name}.placed.jsonl")
            head = {
                "results": sha256_file(results),
                "to": path_text(to.absolute()),
                "move": move,
                "verdicts": sorted(verdicts),
            }
            wanted = frozenset(verdicts) or VERDICTS
            with _Plan(journal, head) as plan:
                for done, (name, verdict) in enumerate(_files(results), 1):
                    if verdict in wanted:
                        file = _File(name, to / verdict, roots)
                        tally.note(verdict, *_place_one(file, plan, move=move))
                    else:
                        tally.note("", _LEFT)
                    progress(done, None)
    except OSError as error:
        raise FacecheckError(
            f"{path_text(to)}: files cannot be placed there ({reason(error)}): fix that and "
            "run the same command again to resume"
        ) from None
    return PlaceResult(
        to=to,
        how="move" if move else "copy",
        verdicts=dict(tally.verdicts),
        placed=tally.outcomes[_PLACED],
        already=tally.outcomes[_ALREADY],
        left=tally.outcomes[_LEFT],
        failed=dict(tally.failed),
    )


def _files(results: Path) -> Iterator[tuple[str, str]]:
    """Yield each file's name and verdict, the most artificial one of its rows."""
    columns = read_columns(results)
    if not {PATH, "verdict", "score"} <= columns.keys():
        what = "a manifest" if {PATH, "kind", "source"} <= columns.keys() else "another table"
        raise FacecheckError(
            f"{path_text(results)} is {what}: name a file that `facecheck scan` wrote"
        )
    columns = {**columns, "score": float}
    for name, rows in groupby(read_rows(results, columns), key=lambda row: str(row[PATH])):
        worst = max(rows, key=_score)
        yield name, str(worst["verdict"])


def _score(row: Row) -> float:
    score = row["score"]
    return -1 if score is None else float(score)


@dataclass(frozen=True)
class _File:
    """One file of the results, and how to get it."""

    name: str
    folder: Path
    roots: Sequence[Path]

    @property
    def path(self) -> Path:
        """Where it lies, if it is a plain file."""
        return named_path(self.name)

    @property
    def is_inside(self) -> bool:
        """Whether it is a member of an archive, or at a URL."""
        return (INSIDE in self.name or "://" in self.name) and not os.path.lexists(self.path)

    def content(self) -> Path | bytes:
        return load_named(self.name) if self.is_inside else self.path

    def target(self) -> Path:
        """Return its path in the verdict's folder, and never outside."""
        path = self.path
        if self.is_inside:
            path = named_path(self.name.replace("://", "/").replace(INSIDE, "/").replace("\0", "_"))
        for root in self.roots:
            with suppress(ValueError):
                path = path.relative_to(root)
                break
        parts = [part for part in path.parts if part not in {path.anchor, ".."}]
        return self.folder.joinpath(*parts or ["unnamed"])


class _Plan:
    """Where files go: an entry for each file in the order of the results, read in step with them.

    An entry is written before its file is touched. Of moves the disk has it by then: after a power
    cut nothing else would say where an original went.
    """

    def __init__(self, path: Path, head: Mapping[str, object]) -> None:
        self._journal: Journal[tuple[str, str]] = Journal(path, _entry)
        first = self._journal.head()
        if first is None or first.value != head:
            self._journal.replace([head])
            first = self._journal.head()
        self._end = first.end if first else 0
        self._sync = bool(head["move"])
        self._entries = self._journal.entries(self._end)

    def known(self, name: str) -> str | None:
        """Return what was written for the next file; None if it is its turn to be written."""
        entry = next(self._entries, None)
        if entry is None:
            return None
        if entry.value[0] == name:
            self._end = entry.end
            return entry.value[1]
        self._entries.close()
        self._journal.truncate(self._end)
        return None

    def add(self, name: str, target: str) -> None:
        self._journal.append([name, target], sync=self._sync)

    def __enter__(self) -> _Plan:
        self._journal.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._entries.close()
        self._journal.__exit__(*error)


def _entry(value: Any) -> tuple[str, str]:
    name, target = value
    return str(name), str(target)


def _place_one(file: _File, plan: _Plan, *, move: bool) -> tuple[str, str]:
    """Copy or move one file to its target; return what came of it, and why it failed."""
    try:
        planned = plan.known(file.name)
        fresh = planned is None
        if planned is None:
            inside = move and file.is_inside
            planned = "" if inside else name_text(_free(file, move=move))
            plan.add(file.name, planned)
        if not planned:
            return _LEFT, ""
        return _put(file, named_path(planned), fresh=fresh, move=move), ""
    except ImageError as error:
        return _FAILED, str(error)
    except OSError as error:
        if error.errno in _HOPELESS:
            raise
        return _FAILED, reason(error)


def _free(file: _File, *, move: bool) -> Path:
    """Return the first possible target that no other file has."""
    return next(target for target in numbered(file.target()) if _is_free(target, file, move=move))


def _is_free(target: Path, file: _File, *, move: bool) -> bool:
    if not os.path.lexists(target) or _is_target(file, target):
        return True
    # A copy is as good as another. A file to be moved is not: one of two would be gone.
    return not move and _same(file.content(), target)


def _is_target(file: _File, target: Path) -> bool:
    return not file.is_inside and file.path.absolute() == target.absolute()


def _put(file: _File, target: Path, *, fresh: bool, move: bool) -> str:
    """Copy or move a file to its target, which no other file has been given."""
    if _is_target(file, target):
        return _ALREADY
    there = os.path.lexists(target)
    if there and not fresh:  # a kill may have left the copy's first name
        _part(target).unlink(missing_ok=True)
    gone = not file.is_inside and not os.path.lexists(file.path)
    if there and (gone or (file.is_inside and not fresh)):
        return _ALREADY  # by an earlier run
    if gone:
        raise ImageError("the file is not there")
    if not there:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (move and _linked(file.path, target)):
            _copy(file.content(), target)
    elif not _same(file.content(), target, quick=not (move or fresh)):
        raise ImageError("another file was written there in the meantime")
    elif not move:
        return _ALREADY
    if move:
        _sync_folder(target.parent)
        file.path.unlink()
    return _PLACED


def _linked(path: Path, target: Path) -> bool:
    """Give a file a second name, its target; return whether that can be."""
    if path.is_symlink():
        return False
    try:
        target.hardlink_to(path)
    except FileExistsError:
        raise
    except OSError:  # another disk, or one without hard links
        return False
    return True


def _copy(content: Path | bytes, target: Path) -> None:
    """Copy a file, whole or not at all, and never over another."""
    part = _part(target)
    # One that a kill left may be a placed file's second name: it must not be written to.
    part.unlink(missing_ok=True)
    try:
        _copy_checked(content, part)
        _name_as(part, target)
    finally:
        part.unlink(missing_ok=True)


def _part(target: Path) -> Path:
    """Return the name that a copy has until it is whole."""
    return target.with_name(".facecheck-part")


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


def _opened(content: Path | bytes) -> BinaryIO:
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)


def _stamp(content: Path | bytes) -> tuple[int, int]:
    if isinstance(content, bytes):
        return len(content), 0
    known = content.stat()
    return known.st_size, known.st_mtime_ns


def _same(content: Path | bytes, target: Path, *, quick: bool = False) -> bool:
    """Return whether the file at ``target`` has this content; ``quick`` trusts size and time."""
    if not target.is_file() or target.stat().st_size != _stamp(content)[0]:
        return False
    if isinstance(content, bytes):
        return target.read_bytes() == content
    return filecmp.cmp(content, target, shallow=quick)


def _sync_folder(folder: Path) -> None:
    """Make new names outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
