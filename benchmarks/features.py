#!/usr/bin/env python
"""How much faster an epoch from cached features is than one through the frozen network.

    python benchmarks/features.py ../shared/data --images 600

Trains a head for three epochs on the same face crops twice: by `train --encoder builtin`, from
cached features, and by running the same encoder over every image in every epoch, which is what a
frozen backbone costs without a cache. Prints seconds an epoch, the one-time cost of the cache, and
the ratio.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from facecheck.core.manifest import Manifest, read_manifest, write_manifest
from facecheck.core.parallel import map_ordered
from facecheck.core.workspace import BUILTIN_ENCODER
from facecheck.data.index import index
from facecheck.data.options import IndexOptions, SplitOptions
from facecheck.data.split import split
from facecheck.model.encoder import Encoder
from facecheck.model.transforms import load_input
from facecheck.scanner.crop import crop
from facecheck.scanner.options import CropOptions
from facecheck.training.options import TrainOptions
from facecheck.training.recipe import load_recipe
from facecheck.training.train import train

SOURCES = ("photo/ffhq-256", "generated/stylegan-256", "photo/celeba-256", "generated/sd21")


def crops(data: Path, work: Path, images: int) -> Path:
    """Return a manifest of face crops with splits."""
    named = tuple(f"{source}/*" for source in SOURCES)
    made = index([data], work / "all.csv", IndexOptions(include=named))
    few = read_manifest(made.manifest).sampled(images // len(SOURCES))
    write_manifest(Manifest(few.frame), work / "few.csv", {})
    split(work / "few.csv", SplitOptions())
    return crop(work / "few.csv", CropOptions(out=work / "faces")).manifest


def without_cache(manifest: Path) -> float:
    """Return the seconds that one pass of the training images through the encoder takes."""
    encoder, records = Encoder(BUILTIN_ENCODER), read_manifest(manifest).in_split("train")
    start = time.perf_counter()
    for features in map_ordered(
        lambda path: encoder.features(load_input(path, encoder.transform)),
        records.paths(),
        workers=2,
    ):
        assert np.isfinite(features[0]).all()
    return time.perf_counter() - start


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=600)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        manifest = crops(chosen.data.resolve(), work, chosen.images)
        changes = {"epochs": 3, "source_share": {}, "views": 1}
        recipe = load_recipe("builtin", changes)
        options = TrainOptions(runs=work / "runs", features=work / "features")
        start = time.perf_counter()
        first = train(manifest, recipe, options)
        whole = time.perf_counter() - start
        second = train(manifest, recipe, options)
        cached = float(np.median([row.seconds for row in second.epochs[1:]]))
        network = without_cache(manifest)
    print(f"{first.train_images} training images, {recipe.members} heads, 2 cores\n")
    print("| | seconds |\n|---|---|")
    print(f"| an epoch through the frozen encoder | {network:.1f} |")
    print(f"| an epoch from cached features | {cached:.2f} |")
    print(f"| first training, cache included (3 epochs) | {whole:.1f} |")
    print(f"\nratio: {network / cached:.0f} times")


if __name__ == "__main__":
    main()
