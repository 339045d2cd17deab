"""Duplicates found by facecheck, FAISS, imagededup and cleanvision, side by side in one run.

    python benchmarks/dedup.py million                 # dedup and split, and the hash search
    python benchmarks/dedup.py search                  # time and memory of the hash search
    python benchmarks/dedup.py planted ../shared/data  # recall and precision on planted copies

Peers: pip install faiss-cpu imagededup cleanvision. Those that are missing are named and skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
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
    """Return random hashes; of 1 in 100, the last ones, each is a copy of one of the first.

    From 0 to 12 of its bits are flipped.
    """
    draw = np.random.default_rng(seed)
    hashes = draw.integers(1, 2**63, count, dtype=np.uint64)
    copies = count // 100
    flipped = draw.random((copies, 64)).argsort(axis=1) < draw.integers(0, 13, copies)[:, None]
    bits = np.uint64(1) << np.arange(64, dtype=np.uint64)
    hashes[-copies:] = hashes[:copies] ^ (flipped @ bits)
    return hashes


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def search_alone(tool: str, count: int, radius: int, queries: int) -> dict[str, float]:
    """Time one search in this process, which does nothing else."""
    hashes = np.unique(hashes_with_neighbours(count))
    if module := PEERS.get(tool.split(maxsplit=1)[0]):
        importlib.import_module(module)  # which takes longer than some searches
    before = peak_mb()
    start, cpu = time.perf_counter(), time.process_time()
    pairs = SEARCHES[tool](hashes, radius, queries)
    scale = len(hashes) / min(queries or len(hashes), len(hashes))
    return {
        "hashes": len(hashes), "seconds": (time.perf_counter() - start) * scale, "scale": scale,
        "cpu": (time.process_time() - cpu) * scale,
        "pairs": pairs, "before_mb": before, "peak_mb": peak_mb(),
    }  # fmt: skip


#: What is imported before a peer's time is taken.
PEERS = {"FAISS": "faiss", "imagededup": "imagededup.methods"}


def by_bands(hashes: np.ndarray, radius: int, _: int) -> int:
    return len(pairs_within(hashes, radius))


def by_faiss(hashes: np.ndarray, radius: int, queries: int, *, bands: int = 0) -> int:
    """Search with FAISS: flat, or by bands of bits, which find all within 3 a band less 1."""
    import faiss

    faiss.omp_set_num_threads(cpu_count())
    codes = hashes.view(np.uint8).reshape(-1, 8)
    index = faiss.IndexBinaryMultiHash(64, bands, 64 // bands) if bands else None
    if index is None:
        index = faiss.IndexBinaryFlat(64)
    else:
        index.nflip = 2  # 3 bands x (2 + 1) - 1 = 8 bits: nothing within the radius is missed
    index.add(codes)
    asked = np.random.default_rng(1).choice(len(codes), queries or len(codes), replace=False)
    # FAISS takes distances strictly below its radius, and each hash finds itself.
    limits, _, _ = index.range_search(codes[asked], radius + 1)
    return (int(limits[-1]) - len(asked)) // 2


def by_imagededup_hashes(hashes: np.ndarray, radius: int, _: int) -> int:
    from imagededup.methods import PHash

    names = {str(number): f"{value:016x}" for number, value in enumerate(hashes.tolist())}
    found = PHash(verbose=False).find_duplicates(
        encoding_map=names, max_distance_threshold=radius, num_dist_workers=cpu_count()
    )
    return sum(map(len, found.values())) // 2


SEARCHES: dict[str, Callable[[np.ndarray, int, int], int]] = {
    "facecheck": by_bands,
    "FAISS IndexBinaryFlat": by_faiss,
    "FAISS IndexBinaryMultiHash": partial(by_faiss, bands=3),
    "imagededup find_duplicates": by_imagededup_hashes,
}


def in_new_process(*arguments: str) -> dict[str, float]:
    command = [sys.executable, __file__, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def search(count: int, radius: int, queries: int, few: int) -> None:
    """Time the search of all pairs; slow peers on some queries, imagededup on few hashes."""
    print(f"All pairs within {radius} bits; each tool in a process of its own.\n")
    print(
        "| tool | hashes | seconds | CPU seconds | pairs | peak RSS, MB | times facecheck's CPU |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    cases = [("facecheck", count, 0)]
    if not missing("faiss", "faiss-cpu"):
        cases += [("FAISS IndexBinaryMultiHash", count, 10 * queries)]
        cases += [("FAISS IndexBinaryFlat", count, queries)]
    if not missing("imagededup", "imagededup"):
        cases += [("facecheck", few, 0), ("imagededup find_duplicates", few, 0)]
    for tool, hashes, asked in cases:
        done = in_new_process("alone", tool, *map(str, (hashes, radius, asked)))
        if tool == "facecheck":
            ours = done["cpu"]  # whatever else the machine does
        name = tool + (f" (on {asked:,} queries, times {done['scale']:.0f})" if asked else "")
        pairs = f"{done['pairs']:,}" if not asked else "-"
        print(
            f"| {name} | {done['hashes']:,} | {done['seconds']:.2f} | {done['cpu']:.2f} | {pairs} "
            f"| {done['peak_mb']:.0f} | {done['cpu'] / ours:.1f} |",
            flush=True,
        )


def picture(number: int) -> bytes:
    """Return a JPEG of 256 px, of soft noise of its own."""
    noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
    image = Image.fromarray(noise).resize((256, 256), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def make_manifest(work: Path, count: int, radius: int) -> Path:
    """Write a manifest, and the files that dedup must compare: those whose hashes are near.

    Of ten records eight are distinct, with :func:`hashes_with_neighbours`, one is blank, of a size
    of its own, and one has the pixels of another; half of these are of one picture. Every second
    planted neighbour shows the picture of the record it is near.
    """
    import polars as pl

    from facecheck.core.labels import KINDS
    from facecheck.core.manifest import Manifest, write_manifest

    draw = np.random.default_rng(0)
    distinct, tenth = count * 8 // 10, count // 10
    near = distinct // 100
    shown = draw.integers(0, 200, distinct)
    shown[-near::2] = shown[:near:2]
    original = draw.integers(near, distinct - near, tenth)
    original[::2] = near
    which = np.concatenate([np.arange(distinct), original])
    phash = np.concatenate([hashes_with_neighbours(distinct)[which], np.full(tenth, 1 << 63)])
    pixels = draw.integers(0, 2**63, (distinct + tenth, 4))[
        np.append(which, distinct + np.arange(tenth))
    ]
    side = np.append(draw.integers(64, 1024, distinct)[which], np.arange(tenth) + 1)
    nodes, times = np.unique(phash[:distinct], return_counts=True)
    met = np.append(nodes[pairs_within(nodes, radius)[:, :2]], nodes[times > 1])
    compared = np.isin(phash, met)
    order = draw.permutation(len(phash))
    for number in range(200):
        (work / f"{number}.jpg").write_bytes(picture(number))
    paths = [str(work / "raw" / f"{n // 1000:05}" / f"{n:07}.jpg") for n in range(len(order))]
    for n in np.flatnonzero(compared[order]).tolist():
        Path(paths[n]).parent.mkdir(parents=True, exist_ok=True)
        Path(paths[n]).symlink_to(work / f"{shown[which[order[n]]]}.jpg")
    source = np.arange(len(order)) * 40 // len(order)
    frame = pl.DataFrame(
        {
            "path": paths,
            "source": [f"source-{number:02}" for number in source.tolist()],
            "kind": [str(KINDS[number % len(KINDS)]) for number in source.tolist()],
            "sha256": hexed(draw.integers(0, 2**63, (len(order), 4))),
            "pixel_hash": hexed(pixels[order]),
            "phash": hexed(phash[order, None]),
            "width": side[order],
            "height": side[order],
            "format": "JPEG",
            "bytes": draw.integers(2000, 90000, len(order)),
        }
    )
    write_manifest(Manifest.from_frame(frame), work / "m.csv", {})
    return work / "m.csv"


def hexed(rows: np.ndarray) -> list[str]:
    return ["".join(f"{value:016x}" for value in row) for row in rows.tolist()]


def million(count: int, radius: int, queries: int, few: int) -> None:
    """Time dedup and split as commands, one after the other, and the hash search with its peers."""
    print(f"{count:,} records, a tenth of them copies, a tenth blank; {cpu_count()} cores, load")
    print(f"{os.getloadavg()[0]:.1f}.\n")
    print("| step | seconds | CPU seconds | peak RSS, MB |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        manifest = make_manifest(Path(folder), count, radius)
        total, cpu, most = 0.0, 0.0, 0.0
        for name in ("dedup", "split"):
            start = time.perf_counter()
            command = [sys.executable, "-m", "facecheck", name, str(manifest), "--quiet"]
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(child.pid, 0)
            if status:
                raise SystemExit(f"{name} failed")
            seconds, mb = time.perf_counter() - start, used.ru_maxrss / 1024
            total, most = total + seconds, max(most, mb)
            cpu += used.ru_utime + used.ru_stime
            print(
                f"| {name} | {seconds:.0f} | {used.ru_utime + used.ru_stime:.1f} | {mb:.0f} |",
                flush=True,
            )
        print(f"| both | {total:.0f} | {cpu:.1f} | {most:.0f} |\n")
    search(count * 8 // 10, radius, queries, few)


def missing(module: str, package: str) -> bool:
    """Return whether a peer is not installed, and say so."""
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
    for name, what in (
        ("million", "dedup and split of a million records, and the hash search with its peers"),
        ("search", "time and memory of the hash search alone"),
    ):
        one = commands.add_parser(name, help=what)
        one.add_argument("--count", type=int, default=1_000_000)
        one.add_argument("--radius", type=int, default=8)
        one.add_argument(
            "--queries", type=int, default=2_000, help="queries FAISS's flat index gets"
        )
        one.add_argument("--few", type=int, default=10_000, help="hashes that imagededup gets")
    two = commands.add_parser("planted", help="recall and precision on planted copies")
    two.add_argument("data", type=Path, help="images laid out <kind>/<source>/")
    two.add_argument("--per-source", type=int, default=50)
    two.add_argument("--seed", type=int, default=0)
    alone = commands.add_parser("alone", help="one search; used by the search command")
    alone.add_argument("tool", choices=SEARCHES)
    for name in ("count", "radius", "queries"):
        alone.add_argument(name, type=int)
    given = parser.parse_args()
    if given.command in {"million", "search"}:
        job = million if given.command == "million" else search
        job(given.count, given.radius, given.queries, given.few)
    elif given.command == "planted":
        planted(given.data, given.per_source, given.seed)
    else:
        print(json.dumps(search_alone(given.tool, given.count, given.radius, given.queries)))


if __name__ == "__main__":
    main()
