from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facecheck.core.errors import TrainingError
from facecheck.model.dataset import TrainingImages, epoch_batches, epoch_loader
from facecheck.model.transforms import Transform

TRANSFORM = Transform(32, 40, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def images(folder: Path) -> TrainingImages:
    paths = sorted(folder.rglob("*.png"))
    return TrainingImages(paths, list(range(len(paths))), TRANSFORM, seed=3)


def test_an_epoch_holds_every_image_once_in_another_order_each_time() -> None:
    first, second = (epoch_batches(21, 4, 0, epoch) for epoch in (1, 2))
    for batches in (first, second):
        assert sorted(position for batch in batches for _, position in batch) == list(range(21))
        assert [len(batch) for batch in batches] == [4, 4, 4, 4, 5]  # no batch of one
    assert first != second
    assert epoch_batches(21, 4, 0, 1) == first
    assert epoch_batches(1, 4, 0, 1) == [[(1, 0)]]


def test_augmentation_depends_on_seed_epoch_and_image_alone(drawn: Path) -> None:
    data = images(drawn)
    state = torch.get_rng_state()
    once, label = data[1, 5]
    assert torch.equal(torch.get_rng_state(), state)
    assert label == 5
    assert once.shape == (32, 32, 3)
    assert once.dtype == torch.uint8
    torch.manual_seed(99)
    data[1, 6]
    assert torch.equal(data[1, 5][0], once)
    others = [data[epoch, 5][0] for epoch in range(2, 10)]
    assert any(not torch.equal(other, once) for other in others)


def test_workers_give_the_same_batches_as_none(drawn: Path) -> None:
    data = images(drawn)
    batches = epoch_batches(len(data), 8, 0, 1)
    alone = list(epoch_loader(data, batches, workers=0, pin_memory=False))
    helped = list(epoch_loader(data, batches, workers=2, pin_memory=False))
    for (pixels, labels), (other_pixels, other_labels) in zip(alone, helped, strict=True):
        assert torch.equal(pixels, other_pixels)
        assert torch.equal(labels, other_labels)


def test_a_vanished_file_is_named(tmp_path: Path) -> None:
    data = TrainingImages([tmp_path / "gone.png"], [0], TRANSFORM, seed=0)
    with pytest.raises(TrainingError, match=r"gone\.png: the file is not there"):
        data[1, 0]
