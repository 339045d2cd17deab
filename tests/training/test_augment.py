from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from facecheck.model.transforms import crop_corners
from facecheck.training.augment import Pixels, augment
from facecheck.training.recipe import Recipe

PLAIN = replace(Recipe(), image_size=56, flip=False, crop="centre")


def noise(height: int = 64, width: int = 80) -> Pixels:
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def varied(seed: int = 0, **changes: Any) -> Pixels:
    return augment(noise(), replace(PLAIN, **changes), np.random.default_rng(seed))


def test_the_centre_crop_is_what_evaluation_sees() -> None:
    left, top = crop_corners(80, 64, 56, 1)[0]
    assert np.array_equal(varied(), noise()[top : top + 56, left : left + 56])


def test_the_five_crops_are_torchvisions() -> None:
    image = torch.from_numpy(noise().copy()).permute(2, 0, 1)
    theirs = functional.five_crop(image, [56, 56])
    ours = [noise()[top : top + 56, left : left + 56] for left, top in crop_corners(80, 64, 56, 5)]
    order = [4, 0, 1, 2, 3]  # torchvision names the centre last
    for crop, place in zip(ours, order, strict=True):
        assert np.array_equal(crop, theirs[place].permute(1, 2, 0).numpy())
    drawn = [varied(seed, crop="five") for seed in range(30)]
    assert all(any(np.array_equal(crop, five) for five in ours) for crop in drawn)
    assert len({crop.tobytes() for crop in drawn}) == 5


@pytest.mark.parametrize(
    ("changes", "least", "most"),
    [
        ({"flip": True}, 2, 2),
        ({"crop": "random"}, 20, 30),
        ({"crop": "resized"}, 30, 30),
        ({"rotation": 20.0}, 30, 30),
        ({"jitter": 0.3}, 30, 30),
        ({"grey": 0.5}, 2, 2),
        ({"crop": "random", "train_size": 56}, 20, 30),
        ({"reencode": 1.0}, 20, 30),
        ({"rescale": 1.0}, 30, 30),
        ({"blur": 1.0}, 8, 30),
        ({"blur": 0.5}, 5, 22),
    ],
)
def test_each_choice_varies_by_the_draw_alone(
    changes: dict[str, Any], least: int, most: int
) -> None:
    results = [varied(seed, **changes) for seed in range(30)]
    assert all(result.shape == (56, 56, 3) and result.dtype == np.uint8 for result in results)
    assert least <= len({result.tobytes() for result in results}) <= most
    assert np.array_equal(varied(7, **changes), results[7])


def test_training_may_see_less_of_an_image_at_the_same_scale() -> None:
    left, top = crop_corners(80, 64, 32, 1)[0]
    small = varied(train_size=32)
    assert np.array_equal(small, noise()[top : top + 32, left : left + 32])


def test_grey_images_keep_their_brightness() -> None:
    grey = varied(grey=1.0)
    assert (grey == grey[..., :1]).all()
    assert np.array_equal(grey, np.asarray(Image.fromarray(varied()).convert("L").convert("RGB")))


def test_forensic_variation_takes_fine_detail_and_keeps_the_picture() -> None:
    plain = varied().astype(float)
    every: tuple[dict[str, Any], ...] = (
        {"rescale": 1.0, "rescale_to": (0.25, 0.25)},
        {"blur": 1.0, "blur_sigma": (8.0, 8.0)},
        {"reencode": 1.0, "reencode_quality": (5, 5)},
    )
    for changes in every:
        result = varied(**changes).astype(float)
        assert 2 < np.abs(result - plain).mean() < 60, changes
        assert abs(result.mean() - plain.mean()) < 5, changes


def test_low_quality_changes_more_than_high() -> None:
    plain = varied().astype(float)

    def change(quality: int, form: str) -> float:
        result = varied(reencode=1.0, reencode_quality=(quality, quality), reencode_formats=(form,))
        return float(np.abs(result.astype(float) - plain).mean())

    for form in ("jpeg", "webp"):
        assert change(20, form) > change(60, form) > change(95, form) > 0
