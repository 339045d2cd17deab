"""From an image to a model's input. Imports no torch, so that any engine can use it.

The preprocessing of the paper: training takes resize, random crop, horizontal flip, to tensor,
normalise; evaluation and scanning take resize, centre crop, to tensor, normalise. Up to here it is
NumPy; :func:`normalise`, for whole batches of tensors, is the part of torch's engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from facecheck.core.errors import ConfigError
from facecheck.core.image import decode

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Transform:
    """How an image becomes a model's input; it travels with the weights.

    Attributes:
        image_size: side in pixels of the square crop the model sees.
        resize: short side in pixels that the image is scaled to before the crop.
        mean: of each RGB channel, in units of 0 to 1, subtracted from the pixels.
        std: of each RGB channel, likewise, that the difference is divided by.
        crops: 1 for the centre crop; 5 for the corners' too, whose logits are averaged.
    """

    image_size: int
    resize: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crops: int = 1

    def __post_init__(self) -> None:
        if not 16 <= self.image_size <= self.resize <= 4096:
            raise ConfigError(
                f"image size {self.image_size} and resize {self.resize}: must be 16 to 4096 "
                "pixels, the crop no larger than the resized side"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ConfigError("mean and std must have three numbers each, std above 0")
        if self.crops not in {1, 5}:
            raise ConfigError(f"crops {self.crops}: must be 1 or 5")

    @classmethod
    def for_size(
        cls,
        image_size: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        crops: int = 1,
    ) -> Transform:
        """Return the transform whose crop keeps 7/8 of the resized side, as 224 of 256."""
        return cls(image_size, round(image_size * 8 / 7), mean, std, crops)


def load_resized(source: Path | bytes, transform: Transform) -> Image.Image:
    """Decode an image and scale it as :func:`resized` does.

    Raises:
        ImageError: the file cannot be decoded.
    """
    return resized(decode(source, short_side=transform.resize).image, transform)


def load_pixels(source: Path | bytes, transform: Transform) -> npt.NDArray[np.uint8]:
    """Return what :func:`load_resized` does as an array, shape (height, width, 3).

    Raises:
        ImageError: the file cannot be decoded.
    """
    return np.asarray(load_resized(source, transform))


def resized(image: Image.Image, transform: Transform) -> Image.Image:
    """Scale the short side of an RGB image to ``transform.resize``, antialiased bilinear.

    Of an image more than twice as long as wide, only the middle is kept.
    """
    image = _middle(image)
    scale = transform.resize / min(image.size)
    size = (
        max(transform.resize, round(image.width * scale)),
        max(transform.resize, round(image.height * scale)),
    )
    return image.resize(size, Image.Resampling.BILINEAR)


def _middle(image: Image.Image) -> Image.Image:
    """Cut the ends off a strip, which would take gigabytes once scaled."""
    longest = 2 * min(image.size)
    width, height = min(image.width, longest), min(image.height, longest)
    if (width, height) == image.size:
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def crop_corners(width: int, height: int, side: int, crops: int) -> list[tuple[int, int]]:
    """Return (left, top) of the centre crop, and with ``crops`` 5 of the corners' after it.

    The five are those of torchvision's FiveCrop, the centre first.
    """
    right, bottom = width - side, height - side
    centre = (right // 2, bottom // 2)
    return [centre, (0, 0), (right, 0), (0, bottom), (right, bottom)][:crops]


def load_input(source: Path | bytes, transform: Transform) -> npt.NDArray[np.uint8]:
    """Decode, resize and crop an image for evaluation or scanning.

    Returns:
        as :func:`to_input`.

    Raises:
        ImageError: the file cannot be decoded.
    """
    return to_input(decode(source, short_side=transform.resize).image, transform)


def to_input(image: Image.Image, transform: Transform) -> npt.NDArray[np.uint8]:
    """Resize and crop a decoded image, RGB, for evaluation or scanning.

    The image must have ``2 * transform.resize`` pixels on its short side, or all that its file
    holds: then it gives the same input as the file itself.

    Returns:
        shape (transform.crops, image_size, image_size, 3), RGB, 0 to 255.
    """
    pixels = np.asarray(resized(image, transform))
    side = transform.image_size
    height, width, _ = pixels.shape
    corners = crop_corners(width, height, side, transform.crops)
    return np.stack([pixels[top : top + side, left : left + side] for left, top in corners])


def normalise(batch: torch.Tensor, transform: Transform) -> torch.Tensor:
    """Turn pixels into a model's input.

    Args:
        batch: shape (N, H, W, 3), uint8, on any device.
        transform: whose mean and std to use.

    Returns:
        shape (N, 3, H, W), float32, channels-last in memory, on the same device.
    """
    import torch

    mean = torch.tensor(transform.mean, device=batch.device)
    std = torch.tensor(transform.std, device=batch.device)
    return ((batch.float() / 255 - mean) / std).permute(0, 3, 1, 2)
