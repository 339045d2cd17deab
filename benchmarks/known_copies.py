"""How many copies of known files a scan recognises, and how many other files it takes for one.

    python benchmarks/known_copies.py DATA

DATA is laid out <kind>/<source>/ (../shared/data). A table of 400 files of six folders is made with
their thumbnails; each is then changed in several ways and looked up, and so are five times as many
other files of the same folders, none of which is in the table.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image

from facecheck.core.image import decode
from facecheck.known.add import known_add
from facecheck.known.lookup import KnownTable, open_known
from facecheck.known.options import KnownAddOptions

FOLDERS = {
    **{"photo/ffhq-256": 100, "generated/stylegan-256": 100, "photo/cufs-photos": 50},
    **{"sketch": 50, "painting": 50, "cartoon": 50},
}
Change = Callable[[Image.Image], bytes]


def saved(image: Image.Image, file_format: str, **options: int) -> bytes:
    target = BytesIO()
    image.save(target, file_format, **options)
    return target.getvalue()


def scaled(image: Image.Image, share: float) -> Image.Image:
    return image.resize((max(1, int(image.width * share)), max(1, int(image.height * share))))


def cropped(image: Image.Image, share: float) -> Image.Image:
    left, top = int(image.width * share / 2), int(image.height * share / 2)
    return image.crop((left, top, image.width - left, image.height - top))


CHANGES: dict[str, Change] = {
    "PNG": lambda image: saved(image, "PNG"),
    "JPEG of quality 50": lambda image: saved(image, "JPEG", quality=50),
    "JPEG of quality 30": lambda image: saved(image, "JPEG", quality=30),
    "half the size, JPEG of quality 75": lambda image: saved(
        scaled(image, 0.5), "JPEG", quality=75
    ),
    "0.75 of the size, WebP of quality 75": lambda image: saved(
        scaled(image, 0.75), "WEBP", quality=75
    ),
    "3 % cut off, PNG": lambda image: saved(cropped(image, 0.03), "PNG"),
}


def found(table: KnownTable, content: bytes) -> str:
    match = table.by_bytes(content) or table.by_picture(
        content, decode(content, short_side=448).image
    )
    return match.how if match else "not known"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    known, others = [], []
    chosen = random.Random(0)
    for folder, count in FOLDERS.items():
        files = sorted(
            path
            for path in (data / folder).rglob("*")
            if path.suffix.lower() in {".jpg", ".jpeg", ".png"}
        )
        chosen.shuffle(files)
        known += files[:count]
        others += files[count : 6 * count]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "known.csv"
        known_add(known, path, KnownAddOptions(verdict="real"))
        table = open_known(path)
        images = [decode(file).image for file in known]
        for name, change in CHANGES.items():
            print(f"{name}: {dict(Counter(found(table, change(image)) for image in images))}")
        print(f"others: {dict(Counter(found(table, file.read_bytes()) for file in others))}")


if __name__ == "__main__":
    main()
