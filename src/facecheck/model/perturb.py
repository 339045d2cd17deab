"""What happens to an image on its way to a scan: perturbations, small faces, the reals' format.

Torch-free and deterministic. Every change takes a decoded image and returns the bytes of a file,
so that its effect is measured through the one decoder and the one forward path. Files of changed
pixels alone are BMP, which keeps every pixel and is quick to write.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter, ImageOps, JpegImagePlugin

from facecheck.core.errors import ImageError
from facecheck.core.image import FORMATS, decode
from facecheck.core.parallel import cpu_count, map_ordered

#: From an RGB image to the bytes of a file.
Perturbation = Callable[[Image.Image], bytes]

CLEAN = "clean"
#: Short sides in pixels at which faces are tested.
SIDES = (32, 64, 110, 224)
#: The short side that a blur's standard deviation is stated for; it grows with the image, so that
#: it is as strong on a 64 px crop as on a 512 px portrait.
BLUR_SIDE = 224
#: The re-upload chain: longest side in pixels, the first quality, share cut off, the second.
_REUPLOAD_SIDE, _REUPLOAD_JPEG, _REUPLOAD_CROP, _REUPLOAD_WEBP = 720, 80, 0.02, 75


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Return an RGB image as the bytes of a file, without EXIF, ICC profile or comments."""
    stream = io.BytesIO()
    # A new image: what Pillow read apart from the pixels must not be written again.
    Image.fromarray(np.asarray(image)).save(stream, format=file_format, **options)
    return stream.getvalue()


def scale(image: Image.Image, factor: float) -> Image.Image:
    """Return the image with width and height times ``factor``, bicubic and antialiased."""
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


def reupload(image: Image.Image) -> bytes:
    """Return what a picture is after two sites: shrunk, JPEG, a screenshot's crop, WebP.

    The longest side becomes 720 px at most, JPEG of quality 80; then 1 % is cut off every edge, as
    by a screenshot that misses it a little, and the rest is WebP of quality 75.
    """
    small = scale(image, min(1.0, _REUPLOAD_SIDE / max(image.size)))
    once = decode(encode(small, "JPEG", quality=_REUPLOAD_JPEG)).image
    across, down = (round(side * _REUPLOAD_CROP / 2) for side in once.size)
    shown = once.crop((across, down, once.width - across, once.height - down))
    return encode(shown, "WEBP", quality=_REUPLOAD_WEBP)


def _encoded(file_format: str, quality: int) -> Perturbation:
    return lambda image: encode(image, file_format, quality=quality)


def _resized(factor: float) -> Perturbation:
    return lambda image: encode(scale(image, factor), "BMP")


def _blurred(sigma: float) -> Perturbation:
    def blur(image: Image.Image) -> bytes:
        radius = sigma * min(image.size) / BLUR_SIDE
        return encode(image.filter(ImageFilter.GaussianBlur(radius)), "BMP")

    return blur


#: By name. The numbers are qualities, factors of width and height, and standard deviations in
#: pixels of a short side of :data:`BLUR_SIDE`.
PERTURBATIONS: Mapping[str, Perturbation] = {
    "jpeg 95": _encoded("JPEG", 95),
    "jpeg 75": _encoded("JPEG", 75),
    "jpeg 60": _encoded("JPEG", 60),
    "jpeg 40": _encoded("JPEG", 40),
    "webp 60": _encoded("WEBP", 60),
    "resize 0.5": _resized(0.5),
    "resize 0.25": _resized(0.25),
    "resize 2": _resized(2),
    "blur 1": _blurred(1),
    "blur 2": _blurred(2),
    "reupload": reupload,
}
#: Every perturbation is in one line: the file as it is; what the web does to a picture that is
#: shared; what leaves little of the fine traces of its making.
LINES: Mapping[str, tuple[str, ...]] = {
    "clean": (CLEAN,),
    "web": ("jpeg 95", "jpeg 75", "jpeg 60", "webp 60", "resize 0.5", "resize 2", "reupload"),
    "hard": ("jpeg 40", "resize 0.25", "blur 1", "blur 2"),
}


def shrunk(image: Image.Image, short_side: int) -> bytes | None:
    """Return the image with a short side of so many pixels, or None if it has fewer.

    Enlarging a small face would not make it one that was photographed at that size.
    """
    if min(image.size) < short_side:
        return None
    return encode(scale(image, short_side / min(image.size)), "BMP")


@dataclass(frozen=True)
class FileFormat:
    """How one image was stored.

    Attributes:
        format: ``JPEG``, ``PNG``…
        width: pixels across once upright.
        height: pixels down once upright.
        tables: a JPEG's quantisation tables, 64 numbers each, which are its quality exactly; empty
            in other formats.
        subsampling: of a JPEG's colours, as Pillow counts: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0, -1
            any other or none.
        progressive: whether a JPEG is.
    """

    format: str
    width: int
    height: int
    tables: tuple[tuple[int, ...], ...] = ()
    subsampling: int = -1
    progressive: bool = False


def read_format(data: bytes) -> FileFormat:
    """Return how an image file is stored, from its bytes.

    Raises:
        ImageError: it cannot be decoded.
    """
    decoded = decode(data)  # before the header: this makes Pillow ready for threads
    if decoded.format not in {"JPEG", "MPO"}:
        return FileFormat(decoded.format, decoded.width, decoded.height)
    with Image.open(io.BytesIO(data), formats=FORMATS) as header:
        assert isinstance(header, JpegImagePlugin.JpegImageFile)  # noqa: S101
        return FileFormat(
            "JPEG",
            decoded.width,
            decoded.height,
            tuple(tuple(table) for _, table in sorted(header.quantization.items())),
            JpegImagePlugin.get_sampling(header),
            "progressive" in header.info,
        )


def reals_format(photos: Iterable[Path], *, workers: int | None = None) -> tuple[FileFormat, ...]:
    """Return how each of these photos is stored: the mix that :func:`save_as_a_real` draws from.

    Photos that cannot be read are left out.
    """

    def look(path: Path) -> FileFormat | None:
        try:
            return read_format(path.read_bytes())
        except (ImageError, OSError):
            return None

    found = map_ordered(look, photos, workers=workers or cpu_count())
    return tuple(one for one in found if one is not None)


def save_as_a_real(image: Image.Image, reals: Sequence[FileFormat], seed: bytes) -> bytes:
    """Return the image stored exactly as one of the real photos is.

    Scaled and cut in the middle to its size, then encoded in its format: a JPEG with its very
    quantisation tables, subsampling and scan order; any other with Pillow's defaults, since those
    files do not tell their quality.

    Args:
        image: RGB.
        reals: by :func:`reals_format`, one or more.
        seed: decides which of them, such as the file's own bytes.
    """
    drawn = int.from_bytes(hashlib.sha256(seed).digest()[:8]) % len(reals)
    real = reals[drawn]
    fitted = ImageOps.fit(image, (real.width, real.height), Image.Resampling.BICUBIC)
    if real.format != "JPEG":
        return encode(fitted, real.format)
    options: dict[str, Any] = {"qtables": [list(table) for table in real.tables]}
    if real.subsampling >= 0:
        options["subsampling"] = real.subsampling
    return encode(fitted, "JPEG", progressive=real.progressive, **options)
