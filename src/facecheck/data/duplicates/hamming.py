"""Every pair of 64-bit hashes within a radius, found without comparing all with all.

The pigeonhole principle (Norouzi, Punjani and Fleet 2012, "Fast search in Hamming space with
multi-index hashing"): cut the 64 bits into bands and allow band ``i`` a reach ``a_i``. If the
reaches plus one each sum to ``radius + 1``, two hashes within the radius cannot exceed the reach in
every band: so looking, band by band, at the hashes whose band lies within reach misses nothing.
For radius 8, three bands of 21 bits and reach 2 leave 1 pair in 3,000 to be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from facecheck.core.parallel import cpu_count, map_ordered

#: Largest radius searched: beyond it the bands' reaches let through nearly every pair.
MAX_RADIUS = 16
#: A band is no wider than this, which bounds its table of buckets to 2**22 int32.
_MAX_BITS = 22
#: Pairs measured at a time by one thread: what fits a core's cache matters more than calls saved.
_BLOCK = 1 << 18

# Rough nanoseconds on one core of 2021. Only the choice of the bands rests on them, never the
# result.
_NS_LOOKUP, _NS_PAIR, _NS_MASK, _NS_BUCKET, _NS_BRUTE = 5.0, 8.0, 30_000.0, 4.0, 1.5

_Hashes = npt.NDArray[np.uint64]
_Pairs = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Band:
    """Bits ``shift`` to ``shift + bits`` of a hash, and how many of them may differ."""

    shift: int
    bits: int
    reach: int

    def of(self, hashes: _Hashes) -> npt.NDArray[np.uint32]:
        """Return these bits of each hash."""
        return ((hashes >> np.uint64(self.shift)) & np.uint64((1 << self.bits) - 1)).astype(
            np.uint32
        )

    def masks(self) -> Iterator[int]:
        """Yield every pattern of at most ``reach`` of these bits."""
        for count in range(self.reach + 1):
            for chosen in combinations(range(self.bits), count):
                yield sum(1 << bit for bit in chosen)


def pairs_within(hashes: _Hashes, radius: int, *, workers: int | None = None) -> _Pairs:
    """Return every pair of hashes at most ``radius`` bits apart, and no other.

    Exact whatever the hashes. A million random ones take seconds at radius 8; time grows with the
    number of pairs that share a band, so hashes that crowd together, or a larger radius, take
    longer. Next to the result, memory stays within about 200 bytes a hash.

    Args:
        hashes: shape (n,), distinct 64-bit hashes.
        radius: largest Hamming distance, 0 to 16.
        workers: threads; None takes one per core.

    Returns:
        shape (m, 3): first index < second index, and their distance; sorted by the indices.

    Raises:
        ValueError: ``radius`` is out of range.
    """
    return _search(hashes, hashes, radius, workers, once=True)


def pairs_between(
    queries: _Hashes, hashes: _Hashes, radius: int, *, workers: int | None = None
) -> _Pairs:
    """Return every query and hash at most ``radius`` bits apart, as :func:`pairs_within` does.

    Returns:
        shape (m, 3): index of the query, index of the hash, their distance; sorted.
    """
    return _search(queries, hashes, radius, workers, once=False)


def _search(
    queries: _Hashes, hashes: _Hashes, radius: int, workers: int | None, *, once: bool
) -> _Pairs:
    """Search; ``once`` where both are one and the same, so that each pair is taken once."""
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"radius {radius}: must be 0 to {MAX_RADIUS} bits")
    bands = plan(len(queries), len(hashes), radius)
    found = [np.empty((0, 3), np.int32)]
    for number in range(len(bands)):
        joined = _in_band(queries, hashes, radius, bands, number, once)
        for parts in map_ordered(joined, bands[number].masks(), workers=workers or cpu_count()):
            found += parts
    if not bands:
        found += _brute_force(queries, hashes, radius, once)
    pairs = np.concatenate(found)
    found.clear()
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def plan(queries: int, hashes: int, radius: int) -> list[Band]:
    """Return the bands that should join so many hashes soonest; none for brute force."""
    best: list[Band] = []
    least = queries * hashes * _NS_BRUTE
    for number in range(1, radius + 2):
        reach, more = divmod(radius + 1, number)  # of the reaches plus one
        width, wider = divmod(64, number)
        bands, cost, shift = [], 0.0, 0
        for i in range(number):
            span = width + (i < wider)
            band = Band(shift, min(span, _MAX_BITS), reach - 1 + (i < more))
            ball = sum(comb(band.bits, changed) for changed in range(band.reach + 1))
            tried = ball * (_NS_LOOKUP + _NS_PAIR * hashes / 2**band.bits)
            cost += queries * tried + ball * _NS_MASK + 2**band.bits * _NS_BUCKET
            bands.append(band)
            shift += span
        if cost < least:
            best, least = bands, cost
    return best


def _brute_force(queries: _Hashes, hashes: _Hashes, radius: int, once: bool) -> Iterator[_Pairs]:
    block = max(1, _BLOCK // max(1, len(hashes)))
    for start in range(0, len(queries), block):
        distances = np.bitwise_count(queries[start : start + block, None] ^ hashes[None, :])
        first, second = np.nonzero(distances <= radius)
        measured = distances[first, second]
        pairs = np.stack([first + start, second, measured], axis=1).astype(np.int32)
        yield pairs[pairs[:, 0] < pairs[:, 1]] if once else pairs


def _in_band(
    queries: _Hashes, hashes: _Hashes, radius: int, bands: list[Band], number: int, once: bool
) -> Callable[[int], list[_Pairs]]:
    """Return a search, mask by mask, for the pairs within reach in a band but in none before it.

    A pair differs by one mask in its first band within reach, so it is found exactly once.
    """
    band = bands[number]
    keys, values, order = _sorted(hashes, band)
    starts = np.zeros(2**band.bits + 1, np.int32)
    np.cumsum(np.bincount(keys, minlength=2**band.bits), out=starts[1:])
    asked = (keys, values, order) if once else _sorted(queries, band)

    def search(mask: int) -> list[_Pairs]:
        found = []
        for left, right in _joined(asked[0], starts, mask, once):
            difference = asked[1][left] ^ values[right]
            distance = np.bitwise_count(difference)
            near = np.flatnonzero(distance <= radius)
            for earlier in bands[:number]:
                near = near[np.bitwise_count(earlier.of(difference[near])) > earlier.reach]
            if len(near):
                pair = (asked[2][left[near]], order[right[near]])
                ends = (np.minimum(*pair), np.maximum(*pair)) if once else pair
                found.append(np.stack([*ends, distance[near]], axis=1).astype(np.int32))
        return found

    return search


def _sorted(
    hashes: _Hashes, band: Band
) -> tuple[npt.NDArray[np.uint32], _Hashes, npt.NDArray[np.int32]]:
    """Return the band's bits, the hashes and their indices, in the order of those bits."""
    keys = band.of(hashes)
    order = np.argsort(keys, kind="stable").astype(np.int32)
    return keys[order], hashes[order], order


def _joined(
    keys: npt.NDArray[np.uint32], starts: npt.NDArray[np.int32], mask: int, once: bool
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Yield, in blocks, the positions of all pairs whose sorted keys differ by ``mask``."""
    # Of two keys the one without the mask's highest bit goes first: each pair once.
    highest = np.uint32((1 << mask.bit_length() >> 1) if once else 0)
    for begin in range(0, len(keys), _BLOCK):
        part = keys[begin : begin + _BLOCK]
        rows = np.flatnonzero((part & highest) == 0)
        # As intp once, which is what both look-ups would make of it.
        partners = (part[rows] ^ np.uint32(mask)).astype(np.intp)
        rows += begin
        first = rows + 1 if once and not mask else starts[partners]
        partners += 1
        counts = starts[partners] - first
        taken = np.flatnonzero(counts)
        rows, first, counts = rows[taken], first[taken], counts[taken]
        ends = np.cumsum(counts, dtype=np.int64)
        low = 0
        while low < len(rows):
            done = ends[low - 1] if low else np.int64(0)
            # At least one row, however many partners it has.
            high = max(low + 1, int(np.searchsorted(ends, done + _BLOCK, side="right")))
            times = counts[low:high]
            left = np.repeat(rows[low:high], times)
            right = np.repeat((first[low:high] - (ends[low:high] - times - done)), times)
            right += np.arange(len(right))
            yield left, right
            low = high
