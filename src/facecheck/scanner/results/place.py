"""place: copy or move scanned files to a folder for each verdict, from the finished results.

Nothing is overwritten, and a kill at any moment neither doubles nor loses a file: see
:mod:`facecheck.core.moving`. Where files came from stays in ``<results>.placed-….jsonl``.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from facecheck.core.errors import FacecheckError, ImageError, UsageError, reason
from facecheck.core.files import (
    name_text,
    named_path,
    numbered,
    path_text,
    sha256_file,
    to_path,
    to_paths,
)
from facecheck.core.labels import Verdict
from facecheck.core.lock import only_one
from facecheck.core.moving import Origin, Plan, put, same
from facecheck.core.parallel import Progress, silent
from facecheck.core.whatis import mistaken
from facecheck.scanner.inputs.items import INSIDE
from facecheck.scanner.inputs.named import load_named
from facecheck.scanner.inputs.reach import Reach, reach_of
from facecheck.scanner.results.columns import are_of_videos
from facecheck.scanner.results.rows import PATH, Columns, Row, read_columns, read_rows

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
    results: Path | str,
    to: Path | str,
    *,
    move: bool = False,
    confirmed: bool = False,
    verdicts: str | Collection[str] = (),
    roots: Path | str | Sequence[Path | str] = (),
    reach: Reach | None = None,
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
        reach: which files the results may name; others, and what is no image, are left where they
            are. None: what lies below ``roots`` and what the ``.meta.json`` next to the results
            says was scanned. Of results that you trust: ``EVERYWHERE``.
        progress: called with files done.

    Raises:
        UsageError: ``move`` was not confirmed, there is no such verdict, or ``results`` is another
            table.
        FacecheckError: the results cannot be read, the folder cannot be written or is full, or
            another process fills it. Run again: what is placed stays.
    """
    results, to = to_path(results, "the results"), to_path(to, "to")
    roots = to_paths(roots, "roots")
    verdicts = [verdicts] if isinstance(verdicts, str) else list(verdicts)
    read_columns(results)  # what cannot be read is said before the folder is made
    if move and not confirmed:
        raise UsageError(
            f"moving to {path_text(to)} takes files from where they are: agree, or pass --yes"
        )
    if unknown := set(verdicts) - VERDICTS:
        raise UsageError(
            f"no verdict is called {min(unknown)!r}: there are {', '.join(sorted(VERDICTS))}"
        )
    _check_results(results)
    reach = reach or reach_of(results, roots)
    tally = _Tally()
    try:
        to.mkdir(parents=True, exist_ok=True)
        with only_one(to, "place"):
            what = {
                "results": sha256_file(results),
                "to": path_text(to.absolute()),
                "move": move,
                "verdicts": sorted(verdicts),
            }
            wanted = frozenset(verdicts) or VERDICTS
            with Plan(results, what) as plan:
                for done, (name, verdict) in enumerate(_files(results), 1):
                    if verdict in wanted:
                        file = _File(name, to / verdict, roots, reach)
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


def _check_results(results: Path) -> Columns:
    """Return the columns of results; raise :class:`UsageError` if a scan did not write them."""
    columns = read_columns(results)
    if not {PATH, "verdict", "score"} <= columns.keys():
        raise UsageError(
            mistaken(results, "a table of scan results", "name a file that `facecheck scan` wrote")
        )
    if are_of_videos(columns):
        raise UsageError(
            f"{path_text(results)}: results of videos, which are not placed: a video has a verdict "
            "for each of its faces, but not one of its own"
        )
    return columns


def _files(results: Path) -> Iterator[tuple[str, str]]:
    """Yield each file's name and verdict, the most artificial one of its rows."""
    columns = {**_check_results(results), "score": float}
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
    reach: Reach

    @property
    def path(self) -> Path:
        """Where it lies, if it is a plain file."""
        return named_path(self.name)

    @property
    def is_inside(self) -> bool:
        """Whether it is a member of an archive, or at a URL."""
        return (INSIDE in self.name or "://" in self.name) and not os.path.lexists(self.path)

    def origin(self) -> Origin:
        return self._content if self.is_inside else self.path

    def _content(self) -> Path | bytes:
        content = load_named(self.name)
        self.reach.check_content(content)
        return content

    def check(self) -> None:
        """Raise :class:`ImageError` for what the results may not name, and for what is no image."""
        self.reach.check(self.name)
        if not self.is_inside and os.path.lexists(self.path):
            self.reach.check_content(self.path)

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


def _place_one(file: _File, plan: Plan, *, move: bool) -> tuple[str, str]:
    """Copy or move one file to its target; return what came of it, and why it failed."""
    try:
        file.check()
        planned = plan.known(file.name)
        fresh = planned is None
        if planned is None:
            inside = move and file.is_inside
            planned = "" if inside else name_text(_free(file, move=move))
            plan.add(file.name, planned)
        if not planned:
            return _LEFT, ""
        done = put(file.origin(), named_path(planned), fresh=fresh, move=move)
        return (_PLACED if done else _ALREADY), ""
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
    origin = file.origin()
    if not os.path.lexists(target):
        return True
    if isinstance(origin, Path) and origin.absolute() == target.absolute():
        return True
    # A copy is as good as another. A file to be moved is not: one of two would be gone.
    return not move and same(origin, target)
