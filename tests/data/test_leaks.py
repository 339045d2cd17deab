from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from facecheck.core.errors import UsageError
from facecheck.core.manifest import Manifest, write_manifest
from facecheck.core.record import Record
from facecheck.data.leaks import check
from facecheck.data.options import SplitOptions
from facecheck.data.split import split


def table(path: Path, *rows: Record) -> Path:
    write_manifest(Manifest.from_records(rows), path, {})
    return path


def test_every_reason_is_found_and_told_once(tmp_path: Path) -> None:
    path = table(
        tmp_path / "m.csv",
        Record("/a", "s", "photo", sha256="1", pixel_hash="x", group="g", split="train"),
        Record("/b", "s", "photo", sha256="1", pixel_hash="x", group="g", split="test"),
        Record("/c", "s", "photo", sha256="2", pixel_hash="x", split="val"),
        Record("/d", "s", "photo", sha256="3", pixel_hash="y", group="g", split="test"),
        Record("/e", "s", "photo", sha256="4", pixel_hash="z", split="test"),
        Record("/f", "s", "photo", sha256="1", excluded="duplicate", split="test"),
    )
    (tmp_path / "m.duplicates.csv").write_text("dropped,keeper,why\n/a,/e,same picture\n")
    result = check(path)
    assert not result.holds
    assert [
        (leak.path, leak.part, leak.other, leak.other_part, leak.why)
        for leak in result.proofs[0].leaks
    ] == [
        ("/b", "test", "/a", "train", "same bytes"),
        ("/c", "val", "/a", "train", "same pixels"),
        ("/d", "test", "/a", "train", "same group"),
        ("/e", "test", "/a", "train", "same picture"),
    ]


def test_the_duplicates_table_of_the_manifest_before_is_found(tmp_path: Path) -> None:
    rows = [Record(f"/{name}", "s", "photo", sha256=name) for name in "ab"]
    first = table(tmp_path / "m.csv", *rows)
    (tmp_path / "m.duplicates.csv").write_text("dropped,keeper,why\n/a,/b,same picture\n")
    result = split(first, SplitOptions(out=tmp_path / "s.parquet"))
    assert result.groups == 1
    assert result.proof.checked["confirmed pairs"] == 1
    assert check(tmp_path / "s.parquet").near == str(tmp_path / "m.duplicates.csv")


def test_folds_are_checked_too(tmp_path: Path) -> None:
    rows = [Record(f"/{n}", "s", "photo", sha256="1", split="train") for n in range(2)]
    path = tmp_path / "m.csv"
    write_manifest(Manifest.from_records(rows).with_columns(fold=["0", "1"]), path, {})
    splits, folds = check(path).proofs
    assert splits.holds
    assert [leak.path for leak in folds.leaks] == ["/1"]


@pytest.fixture
def tree(drawn: Path, tmp_path: Path) -> Path:
    """An ImageFolder tree with one picture re-encoded and one copied across splits."""
    root = tmp_path / "tree"
    faces = sorted((drawn / "photo" / "drawn-photo").iterdir())
    for number, face in enumerate(faces):
        folder = root / ("train" if number < 8 else "valid") / "person"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(face, folder)
    (root / "test" / "other").mkdir(parents=True)
    Image.open(faces[0]).save(root / "test" / "other" / "again.jpg", quality=90)
    shutil.copy(faces[9], root / "test" / "other" / "copy.png")
    (root / "test" / "other" / "broken.jpg").write_text("text")
    return root


def test_an_image_folder_tree_is_opened_and_compared(tree: Path) -> None:
    before = sorted(tree.rglob("*"))
    result = check(tree)
    found = {Path(leak.path).name: leak for leak in result.proofs[0].leaks}
    assert set(found) == {"again.jpg", "copy.png"}
    assert found["again.jpg"].why == "same picture"
    assert Path(found["again.jpg"].other).name == "000.png"
    assert (found["copy.png"].why, found["copy.png"].other_part) == ("same bytes", "val")
    assert (result.near, result.rejected) == ("files", 1)
    assert sorted(tree.rglob("*")) == before


def test_a_table_without_hashes_is_opened_and_compared(tree: Path) -> None:
    rows = ["path,split"]
    rows += [f"{p.relative_to(tree)},{p.parts[-3]}" for p in sorted(tree.rglob("*.png"))]
    rows.append("gone.png,test")
    (tree / "list.csv").write_text("\n".join(rows) + "\n")
    result = check(tree / "list.csv")
    assert [Path(leak.path).name for leak in result.proofs[0].leaks] == ["copy.png"]


def test_what_has_no_splits_is_refused(tmp_path: Path, drawn: Path) -> None:
    with pytest.raises(UsageError, match="no splits in it"):
        check(drawn)
    for name in ("train", "val", "valid"):
        (tmp_path / "two" / name).mkdir(parents=True)
    with pytest.raises(UsageError, match="both val and valid stand for val"):
        check(tmp_path / "two")
    (tmp_path / "m.csv").write_text("path,label\na.png,x\n")
    with pytest.raises(UsageError, match="nothing to check"):
        check(tmp_path / "m.csv")


def test_leaks_end_the_command_with_one(command, tree: Path) -> None:  # type: ignore[no-untyped-def]
    done = command("split", "--check", tree)
    assert done.code == 1
    assert "2 records leak" in done.out
    shutil.rmtree(tree / "test")
    assert command("split", "--check", tree).code == 0
