"""Training images, augmented.

Reproducible: an image's augmentation depends on the seed, the epoch and the image alone, not on
the worker that makes it or on what was made before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from facecheck.core.errors import ImageError, TrainingError
from facecheck.core.files import path_text
from facecheck.model.transforms import Transform, load_resized

#: What the sampler asks for: (epoch, position in the dataset).
Ask = tuple[int, int]


class TrainingImages(Dataset[tuple[torch.Tensor, int]]):
    """Images with labels: resized, randomly cropped, flipped half of the time."""

    def __init__(
        self, paths: Sequence[Path], labels: Sequence[int], transform: Transform, seed: int
    ) -> None:
        self.paths = paths
        self.labels = labels
        self.transform = transform
        self.seed = seed
        self.augment = v2.Compose([v2.RandomCrop(transform.image_size), v2.RandomHorizontalFlip()])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, ask: Ask) -> tuple[torch.Tensor, int]:
        """Return the pixels, shape (image_size, image_size, 3) uint8, and the label."""
        epoch, position = ask
        try:
            image = load_resized(self.paths[position], self.transform)
        except ImageError as error:
            raise TrainingError(
                f"{path_text(self.paths[position])}: {error}: mend it, or run `facecheck index` "
                "again"
            ) from None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed(self.seed, epoch, position))
            augmented = self.augment(image)
        return torch.from_numpy(np.array(augmented)), self.labels[position]


def _seed(*parts: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8])


def epoch_batches(count: int, batch_size: int, seed: int, epoch: int) -> list[list[Ask]]:
    """Return one epoch's batches: every position once, shuffled by seed and epoch.

    A last batch of one image would break batch normalisation, so it joins the one before it.
    """
    generator = np.random.default_rng([seed, epoch])
    order = [(epoch, int(position)) for position in generator.permutation(count)]
    batches = [order[start : start + batch_size] for start in range(0, count, batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches


def epoch_loader(
    images: TrainingImages, batches: list[list[Ask]], *, workers: int, pin_memory: bool
) -> DataLoader[Any]:
    """Return a loader of (pixels (N, H, W, 3) uint8, labels (N,) int64) for these batches."""
    return DataLoader(
        images,
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=pin_memory,
    )
