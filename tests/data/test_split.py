from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.manifest import SPLITS, Manifest, Record, read_manifest, write_manifest
from facecheck.data.split import _assign, _group, count_crossing, parse_ratio, split


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
    assert result.crossing == 0


def test_pairs_across_kinds_stay_together_and_the_ratio_holds(tmp_path: Path) -> None:
    rows = [
        Record(f"/{kind}/b/{number}", "b", kind, group=f"person/{number}")
        for kind in ("photo", "sketch")
        for number in range(311)
    ]
    path = written(rows, tmp_path)
    result = split(path)
    assert count_crossing(read_manifest(path).frame) == 0
    assert result.groups == 311
    for counts in result.by_source.values():
        assert counts == {"train": 249, "val": 31, "test": 31}


def test_the_seed_and_not_the_order_of_the_file_decides(tmp_path: Path) -> None:
    rows = records(SIZES)
    shuffled = rows.copy()
    random.Random(0).shuffle(shuffled)

    def assignment(given_rows: list[Record], seed: int) -> dict[str, str]:
        path = written(given_rows, tmp_path)
        split(path, seed=seed)
        return {record.path: record.split for record in read_manifest(path).records()}

    first = assignment(rows, 0)
    assert assignment(shuffled, 0) == first
    assert assignment(rows, 1) != first


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(
        st.lists(st.sampled_from(["photo", "sketch", "cartoon"]), min_size=1, max_size=6),
        min_size=1,
        max_size=40,
    ),
    seed=st.integers(0, 5),
    ratio=st.sampled_from(["8:1:1", "1:1:1", "9:0:1", "1:0:0"]),
)
def test_a_split_is_a_partition_that_keeps_groups_whole(
    groups: list[list[str]], seed: int, ratio: str
) -> None:
    rows = [
        Record(f"/{number}/{position}", "s", kind, group=f"g{number}")
        for number, kinds in enumerate(groups)
        for position, kind in enumerate(kinds)
    ]
    shares = parse_ratio(ratio)
    assigned = _assign(_group(rows), shares, seed)
    assert set(assigned) == {f"g{number}" for number in range(len(groups))}
    used = Counter(assigned.values())
    assert all(shares[part] > 0 for part in used)


def test_running_again_and_excluded_records(tmp_path: Path) -> None:
    rows = records({("photo", "a"): 20})
    rows[3] = Record(rows[3].path, "a", "photo", excluded="duplicate", split="test")
    path = written(rows, tmp_path)
    assert split(path).excluded == 1
    once = path.read_bytes()
    assert list(read_manifest(path).records())[3].split == ""
    split(path)
    assert path.read_bytes() == once


def test_every_split_gets_something_of_a_small_source(tmp_path: Path) -> None:
    result = split(written(records({("photo", "a"): 5}), tmp_path))
    assert result.counts == {"train": 3, "val": 1, "test": 1}


@pytest.mark.parametrize("text", ["8:1", "8-1-1", "a:b:c", "8:1:-1", "", "8:1:1:1", "nan:1:1"])
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
