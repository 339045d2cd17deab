"""Every pair of 64-bit hashes within a radius, found without comparing all with all.

The pigeonhole principle (Norouzi, Punjani and Fleet 2012, "Fast search in Hamming space with
multi-index hashing"): cut the 64 bits into bands and allow band ``i`` a reach ``a_i``. If the
reaches plus one each sum to ``radius + 1``, two hashes within the radius cannot exceed the reach in
every band: so looking, band by band, at the hashes whose band lies within reach misses nothing.
For radius 8, three bands of 21 bits and reach 2 leave 1 pair in 3,000 to be measured.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    longer. Beside the result, memory stays within about 200 bytes a hash.

    Args:
        hashes: shape (n,), distinct 64-bit hashes.
        radius: largest Hamming distance, 0 to 16.
        workers: threads; None takes one per core.

    Returns:
        shape (m, 3): first index < second index, and their distance; sorted by the indices.

    Raises:
        ValueError: ``radius`` is out of range.
    """
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"radius {radius}: must be 0 to {MAX_RADIUS} bits")
    threads = workers or cpu_count()
    bands = plan(len(hashes), radius)
    if bands:
        found = [
            part
            for number in range(len(bands))
            for part in _in_band(hashes, radius, bands, number, threads)
        ]
    else:
        found = list(_brute_force(hashes, radius))
    pairs = np.concatenate([np.empty((0, 3), np.int32), *found])
    found.clear()
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def plan(count: int, radius: int) -> list[Band]:
    """Return the bands that should search ``count`` hashes soonest; none for brute force."""
    best: list[Band] = []
    least = count * count / 2 * _NS_BRUTE
    for number in range(1, radius + 2):
        reach, more = divmod(radius + 1, number)  # of the reaches plus one
        width, wider = divmod(64, number)
        bands, cost, shift = [], 0.0, 0
        for i in range(number):
            span = width + (i < wider)
            band = Band(shift, min(span, _MAX_BITS), reach - 1 + (i < more))
            ball = sum(comb(band.bits, changed) for changed in range(band.reach + 1))
            tried = ball * (_NS_LOOKUP + _NS_PAIR * count / 2**band.bits)
            cost += count / 2 * tried + ball * _NS_MASK + 2**band.bits * _NS_BUCKET
            bands.append(band)
            shift += span
        if cost < least:
            best, least = bands, cost
    return best


def _brute_force(hashes: _Hashes, radius: int) -> Iterator[_Pairs]:
    block = max(1, _BLOCK // max(1, len(hashes)))
    for start in range(0, len(hashes), block):
        rows = hashes[start : start + block]
        distances = np.bitwise_count(rows[:, None] ^ hashes[None, start:])
        first, second = np.nonzero(distances <= radius)
        keep = first < second
        first, second = first[keep], second[keep]
        measured = distances[first, second]
        yield np.stack([first + start, second + start, measured], axis=1).astype(np.int32)


def _in_band(
    hashes: _Hashes, radius: int, bands: list[Band], number: int, threads: int
) -> Iterator[_Pairs]:
    """Yield the pairs within reach in one band and in no band before it: each pair once."""
    band = bands[number]
    keys = band.of(hashes)
    order = np.argsort(keys, kind="stable").astype(np.int32)
    keys, values = keys[order], hashes[order]
    starts = np.zeros(2**band.bits + 1, np.int32)
    np.cumsum(np.bincount(keys, minlength=2**band.bits), out=starts[1:])

    def search(mask: int) -> list[_Pairs]:
        found = []
        for left, right in _joined(keys, starts, mask):
            difference = values[left] ^ values[right]
            distance = np.bitwise_count(difference)
            near = np.flatnonzero(distance <= radius)
            for earlier in bands[:number]:
                near = near[np.bitwise_count(earlier.of(difference[near])) > earlier.reach]
            if len(near):
                one, two = order[left[near]], order[right[near]]
                columns = (np.minimum(one, two), np.maximum(one, two), distance[near])
                found.append(np.stack(columns, axis=1).astype(np.int32))
        return found

    for found in map_ordered(search, band.masks(), workers=threads):
        yield from found


def _joined(
    keys: npt.NDArray[np.uint32], starts: npt.NDArray[np.int32], mask: int
) -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]]:
    """Yield, in blocks, the positions of all pairs whose sorted ``keys`` differ by ``mask``."""
    for begin in range(0, len(keys), _BLOCK):
        part = keys[begin : begin + _BLOCK]
        # Of two keys the one without the mask's highest bit goes first: each pair once.
        rows = np.flatnonzero((part & np.uint32(1 << mask.bit_length() >> 1)) == 0)
        partners = part[rows] ^ np.uint32(mask)
        rows += begin
        first = starts[partners] if mask else rows.astype(np.int32) + 1
        counts = starts[partners + 1] - first
        taken = np.flatnonzero(counts)
        rows, first, counts = rows[taken].astype(np.int32), first[taken], counts[taken]
        ends = np.cumsum(counts, dtype=np.int64)
        low = 0
        while low < len(rows):
            # At least one row, however many partners it has.
            done = ends[low - 1] if low else 0
            high = max(low + 1, int(np.searchsorted(ends, done + _BLOCK, side="right")))
            times = counts[low:high]
            left = np.repeat(rows[low:high], times)
            offset = first[low:high] - (ends[low:high] - times - done)
            right = np.repeat(offset.astype(np.int32), times)
            right += np.arange(len(right), dtype=np.int32)
            yield left, right
            low = high
