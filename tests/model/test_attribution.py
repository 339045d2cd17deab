from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torch.nn import functional

from facecheck.core.workspace import BUILTIN_FAST
from facecheck.engines.load import load_predictor
from facecheck.model import backbones
from facecheck.model.attribution import (
    GRID,
    grad_cam,
    heat_maps,
    hide,
    hottest,
    leaning,
    log_odds,
    occlusion,
    without_hottest,
)
from facecheck.model.checkpoint import Checkpoint, Header
from facecheck.model.predict import Finish, Predictor
from facecheck.model.torch_predictor import TorchPredictor
from facecheck.model.transforms import Transform, load_input, normalise

SIDE, PATCH = 64, 16
Pixels = npt.NDArray[np.uint8]


class SmallNet(nn.Module):
    """Two convolutions, in the parts that timm's networks have."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, 16, 5, 2, 2), nn.ReLU()
        )
        self.head = nn.Linear(16, 3)

    def forward_features(self, pixels: torch.Tensor) -> Any:
        return self.body(pixels)

    def forward_head(self, features: torch.Tensor) -> Any:
        return self.head(features.mean(dim=(2, 3)))

    def forward(self, pixels: torch.Tensor) -> Any:
        return self.forward_head(self.forward_features(pixels))


class Answers(Predictor):
    """An engine that gives answers and nothing else, as ONNX Runtime does."""

    def __init__(self, predictor: Predictor) -> None:
        self.header, self.device, self.gives_features = predictor.header, "cpu", False
        self._other = predictor

    def begin_crops(self, pixels: Pixels) -> Finish:
        return self._other.begin_crops(pixels)

    def save(self, header: Header, path: Path) -> None:
        self._other.save(header, path)


def noise(count: int, seed: int) -> Pixels:
    random = np.random.default_rng(seed)
    return random.integers(90, 160, (count, SIDE, SIDE, 3), dtype=np.uint8)


def with_patch(images: Pixels, seed: int) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Return the images with an orange patch somewhere, and its left and top, shape (n, 2)."""
    places = np.random.default_rng(seed).integers(0, SIDE - PATCH, (len(images), 2))
    changed = images.copy()
    for image, (left, top) in zip(changed, places, strict=True):
        image[top : top + PATCH, left : left + PATCH] = (240, 140, 20)
    return changed, places


@pytest.fixture(scope="module")
def patches() -> Predictor:
    """A model of drawn images whose kinds differ in one patch alone: cartoons have it."""
    torch.manual_seed(0)
    header = Header(
        "drawn", ("photo", "cartoon", "sketch"), Transform(SIDE, SIDE, (0.5,) * 3, (0.25,) * 3)
    )
    plain = noise(32, 1)
    images = np.concatenate([plain, with_patch(plain, 2)[0]])
    inputs = normalise(torch.from_numpy(images), header.transform)
    labels = torch.tensor([0] * 32 + [1] * 32)
    model = SmallNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.1
    return TorchPredictor(Checkpoint(model, header), torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "answers alone"])
def test_the_heat_lies_where_the_difference_is(patches: Predictor, engine: str) -> None:
    predictor = patches if engine == "torch" else Answers(patches)
    images, places = with_patch(noise(8, 3), 4)
    maps = heat_maps(predictor, images[:, None])
    assert maps.shape == (8, 1, SIDE, SIDE)
    assert maps.min() >= 0
    assert maps.max(axis=(1, 2, 3)) == pytest.approx(np.ones(8))
    around = 6  # a cell of the map reaches over the patch's edge
    for heat, (left, top) in zip(maps[:, 0], places, strict=True):
        near = np.s_[max(0, top - around) : top + PATCH + around,
                     max(0, left - around) : left + PATCH + around]  # fmt: skip
        assert heat[near].sum() > 0.75 * heat.sum()
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        assert top - around <= row < top + PATCH + around
        assert left - around <= column < left + PATCH + around


def test_grad_cam_is_what_torch_takes_and_occlusion_what_is_left(patches: Predictor) -> None:
    images = with_patch(noise(2, 5), 6)[0][:, None]
    sides = leaning(patches.outputs(images)[0], patches.header)
    cam = grad_cam(patches, images, sides)
    assert cam is not None
    assert cam.shape == (2, 1, 16, 16)
    assert grad_cam(Answers(patches), images, sides) is None
    assert occlusion(patches, images, sides).shape == (2, 1, GRID, GRID)
    assert not np.allclose(heat_maps(patches, images), heat_maps(Answers(patches), images))


def test_the_batch_size_changes_nothing(patches: Predictor) -> None:
    images = with_patch(noise(3, 7), 8)[0][:, None]
    for predictor in (patches, Answers(patches)):
        whole, small = (heat_maps(predictor, images, batch_size=n) for n in (32, 2))
        assert whole == pytest.approx(small, abs=1e-5)


def test_of_a_photograph_the_map_shows_what_spoke_for_one(patches: Predictor) -> None:
    """Its sides are taken by the score: hiding the hottest part makes it less of what it was."""
    plain, changed = noise(2, 9), with_patch(noise(2, 9), 10)[0]
    images = np.concatenate([plain, changed])[:, None]
    sides = leaning(patches.outputs(images)[0], patches.header)
    assert sides.tolist() == [-1, -1, 1, 1]
    hidden = without_hottest(images, heat_maps(patches, images))
    before, after = (
        log_odds(patches.outputs(each)[0], patches.header) for each in (images, hidden)
    )
    assert (after[2:] < before[2:] - 1).all()


def test_the_heat_of_an_image_is_one_over_all_its_crops(patches: Predictor) -> None:
    images, _ = with_patch(noise(2, 11), 12)
    crops = np.stack([images[0], noise(1, 13)[0]])[None]
    maps = heat_maps(Answers(patches), crops)
    assert maps.shape == (1, 2, SIDE, SIDE)
    assert maps[0, 0].max() == 1
    assert maps[0, 1].max() < 0.2


def test_log_odds_are_those_of_the_score() -> None:
    header = Header("x", ("cartoon", "photo", "sketch"), Transform(64, 64, (0.5,) * 3, (1.0,) * 3))
    logits = np.array([[1.0, 2.0, 0.5], [-30.0, 700.0, 3.0]])
    score = (np.exp(1) + np.exp(0.5)) / (np.exp(1) + np.exp(2) + np.exp(0.5))
    assert log_odds(logits, header) == pytest.approx([np.log(score / (1 - score)), -697])


def test_hiding_leaves_the_rest_as_it_was() -> None:
    crop = noise(1, 14)[0]
    hidden = hide(crop, (8, 16, 24, 32))
    assert (hidden[16:32, 8:24] == crop.mean(axis=(0, 1)).round()).all()
    hidden[16:32, 8:24] = crop[16:32, 8:24]
    assert (hidden == crop).all()


def test_the_hottest_square_holds_the_heat() -> None:
    heat = np.zeros((64, 64))
    heat[40:50, 10:20] = 1
    left, top, right, bottom = hottest(heat)
    assert (right - left, bottom - top) == (16, 16)
    assert heat[top:bottom, left:right].sum() == heat.sum()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "cells"),
    [
        ("resnet10t", 7),
        ("seresnet18", 7),
        ("tf_efficientnet_lite0", 7),
        ("mobilenetv3_small_050", 7),
        ("convnext_atto", 7),
        ("swin_tiny_patch4_window7_224", 7),
        ("vit_tiny_patch16_224", None),
    ],
)
def test_networks_of_all_sorts_are_taken_apart_as_timm_does(arch: str, cells: int | None) -> None:
    torch.manual_seed(0)
    model = backbones.build(arch, 3, pretrained=False).model.eval()
    header = Header(
        arch, ("photo", "cartoon", "sketch"), Transform(224, 224, (0.5,) * 3, (0.25,) * 3)
    )
    predictor = TorchPredictor(Checkpoint(model, header), torch.device("cpu"))
    images = np.random.default_rng(0).integers(0, 256, (1, 1, 224, 224, 3), dtype=np.uint8)
    cam = grad_cam(predictor, images, np.ones(1))
    assert (cam is None) if cells is None else (cam is not None and cam.shape[2:] == (cells,) * 2)
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(images[:, 0]), header.transform)
        apart = model.forward_head(model.forward_features(pixels))  # type: ignore[operator]
        assert torch.allclose(apart, model(pixels))
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.slow
def test_hiding_the_hottest_part_changes_the_score_more_than_the_coldest(drawn: Path) -> None:
    """Of the built-in model, by ONNX Runtime."""
    predictor = load_predictor(BUILTIN_FAST)
    files = sorted(drawn.glob("*/*/*.png"))[::12]
    images = np.stack([load_input(file, predictor.header.transform) for file in files])
    odds = log_odds(predictor.outputs(images)[0], predictor.header)
    sides = leaning(predictor.outputs(images)[0], predictor.header)
    maps = heat_maps(predictor, images)
    hot, cold = (
        sides * (odds - log_odds(predictor.outputs(each)[0], predictor.header))
        for each in (without_hottest(images, maps), without_hottest(images, 1 - maps))
    )
    assert (hot > cold).all()
