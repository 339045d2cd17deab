from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facecheck.data.near import likeness, pairs_within, thumbnail


@settings(max_examples=60, deadline=None)
@given(
    hashes=st.lists(st.integers(0, 2**64 - 1), max_size=40, unique=True),
    flips=st.lists(st.lists(st.integers(0, 63), max_size=9), max_size=20),
    radius=st.integers(0, 16),
)
def test_the_search_finds_exactly_the_pairs_of_brute_force(
    hashes: list[int], flips: list[list[int]], radius: int
) -> None:
    for base, bits in zip(list(hashes), flips, strict=False):  # neighbours at known distances
        changed = base
        for bit in bits:
            changed ^= 1 << bit
        if changed not in hashes:
            hashes.append(changed)
    wanted = {
        (i, j, bin(hashes[i] ^ hashes[j]).count("1"))
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if bin(hashes[i] ^ hashes[j]).count("1") <= radius
    }
    found = [tuple(row) for row in pairs_within(np.array(hashes, np.uint64), radius).tolist()]
    assert len(found) == len(set(found))
    assert set(found) == wanted


def test_flat_pictures_are_like_nothing() -> None:
    blank = thumbnail(Image.new("RGB", (50, 50), "white"))
    assert blank.flat
    assert not likeness(blank, blank).same_picture


def test_a_picture_is_like_its_copies_and_unlike_its_negative() -> None:
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (6, 6, 3), np.uint8)
    picture = Image.fromarray(small).resize((120, 90), Image.Resampling.BICUBIC)
    negative = Image.fromarray(255 - np.asarray(picture))
    assert likeness(thumbnail(picture), thumbnail(picture.resize((60, 45)))).same_picture
    assert likeness(thumbnail(picture), thumbnail(negative)).correlation < -0.9
