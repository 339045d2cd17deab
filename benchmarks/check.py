"""Faults planted in real images, and who finds them: facecheck check, cleanvision and cleanlab.

    python benchmarks/check.py ../shared/data --peers /tmp/venv/bin/python

In a temporary folder are 300 images as they are and 30 of each fault, planted in others. The peers
run in an environment of their own: pip install cleanvision cleanlab. Without --peers facecheck runs
alone.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

Planter = Callable[[Image.Image, random.Random], Image.Image]


def dark(image: Image.Image, rng: random.Random) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(rng.uniform(0.05, 0.22))


def bright(image: Image.Image, rng: random.Random) -> Image.Image:
    """Over-exposed, or faded to white."""
    if rng.random() < 0.5:
        return ImageEnhance.Brightness(image).enhance(rng.uniform(6, 12))
    white = Image.new("RGB", image.size, "white")
    return Image.blend(image, white, rng.uniform(0.93, 0.98))


def low_information(image: Image.Image, rng: random.Random) -> Image.Image:
    """One colour, a soft gradient, or the picture with hardly any contrast."""
    colour = tuple(rng.randrange(100, 216) for _ in range(3))
    flat = Image.new("RGB", image.size, colour)
    way = rng.randrange(3)
    if way == 0:
        return flat
    if way == 1:
        ramp = Image.linear_gradient("L").resize(image.size).point(lambda value: value // 12)
        pixels = np.asarray(flat, np.uint8) + np.asarray(ramp, np.uint8)[:, :, None]
        return Image.fromarray(pixels)
    return Image.blend(flat, image, rng.uniform(0.01, 0.04))


def blurred(image: Image.Image, rng: random.Random) -> Image.Image:
    """Out of focus, moved, or enlarged from few pixels."""
    way, short = rng.randrange(3), min(image.size)
    if way == 0:
        return image.filter(ImageFilter.GaussianBlur(short * rng.uniform(0.015, 0.04)))
    if way == 1:
        pixels, length = (
            np.asarray(image, np.float32),
            max(4, round(short * rng.uniform(0.08, 0.15))),
        )
        moved = sum(np.roll(pixels, step - length // 2, axis=1) for step in range(length)) / length
        return Image.fromarray(moved.astype(np.uint8))
    few = (max(1, image.width // 8), max(1, image.height // 8))
    return image.resize(few, Image.Resampling.BOX).resize(image.size, Image.Resampling.BICUBIC)


def odd_shape(image: Image.Image, rng: random.Random) -> Image.Image:
    part = rng.uniform(0.12, 0.33)
    if rng.random() < 0.5:
        top = rng.uniform(0, 1 - part) * image.height
        return image.crop((0, round(top), image.width, round(top + part * image.width)))
    left = rng.uniform(0, 1 - part) * image.width
    return image.crop((round(left), 0, round(left + part * image.height), image.height))


def odd_size(image: Image.Image, rng: random.Random) -> Image.Image:
    by = rng.choice((rng.uniform(0.08, 0.15), rng.uniform(7, 10)))
    return image.resize([max(8, round(side * by)) for side in image.size])


def grey(image: Image.Image, _: random.Random) -> Image.Image:
    return image.convert("L").convert("RGB")


def no_face(image: Image.Image, rng: random.Random) -> Image.Image:
    """A corner of the picture, enlarged."""
    side = round(min(image.size) * rng.uniform(0.16, 0.24))
    left = rng.choice((0, image.width - side))
    return image.crop((left, 0, left + side, side)).resize(image.size, Image.Resampling.BICUBIC)


def tiny_face(image: Image.Image, rng: random.Random) -> Image.Image:
    """The picture small before a soft background of its own colours."""
    back = image.resize((3, 3), Image.Resampling.BOX).resize((320, 320), Image.Resampling.BICUBIC)
    side = rng.randrange(40, 52)
    back.paste(image.resize((side, side)), (rng.randrange(20, 250), rng.randrange(20, 250)))
    return back


def cut_off(image: Image.Image, rng: random.Random) -> Image.Image:
    """A third to a half of the face is outside."""
    side = round(min(image.size) * 0.62)
    gone = rng.uniform(0.42, 0.5)
    x, y = rng.choice(((gone, 0.2), (1 - gone - 0.62, 0.2), (0.19, gone), (0.19, 1 - gone - 0.62)))
    left, top = round(x * image.width), round(y * image.height)
    return image.crop((left, top, left + side, top + side))


def turned(image: Image.Image, rng: random.Random) -> Image.Image:
    edge = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    angle = rng.choice((90, 180, 270, rng.uniform(50, 310)))
    return image.rotate(angle, Image.Resampling.BICUBIC, expand=angle % 90 == 0, fillcolor=edge)


def several_faces(image: Image.Image, other: Image.Image) -> Image.Image:
    pair = Image.new("RGB", (2 * image.width, image.height))
    pair.paste(image, (0, 0))
    pair.paste(other.resize(image.size), (image.width, 0))
    return pair


def stranger(image: Image.Image, rng: random.Random) -> Image.Image:
    """Not a picture of anyone: a page of text, a chart, or stripes."""
    drawn = Image.new("RGB", image.size, "white")
    draw, (width, height) = ImageDraw.Draw(drawn), image.size
    way = rng.randrange(3)
    if way == 0:
        for row in range(6, height, 14):
            draw.text(
                (6, row), "".join(rng.choices("abcdefgh ijklmn opqrst", k=width // 7)), "black"
            )
    elif way == 1:
        for bar in range(8):
            top, colour = rng.randrange(height), tuple(rng.randrange(256) for _ in range(3))
            draw.rectangle((bar * width // 8, top, (bar + 1) * width // 8 - 3, height), colour)
    else:
        colours = [tuple(rng.randrange(256) for _ in range(3)) for _ in range(2)]
        for row in range(0, width + height, 16):
            draw.line((row, 0, row - height, height), colours[row // 16 % 2], 8)
    return drawn


PLANTERS: dict[str, Planter] = {
    "dark": dark, "bright": bright, "low information": low_information, "blurred": blurred,
    "odd shape": odd_shape, "odd size": odd_size, "grey": grey, "no face": no_face,
    "tiny face": tiny_face, "cut off": cut_off, "turned": turned, "outlier": stranger,
}  # fmt: skip


#: Twelve sources of six kinds, and of other sources what is planted under a wrong kind.
SOURCES = (
    *("photo/ffhq-256", "photo/celebahq-256", "photo/unsplash-men", "photo/ciplab-photos"),
    *("photo/utkface", "generated/stylegan-256", "generated/sdxl", "generated/flux"),
    *("cartoon/anime-96", "cartoon/pacs-cartoon", "painting/pacs-art", "sketch/cufs-sketches"),
)
STRANGERS = (
    *("photo/web-faces", "photo/caltech-faces", "generated/sd21", "generated/portraits-512"),
    *("cartoon/anime-64", "cartoon/drawn-avatars", "painting/popart", "sculpture/buddha-statues"),
)
#: Faults of faces are planted where faces are photographed, or look so.
OF_FACES = ("no face", "tiny face", "cut off", "turned", "several faces")
DUPLICATES = ("exact duplicate", "near duplicate")
CLEAN, EACH = 35, 30


def plant(data: Path, root: Path, seed: int) -> dict[str, str]:
    """Write the images under ``root/images/<kind>/<source>``; return the fault of each by path."""
    rng, faults = random.Random(seed), {}
    pools = {name: sorted((data / name).iterdir()) for name in (*SOURCES, *STRANGERS)}
    for pool in pools.values():
        rng.shuffle(pool)

    def write(image: Image.Image, name: str, place: str, fault: str) -> None:
        target = root / "images" / place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target, quality=92)
        faults[str(target)] = fault

    def take(name: str) -> tuple[Image.Image, str]:
        path = pools[name].pop()
        with Image.open(path) as opened:
            return opened.convert("RGB"), path.stem

    for source in SOURCES:
        for number in range(CLEAN):
            image, stem = take(source)
            write(image, f"{number:03}-{stem}.jpg", source, "")
    clean = [Path(path) for path in faults]
    for fault in (*PLANTERS, "several faces", "label error", *DUPLICATES):
        for number in range(EACH):
            photographic = [name for name in SOURCES if name.startswith(("photo", "generated"))]
            coloured = [name for name in SOURCES if not name.startswith("sketch")]
            source = rng.choice(photographic if fault in OF_FACES else coloured)
            name = f"{fault.replace(' ', '-')}-{number:02}.jpg"
            if fault in PLANTERS:
                write(PLANTERS[fault](take(source)[0], rng), name, source, fault)
            elif fault == "several faces":
                write(several_faces(take(source)[0], take(source)[0]), name, source, fault)
            elif fault == "label error":
                kind = source.split("/")[0]
                pool = SOURCES if number % 2 else STRANGERS
                other = rng.choice([one for one in pool if one.split("/")[0] != kind])
                write(take(other)[0], name, source, fault)
            else:
                original = clean[rng.randrange(len(clean))]
                target = original.with_name(name)
                if fault == "exact duplicate":
                    shutil.copy(original, target)
                else:
                    with Image.open(original) as image:
                        scale = rng.uniform(0.7, 0.9)
                        size = [round(side * scale) for side in image.size]
                        image.resize(size).save(target, quality=rng.randrange(50, 80))
                faults[str(target)] = fault
    return faults
