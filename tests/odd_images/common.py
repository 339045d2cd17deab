"""What odd images are made of: one drawn picture, and what each file must give."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Pixels = npt.NDArray[np.uint8]

WIDTH, HEIGHT = 72, 56


@dataclass(frozen=True)
class Odd:
    """One file.

    Attributes:
        name: unique, with the ending of its format.
        content: its bytes.
        pixels: what it must decode to, shape (height, width, 3); None where it must be refused.
        tolerance: largest mean difference from ``pixels``, in 8-bit steps.
        says: part of a note that it must give, or of the reason; empty: there must be no note; a
            question mark leaves that open.
        opencv: whether OpenCV reads the file, and to the same pixels.
    """

    name: str
    content: bytes
    pixels: Pixels | None
    tolerance: float = 0.0
    says: str = ""
    opencv: bool = False


def picture(seed: int = 0) -> Image.Image:
    """Return a picture with edges, gradients and all primary colours; no two rows are alike."""
    across = np.linspace(0, 1, WIDTH)[None, :, None]
    down = np.linspace(0, 1, HEIGHT)[:, None, None]
    mixed = (across * [200, 40, 120] + down * [30, 190, 60] + [10, 15, 40]).clip(0, 255)
    image = Image.fromarray(mixed.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    pen.ellipse((12, 8, 50, 46), fill=(230, 190, 160), outline=(60, 20, 20))
    for left, colour in ((20, "blue"), (36, "lime"), (28, "red")):
        pen.rectangle((left, 16 + seed % 20, left + 5, 21 + seed % 20), fill=colour)
    return image


def rgb_of(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def over_white(colours: npt.NDArray[Any], alpha: npt.NDArray[Any]) -> Pixels:
    """Lay colours, shape (h, w, 3), over white by an alpha of 0 to 255, shape (h, w)."""
    share = alpha[:, :, None] / 255
    return (colours * share + 255 * (1 - share)).round().astype(np.uint8)


def grey_samples() -> npt.NDArray[np.int64]:
    return np.asarray(picture().convert("L")).astype(np.int64)


def colour_samples() -> npt.NDArray[np.int64]:
    return np.asarray(picture()).astype(np.int64)


def alpha_samples() -> npt.NDArray[np.int64]:
    """Return an alpha channel that is clear, half clear and opaque in turn, shape (h, w)."""
    return np.tile(np.linspace(0, 255, WIDTH).astype(np.int64), (HEIGHT, 1))


def triple(grey: npt.NDArray[Any]) -> Pixels:
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


def exif_of(turn: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    return exif.tobytes()
