from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import sha256_file
from facecheck.core.manifest import SPLITS, Manifest, read_manifest, read_meta, write_manifest
from facecheck.core.record import Record
from facecheck.data.index import index
from facecheck.data.options import SplitOptions, parse_ratio
from facecheck.data.split import split


def records(sizes: dict[tuple[str, str], int]) -> list[Record]:
    return [
        Record(f"/{kind}/{source}/{number}", source, kind, pixel_hash=f"{kind}{source}{number:04}")
        for (kind, source), count in sizes.items()
        for number in range(count)
    ]


def written(rows: list[Record], folder: Path) -> Path:
    path = folder / "m.csv"
    write_manifest(Manifest.from_records(rows), path, {})
    return path


SIZES = {("photo", "a"): 1000, ("photo", "b"): 311, ("sketch", "b"): 311, ("painting", "c"): 91}


def test_every_source_follows_the_ratio(tmp_path: Path) -> None:
    result = split(written(records(SIZES), tmp_path))
    for stratum, total in SIZES.items():
        for name, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
            assert abs(result.by_source[stratum][name] - total * share) < 1
    assert sum(result.counts.values()) == sum(SIZES.values())
    assert result.proof.holds


def test_pairs_across_kinds_stay_together_and_the_ratio_holds(tmp_path: Path) -> None:
    rows = [
        Record(f"/{kind}/b/{number}", "b", kind, group=f"person/{number}")
        for kind in ("photo", "sketch")
        for number in range(311)
    ]
    path = written(rows, tmp_path)
    result = split(path)
    assert result.proof.holds
    assert result.proof.checked["same group"] == 311
    assert result.groups == 311
    for counts in result.by_source.values():
        assert counts == {"train": 249, "val": 31, "test": 31}


def test_the_seed_and_not_the_order_of_the_file_decides(tmp_path: Path) -> None:
    rows = records(SIZES)
    shuffled = rows.copy()
    random.Random(0).shuffle(shuffled)

    def assignment(given_rows: list[Record], seed: int) -> dict[str, str]:
        path = written(given_rows, tmp_path)
        split(path, SplitOptions(seed=seed))
        return {record.path: record.split for record in read_manifest(path).records()}

    first = assignment(rows, 0)
    assert assignment(shuffled, 0) == first
    assert assignment(rows, 1) != first


@st.composite
def tables(draw: st.DrawFn) -> list[Record]:
    """Records that share groups, bytes and pixels in every way; names in many scripts."""
    letters = st.text("aä猫é #🙂", min_size=1, max_size=3)
    rows = []
    for number in range(draw(st.integers(1, 40))):
        kind = draw(st.sampled_from(["photo", "sketch", "cartoon"]))
        rows.append(
            Record(
                f"/{draw(letters)}/{number}.png",
                source=draw(st.sampled_from(["ä", "b"])),
                kind=kind,
                sha256=draw(st.sampled_from(["", f"s{number}", "s0", "s1"])),
                pixel_hash=draw(st.sampled_from(["", f"p{number}", "p0", "p1", "p2"])),
                group=draw(st.sampled_from(["", "g", "h", "ï"])),
                excluded=draw(st.sampled_from(["", "", "", "duplicate"])),
            )
        )
    return rows


def parts_of(path: Path, column: str = "split") -> dict[str, str]:
    frame = read_manifest(path).frame
    return dict(zip(frame["path"], frame[column], strict=True))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    rows=tables(),
    seed=st.integers(0, 5),
    ratio=st.sampled_from(["8:1:1", "1:1:1", "9:0:1", "1:0:0", "3:1", "1:1:1:2"]),
    order=st.randoms(),
)
def test_a_split_is_a_partition_that_keeps_groups_whole_whatever_the_order(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Record],
    seed: int,
    ratio: str,
    order: random.Random,
) -> None:
    folder = tmp_path_factory.mktemp("split")
    path = written(rows, folder)
    if all(row.excluded for row in rows):
        with pytest.raises(FacecheckError, match="all are excluded"):
            split(path)
        return
    result = split(path, SplitOptions(ratio=ratio, seed=seed))
    first = parts_of(path, result.column)
    by_path = {row.path: row for row in rows}
    for name, part in first.items():
        assert (part == "") == bool(by_path[name].excluded)
        assert part == "" or part in result.counts
    assert sum(result.counts.values()) == sum(not row.excluded for row in rows)
    assert all(count == 0 for count, share in zip(
        result.counts.values(), parse_ratio(ratio), strict=True) if share == 0)  # fmt: skip
    for key in ("group", "sha256", "pixel_hash"):
        held: dict[str, set[str]] = {}
        for row in rows:
            if getattr(row, key) and not row.excluded:
                held.setdefault(getattr(row, key), set()).add(first[row.path])
        assert all(len(parts) == 1 for parts in held.values())
    assert result.proof.holds
    shuffled = rows.copy()
    order.shuffle(shuffled)
    again = split(written(shuffled, folder), SplitOptions(ratio=ratio, seed=seed))
    assert parts_of(again.manifest, result.column) == first


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(rows=tables(), cut=st.integers(1, 40), kfold=st.sampled_from([None, 3]))
def test_extending_keeps_every_assignment(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Record], cut: int, kfold: int | None
) -> None:
    folder = tmp_path_factory.mktemp("extend")
    old = rows[:cut]
    if all(row.excluded for row in old):
        return
    column = split(written(old, folder), SplitOptions(kfold=kfold)).column
    before = parts_of(folder / "m.csv", column)
    values = {column: [before.get(row.path, "") for row in rows]}
    path = folder / "all.csv"
    write_manifest(Manifest.from_records(rows).with_columns(**values), path, {})
    try:
        result = split(path, SplitOptions(kfold=kfold, extend=True))
    except FacecheckError as error:  # a new record ties two old groups that were parted
        assert "already torn" in str(error)
        return
    after = parts_of(path, column)
    assert {name: after[name] for name in before} == before
    assert result.kept == sum(part != "" for part in before.values())
    assert result.proof.holds


def test_new_records_follow_their_group_and_fill_up_the_ratio(tmp_path: Path) -> None:
    rows = records({("photo", "a"): 100})
    old = [Record(row.path, "a", "photo", pixel_hash=row.pixel_hash, split="train") for row in rows]
    new = Record("/new", "a", "photo", pixel_hash=rows[7].pixel_hash)
    more = [Record(f"/more/{n}", "a", "photo", pixel_hash=f"more{n}") for n in range(25)]
    path = written([*old, new, *more], tmp_path)
    result = split(path, SplitOptions(ratio="8:1:1", extend=True))
    assert parts_of(path)["/new"] == "train"
    assert result.counts == {"train": 101, "val": 13, "test": 12}


def test_a_torn_group_is_not_extended_silently(tmp_path: Path) -> None:
    rows = [
        Record("/a", "s", "photo", group="g", split="train"),
        Record("/b", "s", "photo", group="g", split="test"),
    ]
    with pytest.raises(FacecheckError, match="/a is in train, /b belongs with it and is in test"):
        split(written(rows, tmp_path), SplitOptions(extend=True))


def test_a_source_held_out_goes_to_test_with_all_that_touches_it(tmp_path: Path) -> None:
    rows = records(SIZES)
    rows[0] = Record("/photo/a/0", "a", "photo", group="g")
    rows.append(Record("/photo/b/twin", "b", "photo", group="g"))
    path = written(rows, tmp_path)
    result = split(path, SplitOptions(hold_out_source=("b",)))
    for (_, source), counts in result.by_source.items():
        assert source != "b" or counts["train"] == counts["val"] == 0
    assert parts_of(path)["/photo/a/0"] == "test"
    assert result.by_source["photo", "a"] == {"train": 800, "val": 100, "test": 100}
    with pytest.raises(FacecheckError, match="--extend keeps them there"):
        split(path, SplitOptions(hold_out_source=("a",), extend=True))


def test_folds_are_equal_and_leave_test_alone(tmp_path: Path) -> None:
    path = written(records(SIZES), tmp_path)
    split(path, SplitOptions(ratio="8:2"))
    test = {name for name, part in parts_of(path).items() if part == "test"}
    result = split(path, SplitOptions(kfold=5))
    assert result.column == "fold"
    assert list(result.counts) == ["0", "1", "2", "3", "4"]
    assert max(result.counts.values()) - min(result.counts.values()) <= len(SIZES)
    assert result.left_out == {"in test": len(test)}
    assert {name for name, part in parts_of(path, "fold").items() if not part} == test
    assert {name for name, part in parts_of(path).items() if part == "test"} == test


def test_any_column_may_stratify_or_bind(tmp_path: Path) -> None:
    rows = records({("photo", "a"): 300})
    table = Manifest.from_records(rows).with_columns(
        light=["dark" if number < 30 else "bright" for number in range(300)],
        person=[f"{number // 3}" for number in range(300)],
    )
    path = tmp_path / "m.parquet"
    write_manifest(table, path, {})
    result = split(path, SplitOptions(ratio="8:2", by="light", group_column="person"))
    frame = read_manifest(path).frame
    assert frame.group_by("person").agg(pl.col("split").n_unique())["split"].max() == 1
    dark = frame.filter(frame["light"] == "dark")["split"].to_list()
    assert dark.count("train") == 24
    assert result.proof.checked["same person"] == 100


def test_running_again_and_excluded_records(tmp_path: Path) -> None:
    rows = records({("photo", "a"): 20})
    rows[3] = Record(rows[3].path, "a", "photo", excluded="duplicate", split="test")
    path = written(rows, tmp_path)
    first = split(path)
    assert (first.left_out, first.replaced) == ({"duplicate": 1}, 1)
    once = path.read_bytes()
    assert list(read_manifest(path).records())[3].split == ""
    split(path)
    assert path.read_bytes() == once


def test_a_split_that_came_with_the_data_is_not_replaced_silently(tmp_path: Path) -> None:
    rows = [
        Record(row.path, row.source, row.kind, pixel_hash=row.pixel_hash, split="train")
        for row in records({("photo", "a"): 100})
    ]
    path = written(rows, tmp_path)
    assert split(path, SplitOptions(out=tmp_path / "n.csv")).replaced == 0
    result = split(path)
    assert (result.replaced, result.counts["train"]) == (20, 80)
    assert split(path).replaced == 0


def test_the_proof_says_what_it_did_not_check(tmp_path: Path) -> None:
    rows = records({("photo", "a"): 20})
    rows[3] = Record(rows[3].path, "a", "photo")
    rows[4] = Record(rows[4].path, "a", "photo", excluded="conflict")
    path = written(rows, tmp_path)
    result = split(path)
    assert (result.near, result.proof.unhashed) == ("not checked", 1)
    assert result.left_out == {"conflict": 1}
    (tmp_path / "m.duplicates.csv").write_text("dropped,keeper\n")
    assert split(path).near == str(tmp_path / "m.duplicates.csv")


def test_every_split_gets_something_of_a_small_source(tmp_path: Path) -> None:
    result = split(written(records({("photo", "a"): 5}), tmp_path))
    assert result.counts == {"train": 3, "val": 1, "test": 1}


@pytest.mark.parametrize("text", ["8", "8-1-1", "a:b:c", "8:1:-1", "", "8::1", "nan:1:1"])
def test_ratios_that_do_not_parse_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="train:val:test"):
        parse_ratio(text)


def test_ratios_of_any_scale_are_the_same() -> None:
    assert parse_ratio("8:1:1") == parse_ratio("80:10:10") == pytest.approx((0.8, 0.1, 0.1))
    assert parse_ratio(".8:.1:.1") == pytest.approx((0.8, 0.1, 0.1))
    with pytest.raises(UsageError, match="nothing to train on"):
        parse_ratio("0:1:1")


def test_nothing_to_split_is_told(tmp_path: Path) -> None:
    path = written([Record("/a", "s", "photo", excluded="conflict")], tmp_path)
    with pytest.raises(FacecheckError, match="all are excluded"):
        split(path)


def test_a_split_that_is_done_again_in_place_still_says_what_it_was_made_from(
    drawn: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.csv"
    index([drawn], path)
    made_from = sha256_file(path)
    split(path)
    meta = (tmp_path / "m.csv.meta.json").read_bytes()
    assert read_meta(path)["input"]["sha256"] == made_from
    split(path)
    assert (tmp_path / "m.csv.meta.json").read_bytes() == meta
    before = sha256_file(path)
    split(path, SplitOptions(seed=1))
    assert read_meta(path)["input"]["sha256"] == before


def given_test_set(tmp_path: Path) -> Path:
    """Return a manifest of 400 records of which 60 are in test, 20 of them related to others."""
    rows = [
        Record(
            *(f"/x/{number}", "s", "photo", f"{number:064}", f"{number:064}"),
            group=f"p{number % 200}" if number % 200 < 20 else "",
            split="test" if number < 60 else "train" if number < 120 else "",
        )
        for number in range(400)
    ]
    return written(rows, tmp_path)


def test_a_given_test_set_is_kept_and_what_belongs_with_it_left_out(tmp_path: Path) -> None:
    path = given_test_set(tmp_path)
    result = split(path, SplitOptions(keep=("test",), ratio="8:2:5"))
    frame = read_manifest(path).frame
    test = set(frame.filter(pl.col("split") == "test")["path"])
    assert test == {f"/x/{number}" for number in range(60)}
    related = {f"/x/{number}" for number in range(200, 220)}
    assert set(frame.filter(pl.col("split") == "")["path"]) == related
    assert result.counts == {"train": 256, "val": 64, "test": 60}
    assert (result.left_out, result.kept, result.replaced) == ({"related to test": 20}, 60, 12)
    assert result.proof.holds
    assert split(path, SplitOptions(keep=("test",), ratio="8:2:5")).counts == result.counts
    assert read_manifest(path).frame.equals(frame)


def test_an_excluded_copy_of_a_kept_record_leaks_nothing(tmp_path: Path) -> None:
    path = given_test_set(tmp_path)
    frame = read_manifest(path).frame
    # dedup kept /x/200 for the picture of /x/0, which is in test.
    excluded = pl.when(pl.col("path") == "/x/0").then(pl.lit("duplicate")).otherwise("excluded")
    write_manifest(Manifest(frame.with_columns(excluded.alias("excluded"))), path, {})
    result = split(path, SplitOptions(keep=("test",)))
    parts = dict(read_manifest(path).frame.select("path", "split").iter_rows())
    assert (parts["/x/0"], parts["/x/200"]) == ("", "")
    assert result.left_out == {"duplicate": 1, "related to test": 20}
    assert result.kept_excluded == 1


def test_any_parts_may_be_kept(tmp_path: Path) -> None:
    path = given_test_set(tmp_path)
    with pytest.raises(UsageError, match="--keep names every part"):
        split(path, SplitOptions(keep=("test", "train"), ratio="8:1"))
    path = given_test_set(tmp_path)
    result = split(path, SplitOptions(keep=("test", "train")))
    assert (result.counts, result.kept) == ({"train": 60, "val": 260, "test": 60}, 120)
    with pytest.raises(FacecheckError, match="--keep val: no record is in it"):
        split(given_test_set(tmp_path), SplitOptions(keep=("val",)))
    for options, message in (
        ({"keep": ("tset",)}, "did you mean 'test'"),
        ({"keep": ("test",), "extend": True}, "--extend keeps every part"),
        ({"keep": ("test",), "hold_out_source": ("s",)}, "leave one of them out"),
        ({"keep": ("test",), "kfold": 3}, "folds have other names"),
    ):
        with pytest.raises(UsageError, match=message):
            SplitOptions(**options)


def test_a_group_between_two_kept_parts_is_refused(tmp_path: Path) -> None:
    rows = [
        Record(f"/x/{part}", "s", "photo", f"{n:064}", group="one", split=part)
        for n, part in enumerate(("train", "test"))
    ]
    path = written([*rows, Record("/x/other", "s", "photo", "9" * 64)], tmp_path)
    with pytest.raises(FacecheckError, match="without --keep"):
        split(path, SplitOptions(keep=("train", "test")))
