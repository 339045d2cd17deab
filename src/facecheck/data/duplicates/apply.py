"""apply: a clean tree of the records that dedup kept."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import polars as pl

from facecheck.core.errors import FacecheckError, ManifestError, UsageError, reason
from facecheck.core.files import path_text, sha256_file
from facecheck.core.manifest import (
    Manifest,
    Record,
    input_meta,
    read_manifest,
    read_meta,
    write_manifest,
)
from facecheck.core.parallel import Progress, silent
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
    """

    to: Path
    manifest: Path
    how: str
    placed: int
    already: int
    left_out: int


def apply(manifest: Path, to: Path, *, how: Way, progress: Progress = silent) -> ApplyResult:
    """Lay the records that are not excluded out as ``to/<kind>/<source>/<file>``.

    Nothing is deleted or overwritten: if any place is taken by another file, nothing is done.
    Files of one name in one folder (whatever the case of its letters) get the first digits of
    their sha256 behind it. With ``move`` the manifest itself is brought up to date, so that it
    still finds its files. Running it again places what is missing.

    Args:
        manifest: a manifest by ``dedup``.
        to: the folder of the tree; its own manifest goes there too, under the same name.
        how: ``move``, ``hardlink`` (same disk) or ``symlink``.
        progress: called with files placed and to place.

    Raises:
        UsageError: ``to`` holds the manifest itself.
        ManifestError: a file is not there.
        FacecheckError: a place is taken, or the disk cannot link.
    """
    clean_manifest = to / manifest.name
    if clean_manifest.absolute() == manifest.absolute():
        raise UsageError(f"--to {path_text(to)}: the manifest lies there: name another folder")
    table = read_manifest(manifest)
    table.require_filled("sha256", manifest)
    kept = table.where(pl.col("excluded") == "")
    records = list(kept.records())
    places = _places(records, to.absolute(), manifest)
    waiting = [Path(record.path) for record in records if not _in_place(record, places, how)]
    for path in waiting:
        _check(path, places[path])
    for done, path in enumerate(waiting, 1):
        _put(path, places[path], how)
        progress(done, len(waiting))
    made_by = {
        "command": "dedup",
        "arguments": {"apply": how},
        "input": input_meta(manifest),
        "decode_policy": read_meta(manifest).get("decode_policy"),
    }
    write_manifest(_relocated(kept, places), clean_manifest, made_by)
    if how == "move":
        write_manifest(_relocated(table, places), manifest, read_meta(manifest))
    return ApplyResult(
        to=to,
        manifest=clean_manifest,
        how=how,
        placed=len(waiting),
        already=len(places) - len(waiting),
        left_out=len(table) - len(kept),
    )


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
        name = place.with_stem(f"{place.stem}-{record.sha256[:12]}") if met else place
        places[Path(record.path)] = name
    return places


def _in_place(record: Record, places: Mapping[Path, Path], how: str) -> bool:
    path, place = Path(record.path), places[Path(record.path)]
    if how == "move":  # the second: moved by a run that was interrupted
        moved = not path.exists() and place.is_file()
        return path == place or (moved and sha256_file(place) == record.sha256)
    linked = place.is_symlink() == (how == "symlink")
    return linked and path.exists() and place.exists() and place.samefile(path)


def _check(path: Path, place: Path) -> None:
    if not path.is_file():
        raise ManifestError(f"{path_text(path)} is not there: run `facecheck index` again")
    if place.exists() or place.is_symlink():
        raise FacecheckError(
            f"{path_text(place)} is there already: nothing was placed; name another --to"
        )


def _put(path: Path, place: Path, how: str) -> None:
    """Move or link one file. Each of these calls refuses a place that is taken."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        if how == "symlink":
            place.symlink_to(path)
            return
        try:
            place.hardlink_to(path)
        except FileExistsError:
            raise
        except OSError:  # another disk, or one without hard links
            if how == "hardlink":
                raise
            with path.open("rb") as original, place.open("xb") as copy:
                shutil.copyfileobj(original, copy)
            shutil.copystat(path, place)
        if how == "move":
            path.unlink()
    except OSError as error:
        raise FacecheckError(
            f"{path_text(place)}: cannot {how} {path_text(path)} there: {reason(error)}"
        ) from None
