from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecheck.data.duplicates import hamming
from facecheck.data.duplicates.hamming import Band, pairs_between, pairs_within, plan

Hashes = npt.NDArray[np.uint64]


def brute(queries: Hashes, hashes: Hashes, radius: int) -> list[tuple[int, int, int]]:
    distances = np.bitwise_count(queries[:, None] ^ hashes[None, :])
    return [(int(i), int(j), int(distances[i, j])) for i, j in np.argwhere(distances <= radius)]


def rows(pairs: npt.NDArray[np.int32]) -> list[tuple[int, ...]]:
    return [tuple(row) for row in pairs.tolist()]


def crowded(count: int, seed: int) -> Hashes:
    """Random hashes, half of them near another and a quarter crowding into a few bits."""
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**64, count, dtype=np.uint64)
    near = hashes[: count // 2].copy()
    for _ in range(8):
        near ^= np.uint64(1) << random.integers(0, 64, len(near)).astype(np.uint64)
    narrow = random.integers(0, 2**12, count // 4).astype(np.uint64) << np.uint64(20)
    return np.unique(np.concatenate([hashes, near, narrow]))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    hashes=st.lists(st.integers(0, 2**64 - 1), max_size=40, unique=True),
    flips=st.lists(st.lists(st.integers(0, 63), max_size=17), max_size=20),
    radius=st.integers(0, 16),
    number=st.integers(2, 9),
)
def test_the_search_finds_exactly_the_pairs_of_brute_force(
    hashes: list[int], flips: list[list[int]], radius: int, number: int
) -> None:
    for base, bits in zip(list(hashes), flips, strict=False):  # neighbours at known distances
        changed = base
        for bit in bits:
            changed ^= 1 << bit
        if changed not in hashes:
            hashes.append(changed)
    array = np.array(hashes, np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        # Few hashes are searched by brute force: bands are what is tested here.
        patch.setattr(hamming, "plan", lambda *_: some_bands(min(number, radius + 1), radius))
        within = rows(pairs_within(array, radius, workers=1))
        between = rows(pairs_between(array[::2], array, radius, workers=1))
    assert within == [row for row in brute(array, array, radius) if row[0] < row[1]]
    assert between == brute(array[::2], array, radius)


def some_bands(number: int, radius: int) -> list[Band]:
    """Return bands of at most 8 bits with reaches by the rule."""
    reach, more = divmod(radius + 1, number)
    width = 64 // number
    return [Band(i * width, min(8, width), reach - 1 + (i < more)) for i in range(number)]


@pytest.mark.slow
@pytest.mark.parametrize("radius", [0, 3, 8, 11])
def test_thousands_of_crowded_hashes_come_out_as_by_brute_force(
    radius: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = crowded(2000, seed=radius)
    monkeypatch.setattr(hamming, "_BLOCK", 1000)  # many blocks
    monkeypatch.setattr(hamming, "_NS_BRUTE", 1e6)  # whatever plan holds best, but brute force
    monkeypatch.setattr(hamming, "_NS_BUCKET", 1e5)  # small tables
    wanted = brute(hashes, hashes, radius)
    assert rows(pairs_within(hashes, radius)) == [row for row in wanted if row[0] < row[1]]
    assert rows(pairs_between(hashes, hashes, radius)) == wanted


@pytest.mark.parametrize("radius", range(17))
@pytest.mark.parametrize("count", [10, 10_000, 1_000_000])
def test_the_bands_of_every_plan_miss_nothing(count: int, radius: int) -> None:
    bands = plan(count, count, radius)
    if bands:  # the pigeonhole rule, on bands that do not overlap
        assert sum(band.reach + 1 for band in bands) == radius + 1
        ends = [band.shift + band.bits for band in bands]
        assert all(end <= after.shift for end, after in zip(ends, bands[1:], strict=False))
        assert ends[-1] <= 64


def test_a_million_hashes_are_not_compared_with_all() -> None:
    assert len(plan(1_000_000, 1_000_000, 8)) == 3


def test_nothing_and_one_hash_have_no_pairs() -> None:
    for count in (0, 1):
        assert pairs_within(np.arange(count, dtype=np.uint64), 8).shape == (0, 3)


def test_a_radius_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 16"):
        pairs_within(np.arange(3, dtype=np.uint64), 17)
