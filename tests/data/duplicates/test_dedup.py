from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from facecheck.core.errors import ManifestError, UsageError
from facecheck.core.image.likeness import WHOLE, Likeness
from facecheck.core.manifest import Manifest, read_manifest, read_meta, write_manifest
from facecheck.core.record import Record
from facecheck.data.duplicates import keepers
from facecheck.data.duplicates.dedup import dedup
from facecheck.data.index import index
from facecheck.data.options import DedupOptions, IndexOptions, Level
from tests.conftest import RealImages


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
    index([folder], tmp_path / "m.csv", IndexOptions(pair=(("drawn-photo", "drawn-sketch"),)))
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
    dedup(planted, DedupOptions(out=tmp_path / "out.parquet"))
    assert planted.read_bytes() == before
    with pytest.raises(UsageError, match="--overwrite"):
        dedup(planted, DedupOptions(out=tmp_path / "out.parquet"))


def test_bad_input_is_named(planted: Path) -> None:
    with pytest.raises(UsageError, match="0 to 16"):
        DedupOptions(radius=17)
    with pytest.raises(UsageError, match="did you mean 'picture'"):
        DedupOptions(level="pictures")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--apply move needs --to"):
        DedupOptions(apply="move")
    with pytest.raises(UsageError, match="did you mean 'symlink'"):
        DedupOptions(apply="simlink", to=planted.parent)  # type: ignore[arg-type]
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


def edited_copies(planted: Path) -> Path:
    """Add a mirrored, a cropped, a darker and a grey copy of one drawn photo; index again."""
    photos = planted.parent / "raw" / "photo" / "drawn-photo"
    face = Image.open(photos / "005.png").convert("RGB").resize((160, 160))
    face.save(photos / "face.png")
    ImageOps.mirror(face).save(photos / "mirrored.png")
    face.crop((2, 5, 154, 157)).save(photos / "cropped.png")
    face.point(lambda value: value * 0.7).save(photos / "darker.png")
    ImageOps.grayscale(face).save(photos / "grey.png")
    index([planted.parent / "raw"], planted, IndexOptions(overwrite=True))
    return planted


def test_each_level_finds_what_the_one_before_does_and_more(planted: Path, tmp_path: Path) -> None:
    manifest = edited_copies(planted)
    dropped = {}
    for level in get_args(Level):
        result = dedup(manifest, DedupOptions(level=level, out=tmp_path / f"{level}.csv"))
        excluded = named(result.manifest, "excluded")
        dropped[level] = {Path(name).name for name, why in excluded.items() if why}
        assert result.level == level
    # same_bytes.png or large.png: the first by path stands for both
    assert dropped["bytes"] == {"same_bytes.png"}
    assert dropped["pixels"] >= {"same_bytes.png", "large.png", "conflict.png", "001.png"}
    assert dropped["picture"] - dropped["pixels"] >= {"000.png", "re_encoded.jpg", "005.png"}
    edits = {"mirrored.png", "cropped.png", "darker.png", "grey.png"}
    assert dropped["edited"] >= dropped["picture"] | edits
    assert not {"mirrored.png", "cropped.png"} & dropped["picture"]
    table = pl.read_csv(tmp_path / "edited.duplicates.csv")
    found = {Path(row["dropped"]).name: (row["why"], row["view"])
             for row in table.iter_rows(named=True)}  # fmt: skip
    assert found["mirrored.png"] == ("edited picture", "mirrored")
    assert found["darker.png"][0] == "edited picture"


def test_edited_is_idempotent_and_keeps_no_order(planted: Path, tmp_path: Path) -> None:
    manifest = edited_copies(planted)
    frame = read_manifest(manifest).frame
    dedup(manifest, DedupOptions(level="edited"))
    once = manifest.read_bytes()
    dedup(manifest, DedupOptions(level="edited"))
    assert manifest.read_bytes() == once
    backwards = tmp_path / "backwards.csv"
    write_manifest(Manifest(frame.reverse()), backwards, {})
    dedup(backwards, DedupOptions(level="edited"))
    assert named(backwards, "excluded") == named(manifest, "excluded")
    assert named(backwards, "group") == named(manifest, "group")


def test_shared_pictures_are_counted_by_source_and_conflicts_listed(planted: Path) -> None:
    result = dedup(planted)
    assert result.by_sources == {
        ("drawn-cartoon", "drawn-photo"): 1,
        ("drawn-photo", "drawn-photo"): 4,
    }
    counted = pl.read_csv(planted.with_name("m.contamination.csv"))
    assert counted.rows() == [
        ("drawn-cartoon", "drawn-photo", 1), ("drawn-photo", "drawn-photo", 4),
    ]  # fmt: skip
    listed = pl.read_csv(planted.with_name("m.conflicts.csv"))
    assert listed["picture"].n_unique() == 1
    assert sorted(zip(listed["kind"], listed["source"], strict=True)) == [
        ("cartoon", "drawn-cartoon"), ("photo", "drawn-photo"),
    ]  # fmt: skip
    assert result.by_kinds == {"cartoon / photo": 2}


def crowd(count: int, tmp_path: Path, **same: str) -> Path:
    """A manifest of records whose files are not there: whoever looks at one fails."""
    draw = random.Random(0)
    records = []
    for number in range(count):
        values = {name: f"{draw.getrandbits(256):064x}" for name in ("sha256", "pixel_hash")}
        values |= {"phash": f"{draw.getrandbits(64):016x}", **same}
        path = str(tmp_path / f"{number:05}.jpg")
        records.append(Record(path, "s", "photo", width=9, height=9, bytes=9, **values))
    write_manifest(Manifest.from_records(records), tmp_path / "crowd.parquet", {})
    return tmp_path / "crowd.parquet"


@pytest.mark.slow
def test_a_crowd_of_identical_images_is_not_looked_at(tmp_path: Path) -> None:
    manifest = crowd(5_000, tmp_path, phash="0123456789abcdef", pixel_hash="0" * 64)
    result = dedup(manifest)
    assert result.dropped == {"same pixels": 4_999}
    assert result.candidates == 0


@pytest.mark.parametrize("phash", ["8000000000000000", "0000000000000000"])
@pytest.mark.parametrize("level", ["picture", "edited"])
def test_a_crowd_of_blank_images_is_not_looked_at(phash: str, level: Level, tmp_path: Path) -> None:
    result = dedup(crowd(5_000, tmp_path, phash=phash), DedupOptions(level=level))
    assert result.dropped == {}
    assert result.candidates == 0


def test_copies_under_one_hash_are_compared_with_their_keeper_alone(
    drawn: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photo" / "s"
    folder.mkdir(parents=True)
    face = Image.open(drawn / "photo" / "drawn-photo" / "003.png").convert("RGB")
    for number in range(60):  # one corner pixel differs: no two have the same pixels
        face.putpixel((0, 0), (number, 0, 0))
        face.save(folder / f"{number:02}.png")
    index([tmp_path], tmp_path / "m.csv")
    result = dedup(tmp_path / "m.csv")
    assert result.dropped == {"same picture": 59}
    assert result.candidates < 2 * 60  # and not 60 * 59 / 2


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_stars_hold_and_order_does_not_matter_whatever_looks_alike(
    data: st.DataObject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On synthetic records: pictures are points on a line, alike when at most 2 apart."""
    places = data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=10))
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=len(places), max_size=len(places)))
    copies = data.draw(st.lists(st.integers(0, 9), max_size=4))
    places += [places[copy % len(places)] for copy in copies]
    sizes += [1] * len(copies)
    records = [
        Record(f"/x/{i}", "s", "photo", sha256=f"{i}", pixel_hash=f"{place}/{size}",
               phash=f"{0x0F0F0F0F00000000 | (1 << place) - 1:016x}", width=size, height=1)
        for i, (place, size) in enumerate(zip(places, sizes, strict=True))
    ]  # fmt: skip

    class Search(keepers._NearSearch):
        def _look(self, place: int) -> object:  # type: ignore[override]
            class Seen:
                flat = False
                at = int(self._unique["pixel_hash"][place].split("/")[0])

            return Seen()

        def _alike(self, seen, keeper, proposals):  # type: ignore[no-untyped-def]
            if abs(seen.at - keeper.at) > 2:
                return None
            return Likeness(1 - abs(seen.at - keeper.at) / 9, 1.0, 0.0, WHOLE), True

    monkeypatch.setattr(keepers, "_NearSearch", Search)
    order = data.draw(st.permutations(range(len(records))))
    found = []
    for rows in (list(range(len(records))), order):
        shuffled = [records[i] for i in rows]
        frame = Manifest.from_records(shuffled).frame
        everyone = pl.repeat(True, len(rows), eager=True)
        options: dict[str, Any] = {"level": "picture", "radius": 8, "workers": 1}
        options["protected"] = ~everyone
        matches = keepers.find_keepers(frame, among=everyone, **options).copies
        ends = matches.select("dropped", "keeper", "why").rows()
        found.append({rows[i]: (rows[keeper], why) for i, keeper, why in ends})
        kept = ~pl.Series(range(len(rows))).is_in(matches["dropped"].implode())
        for place, keeper, _ in ends:  # each hangs on a keeper that it is like itself
            assert kept[keeper]
            at = [int(shuffled[i].pixel_hash.split("/")[0]) for i in (place, keeper)]
            assert abs(at[0] - at[1]) <= 2
        again = keepers.find_keepers(frame, among=kept, **options)
        assert again.copies.is_empty()
    assert found[0] == found[1]


def link_portraits(real_images: RealImages, folder: Path) -> None:
    """Link 200 studio portraits of different people in one pose into a folder of sources."""
    source = folder / "generated" / "portraits-512"
    source.mkdir(parents=True)
    for path in real_images("generated/portraits-512/", 200):
        (source / path.name).symlink_to(path)


@pytest.mark.slow
def test_different_people_in_one_pose_are_kept(real_images: RealImages, tmp_path: Path) -> None:
    link_portraits(real_images, tmp_path)
    index([tmp_path], tmp_path / "m.csv")
    result = dedup(tmp_path / "m.csv")
    assert result.candidates > 50  # the hash alone would have dropped dozens
    assert result.dropped == {}


@pytest.mark.slow
def test_nor_are_they_taken_for_edited_copies(real_images: RealImages, tmp_path: Path) -> None:
    link_portraits(real_images, tmp_path)
    index([tmp_path], tmp_path / "m.csv")
    result = dedup(tmp_path / "m.csv", DedupOptions(level="edited"))
    assert result.candidates > 500
    assert result.dropped == {}


@pytest.fixture
def layered(drawn: Path, tmp_path: Path) -> Path:
    """A manifest of files with transparency and frames, each with a true copy."""
    ink, moving = tmp_path / "cartoon" / "ink", tmp_path / "photo" / "moving"
    ink.mkdir(parents=True)
    moving.mkdir(parents=True)
    title = Image.open(drawn / "photo" / "drawn-photo" / "000.png").convert("RGB")
    for number in range(6):
        chance = random.Random(number)
        white = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
        titled = white.copy()
        titled.paste(title.resize((128, 128)), (64, 64))
        for drawing in (white, titled):
            pen = ImageDraw.Draw(drawing)
            for _ in range(20):
                pen.line([chance.randrange(256) for _ in range(4)], fill="white", width=4)
        white.save(ink / f"white{number}.png")
        titled.save(ink / f"titled{number}.png")
        second = Image.open(drawn / "photo" / "drawn-photo" / f"00{number}.png").convert("RGB")
        for ending in ("gif", "webp", "png", "tif"):
            options: dict[str, Any] = {"lossless": True} if ending == "webp" else {}
            title.save(
                moving / f"{number}.{ending}", save_all=True,
                append_images=[ImageOps.mirror(second), second], **options,
            )  # fmt: skip
    Image.open(ink / "white0.png").save(ink / "copy.webp", lossless=True, exact=True)
    Image.open(ink / "titled0.png").resize((200, 200)).save(ink / "small.png")
    ImageOps.mirror(Image.open(ink / "titled1.png")).save(ink / "mirrored.png")
    title.save(moving / "title.bmp")
    index([tmp_path], tmp_path / "m.csv")
    return tmp_path / "m.csv"


@pytest.mark.parametrize("level", ["pixels", "picture", "edited"])
def test_files_that_differ_in_transparency_or_frames_are_two_pictures(
    layered: Path, level: Level
) -> None:
    result = dedup(layered, DedupOptions(level=level))
    table = pl.read_csv(result.duplicates)
    dropped = {Path(name).name for name in table.filter(~pl.col("kept"))["dropped"]}
    kept = table.filter(pl.col("kept"))
    excluded = {Path(name).name for name, why in named(layered, "excluded").items() if why}
    assert excluded == dropped
    copies = {
        "pixels": set(), "picture": {"small.png"}, "edited": {"small.png", "mirrored.png"},
    }[level]  # fmt: skip
    animations = {name for name in dropped if name[0].isdigit()}
    assert dropped - animations - {"copy.webp", "white0.png"} == copies
    assert len(dropped & {"copy.webp", "white0.png"}) == 1
    # Of one animation in four formats one stays; GIF's few colours are other pixels.
    stems = [Path(name).stem for name in animations]
    assert all(stems.count(stem) == (2 if level == "pixels" else 3) for stem in "012345")
    assert set(kept["why"]) == {"other transparency or frames"}
    assert result.apart == kept.height >= 11
    groups = named(layered, "group")
    for row in kept.iter_rows(named=True):  # what looks the same to a model is of one split
        one, two = ("/".join(Path(row[column]).parts[-2:]) for column in ("dropped", "keeper"))
        assert groups[one] == groups[two]


def excluded(manifest: Path) -> dict[str, str]:
    """Return why each excluded file is, by its name."""
    return {
        name.rpartition("/")[2]: why for name, why in named(manifest, "excluded").items() if why
    }


def test_a_preferred_source_is_kept_before_a_better_file(planted: Path) -> None:
    raw = planted.parent / "raw"
    for source, count in (("bought", 3), ("own", 2)):
        (raw / "photo" / source).mkdir()
        for number in range(1, count):
            face = Image.open(raw / "photo" / "drawn-photo" / f"{number:03}.png")
            face.resize((80, 80), Image.Resampling.LANCZOS).save(
                raw / "photo" / source / f"{source}{number}.png"
            )
    index([raw], planted, IndexOptions(overwrite=True))
    dedup(planted)
    assert {"bought1.png", "bought2.png", "own1.png"} <= excluded(planted).keys()
    dedup(planted, DedupOptions(prefer=("own", "bought")))
    gone = excluded(planted)
    assert {"001.png", "002.png", "bought1.png"} <= gone.keys()
    assert not {"bought2.png", "own1.png"} & gone.keys()
    assert read_meta(planted)["arguments"]["prefer"] == ["own", "bought"]
    with pytest.raises(UsageError, match="did you mean 'bought'"):
        dedup(planted, DedupOptions(prefer=("bougt",)))


def test_protected_files_are_never_excluded(planted: Path) -> None:
    safe = planted.parent / "raw" / "photo" / "safe"
    safe.mkdir()
    photos = safe.with_name("drawn-photo")
    face = Image.open(photos / "000.png")
    shutil.copy(photos / "000.png", safe / "bytes.png")
    shutil.copy(photos / "000.png", safe / "again.png")
    face.save(safe / "pixels.bmp")
    face.save(safe / "small.jpg", quality=70)
    shutil.move(photos / "conflict.png", safe)
    index([planted.parent / "raw"], planted, IndexOptions(overwrite=True))
    result = dedup(planted, DedupOptions(protect=(safe,)))
    gone = excluded(planted)
    assert not {file.name for file in safe.iterdir()} & gone.keys()
    assert gone == {
        **dict.fromkeys(("000.png", "large.png", "same_bytes.png", "same_pixels.bmp"), "duplicate"),
        **{"re_encoded.jpg": "duplicate", "001.png": "conflict"},
    }
    assert (result.spared, result.protected_conflicts, result.conflicts) == (3, 1, 1)
    groups = named(planted, "group")
    assert len({groups[f"safe/{name}"] for name in ("bytes.png", "again.png", "small.jpg")}) == 1
    table = pl.read_csv(result.duplicates)
    assert table.filter(pl.col("kept")).height == 3
    conflicts = pl.read_csv(result.conflicts_table)
    assert sorted(Path(path).name for path in conflicts["path"]) == ["001.png", "conflict.png"]
    before = planted.read_bytes()
    dedup(planted, DedupOptions(protect=(safe,)))
    assert planted.read_bytes() == before
    with pytest.raises(UsageError, match="no record's file lies under it"):
        dedup(planted, DedupOptions(protect=(planted.parent / "nowhere",)))


def test_protected_files_are_not_moved(planted: Path) -> None:
    safe = planted.parent / "raw" / "sketch"
    files = sorted(safe.rglob("*.png"))
    options = DedupOptions(protect=(safe,), apply="move", to=planted.parent / "clean")
    result = dedup(planted, options)
    assert sorted(safe.rglob("*.png")) == files
    assert result.applied is not None
    assert result.applied.stayed == len(files) == 12
    clean = read_manifest(planted.parent / "clean" / "m.csv")
    assert all(path.is_file() for path in (*clean.paths(), *read_manifest(planted).paths()))
    assert set(files) <= set(clean.paths())
    again = dedup(planted, options)
    assert again.applied is not None
    assert (again.applied.stayed, again.applied.placed) == (12, 0)
