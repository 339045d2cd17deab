from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
import pytest
import scipy.fft
from PIL import Image, ImageDraw

from facecheck.core.image import decode, perceptual_hash
from facecheck.core.image.hashes import _CLEARLY_ABOVE
from tests.conftest import RealImages

#: Drawings that are their own mirror image, or nearly. Without a distance from the median, copies
#: of each had hashes 10 to 20 bits from its own.
SYMMETRIC = (
    "dicebear_avataaars_02", "dicebear_avataaars_11", "dicebear_avataaars_17",
    "dicebear_personas_06", "dicebear_personas_07", "dicebear_personas_11",
    "dicebear_personas_20", "dicebear_personas_29", "facesjs_30", "multiavatar_11",
    "multiavatar_23", "multiavatar_25",
)  # fmt: skip


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def stored(image: Image.Image, file_format: str, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, file_format, quality=quality)
    return decode(stream.getvalue()).image


def copies(image: Image.Image) -> Iterator[Image.Image]:
    """Yield the image as it comes back: re-encoded, at half its size, enlarged and re-encoded."""
    yield stored(image, "JPEG", 50)
    yield image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    larger = (image.width * 3 // 2, image.height * 3 // 2)
    yield stored(image.resize(larger, Image.Resampling.BICUBIC), "WEBP", 70)


def distances(image: Image.Image) -> list[int]:
    """Return in how many bits the hash of each copy differs from the image's own."""
    own = int(perceptual_hash(image), 16)
    return [(own ^ int(perceptual_hash(copy), 16)).bit_count() for copy in copies(image)]


def bits(hexadecimal: str) -> npt.NDArray[np.bool_]:
    digits = np.frombuffer(bytes.fromhex(hexadecimal), np.uint8)
    return np.unpackbits(digits).astype(bool).reshape(8, 8)


def bits_apart(image: Image.Image) -> int:
    """Return in how many bits our pHash differs from imagehash's, without those that ours leaves 0
    because their coefficient is only just above the median."""
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), np.float64)
    low = scipy.fft.dct(scipy.fft.dct(grey, axis=0), axis=1)[:8, :8]
    above = low - np.median(low)
    just_above = (above > 0) & (above <= _CLEARLY_ABOVE)
    different = bits(perceptual_hash(image)) != imagehash.phash(image).hash
    return int((different & ~just_above).sum())


def coefficients(image: Image.Image) -> npt.NDArray[np.float64]:
    """Return the lowest coefficients of a thumbnail that Pillow makes without rounding it."""
    across, down = (max(1, side // 64) for side in image.size)
    grey = image.convert("L").reduce((across, down)).convert("F")
    box = (0, 0, image.width / across, image.height / down)
    thumbnail = np.asarray(grey.resize((32, 32), Image.Resampling.LANCZOS, box=box), np.float64)
    return np.asarray(scipy.fft.dct(scipy.fft.dct(thumbnail, axis=0), axis=1)[:8, :8])


@pytest.mark.parametrize(
    "size", [(256, 256), (64, 64), (640, 480), (333, 127), (129, 2000), (40, 30), (9, 5), (1, 1)]
)
def test_the_perceptual_hash_is_of_the_thumbnail_that_is_never_made(size: tuple[int, int]) -> None:
    image = noise(9, 5, sum(size)).resize(size, Image.Resampling.BICUBIC)
    low = coefficients(image)
    above = low - np.median(low) - _CLEARLY_ABOVE
    sure = np.abs(above) > 0.05  # Pillow's own sums are of 32 bits
    assert sure.sum() > 60
    assert np.array_equal(bits(perceptual_hash(image))[sure], (above > 0)[sure])


def test_the_perceptual_hash_survives_re_encoding(drawn: Path) -> None:
    face = Image.open(drawn / "photo" / "drawn-photo" / "003.png").resize((256, 256))
    assert max(distances(face)) <= 6
    assert len(perceptual_hash(face)) == 16


def test_the_hash_of_a_symmetric_drawing_is_not_noise() -> None:
    half = Image.new("RGB", (256, 512), "white")
    draw = ImageDraw.Draw(half)
    draw.ellipse((120, 80, 390, 440), fill="tan")
    draw.ellipse((180, 200, 220, 240), fill="black")
    draw.ellipse((220, 320, 290, 370), fill="brown")
    pixels = np.asarray(half)
    whole = Image.fromarray(np.concatenate([pixels, pixels[:, ::-1]], axis=1))
    assert max(distances(whole)) <= 2


@pytest.mark.parametrize("name", SYMMETRIC)
def test_the_hash_of_a_real_symmetric_drawing_is_not_noise(name: str, shared_data: Path) -> None:
    image = decode(shared_data / "cartoon" / "vector-avatars" / f"{name}.png").image
    assert max(distances(image)) <= 5


def test_the_perceptual_hash_is_that_of_imagehash(drawn: Path) -> None:
    images: list[Image.Image] = [Image.open(path) for path in sorted(drawn.rglob("*.png"))]
    images += [noise(width, 60, width) for width in range(20, 320, 7)]
    images += [Image.new("RGB", (40, 30), colour) for colour in ("black", "white", "grey")]
    for image in images:
        assert bits_apart(image) <= 4
    assert sum(map(bits_apart, images[-3:])) == 0  # flat ones have no bits of noise


@pytest.mark.slow
def test_the_perceptual_hash_is_that_of_imagehash_on_real_faces(real_images: RealImages) -> None:
    apart = [bits_apart(decode(path).image) for path in real_images()]
    assert max(apart) <= 4
    assert np.mean(np.array(apart) == 0) > 0.9
