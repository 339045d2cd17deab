#!/usr/bin/env python
"""Images a second of `facecheck scan` with the built-in model, next to ONNX Runtime alone.

    python benchmarks/large.py ../shared/data --images 200 --repeats 3

Three works on the same images of 256 px take turns: ONNX Runtime runs the encoder on ready crops,
one crop a run, on each core by itself; a scan without looking for faces; and a scan that looks for
them. A scan's rate leaves out its start: it is the number of further images over the further time
that all take against one. Prints medians, and shares of ONNX Runtime's rate.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice, zip_longest
from pathlib import Path

from facecheck.core.parallel import cpu_count
from facecheck.core.workspace import BUILTIN_ENCODER
from facecheck.model.encoder import Encoder
from facecheck.model.transforms import load_input

SOURCES = ("photo/ffhq-256", "generated/stylegan-256", "photo/celeba-256", "generated/sd21")


def link(data: Path, folder: Path, count: int) -> list[Path]:
    """Put some images of each source into a folder, and return them."""
    found = zip_longest(*(sorted((data / source).iterdir()) for source in SOURCES))
    folder.mkdir()
    files = []
    for number, path in enumerate(islice((one for one in chain(*found) if one), count)):
        files.append(folder / f"{number:05}{path.suffix}")
        files[-1].symlink_to(path.resolve())
    return files


def scan_seconds(what: Path, faces: str) -> float:
    command = [sys.executable, "-m", "facecheck", "scan", str(what), "--out", "-", "--faces", faces]
    start = time.perf_counter()
    subprocess.run([*command, "--checkpoint", "builtin", "-q"], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="images laid out <kind>/<source>/")
    parser.add_argument("--images", type=int, default=200, help="how many [200]")
    parser.add_argument("--repeats", type=int, default=3, help="of each work [3]")
    given = parser.parse_args()
    encoder = Encoder(BUILTIN_ENCODER)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "all"
        files = link(given.data, folder, given.images)
        crops = [load_input(path, encoder.transform) for path in files]

        def alone() -> float:
            start = time.perf_counter()
            with ThreadPoolExecutor(cpu_count()) as pool:
                list(pool.map(encoder.features, crops))
            return len(crops) / (time.perf_counter() - start)

        def scanned(faces: str) -> float:
            first = scan_seconds(files[0], faces)
            return (len(files) - 1) / (scan_seconds(folder, faces) - first)

        works: dict[str, Callable[[], float]] = {
            "ONNX Runtime, ready crops": alone,
            "scan --faces off": lambda: scanned("off"),
            "scan": lambda: scanned("auto"),
        }
        rates: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(given.repeats):
            for name, work_ in works.items():
                rates[name].append(work_())
    best = statistics.median(rates["ONNX Runtime, ready crops"])
    print(f"{len(files)} images of 256 px, {cpu_count()} cores\n")
    print("| | images a second | of ONNX Runtime alone |\n|---|---:|---:|")
    for name, found in rates.items():
        middle = statistics.median(found)
        spread = f"{min(found):.1f} to {max(found):.1f}"
        print(f"| {name} | {middle:.1f} ({spread}) | {middle / best:.0%} |")


if __name__ == "__main__":
    main()
