"""From what a decoder gives, of whatever depth and colours, to sRGB of 8 bits and an alpha channel.

Colours are compared by what they mean: an embedded ICC profile (ISO 15076-1) is applied, by
LittleCMS, unless it says sRGB already. Transparency is laid over white afterwards.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from facecheck.core.errors import ImageError

#: Largest difference of a channel, in 8-bit steps, up to which a profile counts as sRGB itself:
#: vendors' versions of sRGB differ by 1, gamma 2.2 by 6 in the darks, Adobe RGB by 60.
SAME_COLOURS = 2
#: A profile of more bytes is not read; printers' take up to 3 MB.
_MOST_PROFILE = 2**22
#: Pixels that are converted at a time, so that no second copy of a large image is made.
_STRIP = 2**20
#: Colour space of a profile, by the modes that it can describe.
_SPACES = {"RGB": "RGB ", "RGBA": "RGB ", "L": "GRAY", "CMYK": "CMYK"}


class Flat(NamedTuple):
    """An image over white.

    Attributes:
        image: RGB.
        alpha: L, 255 where opaque; None where all of it is.
        note: what was ignored of its colours; empty if nothing was.
    """

    image: Image.Image
    alpha: Image.Image | None
    note: str


def to_rgb(image: Image.Image, *, white_is_zero: bool = False) -> Flat:
    """Convert any image of Pillow's, as it was loaded, to sRGB over white.

    Args:
        image: with its ``info``: palette, transparency and profile are taken from there.
        white_is_zero: whether samples of more than 8 bits are to be inverted.

    Raises:
        ImageError: the samples have no agreed brightness range, or the palette is missing.
    """
    if image.mode == "RGB" and not image.info.keys() & {"transparency", "icc_profile"}:
        return Flat(image, None, "")
    note, profile = "", image.info.get("icc_profile", b"")
    if image.mode == "LAB":  # colours that need no profile
        profile = b""
    image = _common_mode(image, white_is_zero)
    if profile is None:  # so Pillow says that parts of a JPEG's are missing
        note = "the ICC profile is incomplete and ignored"
    elif profile:
        image, note = _to_srgb(image, profile)
    if image.mode in {"LA", "RGBA"}:
        alpha = image.getchannel("A")
        if alpha.getextrema() != (255, 255):
            return Flat(_over_white(image), alpha, note)
    return Flat(image.convert("RGB"), None, note)


#: What modes become that have no other meaning than Pillow's own conversion.
_COMMON = {"1": "L", "PA": "RGBA", "RGBa": "RGBA", "La": "LA", "RGBX": "RGB", "YCbCr": "RGB"}


def _common_mode(image: Image.Image, white_is_zero: bool) -> Image.Image:
    """Return an image of mode L, LA, RGB, RGBA or CMYK."""
    if image.mode.startswith("I"):
        return _from_16_bits(image, white_is_zero)
    if image.mode == "F":
        raise ImageError("floating-point samples have no agreed brightness range")
    if image.mode == "LAB":
        return _from_lab(image)
    if image.mode in {"P", "PA"} and image.palette is None:
        raise ImageError("damaged: the palette is missing")
    if "transparency" in image.info and image.mode in {"1", "L", "P", "RGB"}:
        return image.convert("RGBA")
    if image.mode == "P":
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    mode = _COMMON.get(image.mode, image.mode)
    return image if mode == image.mode else image.convert(mode)


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield parts of an image from top to bottom, each with the row it begins at."""
    rows = max(1, _STRIP // max(1, image.width))
    if rows >= image.height:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _over_white(image: Image.Image) -> Image.Image:
    over = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        white = Image.new("RGBA", strip.size, "white")
        over.paste(Image.alpha_composite(white, strip.convert("RGBA")), (0, top))
    return over


def _from_16_bits(image: Image.Image, white_is_zero: bool) -> Image.Image:
    """Return 16-bit grey in 8 bits; ``I`` is how Pillow widens it, and how it holds 32 bits.

    Integers of 32 bits have no agreed range. They are taken for the 8 or 16 bits that they fit in.
    """
    clear = image.info.get("transparency")
    wide = getattr(image, "tag_v2", {}).get(258, (16,))[0] == 32
    most = 0xFFFF
    if image.mode == "I" and image.width and image.height:
        lowest, highest = image.getextrema()
        assert isinstance(lowest, int)  # noqa: S101  # of one band
        assert isinstance(highest, int)  # noqa: S101
        if lowest < 0 or highest > 0xFFFF:
            raise ImageError("32-bit samples have no agreed brightness range")
        most = 0xFF if wide and highest <= 0xFF else 0xFFFF
    grey = Image.new("L" if clear is None else "LA", image.size)
    for top, strip in _strips(image):
        samples = np.asarray(strip).astype(np.int32)
        shown = most - samples if white_is_zero else samples
        part = Image.fromarray((shown // (257 if most == 0xFFFF else 1)).astype(np.uint8))
        if clear is not None:
            part.putalpha(Image.fromarray(np.where(samples == clear, 0, 255).astype(np.uint8)))
        grey.paste(part, (0, top))
    grey.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return grey


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    made = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
    converted = ImageCms.applyTransform(image, made)
    assert converted is not None  # noqa: S101
    return converted


def _to_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image, str]:
    """Apply a profile; return the image and what is to be said of the profile."""
    if image.mode == "LA":  # LittleCMS would leave the alpha out
        alpha = image.getchannel("A")
        grey, note = _to_srgb(image.getchannel("L"), profile)
        grey = grey.convert("RGB") if grey.mode != "L" else grey
        grey.putalpha(alpha)
        return grey, note
    try:
        transform = _transform(bytes(profile), image.mode)
    except _UnusableProfileError as error:
        return image, f"the ICC profile is {error} and ignored"
    if transform is None:
        return image, ""
    if image.mode in {"RGB", "RGBA"}:
        ImageCms.applyTransform(image, transform, inPlace=True)
        return image, ""
    converted = ImageCms.applyTransform(image, transform)
    return (image if converted is None else converted), ""


class _UnusableProfileError(Exception):
    """A profile cannot be applied; the message says what it is."""


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the way from a profile's colours to sRGB; None where they are the same.

    Raises:
        _UnusableProfileError: the profile is damaged, or of other colours than the image.
    """
    if len(profile) > _MOST_PROFILE:
        raise _UnusableProfileError("too large")
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space
        srgb = ImageCms.createProfile("sRGB")
        shown = "RGBA" if mode == "RGBA" else "RGB"
        if mode == "L" and space == "RGB ":  # of a picture that was made grey since
            return None
        if space != _SPACES[mode]:
            raise _UnusableProfileError("one of other colours")
        transform = ImageCms.buildTransform(opened, srgb, mode, shown, ImageCms.Intent.PERCEPTUAL)
        sample = _sample(mode)
        made = ImageCms.applyTransform(sample, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise _UnusableProfileError("damaged") from error
    if made is None or mode == "CMYK":
        return transform
    before = np.asarray(sample.convert(shown), np.int16)
    return transform if np.abs(before - np.asarray(made)).max() > SAME_COLOURS else None


def _sample(mode: str) -> Image.Image:
    """Return colours from all over the cube, or all greys."""
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    cube: npt.NDArray[np.uint8] = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    return Image.fromarray(cube).convert(mode)
