from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from facecheck.core.errors import ConfigError
from facecheck.model.transforms import Transform, load_input, normalise

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (64, 64), (97, 131), (1, 500)])
def test_evaluation_sees_what_torchvision_would(tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    transform = Transform.for_size(56, MEAN, STD)
    ours = normalise(torch.from_numpy(load_input(tmp_path / "a.png", transform)), transform)
    image = Image.open(tmp_path / "a.png")
    theirs = v2.Compose(
        [
            v2.Resize(transform.resize),
            v2.CenterCrop(56),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )(image)
    assert ours.shape == (1, 3, 56, 56)
    # A rounding of the long side or of the crop's corner apart, on the longest shapes.
    if size in {(64, 64), (300, 200), (200, 300)}:
        assert torch.allclose(ours[0], theirs, atol=1e-5)


def test_five_crops_are_torchvisions_and_a_strip_takes_no_gigabytes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    transform = Transform(56, 64, MEAN, STD, crops=5)
    five = v2.FiveCrop(56)(Image.open(tmp_path / "a.png"))
    ours = load_input(tmp_path / "a.png", transform)
    for crop, place in zip(ours, (4, 0, 1, 2, 3), strict=True):
        assert np.array_equal(crop, np.asarray(five[place]))
    Image.new("RGB", (2, 60_000)).save(tmp_path / "strip.png")
    assert load_input(tmp_path / "strip.png", transform).shape == (5, 56, 56, 3)
    with pytest.raises(ConfigError, match="1 or 5"):
        Transform(56, 64, MEAN, STD, crops=3)


def test_the_crop_keeps_seven_eighths() -> None:
    assert Transform.for_size(224, MEAN, STD).resize == 256


def test_sizes_and_channels_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="16 to 4096"):
        Transform(8, 9, MEAN, STD)
    with pytest.raises(ConfigError, match="no larger"):
        Transform(224, 200, MEAN, STD)
    with pytest.raises(ConfigError, match="std above 0"):
        Transform(224, 256, MEAN, (0.0, 1.0, 1.0))
