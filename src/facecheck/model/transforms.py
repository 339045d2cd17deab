"""What a model sees of an image. Torch-free, so that any engine can use it.

The preprocessing of the paper: training takes resize, random crop, horizontal flip, to tensor,
normalise; evaluation and scanning take resize, centre crop, to tensor, normalise. Normalising is
left to the engine, which does it for a whole batch at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from facecheck.core.errors import ConfigError
from facecheck.core.image import decode


@dataclass(frozen=True)
class Transform:
    """How an image becomes a model's input; it travels with the weights.

    Attributes:
        image_size: side in pixels of the square crop the model sees.
        resize: short side in pixels that the image is scaled to before the crop.
        mean: of each RGB channel, in units of 0 to 1, subtracted from the pixels.
        std: of each RGB channel, likewise, that the difference is divided by.
    """

    image_size: int
    resize: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not 16 <= self.image_size <= self.resize <= 4096:
            raise ConfigError(
                f"image size {self.image_size} and resize {self.resize}: must be 16 to 4096 "
                "pixels, the crop no larger than the resized side"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ConfigError("mean and std must have three numbers each, std above 0")

    @classmethod
    def for_size(
        cls,
        image_size: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> Transform:
        """Return the transform whose crop keeps 7/8 of the resized side, as 224 of 256."""
        return cls(image_size, round(image_size * 8 / 7), mean, std)


def load_resized(source: Path | bytes, transform: Transform) -> Image.Image:
    """Decode an image and scale its short side to ``transform.resize``, antialiased bilinear.

    Raises:
        ImageError: the file cannot be decoded.
    """
    image = decode(source, short_side=transform.resize).image
    scale = transform.resize / min(image.size)
    size = (
        max(transform.resize, round(image.width * scale)),
        max(transform.resize, round(image.height * scale)),
    )
    return image.resize(size, Image.Resampling.BILINEAR)


def load_input(source: Path | bytes, transform: Transform) -> npt.NDArray[np.uint8]:
    """Decode, resize and centre-crop an image for evaluation or scanning.

    Returns:
        shape (image_size, image_size, 3), RGB, 0 to 255.

    Raises:
        ImageError: the file cannot be decoded.
    """
    image = load_resized(source, transform)
    side = transform.image_size
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)))
