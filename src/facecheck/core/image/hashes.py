"""What tells one picture from another: exact hashes of pixels, and a perceptual one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
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
    image of twenty, since large images are reduced in two steps. It takes six times as long, more
    than half of indexing.
    """
    thumbnail = image.convert("L").resize((32, 32), Image.Resampling.LANCZOS, reducing_gap=3.0)
    basis = _dct_basis()
    low = basis @ np.asarray(thumbnail, dtype=np.float64) @ basis.T
    median = np.partition(low, (31, 32), axis=None)[31:33].mean()  # np.median, without its checks
    return np.packbits(low > median + _CLEARLY_ABOVE).tobytes().hex()


@cache
def _dct_basis() -> npt.NDArray[np.float64]:
    """Return the first 8 rows of the 32-point DCT-II, shape (8, 32)."""
    frequency, sample = np.arange(8)[:, None], np.arange(32)[None, :]
    return np.asarray(2 * np.cos(np.pi * frequency * (2 * sample + 1) / 64))
