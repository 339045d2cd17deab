from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from facecheck.core.errors import FacecheckError, ManifestError, UsageError
from facecheck.core.manifest import read_manifest, write_manifest
from facecheck.core.moving import put
from facecheck.data.duplicates.apply import WAYS, apply
from facecheck.data.duplicates.dedup import dedup
from facecheck.data.index import index
from facecheck.data.options import DedupOptions, Way


@pytest.fixture
def manifest(drawn: Path, tmp_path: Path) -> Path:
    """A manifest of six drawn images, one of them twice, and two of one name but for its case."""
    for kind in ("photo", "cartoon"):
        folder = tmp_path / "raw" / kind / f"drawn-{kind}"
        (folder / "more").mkdir(parents=True)
        for number, name in enumerate(("a.png", "b.png", "more/A.PNG")):
            shutil.copy(drawn / kind / f"drawn-{kind}" / f"00{number}.png", folder / name)
    shutil.copy(folder / "b.png", folder / "copy.png")
    index([tmp_path / "raw"], tmp_path / "m.csv")
    return tmp_path / "m.csv"


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.[pP]*"))


@pytest.mark.parametrize("how", WAYS)
def test_kept_records_are_laid_out_and_nothing_is_lost(how: Way, manifest: Path) -> None:
    raw = manifest.parent / "raw"
    before = {path: path.read_bytes() for path in raw.rglob("*.[pP]*")}
    done = dedup(manifest, DedupOptions(apply=how, to=manifest.parent / "clean")).applied
    assert done is not None
    assert (done.placed, done.already, done.left_out) == (6, 0, 1)
    names = tree(done.to)
    assert [name for name in names if "b.png" in name or "copy" in name] == [
        "cartoon/drawn-cartoon/b.png", "photo/drawn-photo/b.png",
    ]  # fmt: skip
    # Names that differ only in case are both kept.
    assert len({name.casefold() for name in names}) == 6
    assert sum(Path(name).stem.startswith(("a-", "A-")) for name in names) == 4
    remaining = {path: path.read_bytes() for path in raw.rglob("*.[pP]*")}
    assert len(remaining) == (1 if how == "move" else 7)
    placed = [(done.to / name).read_bytes() for name in names]
    assert sorted({*placed, *remaining.values()}) == sorted(set(before.values()))
    assert all((done.to / name).is_symlink() == (how == "symlink") for name in names)
    for path in (manifest, done.manifest):  # both still find their files
        read_manifest(path).require_files(path)
    assert len(read_manifest(done.manifest)) == 6


@pytest.mark.parametrize("how", WAYS)
def test_running_again_places_what_is_missing(how: Way, manifest: Path) -> None:
    dedup(manifest)
    before = manifest.read_bytes()
    clean = manifest.parent / "clean"
    apply(manifest, clean, how=how)
    if how == "move":  # as if it had been interrupted before the manifest was brought up to date
        manifest.write_bytes(before)
    else:
        (clean / "photo" / "drawn-photo" / "b.png").unlink()
    again = apply(manifest, clean, how=how)
    assert (again.placed, again.already) == ((0, 6) if how == "move" else (1, 5))
    read_manifest(manifest).require_files(manifest)


def test_a_move_that_was_interrupted_is_finished_before_anything_else(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = manifest.parent / "clean"
    moving = DedupOptions(apply="move", to=to)
    calls: list[Path] = []

    def full_after_two(origin: Path, target: Path, **how: bool) -> bool:
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        calls.append(target)
        return put(origin, target, **how)

    with monkeypatch.context() as patched:
        patched.setattr("facecheck.data.duplicates.apply.put", full_after_two)
        with pytest.raises(FacecheckError, match="No space left.*run the same command again"):
            dedup(manifest, moving)
    refused = f"moving its files to {to} was interrupted: run that"
    for other in (DedupOptions(), DedupOptions(level="bytes", apply="move", to=to)):
        with pytest.raises(FacecheckError, match=refused):
            dedup(manifest, other)
    resumed = dedup(manifest, moving)
    assert resumed.applied is not None
    assert (resumed.applied.placed, resumed.applied.already) == (4, 2)
    assert (resumed.records, resumed.dropped) == (7, {"same bytes": 1})
    for path in (manifest, resumed.applied.manifest):
        read_manifest(path).require_files(path)
    (record,) = manifest.parent.glob("m.csv.placed-*.jsonl")
    origins = dict(map(json.loads, record.read_text().splitlines()[1:]))
    assert {Path(moved) for moved in origins.values()} == set(to.rglob("*.[pP][nN][gG]"))
    # By other names other files might be kept: done again, nothing changes.
    before = manifest.read_bytes()
    again = dedup(manifest, moving)
    assert again.applied is not None
    assert (again.applied.placed, again.applied.already) == (0, 6)
    assert replace(again, applied=None) == replace(resumed, applied=None)
    assert manifest.read_bytes() == before


@pytest.mark.parametrize("how", WAYS)
def test_a_place_that_is_taken_stops_all(how: Way, manifest: Path) -> None:
    dedup(manifest)
    taken = manifest.parent / "clean" / "photo" / "drawn-photo" / "b.png"
    taken.parent.mkdir(parents=True)
    taken.write_text("mine")
    with pytest.raises(FacecheckError, match="nothing was placed"):
        apply(manifest, manifest.parent / "clean", how=how)
    assert taken.read_text() == "mine"
    assert tree(manifest.parent / "clean") == ["photo/drawn-photo/b.png"]


def test_mistakes_are_named(manifest: Path) -> None:
    dedup(manifest)
    with pytest.raises(UsageError, match="name another folder"):
        apply(manifest, manifest.parent, how="symlink")
    table = read_manifest(manifest)
    write_manifest(table.with_columns(source=["../up"] * len(table)), manifest, {})
    with pytest.raises(ManifestError, match="cannot name a folder"):
        apply(manifest, manifest.parent / "clean", how="symlink")
    write_manifest(table, manifest, {})
    shutil.rmtree(manifest.parent / "raw" / "photo")
    with pytest.raises(ManifestError, match="not there"):
        apply(manifest, manifest.parent / "clean", how="symlink")


def test_another_disk_names_the_next_step(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    dedup(manifest)
    monkeypatch.setattr(Path, "hardlink_to", elsewhere)
    with pytest.raises(FacecheckError, match="a --to on the same disk, or pass --apply symlink"):
        apply(manifest, manifest.parent / "clean", how="hardlink")
