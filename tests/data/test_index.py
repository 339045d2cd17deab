from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from facecheck.core.errors import FacecheckError, ManifestError, UsageError
from facecheck.core.files import sha256_file
from facecheck.core.manifest import Manifest, read_manifest, read_meta, write_manifest
from facecheck.data.index import index
from facecheck.data.options import IndexOptions, SplitOptions
from facecheck.data.split import split
from tests.conftest import UNPRIVILEGED


def test_every_file_is_in_the_manifest_or_the_rejects(
    tmp_path: Path, bad_files: dict[str, str]
) -> None:
    (tmp_path / "bad" / "notes.txt").write_text("not an image's name")
    result = index([tmp_path / "bad"], tmp_path / "m.csv", IndexOptions(kind="photo", source="odd"))
    rejects = dict(pl.read_csv(result.rejects).iter_rows())
    notes = rejects.pop(str(tmp_path / "bad" / "notes.txt"))
    assert notes == "skipped: file whose name does not end like an image's"
    found = {path.name for path in read_manifest(tmp_path / "m.csv").paths()}
    assert found == {name for name, reason in bad_files.items() if not reason}
    assert {Path(path).name for path in rejects} == bad_files.keys() - found
    for path, reason in rejects.items():
        assert bad_files[Path(path).name] in reason
    assert (result.records, result.rejected) == (len(found), len(rejects))
    assert result.skipped.counts() == {"ignored": 1}


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


def test_a_source_gets_the_kind_of_its_label(drawn: Path, tmp_path: Path) -> None:
    label = (("sketch/drawn-sketch", "composite"), ("drawn-cartoon", "painting"))
    result = index([drawn], tmp_path / "m.csv", IndexOptions(label=label))
    assert list(result.by_source) == [
        *(("photo", "drawn-photo"), ("painting", "drawn-cartoon"), ("composite", "drawn-sketch"))
    ]
    assert read_meta(tmp_path / "m.csv")["arguments"]["labels"] == dict(label)
    for name, kind, message in (
        ("drawn-cartoons", "sketch", "no images: the sources are cartoon/drawn-cartoon, photo/dra"),
        ("drawn-cartoon", "photoshopped", "did you mean 'composite'"),
    ):
        with pytest.raises(UsageError, match=message):
            index([drawn], tmp_path / "n.csv", IndexOptions(label=((name, kind),)))


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


@pytest.mark.slow
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


def rejects_of(path: Path) -> dict[str, str]:
    return dict(pl.read_csv(path, infer_schema=False).iter_rows())


def test_what_folders_hold_besides_images_is_counted_and_in_the_rejects(
    drawn: Path, tmp_path: Path
) -> None:
    """A linked folder, NAS thumbnails, archives and endings from the web: all were silent."""
    photos = tmp_path / "in" / "photo" / "a"
    shutil.copytree(drawn / "photo" / "drawn-photo", photos)
    (tmp_path / "in" / "photo" / "linked").symlink_to(drawn / "photo" / "drawn-photo")
    for name in ("@eaDir/000.png/SYNOPHOTO_THUMB_XL.jpg", "#recycle/old.png", "@Recycle/x.png"):
        (photos / name).parent.mkdir(parents=True)
        shutil.copy(photos / "000.png", photos / name)
    (photos / "more.zip").touch()
    (photos / "001.jpg_large").touch()
    (photos / ".hidden.png").touch()
    result = index([tmp_path / "in"], tmp_path / "m.csv")
    assert result.records == 12
    assert result.skipped.counts() == {
        "links": 1, "machine_made": 3, "hidden": 1, "archives": 1, "ignored": 1,
    }  # fmt: skip
    assert rejects_of(result.rejects) == {
        str(tmp_path / "in/photo/linked"): "skipped: link to a folder",
        **{
            str(photos / name): "skipped: folder of thumbnails or waste"
            for name in ("@eaDir", "#recycle", "@Recycle")
        },
        str(photos / "more.zip"): "skipped: archive",
        str(photos / "001.jpg_large"): "skipped: file whose name does not end like an image's",
    }
    followed = index([tmp_path / "in"], tmp_path / "f.csv", IndexOptions(follow=True))
    assert (followed.records, followed.skipped.links) == (24, 0)
    # Named itself, such a folder is what the user means.
    thumbs = IndexOptions(kind="photo", source="waste")
    assert index([photos / "@Recycle"], tmp_path / "w.csv", thumbs).records == 1


def test_globs_choose_what_is_indexed(drawn: Path, tmp_path: Path) -> None:
    only = IndexOptions(include=("*/drawn-photo/*",), exclude=("000.*",))
    result = index([drawn], tmp_path / "m.csv", only)
    assert (result.records, result.by_source) == (11, {("photo", "drawn-photo"): 11})
    assert result.skipped.counts() == {"excluded": 25}


def test_a_folder_that_may_not_be_listed_is_counted(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn / "photo", tmp_path / "photo")
    shutil.copytree(drawn / "photo" / "drawn-photo", tmp_path / "photo" / "shut")
    (tmp_path / "photo" / "shut").chmod(0)
    code = (
        "from pathlib import Path; from facecheck import index\n"
        "result = index([Path('photo')], Path('m.csv'))\n"
        "print(result.records, result.skipped.counts(), result.skipped.first)"
    )
    done = subprocess.run(
        [*UNPRIVILEGED, sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    shut = f"{tmp_path / 'photo' / 'shut'}/"
    assert done.stdout == f"12 {{'unlistable': 1}} {{'unlistable': '{shut}'}}\n"
    assert rejects_of(tmp_path / "m.rejects.csv") == {shut: "skipped: folder that cannot be listed"}


def test_pairs_are_found_whatever_the_unicode_form_and_case(drawn: Path, tmp_path: Path) -> None:
    faces = sorted((drawn / "photo" / "drawn-photo").iterdir())
    names = {"photo/p": ["é1.png", "F2.png", "alone.png"], "sketch/s": ["e\u03011.png", "f2.PNG"]}
    for folder, files in names.items():
        (tmp_path / "in" / folder).mkdir(parents=True)
        for face, name in zip(faces, files, strict=False):
            shutil.copy(face, tmp_path / "in" / folder / name)
    result = index([tmp_path / "in"], tmp_path / "m.csv", IndexOptions(pair=(("p", "s"),)))
    assert (result.paired, result.unpaired) == ({"p+s": 2}, {"p+s": 1})
    groups = read_manifest(tmp_path / "m.csv").frame["group"]
    assert groups.value_counts()["count"].sort().to_list() == [1, 2, 2]


def test_what_was_decided_of_unchanged_records_stays(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path / "in")
    out = tmp_path / "m.csv"
    index([tmp_path / "in"], out)
    split(out, SplitOptions(ratio="8:1:1"))
    before = read_manifest(out)
    person = pl.Series("person", [f"p{n % 5}" for n in range(len(before))])
    fold = pl.Series("fold", ["1"] * len(before))
    write_manifest(Manifest(before.frame.with_columns(person, fold)), out, {})
    # One file changes, one goes, three come.
    first, second, *_ = before.paths()
    shutil.copy(drawn / "photo" / "drawn-photo" / "003.png", first)
    second.unlink()
    shutil.copytree(drawn / "photo" / "drawn-photo", tmp_path / "in" / "photo" / "more")
    result = index([tmp_path / "in"], out, IndexOptions(overwrite=True))
    assert result.kept.columns == {"split": 34, "person": 34, "fold": 34}
    assert (result.kept.lost, result.kept.torn) == (2, 0)
    now = {record["path"]: record for record in read_manifest(out).frame.iter_rows(named=True)}
    for record in before.frame.with_columns(person).iter_rows(named=True):
        if record["path"] not in {str(first), str(second)}:
            assert now[record["path"]]["split"] == record["split"]
            assert now[record["path"]]["person"] == record["person"]
    assert now[str(first)]["split"] == ""
    assert now[str(first)]["person"] is None
    extended = split(out, SplitOptions(extend=True))
    assert extended.kept == 34


def test_groups_of_before_and_of_now_are_joined(drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.csv"
    index([drawn], out)
    before = read_manifest(out)
    groups = ["g" if Path(p).name in {"000.png", "001.png"} else "" for p in before.frame["path"]]
    parts = ["train" if "photo" in path else "test" for path in before.frame["path"]]
    write_manifest(before.with_columns(group=groups, split=parts), out, {})
    pair = IndexOptions(pair=(("drawn-photo", "drawn-sketch"),), overwrite=True)
    result = index([drawn], out, pair)
    frame = read_manifest(out).frame
    assert frame.filter(pl.col("path").str.contains("/00[01].png"))["group"].n_unique() == 1
    assert frame["group"].n_unique() == 12  # the joined one, ten pairs, and cartoons without one
    assert result.kept.torn == 11


def test_a_manifest_that_cannot_be_read_is_not_replaced(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,kind\n")
    with pytest.raises(ManifestError, match="move it away"):
        index([drawn], tmp_path / "m.csv", IndexOptions(overwrite=True))
