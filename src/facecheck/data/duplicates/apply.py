"""apply: a clean tree of the records that dedup kept."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import polars as pl

from facecheck.core.errors import FacecheckError, ImageError, ManifestError, UsageError, reason
from facecheck.core.files import marked_name, name_text, path_text, sha256_file
from facecheck.core.lock import only_one
from facecheck.core.manifest import Manifest, input_meta, read_manifest, read_meta, write_manifest
from facecheck.core.moving import Plan, plan_path, put, read_plans
from facecheck.core.parallel import Progress, silent
from facecheck.core.record import Record
from facecheck.data.duplicates.preferences import lies_under
from facecheck.data.options import Way

#: How a file may come to its place in the clean tree.
WAYS: tuple[Way, ...] = get_args(Way)


@dataclass(frozen=True)
class ApplyResult:
    """What ``apply`` did.

    Attributes:
        to: the clean tree, ``<kind>/<source>/<file>``.
        manifest: the manifest of the clean tree.
        how: one of :data:`WAYS`.
        placed: files moved or linked.
        already: files that were there.
        left_out: records of the manifest that are excluded.
        stayed: files that a move leaves where they are, since they are protected.
    """

    to: Path
    manifest: Path
    how: str
    placed: int
    already: int
    left_out: int
    stayed: int


def apply(
    manifest: Path,
    to: Path,
    *,
    how: Way,
    stay: Sequence[Path] = (),
    notes: Mapping[str, object] | None = None,
    progress: Progress = silent,
) -> ApplyResult:
    """Lay the records that are not excluded out as ``to/<kind>/<source>/<file>``.

    Nothing is deleted or overwritten: if another file is where one is to go, nothing is done.
    Files of one name in one folder (whatever the case of its letters) get the first digits of
    their sha256 behind it. With ``move`` the manifest itself is brought up to date, so that it
    still finds its files, and ``<manifest>.placed-….jsonl`` says where each came from. Running it
    again, after a kill at any moment, places what is missing.

    Args:
        manifest: a manifest by ``dedup``, which no other process may write meanwhile.
        to: the folder of the tree; its own manifest goes there too, under the same name.
        how: ``move``, ``hardlink`` (same disk) or ``symlink``.
        stay: folders whose files are not moved; links to them are made.
        notes: what the record of a move is to hold as well; see :func:`unfinished_moves`.
        progress: called with files placed and to place.

    Raises:
        UsageError: ``to`` holds the manifest itself.
        ManifestError: a file is not there.
        FacecheckError: another file is in the way, the disk cannot link or is full, or another
            process fills the folder.
    """
    clean_manifest = to / manifest.name
    if clean_manifest.absolute() == manifest.absolute():
        raise UsageError(f"--to {path_text(to)}: the manifest lies there: name another folder")
    table = read_manifest(manifest)
    table.require_filled("sha256", manifest)
    kept = table.where(pl.col("excluded") == "")
    places = _places(list(kept.records()), to.absolute(), manifest)
    if how == "move":
        places = {path: place for path, place in places.items() if not lies_under(path, stay)}
    to.mkdir(parents=True, exist_ok=True)
    with only_one(to, "dedup"):
        moves = _what(manifest, to) if how == "move" else None
        if moves is not None:
            placed = _move_all(manifest, moves, notes, places, progress)
        else:
            placed = _link_all(places, how, progress)
        made_by = {
            "command": "dedup",
            "arguments": {"apply": how},
            "input": input_meta(manifest),
            "decode_policy": read_meta(manifest).get("decode_policy"),
        }
        write_manifest(_relocated(kept, places), clean_manifest, made_by)
        if moves is not None:
            meta = {**read_meta(manifest), "moved": plan_path(manifest, moves).name}
            write_manifest(_relocated(table, places), manifest, meta)
    return ApplyResult(
        to=to,
        manifest=clean_manifest,
        how=how,
        placed=placed,
        already=len(places) - placed,
        left_out=len(table) - len(kept),
        stayed=len(kept) - len(places),
    )


def unfinished_moves(manifest: Path) -> Mapping[str, Any] | None:
    """Return the notes of a move whose files are not all recorded in the manifest yet, or None."""
    digest = sha256_file(manifest)
    return next(
        (head for head in read_plans(manifest).values() if head.get("manifest") == digest), None
    )


def finished_moves(manifest: Path) -> Mapping[str, Any] | None:
    """Return the notes of the move that the manifest was brought up to date by, or None."""
    meta = read_meta(manifest)
    if "moved" not in meta or meta.get("sha256") != sha256_file(manifest):
        return None
    return read_plans(manifest).get(str(meta["moved"]))


def already_applied(manifest: Path, to: Path, stay: Sequence[Path] = ()) -> ApplyResult:
    """Return what ``apply`` did to a manifest whose files are all moved."""
    table = read_manifest(manifest)
    kept = table.where(pl.col("excluded") == "")
    stayed = sum(lies_under(path, stay) for path in kept.paths())
    return ApplyResult(
        to=to,
        manifest=to / manifest.name,
        how="move",
        placed=0,
        already=len(kept) - stayed,
        left_out=len(table) - len(kept),
        stayed=stayed,
    )


def _what(manifest: Path, to: Path) -> dict[str, object]:
    """Return what a plan says is done."""
    return {"manifest": sha256_file(manifest), "to": path_text(to.absolute()), "move": True}


def _move_all(
    manifest: Path,
    what: Mapping[str, object],
    notes: Mapping[str, object] | None,
    places: Mapping[Path, Path],
    progress: Progress,
) -> int:
    """Move every file to its place, by a plan; return how many were moved now."""
    if not plan_path(manifest, what).exists():
        for path, place in places.items():
            _check(path, place)
    placed = 0
    with Plan(manifest, what, notes) as plan:
        for done, (path, place) in enumerate(places.items(), 1):
            name = name_text(path)
            fresh = plan.known(name) is None
            if fresh:
                plan.add(name, name_text(place))
            with _placing(path, place, "move"):
                placed += put(path, place, fresh=fresh, move=True)
            progress(done, len(places))
    return placed


def _link_all(places: Mapping[Path, Path], how: Way, progress: Progress) -> int:
    waiting = [path for path, place in places.items() if not _is_linked(path, place, how)]
    for path in waiting:
        _check(path, places[path])
    for done, path in enumerate(waiting, 1):
        place = places[path]
        with _placing(path, place, how):
            place.parent.mkdir(parents=True, exist_ok=True)
            # Each refuses to replace a file.
            place.symlink_to(path) if how == "symlink" else place.hardlink_to(path)
        progress(done, len(waiting))
    return len(waiting)


def _relocated(table: Manifest, places: Mapping[Path, Path]) -> Manifest:
    return table.with_columns(path=[str(places.get(path, path)) for path in table.paths()])


def _places(records: list[Record], to: Path, manifest: Path) -> dict[Path, Path]:
    """Return where each record's file goes; equal names, in any case, get a part of their hash."""
    plain = []
    for record in records:
        if Path(record.source).name != record.source:
            raise ManifestError(
                f"{path_text(manifest)}: source {record.source!r} cannot name a folder: correct it"
            )
        plain.append(to / record.kind / record.source / Path(record.path).name)
    meeting = Counter(str(place).casefold() for place in plain)
    places = {}
    for record, place in zip(records, plain, strict=True):
        met = meeting[str(place).casefold()] > 1
        name = place.with_name(marked_name(place.name, f"-{record.sha256[:12]}")) if met else place
        places[Path(record.path)] = name
    return places


def _is_linked(path: Path, place: Path, how: Way) -> bool:
    linked = place.is_symlink() == (how == "symlink")
    return linked and path.exists() and place.exists() and place.samefile(path)


def _check(path: Path, place: Path) -> None:
    if not path.is_file():
        raise ManifestError(f"{path_text(path)} is not there: run `facecheck index` again")
    if os.path.lexists(place) and path != place:
        raise FacecheckError(
            f"{path_text(place)} is there already: nothing was placed; name another --to"
        )


@contextmanager
def _placing(path: Path, place: Path, how: Way) -> Iterator[None]:
    """Turn what may happen to one file into one line."""
    try:
        yield
    except (OSError, ImageError) as error:
        linkless = isinstance(error, OSError) and error.errno in {errno.EXDEV, errno.EPERM}
        if how == "hardlink" and linkless:
            hint = "name a --to on the same disk, or pass --apply symlink"
        else:
            hint = "fix that and run the same command again to resume"
        raise FacecheckError(
            f"{path_text(place)}: cannot {how} {path_text(path)} there: {reason(error)}: {hint}"
        ) from None
