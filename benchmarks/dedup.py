"""Duplicates found by facecheck, FAISS, imagededup and cleanvision, side by side in one run.

    python benchmarks/dedup.py search                  # time and memory of the hash search
    python benchmarks/dedup.py planted ../shared/data  # recall and precision on planted copies

Peers: pip install faiss-cpu imagededup cleanvision. Those that are missing are named and skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from facecheck.core.image import decode
from facecheck.core.parallel import cpu_count
from facecheck.data.duplicates.hamming import pairs_within
from facecheck.data.options import DedupOptions, IndexOptions

Pairs = set[frozenset[str]]


def hashes_with_neighbours(count: int, seed: int = 0) -> np.ndarray:
    """Return random hashes; 1 in 100 is a copy of another with 0 to 12 bits flipped."""
    random_state = np.random.default_rng(seed)
    hashes = random_state.integers(0, 2**64, count, dtype=np.uint64)
    copies = hashes[: count // 100].copy()
    for index in range(len(copies)):
        for bit in random_state.choice(64, random_state.integers(0, 13), replace=False):
            copies[index] ^= np.uint64(1 << int(bit))
    hashes[len(hashes) - len(copies) :] = copies
    return np.unique(hashes)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def search_alone(tool: str, count: int, radius: int, queries: int) -> dict[str, float]:
    """Time one search in this process, which does nothing else."""
    hashes = hashes_with_neighbours(count)
    before = peak_mb()
    asked = np.random.default_rng(1).choice(len(hashes), queries, replace=False)
    start, cpu = time.perf_counter(), time.process_time()
    if tool == "facecheck":
        pairs = pairs_within(hashes, radius)
        seconds, scale = time.perf_counter() - start, 1.0
        found = len(pairs)
        asked_pairs = int(np.isin(pairs[:, :2], asked).sum())
    else:
        import faiss

        faiss.omp_set_num_threads(cpu_count())
        codes = hashes.view(np.uint8).reshape(-1, 8)
        index = faiss.IndexBinaryFlat(64)
        index.add(codes)
        # FAISS takes distances strictly below its radius, and each hash finds itself.
        limits, _, _ = index.range_search(codes[asked], radius + 1)
        scale = len(hashes) / queries
        seconds = (time.perf_counter() - start) * scale
        asked_pairs = int(limits[-1]) - queries
        found = -1
    return {
        "hashes": len(hashes), "seconds": seconds, "scale": scale, "pairs": found,
        "cpu": (time.process_time() - cpu) * scale,
        "asked_pairs": asked_pairs, "before_mb": before, "peak_mb": peak_mb(),
    }  # fmt: skip


def in_new_process(*arguments: str) -> dict[str, float]:
    command = [sys.executable, __file__, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def search(count: int, radius: int, queries: int) -> None:
    print(f"All pairs within {radius} bits among {count:,} random hashes with planted neighbours,")
    print(f"{cpu_count()} cores; each tool in a process of its own.\n")
    print("| tool | seconds | CPU seconds | pairs | peak RSS, MB | of that before the search |")
    print("|---|---|---|---|---|---|")
    results = {}
    for tool in ("facecheck", "faiss"):
        if tool == "faiss" and missing("faiss", "faiss-cpu"):
            continue
        done = in_new_process("alone", tool, *map(str, (count, radius, queries)))
        results[tool] = done
        note = f" (on {queries:,} queries, times {done['scale']:.0f})" if tool == "faiss" else ""
        name = "FAISS IndexBinaryFlat.range_search" if tool == "faiss" else tool
        pairs = f"{done['pairs']:,}" if done["pairs"] >= 0 else "-"
        print(
            f"| {name}{note} | {done['seconds']:.1f} | {done['cpu']:.1f} | {pairs} "
            f"| {done['peak_mb']:.0f} | {done['before_mb']:.0f} |"
        )
    if len(results) == 2:
        ours, theirs = results["facecheck"], results["faiss"]
        print(f"\nfacecheck is {theirs['seconds'] / ours['seconds']:.0f} times faster. Neighbours")
        print(f"of the {queries:,} queries: {ours['asked_pairs']} found by facecheck,")
        print(f"{theirs['asked_pairs']} by FAISS.")
    print()
    crowds()


def crowds() -> None:
    """Time dedup with and without a crowd under one hash. No file is read: none is in doubt."""
    from facecheck.core.manifest import Manifest, Record, write_manifest
    from facecheck.data.duplicates.dedup import dedup

    print("dedup of a manifest of 100,000 records at radius 4 (no two others meet), seconds:\n")
    print("| crowd | seconds |\n|---|---|")
    draw = random.Random(0)
    for crowd in ("none", "20,000 identical images", "20,000 blank ones of different sizes"):
        records = []
        for number in range(100_000):
            pixels, phash = f"{draw.getrandbits(256):064x}", f"{draw.getrandbits(64):016x}"
            if number % 5 == 0 and crowd != "none":
                phash = "8000000000000000" if "blank" in crowd else "0123456789abcdef"
                pixels = pixels if "blank" in crowd else "0" * 64
            path = f"{number}.jpg"
            records.append(Record(path, "s", "photo", pixels, pixels, phash, 9, 9, "JPEG", 9))
        with tempfile.TemporaryDirectory() as folder:
            manifest = Path(folder) / "m.parquet"
            write_manifest(Manifest.from_records(records), manifest, {})
            start = time.perf_counter()
            dedup(manifest, DedupOptions(radius=4))
            print(f"| {crowd} | {time.perf_counter() - start:.1f} |")


def missing(module: str, package: str) -> bool:
    """Return whether a peer is not installed, and say so."""
    import importlib.util

    if importlib.util.find_spec(module):
        return False
    print(f"\n({package} is not installed and so skipped: pip install {package})\n")
    return True


def jpeg(image: Image.Image, _: random.Random, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue())).convert("RGB")


def resized(image: Image.Image, _: random.Random, scale: float) -> Image.Image:
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def cropped(image: Image.Image, draw: random.Random) -> Image.Image:
    width, height = round(0.95 * image.width), round(0.95 * image.height)
    left = draw.randint(0, image.width - width)
    top = draw.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def brighter(image: Image.Image, draw: random.Random) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(draw.choice((0.7, 0.85, 1.15, 1.3)))


TRANSFORMS: dict[str, Callable[[Image.Image, random.Random], Image.Image]] = {
    **{f"JPEG q{quality}": partial(jpeg, quality=quality) for quality in (30, 50, 70, 90)},
    **{f"resize {scale:g}x": partial(resized, scale=scale) for scale in (0.5, 0.75, 1.5, 2)},
    "crop 5 %": cropped,
    "flip": lambda image, _: ImageOps.mirror(image),
    "brightness": brighter,
    "grey": lambda image, _: ImageOps.grayscale(image).convert("RGB"),
}


def plant(originals: list[Path], transform: str, folder: Path) -> None:
    """Lay originals and one transformed copy of each into a folder, as N-original and N-copy."""
    draw = random.Random(transform)
    folder.mkdir(parents=True)
    for number, path in enumerate(originals):
        shutil.copy(path, folder / f"{number:05}-original{path.suffix}")
        # PNG, so that nothing but the transform is measured.
        copy = TRANSFORMS[transform](decode(path).image, draw)
        copy.save(folder / f"{number:05}-copy.png", compress_level=1)


def by_facecheck(folder: Path, level: str) -> Pairs:
    import polars as pl

    from facecheck.data.duplicates.dedup import dedup
    from facecheck.data.index import index

    with tempfile.TemporaryDirectory() as work:
        manifest = Path(work) / "m.csv"
        index([folder], manifest, IndexOptions(kind="photo", source="s"))
        table = pl.read_csv(dedup(manifest, DedupOptions(level=level)).duplicates)
    pairs = zip(table["dropped"], table["keeper"], strict=True)
    return {frozenset(Path(path).name for path in pair) for pair in pairs}


def by_imagededup(folder: Path) -> Pairs:
    from imagededup.methods import PHash

    found = PHash(verbose=False).find_duplicates(
        image_dir=str(folder), max_distance_threshold=10, num_enc_workers=0, num_dist_workers=0
    )
    return {frozenset((name, other)) for name, others in found.items() for other in others}


def by_cleanvision(folder: Path) -> Pairs:
    from cleanvision import Imagelab

    lab = Imagelab(data_path=str(folder))
    lab.find_issues({"near_duplicates": {}, "exact_duplicates": {}}, n_jobs=1, verbose=False)
    sets = [*lab.info["near_duplicates"]["sets"], *lab.info["exact_duplicates"]["sets"]]
    return {
        frozenset(Path(path).name for path in pair)
        for members in sets
        for pair in combinations(members, 2)
    }


def finders() -> Iterator[tuple[str, Callable[[Path], Pairs]]]:
    yield "facecheck picture", partial(by_facecheck, level="picture")
    yield "facecheck edited", partial(by_facecheck, level="edited")
    if not missing("imagededup", "imagededup"):
        yield "imagededup PHash", by_imagededup
    if not missing("cleanvision", "cleanvision"):
        yield "cleanvision", by_cleanvision


def judged(pairs: Pairs, count: int) -> tuple[float, float | None, int]:
    """Return recall, precision (None without a pair) and wrong pairs."""
    right = {pair for pair in pairs if len({name.split("-")[0] for name in pair}) == 1}
    return len(right) / count, len(right) / len(pairs) if pairs else None, len(pairs - right)


def cell(recall: float, precision: float | None, wrong: int) -> str:
    return f"{recall:.3f} / {'-' if precision is None else f'{precision:.3f}'} ({wrong})"


def planted(data: Path, per_source: int, seed: int) -> None:
    draw = random.Random(seed)
    sources = sorted(path for path in data.glob("*/*") if path.is_dir())
    files = {source: sorted(path for path in source.iterdir()) for source in sources}
    sample = [
        path for part in files.values() for path in draw.sample(part, min(per_source, len(part)))
    ]
    people = next(part for source, part in files.items() if source.name == "portraits-512")
    tools = list(finders())
    print(f"Recall / precision (wrong pairs); {len(sample)} originals, up to {per_source} of each")
    print(f"of {len(sources)} sources (seed {seed}), and one transformed copy of each.\n")
    print("| transform |" + "".join(f" {name} |" for name, _ in tools))
    print("|---|" + "---|" * len(tools), flush=True)
    seconds = dict.fromkeys((name for name, _ in tools), 0.0)
    cases = [(name, name, sample) for name in TRANSFORMS]
    cases.append((f"all {len(people)} portraits-512, JPEG q50", "JPEG q50", people))
    for label, transform, originals in cases:
        cells = []
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work) / "images"
            plant(originals, transform, folder)
            for name, find in tools:
                start = time.perf_counter()
                with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
                    pairs = find(folder)
                seconds[name] += time.perf_counter() - start
                cells.append(cell(*judged(pairs, len(originals))))
        print(f"| {label} | " + " | ".join(cells) + " |", flush=True)
    print("| seconds in all | " + " | ".join(f"{taken:.0f}" for taken in seconds.values()) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("search", help="time and memory of the hash search")
    one.add_argument("--count", type=int, default=1_000_000)
    one.add_argument("--radius", type=int, default=8)
    one.add_argument("--queries", type=int, default=5_000, help="queries that FAISS is given")
    two = commands.add_parser("planted", help="recall and precision on planted copies")
    two.add_argument("data", type=Path, help="images laid out <kind>/<source>/")
    two.add_argument("--per-source", type=int, default=50)
    two.add_argument("--seed", type=int, default=0)
    alone = commands.add_parser("alone", help="one search; used by the search command")
    alone.add_argument("tool", choices=("facecheck", "faiss"))
    for name in ("count", "radius", "queries"):
        alone.add_argument(name, type=int)
    given = parser.parse_args()
    if given.command == "search":
        search(given.count, given.radius, given.queries)
    elif given.command == "planted":
        planted(given.data, given.per_source, given.seed)
    else:
        print(json.dumps(search_alone(given.tool, given.count, given.radius, given.queries)))


if __name__ == "__main__":
    main()
