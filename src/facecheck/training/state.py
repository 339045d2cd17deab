"""The state of a training: all that changes while it runs, and the file it resumes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from facecheck.model.metrics import Summary, summarise
from facecheck.training.state_file import read_state, write_state


@dataclass(frozen=True)
class Epoch:
    """One row of the log.

    Attributes:
        epoch: 1 for the first.
        seconds: training and validation together.
        images_per_second: of training, loading included, validation not.
        lr: learning rate of the head at the epoch's end.
        train_loss: mean cross-entropy on the augmented training images, while they were learned.
        train_top1: share right among them, 0 to 1.
        train_top5: share whose kind was among the five most probable; None for a head.
        val_loss: mean cross-entropy on the validation split; None without one.
        val_top1: as ``train_top1``; None without a validation split.
        val_top5: as ``train_top5``; None without a validation split.
        test_top1: on the test split, where the log was asked to show it; nothing is chosen by it.
        test_top5: likewise.
    """

    epoch: int
    seconds: float
    images_per_second: float
    lr: float
    train_loss: float
    train_top1: float
    train_top5: float | None = None
    val_loss: float | None = None
    val_top1: float | None = None
    val_top5: float | None = None
    test_top1: float | None = None
    test_top5: float | None = None


def epoch_row(
    number: int,
    seconds: float,
    rate: float,
    lr: float,
    loss: float,
    top1: float,
    top5: float | None,
    evaluated: Mapping[str, Summary | None],
) -> Epoch:
    """Return an epoch's row of the log.

    Args:
        number: 1 for the first.
        seconds: training and validation together.
        rate: images a second, in training.
        lr: at the epoch's end.
        loss: of the training images, as they were learned; like ``top1`` and ``top5``.
        top1: share right, 0 to 1.
        top5: share whose kind was among the five most probable.
        evaluated: what was found on ``val``, and on ``test`` where the log was asked to show it.
    """
    val, test = evaluated.get("val"), evaluated.get("test")
    return Epoch(
        epoch=number,
        seconds=round(seconds, 2),
        images_per_second=round(rate, 1),
        lr=lr,
        train_loss=loss,
        train_top1=top1,
        train_top5=top5,
        val_loss=val.loss if val else None,
        val_top1=val.top1 if val else None,
        val_top5=val.top5 if val else None,
        test_top1=test.top1 if test else None,
        test_top5=test.top5 if test else None,
    )


def figures_of(row: Epoch) -> dict[str, float]:
    """Return what belongs to the weights: the same whenever the training is repeated."""
    return {
        name: value
        for name, value in asdict(row).items()
        if name not in {"epoch", "seconds", "images_per_second"} and value is not None
    }


def best_of(log: list[Epoch]) -> int:
    """Return the epoch with the highest validation top-1, the lower loss breaking ties.

    The earliest of equals; without validation the last.
    """
    if not log or log[0].val_top1 is None:
        return log[-1].epoch if log else 0
    return max(log, key=lambda row: (row.val_top1 or 0, -(row.val_loss or 0), -row.epoch)).epoch


class Tally:
    """Logits and labels of an epoch, gathered as they come."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[tuple[torch.Tensor, torch.Tensor]] = []

    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch: logits of shape (N, kinds) and labels of shape (N,)."""
        self.count += len(labels)
        self._parts.append((logits.detach().float(), labels))

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return all logits and labels so far, on the CPU; there must be some."""
        logits, labels = zip(*self._parts, strict=True)
        return torch.cat(logits).cpu(), torch.cat(labels).cpu()

    def summary(self) -> Summary:
        """Summarise what was added; there must be some."""
        logits, labels = self.tensors()
        return summarise(logits.numpy().astype(np.float64), labels.numpy())


@dataclass
class TrainingState:
    """All that changes while a training runs.

    All randomness is a function of seed, epoch and step, so that no generator's state
    belongs here.

    Attributes:
        model: the network being trained.
        optimiser: of its parameters.
        ema: the average of its weights, if one is kept.
        scaler: of the loss, in half precision.
        epoch: the one in progress, 1 for the first.
        step: steps of it that are done.
        updates: steps done in all.
        seen: what this epoch's images gave.
        log: the epochs that are done.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    ema: ModelEmaV3 | None = None
    scaler: torch.amp.GradScaler | None = None
    epoch: int = 1
    step: int = 0
    updates: int = 0
    seen: Tally = field(default_factory=Tally)
    log: list[Epoch] = field(default_factory=list)

    @property
    def eval_model(self) -> nn.Module:
        """The network that is validated and kept: the average, if there is one."""
        return self.ema.module if self.ema else self.model

    def save(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Write the state atomically; ``identity`` is what must be the same when it is read.

        Raises:
            CheckpointError: the file cannot be written; the one before it is whole.
        """
        stored = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "epoch": self.epoch,
            "step": self.step,
            "updates": self.updates,
            "seen": self.seen.tensors() if self.seen.count else None,
            "log": [asdict(row) for row in self.log],
        }
        write_state(path, identity, stored)

    def load(self, path: Path, identity: Mapping[str, Any], device: torch.device) -> None:
        """Resume from a file by :meth:`save`. Nothing in it is executed.

        Raises:
            CheckpointError: it is missing, damaged, or of another training; the message names
                what differs.
        """
        with read_state(path, identity, device) as stored:
            self.model.load_state_dict(stored["model"])
            self.optimiser.load_state_dict(stored["optimiser"])
            if self.ema:
                self.ema.module.load_state_dict(stored["ema"])
            if self.scaler and stored["scaler"]:
                self.scaler.load_state_dict(stored["scaler"])
            self.epoch, self.step = stored["epoch"], stored["step"]
            self.updates = stored["updates"]
            if stored["seen"]:
                self.seen.add(*stored["seen"])
            self.log = [Epoch(**row) for row in stored["log"]]
