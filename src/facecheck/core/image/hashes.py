"""What tells one picture from another: exact hashes of pixels, and a perceptual one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from facecheck.core.errors import ImageError

if TYPE_CHECKING:
    from facecheck.core.image.decoding import Decoded

#: Frames, and pixels in all of them, that :func:`picture_hash` covers. Of a file that holds more,
#: only a copy of the same bytes is the same picture.
MOST_FRAMES, MOST_FRAME_PIXELS = 256, 2**27
#: The side in pixels that images are decoded for to be hashed: large JPEGs at a reduced scale, of
#: no less than twice this. Another side can move a perceptual hash by a bit or two.
HASH_SIDE = 128
#: How far above the median a coefficient of the perceptual hash must lie to set its bit. Rounding
#: the thumbnail to whole grey levels moves a coefficient by 18.5 (its standard deviation).
_CLEARLY_ABOVE = 80.0
#: Pixels that a side is averaged to, at least, before it is resampled to 32.
_REDUCED = 64
#: Between the two parts of the hash of a picture with transparency or more frames.
LAYERED = "-"


def pixel_hash(image: Image.Image) -> str:
    """Return the hex sha256 of an image's mode, size and pixels.

    Two files have one hash when they decode to the same pixels, whatever their format. The size
    is part of it: a blank 10 x 20 image is not a blank 20 x 10 one.
    """
    digest = hashlib.sha256(f"{image.mode} {image.width}x{image.height} ".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def picture_hash(first: Decoded, further: Iterable[Decoded], content: bytes) -> str:
    """Return a hash of all that a file shows: its pixels, its transparency and all its frames.

    That of a single opaque picture is its :func:`pixel_hash`. That of any other ends in ``-`` and
    the beginning of the pixel hash of its first frame over white, so that :func:`flat_hash` tells
    what looks the same in a program that knows neither transparency nor frames.

    Args:
        first: the first frame.
        further: the others in their order, as :func:`facecheck.core.image.frames` yields them.
        content: the file's bytes, which stand for frames that are too many or damaged.
    """
    flat = pixel_hash(first.image)
    if first.alpha is None and first.frames == 1:
        return flat
    digest = hashlib.sha256(flat.encode())
    _add_alpha(digest, first)
    if first.frames > 1 and not _add_frames(digest, first, further):
        digest = hashlib.sha256(content)
    return f"{digest.hexdigest()}{LAYERED}{flat[:16]}"


def flat_hash(picture: str) -> str:
    """Return what :func:`picture_hash` says of the first frame over white: 16 hex digits."""
    return picture.partition(LAYERED)[2] or picture[:16]


def is_layered(picture: str) -> bool:
    """Return whether a :func:`picture_hash` is of a file with transparency or more frames."""
    return LAYERED in picture


def _add_alpha(digest: hashlib._Hash, frame: Decoded) -> None:
    digest.update(b"opaque" if frame.alpha is None else frame.alpha.tobytes())


def _add_frames(digest: hashlib._Hash, first: Decoded, further: Iterable[Decoded]) -> bool:
    """Add the further frames of a file; return False where they are too many or damaged."""
    if first.frames > MOST_FRAMES or first.frames * first.width * first.height > MOST_FRAME_PIXELS:
        return False
    try:
        for frame in further:
            digest.update(pixel_hash(frame.image).encode())
            _add_alpha(digest, frame)
    except ImageError:
        return False
    return True


def perceptual_hash(image: Image.Image) -> str:
    """Return the 64-bit pHash of an image as 16 hex digits.

    Which of the lowest 8 x 8 DCT coefficients of a 32 x 32 grey thumbnail lie above their median
    (Zauner 2010, "Implementation and benchmarking of perceptual image hash functions"), clearly:
    half of the coefficients of a drawing that is its own mirror image are zero, and so is their
    median. Bits that compare zero with zero are noise, which JPEG and resizing draw again: of
    13,752 copies of the images of ../shared/data, 23 were more than 8 bits from their original,
    all of such drawings; with this distance from the median none is more than 5. Unlike pictures
    get no nearer: their noise is gone as well, and a fifth fewer pairs come within 8 bits.

    ``imagehash.phash`` has the same bits but for those within that distance, and for two in one
    image of twenty, since large images are reduced in two steps. The thumbnail is never made: by
    boxes to no less than 64 pixels, an image takes a matrix on each side from there to its
    coefficients, which is three times as fast as the thumbnail, and rounds nothing.
    """
    across, down = (max(1, side // _REDUCED) for side in image.size)
    grey = image.convert("L").reduce((across, down))
    low = _to_low(image.height, down) @ np.asarray(grey) @ _to_low(image.width, across).T
    ordered = sorted(low.ravel().tolist())
    least = (ordered[31] + ordered[32]) / 2 + _CLEARLY_ABOVE  # above their median
    return np.packbits(low > least).tobytes().hex()


@lru_cache(maxsize=1024)  # of 4 KB each
def _to_low(side: int, factor: int) -> npt.NDArray[np.float64]:
    """Return what takes a side of pixels to its lowest 8 DCT coefficients, shape (8, pixels).

    Args:
        side: pixels of the image.
        factor: how many of them were averaged to one; the last one may be of fewer.
    """
    pixels = -(-side // factor)
    # Lanczos resampling (a = 3) to 32 points, as Pillow does it; where the image is smaller than
    # those, the filter is as wide as a pixel.
    scale = side / factor / 32
    wide = max(1.0, scale)
    centres = (np.arange(32)[:, None] + 0.5) * scale
    distance = (np.arange(pixels)[None, :] + 0.5 - centres) / wide
    weights = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    frequency, sample = np.arange(8)[:, None], np.arange(32)[None, :]
    basis = 2 * np.cos(np.pi * frequency * (2 * sample + 1) / 64)  # of the 32-point DCT-II
    return np.asarray(basis @ weights)
