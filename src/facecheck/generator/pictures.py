"""Pixels of generated images, and many of them in one picture."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

Pixels = npt.NDArray[np.uint8]
#: Pixels of white between the images of a grid.
_GAP = 2


def to_pixels(images: torch.Tensor) -> Pixels:
    """Turn a generator's output, shape (N, 3, H, W), -1 to 1, into pixels, shape (N, H, W, 3)."""
    scaled = (images.detach().float() + 1) * 127.5
    rounded = scaled.round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(0, 2, 3, 1).cpu().numpy())


def grid(pixels: Pixels, *, across: int | None = None) -> Image.Image:
    """Lay images of shape (N, H, W, 3), N of 1 or more, out in rows, in their order.

    ``across`` is how many there are in a row; None makes the grid as square as it can be.
    """
    count, height, width, _ = pixels.shape
    columns = across or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + _GAP), columns * (width + _GAP), 3), 255, dtype=np.uint8)
    for place, image in enumerate(pixels):
        row, column = divmod(place, columns)
        top, left = row * (height + _GAP), column * (width + _GAP)
        sheet[top : top + height, left : left + width] = image
    return Image.fromarray(sheet[:-_GAP, :-_GAP])
