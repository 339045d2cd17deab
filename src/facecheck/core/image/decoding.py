"""The one way facecheck turns a file into pixels.

Indexing, training, evaluation and scanning all decode here, so that a model classifies the very
pixels it was trained on. The decode policy, versioned by :data:`DECODE_POLICY`:

- JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or PNM (HEIC with the extra ``heif``, JPEG XL with ``jxl``),
  by the file's content, whatever it is called; the first frame, or the one that is asked for;
- metadata never decides whether pixels can be read: a file that loses none by it is repaired, and
  :attr:`Decoded.notes` says so; one that lost pixels is an error;
- the EXIF orientation is applied;
- colours become sRGB by the embedded ICC profile; grey, palettes, and CMYK and YCbCr without a
  profile become RGB by Pillow's rules; samples of 16 bits are scaled to 8;
- transparency is laid over white;
- a file of more than :data:`MAX_BYTES` bytes, or one that takes more to decode, is an error, as
  is whatever is no regular file; a JPEG too large for that is decoded at a reduced scale;
- where the caller names the side it needs, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size
  (scaled in the DCT), to no less than twice that side.
"""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from facecheck.core.errors import ImageError
from facecheck.core.files import open_regular
from facecheck.core.formats import EXTRAS, HEAD, identify
from facecheck.core.image.colour import to_rgb
from facecheck.core.image.depth import match_transparency
from facecheck.core.image.native import silence_libtiff
from facecheck.core.image.repair import jpeg, repaired
from facecheck.core.install import extra_hint

#: Raised by one whenever a change here can move a pixel.
DECODE_POLICY = 2
#: Largest file, and most memory that the pixels of one take while they are decoded: 1.07 GB. As
#: much as 268 megapixels of a PNG or baseline JPEG, 119 with transparency, 89 of a WebP.
MAX_BYTES = 2**30
#: Files up to so many bytes are read whole before they are decoded.
_IN_MEMORY = 2**18
_ORIENTATION = 0x0112
#: What turns a picture upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Decoded:
    """One image under the decode policy.

    Attributes:
        image: RGB, 8 bits a channel, turned upright.
        format: the file's format by its content, such as ``JPEG``.
        width: pixels across of the whole image once upright, whatever scale ``image`` has.
        height: pixels down, likewise.
        alpha: L, of the size of ``image``: 255 where the file is opaque; None where all of it is.
        frames: how many frames or pages the file holds.
        notes: what a user should know, in short phrases: ``repaired: no end marker``,
            ``frame 1 of 12``.
    """

    image: Image.Image
    format: str
    width: int
    height: int
    alpha: Image.Image | None = None
    frames: int = 1
    notes: tuple[str, ...] = ()


def decode(source: Path | bytes, *, short_side: int | None = None, frame: int = 0) -> Decoded:
    """Decode one image file, or the bytes of one, under the decode policy.

    Args:
        source: a path, or a whole file's bytes.
        short_side: the side in pixels that the caller will scale down to; large JPEGs are then
            decoded at a reduced scale, no smaller than twice this. None decodes every pixel.
        frame: which frame or page, from 0.

    Raises:
        ImageError: the file is missing, empty, not an image, damaged, or too large; or it has no
            such frame.
    """
    with _opened(source) as stream:
        return _decode(stream, short_side, frame)[0]


def frames(source: Path | bytes, *, short_side: int | None = None) -> Iterator[Decoded]:
    """Decode the frames or pages of a file one after another, the first as :func:`decode` does.

    Raises:
        ImageError: as :func:`decode`, or a later frame is damaged.
    """
    with _opened(source) as stream:
        first, opened = _decode(stream, short_side, 0)
        yield first
        try:
            yield from _further_frames(opened, first.frames)
        except _RefusedError as refused:
            raise ImageError(f"a further frame is {_damage(refused)}") from None


def _further_frames(source: _Source, count: int) -> Iterator[Decoded]:
    if count == 1:
        return
    with _pillow:
        image = _open(source.reader, source.stream)
    for number in range(1, count):
        with _pillow:
            image.seek(number)
        size = image.size
        loaded = _loaded(image, source, 1, size)
        turn, notes = _orientation(loaded, source.reader)
        yield _finished(source, _Frame(loaded, size, turn, number, count), notes)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return an image that is open in Pillow as :func:`decode` gives a file's: sRGB, upright.

    Of several frames it is the current one. The image itself stays as it is.

    Raises:
        ImageError: its pixels cannot be read, or have no agreed brightness range.
    """
    try:
        with _pillow:
            image.load()
            own = image.copy()  # an ICC profile is applied in place
        turn, _ = _orientation(image, image.format or "")
    except _RefusedError as refused:
        raise ImageError(_damage(refused)) from None
    return _turned(to_rgb(own).image, turn)


@contextmanager
def _opened(source: Path | bytes) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    else:
        with open_image(source) as stream:
            # With fewer calls of the system; of large files the copy would cost more than those.
            small = os.fstat(stream.fileno()).st_size <= _IN_MEMORY
            yield io.BytesIO(stream.read()) if small else stream


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


class _RefusedError(Exception):
    """Pillow does not decode a file; the message is its reason, on one line."""


class _Pillow:
    """Raises :class:`_RefusedError` for whatever Pillow raises within the block.

    Its readers meet strangers' bytes, and raise anything from struct.error to AttributeError for
    them. So nothing of ours stands in such a block: our own faults must not pass for damage.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, MemoryError | Image.DecompressionBombError):
            raise ImageError("too large: there is no memory for its pixels") from None
        if isinstance(error, Exception):
            raise _RefusedError(" ".join(str(error).split()) or type(error).__name__) from error


#: One for all, since it keeps nothing: made by a generator each time, it costs 2 % of a small file.
_pillow = _Pillow()


@dataclass(frozen=True)
class _Source:
    """A file to decode.

    Attributes:
        reader: Pillow's name of its format.
        stream: its content.
        white_is_zero: whether its samples are to be inverted, though it does not say so.
        notes: what has been repaired.
    """

    reader: str
    stream: BinaryIO
    white_is_zero: bool = False
    notes: tuple[str, ...] = ()


def _decode(stream: BinaryIO, short_side: int | None, frame: int) -> tuple[Decoded, _Source]:
    """Return a frame, and the source that it could be decoded from: the file, or a repaired one."""
    source = _Source(_reader(stream), stream)
    try:
        return _read(source, short_side, frame), source
    except _RefusedError as refused:
        return _repair(source, short_side, frame, _damage(refused))


def _reader(stream: BinaryIO) -> str:
    """Return Pillow's reader for a file.

    Raises:
        ImageError: the file is empty, or nothing that is read.
    """
    _prepare_pillow()
    head = stream.read(HEAD)
    if not head:
        raise ImageError("the file is empty")
    kind = identify(head)
    if kind is None:
        raise ImageError("not an image in a known format")
    if kind.reader in Image.OPEN:
        return kind.reader
    if kind.reader in EXTRAS:
        raise ImageError(extra_hint(*EXTRAS[kind.reader]))
    if kind.image:
        raise ImageError(f"{kind.name}, which is not read: convert it to PNG or JPEG")
    raise ImageError(f"{kind.name}, not an image")


_preparing = threading.Lock()


def _prepare_pillow() -> None:
    """Load Pillow's readers, once: Pillow does so lazily, and not safely in two threads at once."""
    with _preparing:
        _load_readers()


#: Pillow's modules of :data:`FORMATS`; to load the others is a tenth of a process's start.
_READERS = ("Jpeg", "Mpo", "Png", "WebP", "Gif", "Bmp", "Tiff", "Avif", "Ppm")


@cache
def _load_readers() -> None:
    for reader in _READERS:
        import_module(f"PIL.{reader}ImagePlugin")
    silence_libtiff()
    # Pillow logs as well what it then raises; without any handler, that goes to standard error.
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    with suppress(ImportError):
        import pillow_jxl  # noqa: F401


def _repair(
    source: _Source, short_side: int | None, frame: int, damage: str
) -> tuple[Decoded, _Source]:
    """Decode a file that Pillow refuses once it is put together again; see :mod:`.repair`."""
    source.stream.seek(0)
    for way in repaired(source.reader, source.stream.read()):
        notes = (f"repaired: {way.note}",)
        new = _Source(source.reader, io.BytesIO(way.content), way.white_is_zero, notes)
        try:
            decoded = _read(new, short_side, frame)
            lost = way.lost(partial(_pixels, short_side))
        except _RefusedError:
            continue
        if lost:
            raise ImageError(lost)
        return decoded, new
    raise ImageError(damage)


def _damage(refused: _RefusedError) -> str:
    reason = str(refused)
    if "truncated" in reason.lower() or "end of file" in reason.lower():
        return "truncated: the file ends before its last pixels"
    return f"damaged: {reason}"


def _read(source: _Source, short_side: int | None, frame: int) -> Decoded:
    """Decode one frame.

    Raises:
        ImageError: it is too large, has lost pixels, or there is no such frame.
        _RefusedError: Pillow does not decode it.
    """
    with _pillow:
        image = _open(source.reader, source.stream)
    size, count = image.size, _count_frames(image, source)
    if frame >= count:
        raise ImageError(f"there is no frame {frame + 1}: the file has {count}")
    if source.reader == "JPEG" and not frame:
        _require_end(source.stream)
        turn, notes = _orientation(image, source.reader)
        _reduce(image, short_side, turn)
        image = _loaded(image, source, turn, size)
        if _ends_in_one_colour(image):
            # As an end that is missing does: libjpeg fills it, and says nothing of it.
            _require_whole(source, short_side)
    else:
        with _pillow:
            image.seek(frame)
            size = image.size
        image = _loaded(image, source, 1, size)
        turn, notes = _orientation(image, source.reader)
        _require_memory(image, source.reader, turn, size)
    seen = _Frame(image, size, turn, frame, count)
    del image  # its pixels are needed no more once they are RGB, and turning takes as many again
    return _finished(source, seen, notes)


@dataclass
class _Frame:
    """A frame as Pillow gives it; ``size`` is in full, ``turn`` the EXIF orientation."""

    image: Image.Image | None
    size: tuple[int, int]
    turn: int
    number: int
    count: int


def _finished(source: _Source, seen: _Frame, notes: tuple[str, ...]) -> Decoded:
    image, seen.image = seen.image, None
    assert image is not None  # noqa: S101
    file_format = image.format or source.reader
    white_is_zero = source.white_is_zero or _white_is_zero(image)
    if seen.count > 1:
        image = image.copy()  # the next frame is painted over this one
        notes = (*notes, f"frame {seen.number + 1} of {seen.count}")
    flat = to_rgb(image, white_is_zero=white_is_zero)
    del image
    width, height = seen.size if seen.turn < 5 else seen.size[::-1]
    ignored = (f"repaired: {flat.note}",) if flat.note else ()
    return Decoded(
        _turned(flat.image, seen.turn),
        file_format,
        width,
        height,
        alpha=None if flat.alpha is None else _turned(flat.alpha, seen.turn),
        frames=seen.count,
        notes=(*source.notes, *ignored, *notes),
    )


def _require_end(stream: BinaryIO) -> None:
    """Raise :class:`_RefusedError` if a JPEG has no end marker; Pillow does not always miss it."""
    if isinstance(stream, io.BytesIO):
        last = bytes(stream.getbuffer()[-2:])
    else:  # without a move, which would empty the stream's buffer
        descriptor = stream.fileno()
        last = os.pread(descriptor, 2, max(0, os.fstat(descriptor).st_size - 2))
    if last != jpeg.END:
        place = stream.tell()
        stream.seek(0)
        if not jpeg.has_end(stream.read()):
            raise _RefusedError("the end marker is missing")
        stream.seek(place)


def _require_whole(source: _Source, short_side: int | None) -> None:
    """Raise :class:`ImageError` if rows of a JPEG are missing."""
    source.stream.seek(0)
    lost = jpeg.lost(source.stream.read(), partial(_pixels, short_side))
    if lost:
        raise ImageError(lost)


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _open(reader: str, stream: BinaryIO) -> Image.Image:
    """Open a file with one of Pillow's readers; ``Image.open`` refuses 179 megapixels or more."""
    stream.seek(0)
    image: Image.Image = Image.OPEN[reader][0](stream, "")
    return image


def _count_frames(image: Image.Image, source: _Source) -> int:
    """Return how many frames an opened file holds; 1 where the further ones cannot be counted."""
    if source.reader in {"BMP", "PPM"}:
        return 1
    try:
        with _pillow:
            if source.reader in {"GIF", "TIFF"}:  # they are counted by walking over them
                place = source.stream.tell()
                count = getattr(_open(source.reader, source.stream), "n_frames", 1)
                source.stream.seek(place)
            elif source.reader == "JPEG":
                count = _count_views(image)
            else:
                count = getattr(image, "n_frames", 1)
    except _RefusedError:
        return 1
    return max(1, int(count))


def _count_views(image: Image.Image) -> int:
    """Return how many pictures of a JPEG are frames: not previews, depths and gain maps."""
    entries = getattr(image, "mpinfo", {}).get(0xB002, [])
    views = [entry for entry in entries if entry["Attribute"]["MPType"].startswith("Multi-Frame")]
    return len(entries) if len(views) == len(entries) else 1


def _loaded(image: Image.Image, source: _Source, turn: int, size: tuple[int, int]) -> Image.Image:
    """Return an opened image with its pixels; ``size`` is that in full."""
    reader = source.reader
    _require_memory(image, reader, turn, size)
    with _pillow:
        tiles = list(getattr(image, "tile", ()))
        image.load()
        if reader == "PNG" and tiles and "transparency" in image.info:
            image = match_transparency(image, tiles[0], partial(_open, reader, source.stream))
    return image


def _pixels(short_side: int | None, content: bytes) -> Image.Image:
    """Return the pixels of a JPEG, whole or not, at a scale at which all that is missing shows."""
    source = _Source("JPEG", io.BytesIO(content))
    with _pillow:
        image = _open(source.reader, source.stream)
    size = image.size
    # What the last scans of a progressive one add may not show at a reduced scale.
    _reduce(image, None if "progressive" in image.info else short_side, 1)
    return _loaded(image, source, 1, size)


def _orientation(image: Image.Image, reader: str) -> tuple[int, tuple[str, ...]]:
    """Return the EXIF orientation, 1 to 8, and what is to be said of it."""
    if reader == "JXL":  # the decoder has turned it
        return 1, ()
    try:
        with _pillow:
            turn = image.getexif().get(_ORIENTATION, 1)
    except _RefusedError:
        return 1, ("repaired: the EXIF data are damaged and ignored",)
    return (turn if turn in _TURNS else 1), ()


def _reduce(image: Image.Image, short_side: int | None, turn: int) -> None:
    """Have a JPEG decoded at a scale that serves the caller, and that there is memory for."""
    width, height = image.size
    if short_side is not None and min(width, height) >= 4 * short_side:  # else it stays as it is
        scale = 2 * short_side / min(width, height)
        with _pillow:
            image.draft("RGB", (ceil(width * scale), ceil(height * scale)))
    for divisor in (2, 4, 8):
        if not _is_too_large(image, "JPEG", turn, (width, height)):
            return
        if min(width, height) >= 2 * divisor:
            with _pillow:
                image.draft("RGB", (width // divisor, height // divisor))


def _require_memory(image: Image.Image, reader: str, turn: int, size: tuple[int, int]) -> None:
    if _is_too_large(image, reader, turn, size):
        peak = _peak(image, reader, turn, size)
        width, height = image.size
        raise ImageError(
            f"too large: decoding {width:,} x {height:,} pixels takes {peak / 1e6:,.0f} MB, over "
            f"{MAX_BYTES / 1e6:,.0f} MB"
        )


def _is_too_large(image: Image.Image, reader: str, turn: int, size: tuple[int, int]) -> bool:
    # No image takes 64 bytes a pixel: the common ones need no closer look.
    if 64 * size[0] * size[1] <= MAX_BYTES:
        return False
    return _peak(image, reader, turn, size) > MAX_BYTES


def _peak(image: Image.Image, reader: str, turn: int, size: tuple[int, int]) -> int:
    """Return the bytes that an opened image takes while it is decoded, at the most.

    Pillow holds a pixel in 1, 2 or 4 bytes; RGB takes 4. ``size`` is that in full.
    """
    pixels = image.width * image.height
    own = pixels * (1 if image.mode in {"1", "L", "P"} else 2 if ";16" in image.mode else 4)
    clear = image.mode in {"LA", "RGBA", "PA", "La", "RGBa"} or "transparency" in image.info
    flattened = 0 if image.mode == "RGB" and not clear else pixels * (5 if clear else 4)
    decoder = 0
    if reader in {"WEBP", "AVIF", "HEIF", "JXL"}:  # the whole picture, and once more as bytes
        decoder = 8 * pixels
    elif reader == "TIFF":  # a strip may be all of it
        bits = getattr(image, "tag_v2", {}).get(258, (8,))
        decoder = pixels * (sum(map(int, bits)) if isinstance(bits, tuple) else 8) // 8
    elif "progressive" in image.info:
        decoder = _coefficients(image, size)
    turned = 8 * pixels if turn != 1 else 0
    return max(own + decoder, own + flattened, turned)


def _coefficients(image: Image.Image, size: tuple[int, int]) -> int:
    """Return the bytes of a progressive JPEG's coefficients: 2 a sample, at any scale."""
    layers = [(across, down) for _, across, down, _ in getattr(image, "layer", [])]
    if not layers or not all(across and down for across, down in layers):
        return 0
    most = max(across for across, _ in layers) * max(down for _, down in layers)
    samples: int = size[0] * size[1] * sum(across * down for across, down in layers) // most
    return 2 * samples


def _ends_in_one_colour(image: Image.Image) -> bool:
    width, height = image.size
    if image.getpixel((0, height - 1)) != image.getpixel((width - 1, height - 1)):
        return False
    extrema = image.crop((0, height - 1, width, height)).getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(band[0] == band[1] for band in bands)


def _white_is_zero(image: Image.Image) -> bool:
    """Return whether a TIFF of 16-bit grey is a negative, which Pillow turns at 8 bits only."""
    return getattr(image, "tag_v2", {}).get(262) == 0 and image.mode.startswith("I")
