from __future__ import annotations

import random
import shutil
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from facecheck.core.errors import ManifestError, UsageError
from facecheck.core.manifest import Manifest, read_manifest, write_manifest
from facecheck.data.dedup import dedup
from facecheck.data.index import index


@pytest.fixture
def planted(drawn: Path, tmp_path: Path) -> Path:
    """A manifest of drawn images with every kind of copy among them."""
    folder = tmp_path / "raw"
    shutil.copytree(drawn, folder)
    photos = folder / "photo" / "drawn-photo"
    face = Image.open(photos / "000.png")
    large = face.resize((256, 256), Image.Resampling.LANCZOS)
    large.save(photos / "large.png")
    shutil.copy(photos / "large.png", photos / "same_bytes.png")
    large.save(photos / "same_pixels.bmp")
    large.save(photos / "re_encoded.jpg", quality=70)
    cartoon = Image.open(folder / "cartoon" / "drawn-cartoon" / "001.png")
    cartoon.save(photos / "conflict.png", compress_level=1)
    for number in range(3):  # flat pictures of one look but not of the same pixels
        Image.new("RGB", (40, 40 + number), "white").save(photos / f"blank{number}.png")
    index([folder], tmp_path / "m.csv", pairs=[("drawn-photo", "drawn-sketch")])
    return tmp_path / "m.csv"


def named(manifest: Path, column: str) -> dict[str, str]:
    frame = read_manifest(manifest).frame
    names = ["/".join(Path(path).parts[-2:]) for path in frame["path"]]
    return dict(zip(names, frame[column], strict=True))


def test_each_kind_of_copy_is_found_once_and_the_best_file_is_kept(planted: Path) -> None:
    result = dedup(planted)
    found = {
        (Path(row["dropped"]).name, Path(row["keeper"]).name): row["why"]
        for row in pl.read_csv(result.duplicates).iter_rows(named=True)
        if not row["conflict"]
    }
    best = "same_pixels.bmp"  # of equal pixels, the most bytes
    assert found == {
        ("large.png", best): "same pixels",
        ("same_bytes.png", best): "same pixels",
        ("re_encoded.jpg", best): "same picture",
        ("000.png", best): "same picture",
    }
    excluded = named(planted, "excluded")
    assert [name for name, why in excluded.items() if why == "duplicate"] == [
        f"drawn-photo/{name}"
        for name in ("000.png", "large.png", "re_encoded.jpg", "same_bytes.png")
    ]


def test_same_bytes_are_told_from_same_pixels(drawn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photo" / "s"
    folder.mkdir(parents=True)
    for name in ("a.png", "b.png"):
        shutil.copy(drawn / "photo" / "drawn-photo" / "000.png", folder / name)
    index([tmp_path], tmp_path / "m.csv")
    assert dedup(tmp_path / "m.csv").dropped == {"same bytes": 1}


def test_one_picture_under_two_kinds_is_set_aside_not_resolved(planted: Path) -> None:
    result = dedup(planted)
    assert result.conflicts == 2
    excluded = named(planted, "excluded")
    assert excluded["drawn-photo/conflict.png"] == "conflict"
    assert excluded["drawn-cartoon/001.png"] == "conflict"
    rows = pl.read_csv(result.duplicates).filter(pl.col("conflict"))
    assert set(rows["dropped_kind"]) | set(rows["keeper_kind"]) == {"photo", "cartoon"}


def test_flat_pictures_are_not_duplicates_of_one_another(planted: Path) -> None:
    dedup(planted)
    excluded = named(planted, "excluded")
    assert not any(excluded[f"drawn-photo/blank{number}.png"] for number in range(3))


def test_copies_and_pairs_share_a_group(planted: Path) -> None:
    dedup(planted)
    groups = named(planted, "group")
    family = ["drawn-photo/000.png", "drawn-photo/large.png", "drawn-photo/re_encoded.jpg"]
    pair = groups["drawn-sketch/000.png"]
    assert {groups[name] for name in family} == {pair}
    assert groups["drawn-cartoon/001.png"] == groups["drawn-photo/conflict.png"]
    assert groups["drawn-photo/001.png"] != pair


def test_running_again_changes_nothing(planted: Path) -> None:
    dedup(planted)
    once = planted.read_bytes()
    dedup(planted)
    assert planted.read_bytes() == once


def test_the_order_of_the_file_does_not_matter(planted: Path, tmp_path: Path) -> None:
    frame = read_manifest(planted).frame
    dedup(planted)
    wanted = {name: (group, named(planted, "excluded")[name])
              for name, group in named(planted, "group").items()}  # fmt: skip
    for seed in range(3):
        rows = list(range(frame.height))
        random.Random(seed).shuffle(rows)
        shuffled = tmp_path / f"shuffled{seed}.csv"
        write_manifest(Manifest(frame[rows]), shuffled, {})
        dedup(shuffled)
        excluded = named(shuffled, "excluded")
        assert {
            name: (group, excluded[name]) for name, group in named(shuffled, "group").items()
        } == wanted


def test_what_the_user_excluded_stays_and_stands_for_nothing(planted: Path) -> None:
    manifest = read_manifest(planted)
    bad = "same_pixels.bmp"
    excluded = ["blurred" if path.name == bad else "" for path in manifest.paths()]
    write_manifest(manifest.with_columns(excluded=excluded), planted, {})
    result = dedup(planted)
    table = pl.read_csv(result.duplicates)
    assert not any(bad in path for path in [*table["dropped"], *table["keeper"]])
    assert named(planted, "excluded")[f"drawn-photo/{bad}"] == "blurred"
    groups = named(planted, "group")  # it still may not leak into another split
    assert groups[f"drawn-photo/{bad}"] == groups["drawn-photo/large.png"]


def test_another_output_leaves_the_input_alone(planted: Path, tmp_path: Path) -> None:
    before = planted.read_bytes()
    dedup(planted, out=tmp_path / "out.parquet")
    assert planted.read_bytes() == before
    with pytest.raises(UsageError, match="--overwrite"):
        dedup(planted, out=tmp_path / "out.parquet")


def test_bad_input_is_named(planted: Path) -> None:
    with pytest.raises(UsageError, match="0 to 16"):
        dedup(planted, radius=17)
    manifest = read_manifest(planted)
    write_manifest(manifest.with_columns(phash=["xyz"] * len(manifest)), planted, {})
    with pytest.raises(ManifestError, match="phash 'xyz'"):
        dedup(planted)
    write_manifest(manifest.with_columns(phash=[""] * len(manifest)), planted, {})
    with pytest.raises(ManifestError, match="'phash' is empty"):
        dedup(planted)
    write_manifest(manifest, planted, {})
    next(path for path in manifest.paths() if path.name == "large.png").unlink()
    shutil.rmtree(planted.parent / "raw" / "photo")
    with pytest.raises(ManifestError, match="not there: run `facecheck index`"):
        dedup(planted)


def test_different_people_in_one_pose_are_kept(shared_data: Path, tmp_path: Path) -> None:
    index([shared_data / "generated" / "portraits-512"], tmp_path / "m.csv", kind="generated",
          source="portraits-512")  # fmt: skip
    result = dedup(tmp_path / "m.csv")
    assert result.candidates > 1000  # the hash alone would have dropped hundreds
    assert result.dropped == {}
