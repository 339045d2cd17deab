from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import sha256_file
from facecheck.core.manifest import read_manifest, read_meta
from facecheck.data.index import index
from facecheck.data.options import IndexOptions


def test_every_file_is_in_the_manifest_or_the_rejects(
    tmp_path: Path, bad_files: dict[str, str]
) -> None:
    (tmp_path / "bad" / "notes.txt").write_text("not an image's name")
    result = index([tmp_path / "bad"], tmp_path / "m.csv", IndexOptions(kind="photo", source="odd"))
    rejects = dict(pl.read_csv(result.rejects).iter_rows())
    found = {path.name for path in read_manifest(tmp_path / "m.csv").paths()}
    assert found == {name for name, reason in bad_files.items() if not reason}
    assert {Path(path).name for path in rejects} == bad_files.keys() - found
    for path, reason in rejects.items():
        assert bad_files[Path(path).name] in reason
    assert (result.records, result.rejected, result.ignored) == (len(found), len(rejects), 1)


def test_records_say_what_the_file_is(drawn: Path, tmp_path: Path) -> None:
    index([drawn], tmp_path / "m.parquet")
    record = next(read_manifest(tmp_path / "m.parquet").records())
    assert (record.source, record.kind) == ("drawn-cartoon", "cartoon")
    assert (record.width, record.height, record.format) == (96, 96, "PNG")
    assert record.sha256 == sha256_file(Path(record.path))
    assert record.bytes == Path(record.path).stat().st_size
    assert len(record.pixel_hash) == 64
    assert len(record.phash) == 16
    assert read_meta(tmp_path / "m.parquet")["decode_policy"] == 2


def test_the_same_folder_gives_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    for name, workers in (("a.csv", 1), ("b.csv", 4)):
        index([drawn], tmp_path / name, IndexOptions(workers=workers))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_a_kind_folder_may_be_given_itself(drawn: Path, tmp_path: Path) -> None:
    result = index([drawn / "photo", drawn / "sketch"], tmp_path / "m.csv")
    assert result.by_source == {("photo", "drawn-photo"): 12, ("sketch", "drawn-sketch"): 12}


def test_overlapping_folders_list_a_file_once(drawn: Path, tmp_path: Path) -> None:
    assert index([drawn, drawn], tmp_path / "m.csv").records == 36


def test_paired_sources_share_groups_by_name(drawn: Path, tmp_path: Path) -> None:
    index([drawn], tmp_path / "m.csv", IndexOptions(pair=(("drawn-photo", "drawn-sketch"),)))
    groups = read_manifest(tmp_path / "m.csv").frame.group_by("group").len().sort("group")
    assert groups["group"].to_list()[:2] == ["", "drawn-photo+drawn-sketch/000"]
    assert groups["len"].to_list() == [12, *[2] * 12]


def test_a_pair_of_unknown_sources_is_refused(drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'drawn-photo'"):
        index([drawn], tmp_path / "m.csv", IndexOptions(pair=(("drawn-photos", "drawn-sketch"),)))
    with pytest.raises(UsageError, match="twice"):
        index([drawn], tmp_path / "m.csv", IndexOptions(pair=(("drawn-photo", "drawn-photo"),)))


def test_a_manifest_is_not_replaced_unasked(drawn: Path, tmp_path: Path) -> None:
    index([drawn / "photo"], tmp_path / "m.csv")
    with pytest.raises(UsageError, match="--overwrite"):
        index([drawn], tmp_path / "m.csv")
    assert index([drawn], tmp_path / "m.csv", IndexOptions(overwrite=True)).records == 36


def test_folders_that_are_not_laid_out_are_refused(drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.csv"
    with pytest.raises(UsageError, match="no folder at"):
        index([tmp_path / "nothing"], out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FacecheckError, match="no images"):
        index([tmp_path / "empty"], out)
    shutil.copytree(drawn / "photo", tmp_path / "photos" / "fotos")
    with pytest.raises(UsageError, match="not under a folder named after a kind"):
        index([tmp_path / "photos"], out)
    shutil.copytree(drawn / "photo" / "drawn-photo", tmp_path / "flat" / "photo")
    with pytest.raises(UsageError, match="no source folder"):
        index([tmp_path / "flat" / "photo"], out)
    with pytest.raises(UsageError, match="unknown kind 'foto'.*did you mean 'photo'"):
        index([drawn], out, IndexOptions(kind="foto", source="s"))
    with pytest.raises(UsageError, match=r"\.csv or \.parquet"):
        index([drawn], tmp_path / "m.txt")
    assert not out.exists()


def test_when_nothing_can_be_read_the_rejects_say_why(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.jpg").write_text("text")
    with pytest.raises(FacecheckError, match="not one of 1 images"):
        index([tmp_path / "x"], tmp_path / "m.csv", IndexOptions(kind="photo", source="s"))
    assert "not an image" in (tmp_path / "m.rejects.csv").read_text()


def test_names_of_any_kind_are_kept_or_rejected(drawn: Path, tmp_path: Path) -> None:
    face = drawn / "photo" / "drawn-photo" / "000.png"
    folder = tmp_path / "photo" / "s"
    folder.mkdir(parents=True)
    names = ["a,b.png", 'quo"te.png', "new\nline.png", "ünïcode.png", "=1+1.png", "A.png", "a.png"]
    for name in names:
        shutil.copy(face, folder / name)
    shutil.copy(face, folder / os.fsdecode(b"caf\xe9.png"))
    result = index([folder], tmp_path / "m.csv", IndexOptions(kind="photo", source="s"))
    assert {path.name for path in read_manifest(tmp_path / "m.csv").paths()} == set(names)
    assert result.reasons == {"the file name is not UTF-8: rename it": 1}


def test_a_second_index_of_one_manifest_is_refused_and_the_first_is_whole(
    drawn: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m.csv"
    refused: list[str] = []

    def second(done: int, total: int | None) -> None:
        if not refused:
            command = [sys.executable, "-m", "facecheck", "index", str(drawn), "--out", str(out)]
            other = subprocess.run(command, capture_output=True, text=True, check=False)
            assert other.returncode == 1
            refused.append(other.stderr)

    assert index([drawn], out, progress=second).records == 36
    assert f"m.csv is being written by process {os.getpid()}" in refused[0]
    assert "(index, since" in refused[0]
    assert sorted(os.listdir(tmp_path)) == [
        "m.csv", "m.csv.meta.json", "m.hashes.jsonl", "m.rejects.csv",
    ]  # fmt: skip
