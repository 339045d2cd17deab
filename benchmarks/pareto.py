#!/usr/bin/env python
"""Accuracy against speed of the built-in models, and of what lies between them, in one run.

    python benchmarks/pareto.py data/faces/manifest.csv --images 360 --plot pareto.png

The manifest is of face crops (`facecheck crop`), of whose test split a few images of each source
are taken. Each model answers for the same crops on one core, taking turns image by image, so that
all see the same load of the machine. Beside `builtin` and `builtin-fast`:

- the first eight blocks of builtin's encoder alone, with the half of its head that reads them;
- the cascade: builtin-fast for what it surely calls a drawing (above 0.8), builtin for the rest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.utils
from matplotlib.figure import Figure

from facecheck.core.labels import Kind
from facecheck.core.manifest import read_manifest
from facecheck.core.parallel import map_ordered
from facecheck.core.workspace import BUILTIN, find_checkpoint
from facecheck.engines.load import load_predictor
from facecheck.evaluation.leave_out import log_odds
from facecheck.model.encoder import Encoder
from facecheck.model.head import Head
from facecheck.model.head_predictor import HeadPredictor
from facecheck.model.metrics import auc_of, softmax
from facecheck.model.transforms import load_input

Logits = npt.NDArray[np.float64]
DRAWINGS = (Kind.CARTOON, Kind.SKETCH, Kind.PAINTING, Kind.SCULPTURE)
#: From which probability of a drawing the cascade believes the small model.
SURE = 0.8


@dataclass(frozen=True)
class Found:
    """A model's answers, (n, kinds), and the seconds of a core that an image took."""

    logits: Logits
    seconds: float


def first_blocks(whole: HeadPredictor, folder: Path) -> tuple[Encoder, Head]:
    """Return the encoder cut after the blocks of its first set, and the head's branch for it."""
    path = folder / "first.onnx"
    extractor = onnx.utils.Extractor(onnx.load(whole.encoder.path))
    onnx.save(extractor.extract_model(["pixels"], [whole.encoder.sets[0]]), path)
    return Encoder(path), Head(whole.head.branches[:1], (1.0,))


def answers(
    crops: list[npt.NDArray[np.uint8]],
    models: dict[str, Callable[[npt.NDArray[np.uint8]], Logits]],
) -> dict[str, Found]:
    """Ask each model about each crop in turn."""
    logits: dict[str, list[Logits]] = {name: [] for name in models}
    seconds = dict.fromkeys(models, 0.0)
    for crop in crops:
        for name, ask in models.items():
            start = time.perf_counter()
            logits[name].append(ask(crop))
            seconds[name] += time.perf_counter() - start
    return {
        name: Found(np.concatenate(rows), seconds[name] / len(crops))
        for name, rows in logits.items()
    }


def cascade(small: Found, large: Found, kinds: tuple[Kind, ...]) -> Found:
    """Return what the small model's drawings and the large one's other answers are together."""
    places = [kinds.index(kind) for kind in DRAWINGS]
    settled = softmax(small.logits)[:, places].max(1) > SURE
    logits = np.where(settled[:, None], small.logits, large.logits)
    return Found(logits, small.seconds + (1 - settled.mean()) * large.seconds)


def draw(rows: list[tuple[str, float, float]], path: Path) -> None:
    """Plot images a second against the share of kinds that are right."""
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    for name, rate, right in rows:
        axes.scatter(rate, right, s=50, label=name)
    axes.legend()
    axes.set_xscale("log")
    axes.set_xlabel("images a second of one core")
    axes.set_ylabel("kind right, %")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path, help="of face crops, with splits")
    parser.add_argument("--images", type=int, default=360, help="of test, at most [360]")
    parser.add_argument("--plot", type=Path, help="where to draw the figure")
    given = parser.parse_args()
    whole, small = HeadPredictor(BUILTIN), load_predictor(find_checkpoint("builtin-fast"), "cpu")
    records = read_manifest(given.manifest).in_split("test")
    records = records.sampled(
        max(1, given.images // records.frame.select("kind", "source").n_unique())
    )
    crops = list(map_ordered(
        lambda path: load_input(path, whole.header.transform), records.paths(), workers=1
    ))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        encoder, head = first_blocks(whole, Path(folder))
        found = answers(crops, {
            "builtin": lambda crop: whole.outputs(crop[None])[0],
            "first 8 blocks": lambda crop: head.answer(encoder.features(crop))[0],
            "builtin-fast": lambda crop: small.outputs(crop[None])[0],
        })  # fmt: skip
    kinds = whole.header.kinds
    found["cascade"] = cascade(found["builtin-fast"], found["builtin"], kinds)
    labels = np.array([kinds.index(kind) for kind in records.frame["kind"]])
    photo = kinds.index(Kind.PHOTO)
    print(f"{len(records)} images of test\n")
    print("| | images a second of a core | of builtin's | kind right | AUC of real or artificial |")
    print("|---|---:|---:|---:|---:|")
    rows = []
    for name, one in found.items():
        right = 100 * float((one.logits.argmax(1) == labels).mean())
        odds = log_odds(one.logits, photo)
        auc = auc_of(odds[labels != photo], odds[labels == photo])
        faster = found["builtin"].seconds / one.seconds
        print(f"| {name} | {1 / one.seconds:.1f} | {faster:.2f} | {right:.1f} % | {auc:.3f} |")
        rows.append((name, 1 / one.seconds, right))
    if given.plot:
        draw(rows, given.plot)


if __name__ == "__main__":
    main()
