"""How often files of several faces get which verdict, in montages that calibration did not see.

    python benchmarks/several_faces.py MANIFEST CHECKPOINT --split test
    python benchmarks/several_faces.py MANIFEST CHECKPOINT --sources unsplash-men --sources utkface

From the photographs of a split or of some sources, montages of 1, 4, 16 and 64 faces are drawn at
random, each on one background, and scanned as any file is. They are all real: `artificial` is a
false alarm. With ``--one-source`` a montage is of one source, as faces in one photograph are of one
camera. With ``--artificial N`` so many of the faces are artificial: `real` is a miss.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from pathlib import Path

import polars as pl
from PIL import Image

from facecheck.core.image import decode
from facecheck.core.labels import Kind
from facecheck.core.manifest import Manifest, read_manifest
from facecheck.scanner.job import scan
from facecheck.scanner.options import ScanOptions
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import Row, read_rows

#: Faces in a montage, and how many montages.
SIZES = {1: 400, 4: 200, 16: 100, 64: 50}
TILE, GAP = 220, 36


def montage(files: list[Path]) -> Image.Image:
    """Return the images next to each other, each scaled to a tile, on a dark background."""
    across = max(2, round(len(files) ** 0.5))
    side = TILE + GAP
    page = Image.new("RGB", (across * side + GAP, across * side + GAP), (52, 58, 61))
    for number, file in enumerate(files):
        image = decode(file).image
        image.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
        page.paste(image, (GAP + number % across * side, GAP + number // across * side))
    return page


def drawn(records: Manifest, count: int, one_source: bool, chance: random.Random) -> list[Path]:
    """Return images of a montage; of one source, drawn by its size, each once while they last."""
    if one_source:
        source = chance.choice(records.frame["source"].to_list())
        records = records.of_sources([source])
    paths = records.paths()
    chance.shuffle(paths)
    return (paths * (count // len(paths) + 1))[:count]


def rows_of(records: Manifest, others: Manifest, faces: int, args: argparse.Namespace) -> list[Row]:
    """Scan montages of so many faces; return a row for each."""
    chance = random.Random(faces)
    fewer = min(args.artificial, faces)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(SIZES[faces]):
            files = drawn(records, faces - fewer, args.one_source, chance) if faces > fewer else []
            files += chance.sample(others.paths(), fewer) if fewer else []
            chance.shuffle(files)
            montage(files).save(Path(folder) / f"{number:03}.jpg", quality=92)
        out = Path(folder) / "rows.csv"
        scan([folder], out, args.checkpoint, ScanOptions())
        return list(read_rows(out, COLUMNS))


def main() -> None:
    """Print a row for each number of faces."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--sources", action="append", default=[])
    parser.add_argument("--one-source", action="store_true")
    parser.add_argument("--artificial", type=int, default=0)
    args = parser.parse_args()
    records = read_manifest(args.manifest)
    records = records.of_sources(args.sources) if args.sources else records.in_split(args.split)
    photos = records.where(pl.col("kind") == Kind.PHOTO)
    others = records.where(pl.col("kind") != Kind.PHOTO)
    print(
        "| faces | files | `real` | `uncertain` | `artificial` | by the threshold for one | found |"
    )
    print("|" + "---:|" * 7)
    for faces in SIZES:
        rows = rows_of(photos, others, faces, args)
        found = sum(int(row["faces"] or 0) for row in rows) / len(rows)
        tally = Counter(str(row["verdict"]) for row in rows)
        for_one = tally["artificial"] + sum("of so many" in str(row["message"]) for row in rows)
        counts = [*(tally[name] for name in ("real", "uncertain", "artificial")), for_one]
        shares = " | ".join(f"{100 * count / len(rows):.1f} %" for count in counts)
        print(f"| {faces} | {len(rows)} | {shares} | {found:.1f} |", flush=True)


if __name__ == "__main__":
    main()
