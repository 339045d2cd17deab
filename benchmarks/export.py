"""Export a checkpoint to every format and precision; print how each agrees and how fast it runs.

    taskset -c 0 python benchmarks/export.py CHECKPOINT MANIFEST FOLDER

The time is the process's own on one core, per image, in batches of 16, the best of five.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from facecheck.core.errors import FacecheckError
from facecheck.engines.base import SUFFIXES
from facecheck.engines.export import export_checkpoint
from facecheck.engines.load import load_predictor
from facecheck.engines.options import ExportOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("manifest", type=Path, help="a manifest with a val split")
    parser.add_argument("folder", type=Path, help="where the exports go")
    given = parser.parse_args()
    checkpoint, manifest, folder = given.checkpoint, given.manifest, given.folder
    folder.mkdir(parents=True, exist_ok=True)
    print("| file | precision | MB | images | largest | mean | verdicts | top-1 | ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    print(f"| {checkpoint.name} | fp32 | {checkpoint.stat().st_size / 1e6:.1f} |  |  |  |  |  |"
          f" {speed(checkpoint):.1f} |")  # fmt: skip
    for name, suffix in SUFFIXES.items():
        for precision in ("fp32", "fp16", "int8"):
            path = folder / f"{precision}{suffix}"
            try:
                options = ExportOptions(precision=precision, per_source=20, overwrite=True)
                done = export_checkpoint(checkpoint, path, options, manifest=manifest)
            except FacecheckError as error:
                print(f"| {name} | {precision} | {error} |", flush=True)
                continue
            print(
                f"| {name} | {precision} | {done.bytes / 1e6:.1f} | {done.images} "
                f"| {done.largest_difference:.6f} | {done.mean_difference:.6f} "
                f"| {done.verdicts_changed} | {done.top1:.4f} to {done.exported_top1:.4f} "
                f"| {speed(path):.1f} |",
                flush=True,
            )


def speed(path: Path) -> float:
    """Return milliseconds an image."""
    predictor = load_predictor(path, "cpu")
    side = predictor.header.transform.image_size
    batch = np.random.default_rng(0).integers(0, 256, (16, 1, side, side, 3), np.uint8)
    predictor.outputs(batch)
    times = []
    for _ in range(5):
        start = time.process_time()
        predictor.outputs(batch)
        times.append(time.process_time() - start)
    return min(times) / len(batch) * 1e3


if __name__ == "__main__":
    main()
