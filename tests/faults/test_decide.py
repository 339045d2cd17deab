from __future__ import annotations

import csv
from pathlib import Path

import pytest

import facecheck
from facecheck.core.errors import ManifestError, UsageError
from facecheck.core.manifest import Manifest, read_manifest, write_manifest
from facecheck.core.record import Record
from facecheck.faults.decide import CHECKED, Decided, not_decided, take_decisions

NAMES = ("a.png", "b.png", "=c.png", "d.png")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Four photographs in a folder next to their manifest, the last one excluded by hand."""
    records = [
        Record(
            str(tmp_path / "in" / name), "s", "photo", sha256=f"{n:064}", group="g", split="train",
            excluded="mine" if name == "d.png" else "",
        )
        for n, name in enumerate(NAMES)
    ]  # fmt: skip
    write_manifest(Manifest.from_records(records), tmp_path / "m.csv", {"command": "index"})
    return tmp_path / "m.csv"


def decisions(path: Path, *rows: dict[str, str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as stream:
        names = dict.fromkeys(name for row in rows for name in row)
        writer = csv.DictWriter(stream, list(names))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_decisions_change_kinds_and_exclusions_and_nothing_else(manifest: Path) -> None:
    before = read_manifest(manifest).frame
    file = decisions(
        manifest.parent / "downloads" / "corrections.csv",
        {"path": "in/a.png", "kind": "painting", "excluded": ""},
        {"path": "in/b.png", "kind": "", "excluded": "dark"},
        {"path": str(manifest.parent / "in" / "=c.png"), "kind": "photo", "excluded": ""},
        {"path": "in/nowhere.png", "kind": "photo", "excluded": ""},
        {"path": "in/d.png", "kind": "", "excluded": ""},
    )
    told = take_decisions(manifest, file)
    assert told == Decided(relabelled=1, excluded=1, kept=1, unknown=1)
    after = read_manifest(manifest)
    assert after.frame["kind"].to_list() == ["painting", "photo", "photo", "photo"]
    assert after.frame["excluded"].to_list() == ["", "dark", "", "mine"]
    assert after.frame[CHECKED].to_list() == ["relabelled", "", "kept", ""]
    same = ["path", "sha256", "group", "split", "source"]
    assert after.frame.select(same).equals(before.select(same))
    assert [Path(path).name for path in not_decided(after)] == ["b.png", "d.png"]
    first = manifest.read_bytes()
    assert take_decisions(manifest, file).relabelled == 0
    assert manifest.read_bytes() == first


def test_a_file_that_has_changed_since_is_left_alone(manifest: Path) -> None:
    file = decisions(
        manifest.with_name("c.csv"),
        {"path": "in/a.png", "kind": "sketch", "sha256": f"{7:064}"},
        {"path": "in/b.png", "kind": "sketch", "sha256": f"{1:064}"},
    )
    assert take_decisions(manifest, file) == Decided(relabelled=1, changed=1)
    assert read_manifest(manifest).frame["kind"].to_list()[:2] == ["photo", "sketch"]


def test_what_is_no_file_of_decisions_is_refused_and_nothing_changes(manifest: Path) -> None:
    before = manifest.read_bytes()
    good = {"path": "in/a.png", "kind": "sketch"}
    wrong = decisions(manifest.with_name("c.csv"), good, {"path": "in/b.png", "kind": "sketsh"})
    with pytest.raises(UsageError, match=r"unknown kind 'sketsh' in .*c\.csv: line 3"):
        take_decisions(manifest, wrong)
    with pytest.raises(ManifestError, match="has the columns path, and kind or excluded"):
        take_decisions(manifest, decisions(manifest.with_name("c.csv"), {"path": "in/a.png"}))
    with pytest.raises(UsageError, match="check the path"):
        take_decisions(manifest, manifest.with_name("missing.csv"))
    assert manifest.read_bytes() == before


def test_split_and_a_new_index_respect_what_was_decided(
    manifest: Path, drawn: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.csv"
    facecheck.index([drawn], own)
    paths = [Path(path) for path in read_manifest(own).frame["path"]]
    file = decisions(
        tmp_path / "c.csv",
        {"path": str(paths[0]), "kind": "", "excluded": "blurred"},
        {"path": str(paths[1]), "kind": "photo", "excluded": ""},
    )
    take_decisions(own, file)
    facecheck.index([drawn], own, facecheck.IndexOptions(overwrite=True))
    facecheck.split(own)
    rows = {row["path"]: row for row in read_manifest(own).frame.to_dicts()}
    assert rows[str(paths[0])]["excluded"] == "blurred"
    assert not rows[str(paths[0])]["split"]
    assert rows[str(paths[1])]["split"]
    assert rows[str(paths[1])][CHECKED]
