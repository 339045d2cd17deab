"""Draw stand-ins for faces, so that every command can be tried without downloading anything.

    python examples/draw_faces.py FOLDER [COUNT [FIRST]]

writes COUNT images (24) of each kind to FOLDER/<kind>/drawn-<kind>/, numbered from FIRST (0); one
number is one image, so other numbers are images never seen before. The "photos" are shaded and
noisy, the cartoons flat with outlines, the sketches grey strokes. They are toys: what a model
learns from them is worth nothing on real images.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

KINDS = ("photo", "cartoon", "sketch")
SIDE = 96


def draw_face(kind: str, seed: int, side: int = SIDE) -> Image.Image:
    """Return one RGB image of ``side`` x ``side`` pixels; the same for the same arguments."""
    random = np.random.default_rng([KINDS.index(kind), seed])
    image = Image.new("RGB", (side, side), _colour(random, kind))
    draw = ImageDraw.Draw(image)
    outline = {"photo": None, "cartoon": "black", "sketch": (90, 90, 90)}[kind]
    skin = "white" if kind == "sketch" else _skin(random)
    left, top = random.uniform(0.1, 0.3, 2) * side
    right, bottom = random.uniform(0.7, 0.9, 2) * side
    draw.ellipse((left, top, right, bottom), fill=skin, outline=outline, width=2)
    for eye in (0.35, 0.65):
        x, y = left + eye * (right - left), top + random.uniform(0.35, 0.45) * (bottom - top)
        size = random.uniform(0.03, 0.07) * side
        draw.ellipse((x - size, y - size / 2, x + size, y + size / 2), fill=(30, 30, 30))
    mouth = (left + 0.3 * (right - left), top + 0.65 * (bottom - top))
    mouth_end = (right - 0.3 * (right - left), top + 0.8 * (bottom - top))
    draw.arc((*mouth, *mouth_end), 10, 170, fill=(120, 40, 40), width=2)
    if kind == "photo":
        return _photograph(image, random)
    if kind == "sketch":
        _hatch(draw, random, side)
        return image.convert("L").convert("RGB")
    return image


def _colour(random: np.random.Generator, kind: str) -> tuple[int, int, int]:
    if kind == "sketch":
        return (255, 255, 255)
    red, green, blue = (int(value) for value in random.integers(40, 255, 3))
    return red, green, blue


def _skin(random: np.random.Generator) -> tuple[int, int, int]:
    light = random.uniform(0.4, 1)
    return int(240 * light), int(200 * light), int(170 * light)


def _photograph(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Blur, light from one side, and sensor noise."""
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(1.5)), dtype=np.float32)
    across = np.linspace(random.uniform(0.5, 1), random.uniform(0.5, 1), image.width)
    noisy = pixels * across[None, :, None] + random.normal(0, 6, pixels.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _hatch(draw: ImageDraw.ImageDraw, random: np.random.Generator, side: int) -> None:
    for _ in range(40):
        x, y = random.uniform(0.1, 0.8, 2) * side
        length = random.uniform(0.05, 0.15) * side
        draw.line((x, y, x + length, y - length), fill=(150, 150, 150), width=1)


def draw_dataset(folder: Path, count: int = 24, first: int = 0) -> None:
    """Write ``count`` images of each of :data:`KINDS`, laid out as ``facecheck index`` reads."""
    for kind in KINDS:
        target = folder / kind / f"drawn-{kind}"
        target.mkdir(parents=True, exist_ok=True)
        for seed in range(first, first + count):
            draw_face(kind, seed).save(target / f"{seed:03}.png")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: draw_faces.py FOLDER [COUNT [FIRST]]")
    draw_dataset(Path(sys.argv[1]), *map(int, sys.argv[2:4]))
