"""Images a second of a training epoch, loading included, beside timm's train.py, in one run.

    python benchmarks/train.py DATA --timm-train PATH [--images 1024] [--repeats 5] [--threads 2]
                               [--cases resnet50 …]

DATA is laid out <kind>/<source>/ (../shared/data). timm's script is in neither its wheel nor its
sdist: take that of the installed version,
https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/train.py (the tag may be another).

Both train the same images from random weights: a random square crop of 7/8 of the side, mirrored
half of the time, Adam, float32, channels last; timm's other augmentation, its label smoothing and
its validation are off. timm gets as many loader processes as facecheck gets decoding ones, and
each has as many threads to compute with. A run is a process of its own that does nothing else; the
runs alternate, and medians count. A later epoch of facecheck finds its images decoded, which timm
has no counterpart for; the first does not.

The limit is a loop of forward, backward and optimiser step over one batch in memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

import facecheck
from facecheck.core.manifest import read_manifest, write_manifest
from facecheck.model.backbones import build
from facecheck.training.loss import losses
from facecheck.training.optim import make_optimiser
from facecheck.training.recipe import Recipe

#: What is trained: architecture, side, and which share of the images, for equally long runs.
CASES = (
    ("tf_efficientnet_lite0", 128, 1.0),
    ("resnet50", 64, 1.0),
    ("vit_tiny_patch16_224", 224, 0.25),  # a ViT is built for the side of its name alone
    ("resnet10t", 64, 1.0),  # where loading dominates
)
TOOLS = ("facecheck", "timm", "limit")
BATCH = 32
EPOCHS = 2


def recipe_of(arch: str, side: int) -> Recipe:
    return Recipe(
        arch=arch,
        pretrained=False,
        epochs=EPOCHS,
        image_size=side,
        batch_size=BATCH,
        precision="fp32",
        schedule="constant",
    )


def choose(data: Path, count: int) -> list[Path]:
    """Return so many images, from every source of every kind in turn."""
    sources = [sorted(path.iterdir()) for path in sorted(data.glob("*/*")) if path.is_dir()]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*sources))
    chosen = list(itertools.islice((path for path in turns if path is not None), count))
    if len(chosen) < count:
        raise SystemExit(f"{data} holds {len(chosen):,} images, fewer than {count:,}")
    return chosen


def lay_out(images: list[Path], work: Path) -> None:
    """Link the images for facecheck (a manifest) and, from its train split, for timm."""
    for image in images:
        folder = work / "raw" / image.parts[-3] / image.parts[-2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / image.name).symlink_to(image.resolve())
    manifest = work / "manifest.csv"
    facecheck.index([work / "raw"], manifest)
    data = read_manifest(manifest)
    data = data.with_columns(split=["train"] * len(data))
    write_manifest(data, manifest, {})
    for number, (path, kind) in enumerate(zip(data.paths(), data.frame["kind"], strict=True)):
        folder = work / "classes" / "train" / kind
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06}{path.suffix}").symlink_to(path.resolve())
    # timm opens a validation folder, though its validation is off.
    (work / "classes" / "val").symlink_to("train")


def rates_of_facecheck(work: Path, arch: str, side: int, threads: int) -> list[float]:
    result = facecheck.train(
        work / "manifest.csv",
        recipe_of(arch, side),
        facecheck.TrainOptions(
            runs=work / "runs", device="cpu", workers=threads, compile_model="no"
        ),
    )
    return [epoch.images_per_second for epoch in result.epochs]


def rates_of_timm(script: Path, work: Path, arch: str, side: int, threads: int) -> list[float]:
    """Run timm's script in this process, each of its training epochs timed from outside."""
    spec = importlib.util.spec_from_file_location("timm_train", script)
    assert spec is not None
    assert spec.loader is not None
    script_module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script_module)
    train_one_epoch = script_module.train_one_epoch
    rates = []

    def timed(epoch: int, model: Any, loader: Any, *rest: Any, **more: Any) -> Any:
        start = time.perf_counter()
        metrics = train_one_epoch(epoch, model, loader, *rest, **more)
        # timm leaves out a last batch that is not full.
        rates.append(len(loader) * BATCH / (time.perf_counter() - start))
        return metrics

    script_module.train_one_epoch = timed
    script_module.validate = lambda *_, **__: OrderedDict(loss=0.0, top1=0.0, top5=0.0)
    classes = len(list((work / "classes" / "train").iterdir()))
    options: dict[str, Any] = {
        "data-dir": work / "classes",
        "train-split": "train",
        "val-split": "val",
        "model": arch,
        "num-classes": classes,
        "batch-size": BATCH,
        "epochs": EPOCHS,
        "warmup-epochs": 0,
        "opt": "adam",
        "lr": 5e-4,
        "weight-decay": 0,
        "color-jitter": 0,
        "smoothing": 0,
        "train-interpolation": "bilinear",
        "workers": threads,
        "log-interval": 1_000_000,
        "checkpoint-hist": 1,
        "output": work / "timm",
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    # A square of (7/8)² of the area of a square image: facecheck's random crop.
    arguments += ["--scale", "0.765625", "0.765625", "--ratio", "1", "1"]
    arguments += ["--input-size", "3", str(side), str(side), "--channels-last"]
    # Older versions of the script have no option for it.
    script_module.parser.set_defaults(device="cpu")
    sys.argv = [str(script), *arguments]
    script_module.main()
    return rates


def rates_of_limit(work: Path, arch: str, side: int) -> list[float]:
    """Take as many steps as an epoch has, twice, over one batch."""
    frame = read_manifest(work / "manifest.csv").frame
    kinds = frame["kind"].n_unique()
    recipe = recipe_of(arch, side)
    model = build(arch, kinds, pretrained=False).model.to(memory_format=torch.channels_last)
    model.train()
    optimiser = make_optimiser(model, recipe)
    inputs = torch.randn(BATCH, 3, side, side).to(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % kinds
    rates = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        steps = max(1, len(frame) // BATCH)
        for _ in range(steps):
            optimiser.zero_grad(set_to_none=True)
            losses(model(inputs), labels, recipe).mean().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        rates.append(steps * BATCH / (time.perf_counter() - start))
    return rates


def measure(tool: str, work: Path, arch: str, side: int, given: argparse.Namespace) -> list[float]:
    """Return the images a second of each epoch of one run, in a process of its own."""
    command = [sys.executable, __file__, str(given.data), "--timm-train", str(given.timm_train)]
    command += ["--threads", str(given.threads), "--alone", tool, str(work), arch, str(side)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{tool} failed:\n{done.stderr[-3000:]}")
    rates: list[float] = json.loads(done.stdout.splitlines()[-1])
    return rates


def alone(given: argparse.Namespace) -> list[float]:
    tool, folder, arch, text = given.alone
    work, side = Path(folder), int(text)
    torch.set_num_threads(given.threads)
    if tool == "timm":
        return rates_of_timm(given.timm_train, work, arch, side, given.threads)
    if tool == "limit":
        return rates_of_limit(work, arch, side)
    return rates_of_facecheck(work, arch, side, given.threads)


def compare(given: argparse.Namespace) -> None:
    """Print each case's medians, and what they are to one another."""
    print(f"batch {BATCH}, {given.threads} threads, median images a second of {given.repeats}")
    print("alternating runs (lowest to highest)\n")
    print(
        "| case | epoch | facecheck | timm | limit | facecheck / timm | facecheck / limit | load |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for arch, side, share in CASES:
        if given.cases and arch not in given.cases:
            continue
        count = max(64, round(share * given.images))
        with tempfile.TemporaryDirectory() as place:
            work = Path(place)
            lay_out(choose(given.data, count), work)
            runs: dict[str, list[list[float]]] = {tool: [] for tool in TOOLS}
            loads = []
            for _ in range(given.repeats):
                for tool in TOOLS:
                    runs[tool].append(measure(tool, work, arch, side, given))
                    loads.append(os.getloadavg()[0])
        for epoch in range(EPOCHS):
            rates = {tool: [run[epoch] for run in runs[tool]] for tool in TOOLS}
            ratios = [
                [ours / other for ours, other in zip(rates["facecheck"], rates[tool], strict=True)]
                for tool in ("timm", "limit")
            ]
            cells = [f"{arch}, {side} px, {count:,} images", str(epoch + 1)]
            cells += [spread(rates[tool], 1) for tool in TOOLS]
            cells += [spread(values, 2) for values in [*ratios, loads]]
            print("| " + " | ".join(cells) + " |", flush=True)


def spread(values: list[float], digits: int) -> str:
    middle, low, high = (
        f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} ({low} to {high})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="images laid out <kind>/<source>/")
    parser.add_argument("--timm-train", type=Path, required=True, help="timm's train.py")
    parser.add_argument("--images", type=int, default=1024, help="64 or more")
    parser.add_argument("--cases", nargs="+", default=(), help="architectures; all by default")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alone", nargs=4, help=argparse.SUPPRESS)  # one run, used by itself
    given = parser.parse_args()
    if given.images < 64:  # fewer may hold a single image of a kind, which train refuses
        parser.error("--images must be 64 or more")
    if not given.timm_train.is_file():
        parser.error(f"--timm-train {given.timm_train}: no such file")
    if given.alone:
        print(json.dumps(alone(given)))
    else:
        compare(given)


if __name__ == "__main__":
    main()
