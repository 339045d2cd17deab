from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from facecheck.core.image import perceptual_hash
from facecheck.core.image.likeness import EDITS, WHOLE, align, edit_hashes, likeness, look


def picture(seed: int = 0) -> Image.Image:
    """A picture with structure from coarse to fine, as photographs have."""
    random = np.random.default_rng(seed)
    total = np.zeros((192, 160, 3))
    for side in (3, 6, 12, 24, 48):
        small = Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8))
        total += np.asarray(small.resize((160, 192), Image.Resampling.BICUBIC)) * (6 / (side + 6))
    return Image.fromarray((total / total.max() * 255).astype(np.uint8))


def jpeg(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=30)
    return Image.open(stream).convert("RGB")


SAME_PICTURE: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encoded": jpeg,
    "halved": lambda image: image.resize((80, 96)),
    "doubled": lambda image: image.resize((320, 384)),
}
EDITED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": ImageOps.mirror,
    "cropped at a corner": lambda image: image.crop((8, 0, 160, 182)),
    "cropped between": lambda image: image.crop((5, 4, 157, 186)),
    "cropped all round": lambda image: image.crop((8, 10, 152, 182)),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
}


def best_aligned(first: Image.Image, second: Image.Image) -> tuple[int, bool]:
    """Return how near the hashes come under any view, and what aligning from there says."""
    seen = [look(first), look(second)]
    wholes = [int(perceptual_hash(image), 16) for image in (first, second)]
    met = []
    for side in (0, 1):
        shown = [wholes[side], *edit_hashes(seen[side])]
        for number, view in zip(shown, (WHOLE, *EDITS), strict=True):
            met.append(((number ^ wholes[1 - side]).bit_count(), side, view))
    nearest = sorted(met, key=lambda item: item[0])[:2]
    aligned = [align(seen[side], seen[1 - side], view) for _, side, view in nearest]
    return nearest[0][0], any(alike.same_edited for alike in aligned)


@pytest.mark.parametrize("change", SAME_PICTURE)
def test_a_picture_re_encoded_or_resized_is_the_same_picture(change: str) -> None:
    alike = likeness(look(picture()), look(SAME_PICTURE[change](picture())))
    assert alike.same_picture
    assert alike.same_edited


@pytest.mark.parametrize("change", EDITED)
def test_an_edited_picture_is_proposed_and_confirmed_but_not_the_same_picture(change: str) -> None:
    copy = EDITED[change](picture())
    for pair in ((picture(), copy), (copy, picture())):
        assert not likeness(look(pair[0]), look(pair[1])).same_picture
        distance, same = best_aligned(*pair)
        assert distance <= 8
        assert same


def test_other_pictures_and_negatives_are_neither() -> None:
    negative = Image.fromarray(255 - np.asarray(picture()))
    for other in (negative, picture(1)):
        alike = likeness(look(picture()), look(other))
        assert not alike.same_picture
        for view in (WHOLE, *EDITS):
            assert not align(look(picture()), look(other), view).same_edited


def test_flat_pictures_are_like_nothing() -> None:
    blank = look(Image.new("RGB", (50, 50), "white"))
    assert blank.flat
    assert not likeness(blank, blank).same_picture
    assert not align(blank, look(picture()), WHOLE).same_edited


def test_views_stay_within_the_picture() -> None:
    moved = align(look(picture()), look(picture(1)), EDITS[-1]).view
    assert 0 <= moved.left <= moved.left + moved.side <= 1
    assert 0 <= moved.top <= moved.top + moved.side <= 1
