"""What a training has done: the value that its command renders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facecheck.training.state import Epoch


@dataclass(frozen=True)
class TrainResult:
    """What ``train`` did.

    Attributes:
        run: the run folder: ``recipe.yaml``, ``run.json``, ``log.jsonl`` and the checkpoints.
        best: the checkpoint with the highest validation top-1 (the last, without validation).
        last: the checkpoint after the last epoch.
        kinds: what the model distinguishes, in the order of its outputs.
        weights: where the initial weights came from.
        device: what it was trained on, and in what precision.
        train_images: images trained on.
        val_images: images validated on.
        epochs: the log.
        best_epoch: the epoch ``best`` comes from.
        stopped_early: whether the recipe's patience ended it.
    """

    run: Path
    best: Path
    last: Path
    kinds: tuple[str, ...]
    weights: str
    device: str
    train_images: int
    val_images: int
    epochs: tuple[Epoch, ...]
    best_epoch: int
    stopped_early: bool
