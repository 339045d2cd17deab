"""Odd image files, some hundreds, each with the pixels it must give or the reason it is refused.

All are made from one drawn picture, so that what is right is known without any decoder.
"""

from __future__ import annotations

from dataclasses import replace

from tests.odd_images.colours import profiles
from tests.odd_images.common import Odd
from tests.odd_images.formats import frames, no_images, other_damages, other_formats, turns
from tests.odd_images.jpeg import jpeg_damages
from tests.odd_images.png import png_damages, png_depths
from tests.odd_images.tiff import tiff_depths


def odd_images() -> list[Odd]:
    """Return all of them; their names differ."""
    made = [
        replace(odd, name=f"{group.__name__}/{odd.name}")
        for group in (
            png_depths, tiff_depths, other_formats, png_damages, jpeg_damages, other_damages,
            profiles, turns, frames, no_images,
        )
        for odd in group()
    ]  # fmt: skip
    assert len({odd.name for odd in made}) == len(made)
    return made
