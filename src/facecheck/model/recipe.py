"""The recipe: every choice that shapes a training, and nothing that does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facecheck.core.errors import ConfigError


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        arch: a timm architecture name, such as ``seresnet50`` or ``resnet50``.
        pretrained: start from the architecture's ImageNet weights.
        weights: a local file of weights to start from instead.
        epochs: passes over the training split, 1 or more.
        image_size: side in pixels of the square input, 16 to 4096.
        batch_size: images a step, 1 or more.
        lr: peak learning rate; it rises to this over the first 30 % of the steps and then falls
            to nearly 0 along a cosine (Smith & Topin 2018, "Super-convergence").
        weight_decay: Adam's L2 penalty.
        seed: of initial weights, shuffling and augmentation.
    """

    arch: str = "seresnet50"
    pretrained: bool = True
    weights: Path | None = None
    epochs: int = 10
    image_size: int = 224
    batch_size: int = 32
    lr: float = 5e-4
    weight_decay: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, f"epochs {self.epochs}: must be 1 or more")
        _require(self.batch_size >= 1, f"batch size {self.batch_size}: must be 1 or more")
        _require(
            16 <= self.image_size <= 4096,
            f"image size {self.image_size}: must be 16 to 4096 pixels",
        )
        _require(0 < self.lr < 10, f"learning rate {self.lr}: must be above 0 and below 10")
        _require(
            0 <= self.weight_decay < 1, f"weight decay {self.weight_decay}: must be 0 to below 1"
        )
        _require(0 <= self.seed < 2**32, f"seed {self.seed}: must be 0 to 4294967295")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(message)
