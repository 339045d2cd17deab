"""Near duplicates: candidates by perceptual hash, confirmed by a finer look.

A perceptual hash alone will not do for faces: different people in one frontal pose come within
4 bits of each other. So a hash only proposes, and aligned thumbnails decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

#: Side in pixels of the thumbnails that are compared.
THUMBNAIL_SIDE = 32
#: Least correlation of the grey thumbnails. Of all pairs of pictures in our data that show
#: different people in one pose, the most alike reach 0.955; re-encoding and resizing stay
#: above 0.99.
MIN_CORRELATION = 0.97
#: Largest mean difference of the RGB thumbnails, in 8-bit steps. Recoloured drawings correlate
#: above 0.97 but differ by more than this.
MAX_DIFFERENCE = 12.0
#: Least standard deviation of a grey thumbnail, in 8-bit steps. A flatter one (blank, black)
#: has no picture whose likeness could be told: it is compared by exact pixels only.
MIN_CONTRAST = 4.0


def pairs_within(hashes: npt.NDArray[np.uint64], radius: int) -> npt.NDArray[np.int64]:
    """Return every pair of hashes at most ``radius`` bits apart.

    Exact: each pair is compared, in blocks, so memory stays bounded while time grows with the
    square of the number of hashes.

    Args:
        hashes: shape (n,), distinct 64-bit hashes.
        radius: largest Hamming distance, 0 to 64.

    Returns:
        shape (m, 3): first index < second index, and their distance; sorted by the indices.
    """
    block = max(1, 4_000_000 // max(1, len(hashes)))
    found = [np.empty((0, 3), np.int64)]
    for start in range(0, len(hashes), block):
        rows = hashes[start : start + block]
        distances = np.bitwise_count(rows[:, None] ^ hashes[None, start:])
        first, second = np.nonzero(distances <= radius)
        keep = first < second
        first, second = first[keep], second[keep]
        found.append(np.stack([first + start, second + start, distances[first, second]], axis=1))
    return np.concatenate(found)


@dataclass(frozen=True)
class Thumbnail:
    """A picture reduced for comparison.

    Attributes:
        rgb: shape (side, side, 3), values 0 to 255.
        grey: shape (side * side,), zero mean, unit variance; all zero when flat.
        flat: whether the picture has too little contrast to be compared.
    """

    rgb: npt.NDArray[np.float32]
    grey: npt.NDArray[np.float32]
    flat: bool


def thumbnail(image: Image.Image) -> Thumbnail:
    """Reduce an RGB image to a square :class:`Thumbnail`, whatever its shape."""
    small = image.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    rgb = np.asarray(small, dtype=np.float32)
    grey = rgb.mean(axis=2).ravel()
    contrast = float(grey.std())
    flat = contrast < MIN_CONTRAST
    normalised = np.zeros_like(grey) if flat else (grey - grey.mean()) / contrast
    return Thumbnail(rgb, normalised.astype(np.float32), flat)


@dataclass(frozen=True)
class Likeness:
    """How alike two thumbnails are: grey correlation (-1 to 1), mean RGB difference (0 to 255)."""

    correlation: float
    difference: float

    @property
    def same_picture(self) -> bool:
        """Whether both measures say that the two files hold one picture."""
        return self.correlation >= MIN_CORRELATION and self.difference <= MAX_DIFFERENCE


def likeness(first: Thumbnail, second: Thumbnail) -> Likeness:
    """Compare two thumbnails. Flat ones correlate with nothing."""
    return Likeness(
        correlation=float(np.mean(first.grey * second.grey)),
        difference=float(np.mean(np.abs(first.rgb - second.rgb))),
    )
