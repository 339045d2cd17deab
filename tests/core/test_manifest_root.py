"""Manifests whose paths count from a root that can be moved."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from facecheck.core.manifest import read_manifest, read_meta
from facecheck.data.duplicates.groups import duplicates_of
from facecheck.data.leaks import check
from tests.conftest import Outcome


@pytest.fixture
def rooted(drawn: Path, tmp_path: Path, command: Callable[..., Outcome]) -> Path:
    """``work/m.csv``, split and deduplicated, of the images in ``photos``, which is its root."""
    for kind in ("photo", "sketch"):
        shutil.copytree(drawn / kind, tmp_path / "photos" / kind)
    folder = tmp_path / "photos" / "photo" / "drawn-photo"
    shutil.copy(folder / "000.png", folder / "copy.png")
    out = tmp_path / "work" / "m.csv"
    for words in (
        ("index", "photos", "--out", out, "--root", "photos"),
        ("dedup", out, "--protect", folder),  # both copies stay
        ("split", out, "--ratio", "1:1:1"),
    ):
        assert command(*words).code == 0
    return out


def test_paths_are_written_from_the_root_on_by_every_command(rooted: Path) -> None:
    paths = pl.read_csv(rooted)["path"]
    assert set(paths.str.split("/").list.first()) == {"photo", "sketch"}
    assert read_meta(rooted)["root"] == str(rooted.parents[1] / "photos")
    assert all(path.is_file() for path in read_manifest(rooted).paths())


@pytest.mark.parametrize("how", ["variable", "convert", "index"])
def test_a_moved_folder_is_one_word(
    rooted: Path,
    command: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    moved = rooted.parents[1] / "elsewhere"
    (rooted.parents[1] / "photos").rename(moved)
    broken = command("convert", rooted, rooted.parent / "tree")
    assert "25 of 25 files are not there" in broken.err
    assert f"facecheck convert {rooted} {rooted} --overwrite --root FOLDER" in broken.err
    if how == "variable":
        monkeypatch.setenv("FACECHECK_ROOT", str(moved))
    elif how == "convert":
        assert command("convert", rooted, rooted, "--overwrite", "--root", moved).code == 0
    else:
        out = rooted.with_name("new.csv")
        assert command("index", rooted, "--out", out, "--root", moved).code == 0
        rooted = out
    manifest = read_manifest(rooted)
    assert all(path.is_file() for path in manifest.paths())
    assert set(manifest.frame["split"]) == {"train", "val", "test"}
    proof = check(rooted)
    assert proof.holds
    if how != "index":  # whose duplicates are to be searched for again
        assert proof.proofs[0].checked["confirmed pairs"] == 1
        assert set(duplicates_of(rooted)[1]["one"]) <= set(manifest.frame["path"])


def test_without_a_root_the_workspace_can_be_moved_with_its_pairs(
    drawn: Path, tmp_path: Path, command: Callable[..., Outcome]
) -> None:
    shutil.copytree(drawn / "photo", tmp_path / "work" / "photo")
    folder = tmp_path / "work" / "photo" / "drawn-photo"
    shutil.copy(folder / "000.png", folder / "copy.png")
    out = tmp_path / "work" / "m.csv"
    assert command("index", tmp_path / "work" / "photo", "--out", out).code == 0
    assert command("dedup", out, "--protect", folder).code == 0
    assert command("split", out).code == 0
    assert "root" not in read_meta(out)
    (tmp_path / "work").rename(tmp_path / "there")
    done = command("split", "--check", tmp_path / "there" / "m.csv")
    assert (done.code, "1 confirmed pairs" in done.out) == (0, True)


def test_a_foreign_table_counts_from_the_root(
    drawn: Path, tmp_path: Path, command: Callable[..., Outcome]
) -> None:
    table = tmp_path / "their.csv"
    table.write_text("path,kind,source\ndrawn-photo\\000.png,photo,them\n000.png,photo,them\n")
    done = command("index", table, "--out", "m.csv", "--root", drawn / "photo")
    assert done.code == 0
    assert read_manifest(tmp_path / "m.csv").paths() == [drawn / "photo/drawn-photo/000.png"]
    shutil.copytree(drawn / "photo" / "drawn-photo", tmp_path / "drawn-photo")
    done = command("index", table, "--out", "n.csv", "--root", drawn / "photo")
    assert done.code == 2
    assert "1 rows name more than one file" in done.err
