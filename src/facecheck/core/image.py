"""The one way facecheck turns a file into pixels, and pixels into hashes.

Indexing, training, evaluation and scanning all decode here, so that a model is judged on the very
pixels it was trained on. The decode policy, versioned by :data:`DECODE_POLICY`:

- the first frame of JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or PNM (HEIC with the extra ``heif``),
  whatever the file is called;
- the EXIF orientation is applied;
- transparency is laid over white;
- 16-bit samples are scaled to 8 bits; CMYK, palettes and grey become RGB by Pillow's rules;
- more than :data:`MAX_PIXELS` pixels or :data:`MAX_BYTES` bytes, or a file that ends too early,
  is an error, as is whatever is no regular file;
- where the caller names the side it needs, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size
  (scaled in the DCT), to no less than twice that side.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from facecheck.core.errors import ImageError
from facecheck.core.files import open_regular

#: Raised by one whenever a change here can move a pixel.
DECODE_POLICY = 1
#: Pillow's own limit against decompression bombs: about 179 million pixels, 537 MB as RGB.
MAX_PIXELS = 178_956_970
#: As many pixels of three 16-bit samples without any compression: 1.07 GB.
MAX_BYTES = 6 * MAX_PIXELS + 2**20
#: What Pillow may try to read (JPEG covers MPO). A closed list: some of its other readers start
#: outside programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
#: Read as well where the extra ``heif`` is installed.
HEIF = "HEIF"
#: File-name endings, lower case, that index and scan take for an image.
SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib",
    ".tif", ".tiff", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif",
})  # fmt: skip


@dataclass(frozen=True)
class Decoded:
    """One image under the decode policy.

    Attributes:
        image: RGB, 8 bits a channel, turned upright.
        format: the file's format by its content, such as ``JPEG``.
        width: pixels across of the whole image once upright, whatever scale ``image`` has.
        height: pixels down, likewise.
    """

    image: Image.Image
    format: str
    width: int
    height: int


def is_image_name(path: PurePath | str) -> bool:
    """Return whether the ending of ``path`` is one of :data:`SUFFIXES`, in any case."""
    # A walk over millions of files asks with text, and a path object takes ten times as long.
    stem, _, ending = os.path.basename(path).rpartition(".")  # noqa: PTH119
    return bool(stem) and f".{ending.lower()}" in SUFFIXES


def decode(source: Path | bytes, *, short_side: int | None = None) -> Decoded:
    """Decode one image file, or the bytes of one, under the decode policy.

    Args:
        source: a path, or a whole file's bytes.
        short_side: the side in pixels that the caller will scale down to; large JPEGs are then
            decoded at a reduced scale, no smaller than twice this. None decodes every pixel.

    Raises:
        ImageError: the file is missing, empty, not an image, damaged, or too large.
    """
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), short_side)
    with open_image(source) as stream:
        return _decode(stream, short_side)


@contextmanager
def open_image(path: Path) -> Iterator[BinaryIO]:
    """Open a file that should be an image, to be read.

    Raises:
        ImageError: it is missing, may not be read, is no regular file, or is too large; or
            reading it fails.
    """
    with image_errors(), open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > MAX_BYTES:
            raise ImageError(f"too large: {size:,} bytes are over {MAX_BYTES:,}")
        yield stream


@contextmanager
def image_errors() -> Iterator[None]:
    """Raise :class:`ImageError` with a reason for what the system refuses within the block."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError("the file is not there") from None
    except PermissionError:
        raise ImageError("no permission to read the file") from None
    except IsADirectoryError:
        raise ImageError("a folder, not a file") from None
    except OSError as error:  # a loop of links, a disk that fails
        raise ImageError(f"cannot be opened: {error.strerror or error}") from None


def _decode(stream: BinaryIO, short_side: int | None) -> Decoded:
    _prepare_pillow()
    if not stream.read(1):
        raise ImageError("the file is empty")
    stream.seek(0)
    try:
        image = Image.open(stream, formats=[*FORMATS, HEIF] if HEIF in Image.OPEN else FORMATS)
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageError(f"too large: {width} x {height} is over {MAX_PIXELS:,} pixels")
        if short_side is not None:
            scale = 2 * short_side / min(width, height)
            image.draft("RGB", (int(np.ceil(width * scale)), int(np.ceil(height * scale))))
        image.load()
        orientation = image.getexif().get(0x0112, 1)
        # The common case is spared a copy of every pixel.
        upright = image if orientation == 1 else ImageOps.exif_transpose(image)
        rgb = _to_rgb(upright)
    except Image.DecompressionBombError:
        raise ImageError(f"too large: over {MAX_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise ImageError(_unidentified(stream)) from None
    except ImageError:
        raise
    # What Pillow's readers raise on damaged files, from struct.error to a zlib SyntaxError.
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, ArithmeticError) as error:
        raise ImageError(f"damaged: {_one_line(error)}") from None
    except (MemoryError, IndexError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ImageError(f"damaged: {type(error).__name__}: {_one_line(error)}") from None
    file_format = image.format or "unknown"
    if orientation in {5, 6, 7, 8}:
        width, height = height, width
    return Decoded(rgb, file_format, width, height)


_pillow_lock = threading.Lock()


def _prepare_pillow() -> None:
    """Load Pillow's readers, once: Pillow does so lazily, and not safely in two threads at once."""
    with _pillow_lock:
        if not set(FORMATS) <= set(Image.OPEN):
            Image.init()
            with suppress(ImportError):
                import pillow_heif

                pillow_heif.register_heif_opener()
            # Pillow warns of odd tags, and at half our own limit: what counts is told as an error.
            warnings.filterwarnings("ignore", module=r"PIL\.")


def _unidentified(stream: BinaryIO) -> str:
    stream.seek(4)
    if stream.read(8) in {b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypheif"}:
        return "HEIC needs the extra: pip install 'facecheck[heif]'"
    return "not an image in a known format"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):  # 16-bit grey; "I" is how Pillow widens it
        samples = np.asarray(image, dtype=np.int64)
        if samples.size and (samples.min() < 0 or samples.max() > 0xFFFF):
            raise ImageError("32-bit samples have no agreed brightness range")
        return Image.fromarray((samples // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError("floating-point samples have no agreed brightness range")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def pixel_hash(image: Image.Image) -> str:
    """Return the hex sha256 of an image's mode, size and pixels.

    Two files have one hash when they decode to the same pixels, whatever their format. The size
    is part of it: a blank 10 x 20 image is not a blank 20 x 10 one.
    """
    digest = hashlib.sha256(f"{image.mode} {image.width}x{image.height} ".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def perceptual_hash(image: Image.Image) -> str:
    """Return the 64-bit pHash of an image as 16 hex digits.

    The signs of the lowest 8 x 8 DCT coefficients of a 32 x 32 grey thumbnail against their median
    (Zauner 2010, "Implementation and benchmarking of perceptual image hash functions"). The bits of
    ``imagehash.phash`` but for two in one image of twenty, since large images are reduced in two
    steps; a test compares. That package takes six times as long, more than half of indexing.
    """
    thumbnail = image.convert("L").resize((32, 32), Image.Resampling.LANCZOS, reducing_gap=3.0)
    basis = _dct_basis()
    # Rounded, so that what is zero in exact arithmetic (most of a flat image) has no sign.
    low = (basis @ np.asarray(thumbnail, dtype=np.float64) @ basis.T).round(6)
    median = np.partition(low, (31, 32), axis=None)[31:33].mean()  # np.median, without its checks
    return np.packbits(low > median).tobytes().hex()


@cache
def _dct_basis() -> npt.NDArray[np.float64]:
    """Return the first 8 rows of the 32-point DCT-II, shape (8, 32)."""
    frequency, sample = np.arange(8)[:, None], np.arange(32)[None, :]
    return np.asarray(2 * np.cos(np.pi * frequency * (2 * sample + 1) / 64))
