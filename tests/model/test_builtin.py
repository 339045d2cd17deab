"""What the built-in model answers to real pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facecheck import Checker
from tests.conftest import RealImages

PHOTO_SOURCES = (
    "caltech-faces", "celebahq-256", "ciplab-photos", "glint-112", "sports-press", "unsplash-men",
    "web-faces", "web-women",
)  # fmt: skip


def darkened(path: Path, brightness: float, noise: float) -> bytes:
    """Return a photograph as a camera takes it with too little light, as PNG."""
    image = Image.open(path).convert("RGB")
    image.thumbnail((512, 512))
    pixels = np.asarray(image, np.float64) * brightness
    pixels += np.random.default_rng(0).normal(0, noise, pixels.shape)
    made = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(made, "PNG")
    return made.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(("brightness", "noise"), [(0.25, 0), (0.25, 8), (1, 20)])
def test_dark_and_noisy_photographs_are_not_called_artificial(
    real_images: RealImages, brightness: float, noise: float
) -> None:
    checker = Checker("builtin")
    photos = [path for source in PHOTO_SOURCES for path in real_images(f"photo/{source}/", 2)]
    found = [str(checker.check(darkened(path, brightness, noise)).verdict) for path in photos]
    assert "artificial" not in found
    assert found.count("real") >= len(photos) // 2
