"""How training varies an image. Torch-free, and a pure function of the image and of one draw.

The forensic part (Wang et al. 2020, "CNN-generated images are surprisingly easy to spot… for now")
rescales, blurs and re-encodes, alike for every kind, so that a model cannot lean on what a
source's files went through.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter

from facecheck.model.transforms import crop_corners
from facecheck.training.recipe import Recipe

Pixels = npt.NDArray[np.uint8]

#: The area a resized crop keeps, at least, and its longest side over its shortest, at most.
RESIZED_AREA = 0.5
RESIZED_RATIO = 4 / 3


def augment(pixels: Pixels, recipe: Recipe, random: np.random.Generator) -> Pixels:
    """Return one variation of an image, as the recipe asks.

    Args:
        pixels: shape (height, width, 3), RGB, 0 to 255, its short side the transform's ``resize``.
        recipe: how much to vary, and the side of the result.
        random: the generator of all random choices.

    Returns:
        shape (train_side, train_side, 3), RGB, 0 to 255.
    """
    image = _forensic(Image.fromarray(pixels), recipe, random) if _is_forensic(recipe) else None
    if recipe.rotation:
        image = image or Image.fromarray(pixels)
        angle = random.uniform(-recipe.rotation, recipe.rotation)
        image = image.rotate(angle, Image.Resampling.BILINEAR)
    # Most recipes end here, with nothing but a view of the pixels: that keeps epochs fast.
    result = _crop(pixels if image is None else np.asarray(image), recipe, random)
    if recipe.jitter:
        result = _jitter(result, recipe.jitter, random)
    if recipe.grey and random.random() < recipe.grey:
        result = np.asarray(Image.fromarray(result).convert("L").convert("RGB"))
    if recipe.flip and random.random() < 0.5:
        result = result[:, ::-1]
    return result


def _is_forensic(recipe: Recipe) -> bool:
    return bool(recipe.rescale or recipe.blur or recipe.reencode)


def _forensic(image: Image.Image, recipe: Recipe, random: np.random.Generator) -> Image.Image:
    # In the order of what befalls a picture that is passed on.
    if random.random() < recipe.rescale:
        image = _rescaled(image, random.uniform(*recipe.rescale_to), random)
    if random.random() < recipe.blur:
        sigma = random.uniform(*recipe.blur_sigma) * min(image.size) / 256
        image = image.filter(ImageFilter.GaussianBlur(sigma))
    if random.random() < recipe.reencode:
        low, high = recipe.reencode_quality
        stream = io.BytesIO()
        chosen = recipe.reencode_formats[random.integers(len(recipe.reencode_formats))]
        # WebP's slower methods look the same and take three times as long.
        image.save(stream, format=chosen, quality=int(random.integers(low, high + 1)), method=1)
        image = Image.open(stream, formats=("JPEG", "WEBP")).convert("RGB")
    return image


_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def _rescaled(image: Image.Image, scale: float, random: np.random.Generator) -> Image.Image:
    small = (max(8, round(image.width * scale)), max(8, round(image.height * scale)))
    down, up = (_FILTERS[random.integers(len(_FILTERS))] for _ in range(2))
    return image.resize(small, down).resize(image.size, up)


def _crop(pixels: Pixels, recipe: Recipe, random: np.random.Generator) -> Pixels:
    side = recipe.train_side
    height, width, _ = pixels.shape
    if recipe.crop == "resized":
        return _resized_crop(pixels, side, random)
    if recipe.crop == "random":
        left, top = random.integers(width - side + 1), random.integers(height - side + 1)
    else:
        corners = crop_corners(width, height, side, 5 if recipe.crop == "five" else 1)
        left, top = corners[random.integers(len(corners))]
    return pixels[top : top + side, left : left + side]


def _resized_crop(pixels: Pixels, side: int, random: np.random.Generator) -> Pixels:
    """Cut a random part and scale it to the side (torchvision's RandomResizedCrop)."""
    height, width, _ = pixels.shape
    area = min(height, width) ** 2 * random.uniform(RESIZED_AREA, 1)
    ratio = np.exp(random.uniform(-np.log(RESIZED_RATIO), np.log(RESIZED_RATIO)))
    across = int(min(width, round(np.sqrt(area * ratio))))
    down = int(min(height, round(np.sqrt(area / ratio))))
    left, top = random.integers(width - across + 1), random.integers(height - down + 1)
    part = Image.fromarray(pixels[top : top + down, left : left + across])
    return np.asarray(part.resize((side, side), Image.Resampling.BILINEAR))


def _jitter(pixels: Pixels, most: float, random: np.random.Generator) -> Pixels:
    image = Image.fromarray(pixels)
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhancer(image).enhance(random.uniform(1 - most, 1 + most))
    return np.asarray(image)
