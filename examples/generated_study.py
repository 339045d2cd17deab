"""How well a classifier catches a generator it never saw, before and after it has learned from it.

    python examples/generated_study.py GENERATOR MANIFEST CHECKPOINT WORK

GENERATOR is by `facecheck generate train` on photos and cartoons of MANIFEST, and CHECKPOINT a
classifier by `facecheck train` on the same manifest. In WORK it makes faces (seed 1 to learn from,
seed 2 to be judged by) and, since these are small, real photographs just as small, so that size
alone tells nothing. It prints Markdown, and is safe to run again: what is there is kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
from PIL import Image

import facecheck
from facecheck.core.image import decode
from facecheck.core.workspace import BEST
from facecheck.evaluation.calibrate import calibrate
from facecheck.training.recipe import load_recipe

COUNT = {"train": 400, "test": 250}
SEED = {"train": 1, "test": 2}
SIZE = 64
#: The sources that are made here, and those that a fine-tuning must not forget.
MADE = ("generated/own-photo", "generated/own-cartoon", "photo/photo-64")


def main() -> None:
    generator, manifest, checkpoint, work = map(Path, sys.argv[1:5])
    raw = work / "raw"
    for split, count in COUNT.items():
        for kind in ("photo", "cartoon"):
            out = raw / "generated" / f"own-{kind}" / split
            if not out.exists():
                facecheck.generate_sample(
                    generator,
                    out,
                    facecheck.GenerateSampleOptions(kind=kind, count=count, seed=SEED[split]),
                )
                # The grid is for people: as a file of the source it would be one more image.
                out.with_name(f"{split}.grid.png").rename(work / f"own-{kind}-{split}.png")
        small_photos(manifest, split, raw / "photo" / "photo-64" / split)
    joined = join(manifest, raw, work)
    copies(joined, work)
    before = facecheck.evaluate(checkpoint, joined, facecheck.EvaluateOptions(baseline=False))
    after = facecheck.evaluate(
        learned(checkpoint, joined, work), joined, facecheck.EvaluateOptions(baseline=False)
    )
    print("| source | images | kind right before | after | verdict right before | after |")
    print("|---|---|---|---|---|---|")
    for pair, summary in before.by_source.items():
        shares = (
            *(f"{100 * result.by_source[pair].top1:.1f} %" for result in (before, after)),
            *(
                f"{verdicts.right} of {verdicts.count} ({verdicts.uncertain} uncertain)"
                for verdicts in (result.verdicts_by_source[pair] for result in (before, after))
            ),
        )
        print(f"| {'/'.join(pair)} | {summary.count} | {' | '.join(shares)} |")


def small_photos(manifest: Path, split: str, out: Path) -> None:
    """Write photographs of a split as PNGs of the generated faces' size."""
    if out.exists():
        return
    out.mkdir(parents=True)
    records = facecheck.read_manifest(manifest).in_split(split).of_sources(["photo"])
    chosen = records.frame.sample(COUNT[split], seed=0)["path"]
    for number, path in enumerate(chosen):
        image = decode(Path(path)).image
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        small = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box)
        small.save(out / f"{number:06}.png")


def join(manifest: Path, raw: Path, work: Path) -> Path:
    """Return a manifest of the old records and the new ones, these split by their folders."""
    made = work / "made.csv"
    facecheck.index([raw], made, facecheck.IndexOptions(overwrite=True))
    frame = facecheck.read_manifest(made).frame.with_columns(
        split=pl.col("path").str.extract(r"/(train|test)/[^/]+$")
    )
    old = facecheck.read_manifest(manifest).frame.select(frame.columns)
    joined = work / "manifest.csv"
    facecheck.write_manifest(facecheck.Manifest(pl.concat([old, frame])), joined, {})
    return joined


def copies(joined: Path, work: Path) -> None:
    """Print how many generated faces show the picture of another image."""
    found = facecheck.dedup(joined, facecheck.DedupOptions(out=work / "dedup.csv", overwrite=True))
    pairs = {
        " and ".join(names): count
        for names, count in found.by_sources.items()
        if any(name.startswith("own-") for name in names)
    }
    print(f"generated faces that are copies, by `facecheck dedup`: {pairs or 'none'}\n")


def learned(checkpoint: Path, joined: Path, work: Path) -> Path:
    """Return the checkpoint, trained on for two short epochs with the new records among the old."""
    done = work / "runs" / "after" / BEST
    if not done.exists():
        recipe = load_recipe("builtin-short", {"weights": checkpoint, "lr": 3e-4})
        facecheck.train(joined, recipe, facecheck.TrainOptions(name="after", runs=work / "runs"))
        calibrate(done, joined)
    return done


if __name__ == "__main__":
    main()
