"""How often files of several faces get which verdict.

    python benchmarks/several_faces.py scores docs/model/left-out-scores.csv
    python benchmarks/several_faces.py montages MANIFEST CHECKPOINT --split test
    python benchmarks/several_faces.py montages MANIFEST CHECKPOINT --sources unsplash-men

``scores`` draws files of 1, 4, 16 and 64 faces from scores that `leave-out` or `evaluate` wrote and
holds each against the thresholds of the built-in model: seconds, and a hundred thousand files.
``montages`` shows that a scan does the same: from the photographs of a split or of some sources,
montages are drawn, each on one background, and scanned as any file is. With ``--one-source`` a
montage is of one source, as faces in one photograph are of one camera. The faces are all real, so
`artificial` is a false alarm; with ``--artificial N`` so many are artificial, and `real` is a miss.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from facecheck.core.image import decode
from facecheck.core.labels import Kind
from facecheck.core.manifest import Manifest, read_manifest
from facecheck.core.workspace import BUILTIN
from facecheck.engines.load import load_predictor
from facecheck.model.metrics import Floats
from facecheck.model.several_faces import file_threshold
from facecheck.scanner.job import scan
from facecheck.scanner.options import ScanOptions
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import Row, read_rows

#: Faces in a montage, and how many montages.
SIZES = {1: 400, 4: 200, 16: 100, 64: 50}
#: Files drawn from scores, for each number of faces and way of drawing.
FILES = 100_000
#: These ways, in words: whether all faces are of one source, and how many are artificial.
WAYS = (
    ("any source", False, 0),
    ("one source", True, 0),
    ("one source, one artificial", True, 1),
)
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
        for number in range(max(1, round(SIZES[faces] * args.share))):
            files = drawn(records, faces - fewer, args.one_source, chance) if faces > fewer else []
            files += chance.sample(others.paths(), fewer) if fewer else []
            chance.shuffle(files)
            montage(files).save(Path(folder) / f"{number:03}.jpg", quality=92)
        out = Path(folder) / "rows.csv"
        scan([folder], out, args.checkpoint, ScanOptions())
        return list(read_rows(out, COLUMNS))


def by_source(table: Path, temperature: float) -> dict[tuple[str, str], Floats]:
    """Return each source's scores, of 0 to 1, by its kind and name."""
    frame = pl.read_csv(table)
    if "log_odds" in frame.columns:
        frame = frame.with_columns(score=1 / (1 + (-pl.col("log_odds") / temperature).exp()))
    parts = frame.partition_by("kind", "source", as_dict=True)
    return {(str(k), str(s)): part["score"].to_numpy() for (k, s), part in sorted(parts.items())}


def highest(
    parts: list[Floats], faces: int, one_source: bool, chance: np.random.Generator
) -> Floats:
    """Return the highest score of each of :data:`FILES` files, every source drawn alike."""
    if not faces:
        return np.zeros(FILES)
    if one_source:
        share = -(-FILES // len(parts))
        return np.concatenate([chance.choice(one, (share, faces)).max(1) for one in parts])[:FILES]
    sizes = np.array([len(one) for one in parts])
    which = chance.integers(len(parts), size=(FILES, faces))
    place = (sizes.cumsum() - sizes)[which] + chance.integers(sizes[which])
    return np.asarray(np.concatenate(parts)[place].max(1))


def from_scores(args: argparse.Namespace) -> None:
    """Print a table for each file of scores."""
    header = load_predictor(BUILTIN).header
    limit = file_threshold(header)
    for table in args.tables:
        sources = by_source(table, header.temperature)
        photos = [one for (kind, _), one in sources.items() if kind == Kind.PHOTO]
        others = [one for (kind, _), one in sources.items() if kind != Kind.PHOTO]
        chance = np.random.default_rng(0)
        print(f"\n{table}: {len(photos)} sources of photographs, {FILES:,} files a row\n")
        print("| faces | of | `real` | `uncertain` | `artificial` | by the threshold for one |")
        print("|---:|---|" + "---:|" * 4)
        for what, one_source, artificial in WAYS:
            for faces in SIZES:
                top = highest(photos, faces - artificial, one_source, chance)
                if artificial:
                    top = np.maximum(chance.permutation(top), highest(others, 1, True, chance))
                real, wrong = (top <= limit.low).mean(), (top >= limit.of(faces)).mean()
                shares = (real, 1 - real - wrong, wrong, (top >= limit.high).mean())
                print(f"| {faces} | {what} | " + " | ".join(f"{one:.1%}" for one in shares) + " |")


def from_montages(args: argparse.Namespace) -> None:
    """Print a row for each number of faces."""
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


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ways = parser.add_subparsers(required=True)
    way = ways.add_parser("scores", help="files drawn from scores")
    way.add_argument("tables", type=Path, nargs="+")
    way.set_defaults(run=from_scores)
    way = ways.add_parser("montages", help="montages drawn and scanned")
    way.add_argument("manifest", type=Path)
    way.add_argument("checkpoint", type=Path)
    way.add_argument("--split", default="test")
    way.add_argument("--sources", action="append", default=[])
    way.add_argument("--one-source", action="store_true")
    way.add_argument("--artificial", type=int, default=0)
    way.add_argument("--share", type=float, default=1.0, help=f"of so many files: {SIZES} [1]")
    way.set_defaults(run=from_montages)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
