from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import facecheck
from facecheck.core.errors import ConfigError, UsageError
from facecheck.model.checkpoint import load_checkpoint
from facecheck.model.encoder import Encoder
from facecheck.model.head import Branch, Head
from facecheck.model.transforms import normalise
from facecheck.training.feature_cache import CachePlan
from facecheck.training.frozen import FrozenNetwork
from facecheck.training.options import TrainOptions
from facecheck.training.recipe import Recipe
from facecheck.training.train import train
from tests.conftest import SMALL


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path).model.state_dict()


def test_a_frozen_body_stays_as_it_came(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, best = trained
    recipe = replace(SMALL, weights=best, freeze=True, epochs=2, lr=1e-2)
    options = TrainOptions(runs=tmp_path, features=tmp_path / "features", device="cpu")
    plans: list[CachePlan] = []
    result = train(manifest, recipe, options, on_plan=plans.append)
    before, after = weights_of(best), weights_of(result.last)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"fc.weight", "fc.bias"}
    # What the whole network answers is what the head answered to its features.
    told = facecheck.evaluate(
        result.best, manifest, facecheck.EvaluateOptions(split="val", device="cpu")
    )
    assert told.overall.top1 == result.epochs[-1].val_top1
    again = train(manifest, replace(recipe, seed=1), options, on_plan=plans.append)
    assert [plan.missing for plan in plans] == [plans[0].missing, 0]
    assert again.run != result.run


def test_a_head_that_is_not_one_layer_cannot_be_trained_alone(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    recipe = replace(SMALL, pretrained=False, freeze=True, arch="mobilenetv1_100h")
    for changes, words in (
        ({"arch": "deit_tiny_distilled_patch16_224", "image_size": 224}, "not one linear layer"),
        ({"crop": "five"}, "--freeze and --crop five"),
    ):
        with pytest.raises(UsageError, match=words):
            train(trained[0], recipe.changed(changes), TrainOptions(runs=tmp_path, device="cpu"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arch",
    ["resnet10t", "seresnet50", "tf_efficientnet_lite0", "vit_tiny_patch16_224", "convnext_atto"],
)
def test_the_last_layer_of_any_network_takes_its_features(arch: str) -> None:
    side = 224 if "vit" in arch else 64
    recipe = Recipe(arch=arch, pretrained=False, freeze=True, image_size=side)
    frozen = FrozenNetwork(recipe, ("photo", "cartoon"), torch.device("cpu"))
    (width,) = frozen.widths
    rng = np.random.default_rng(0)
    branch = Branch(
        *(rng.normal(size=width), rng.normal(size=(width, 3)), np.empty((3, 0)), np.empty(0)),
        *(np.empty((0, 2)), rng.normal(size=(3, 2)), rng.normal(size=2)),
    )
    head = Head((branch,), (1.0,))
    pixels = rng.integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    expected, _ = head.answer(frozen.features(pixels))
    with torch.inference_mode():
        network = frozen.with_head(head).eval()
        found = network(normalise(torch.from_numpy(pixels), frozen.transform))
    assert np.allclose(found.numpy(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("arch", "side", "pooling"),
    [("resnet10t", 32, "mean"), ("vit_tiny_patch16_224", 224, "class")],
)
def test_chosen_blocks_become_an_encoder_that_answers_without_torch(
    trained: tuple[Path, Path], tmp_path: Path, arch: str, side: int, pooling: str
) -> None:
    recipe = Recipe(
        arch=arch, pretrained=False, freeze=True, blocks=(1, 3), image_size=side, epochs=2,
        components=8, hidden=4, members=2, fraction=0.2,
    ).changed({"pooling": pooling})  # fmt: skip
    options = TrainOptions(runs=tmp_path, features=tmp_path / "features", device="cpu")
    result = train(trained[0], recipe, options)
    assert {path.name for path in result.run.iterdir()} == {
        "best.safetensors", "last.safetensors", f"{arch}.onnx", "log.jsonl", "recipe.yaml",
        "run.json",
    }  # fmt: skip
    told = facecheck.evaluate(
        result.best, trained[0], facecheck.EvaluateOptions(split="val", device="cpu")
    )
    assert told.overall.top1 == pytest.approx(result.epochs[-1].val_top1, abs=0.05)
    encoder = Encoder(result.run / f"{arch}.onnx")
    assert encoder.sets == ("block 1", "block 3")
    frozen = FrozenNetwork(recipe, result.kinds, torch.device("cpu"))
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    for ours, theirs in zip(frozen.features(pixels), encoder.features(pixels), strict=True):
        assert np.allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"blocks": [9]}, "--blocks 9: resnet10t has 5, from 1"),
        ({"blocks": [1], "pooling": "class"}, "resnet10t has no class token"),
        ({"blocks": [0]}, "blocks"),
        ({"blocks": [1], "freeze": False}, "with freeze"),
        ({"encoder": "builtin"}, "without encoder"),
    ],
)
def test_blocks_that_there_are_not_are_refused(changes: dict[str, object], words: str) -> None:
    recipe = Recipe(arch="resnet10t", pretrained=False, freeze=True, image_size=32)
    with pytest.raises((UsageError, ConfigError), match=words):
        FrozenNetwork(recipe.changed(changes), ("photo", "cartoon"), torch.device("cpu"))
