"""The state of a generator's training: all that changes, and the file it resumes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from timm.utils.model_ema import ModelEmaV3

from facecheck.generator.networks import Discriminator, Generator
from facecheck.training.state_file import read_state, write_state


@dataclass(frozen=True)
class Row:
    """One row of the log: means over the steps since the row before.

    Attributes:
        step: steps done.
        images: real images seen.
        seconds: of training so far, over all resumptions.
        generator_loss: minus the mean score of generated images.
        discriminator_loss: the hinge loss: 0 where nothing fools it, 2 where it cannot tell.
        real_score: mean score of real images.
        fake_score: mean score of generated images.
    """

    step: int
    images: int
    seconds: float
    generator_loss: float
    discriminator_loss: float
    real_score: float
    fake_score: float


@dataclass
class State:
    """All that changes while a generator is trained.

    All randomness is a function of seed and step, so no generator's state is part of this.

    Attributes:
        generator: the network being trained.
        discriminator: the one it learns from.
        ema: the average of the generator's weights, which is what is kept.
        generator_optimiser: of the generator's parameters.
        discriminator_optimiser: of the discriminator's.
        step: steps done.
        seconds: of training so far.
        figures: of each step since the last row of the log, what makes the next one.
        log: its rows.
    """

    generator: Generator
    discriminator: Discriminator
    ema: ModelEmaV3
    generator_optimiser: torch.optim.Optimizer
    discriminator_optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    figures: list[list[float]] = field(default_factory=list)
    log: list[Row] = field(default_factory=list)

    def save(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Write the state atomically; ``identity`` is what must be the same when it is read.

        Raises:
            CheckpointError: the file cannot be written; the one before it is whole.
        """
        stored = {
            **{name: part.state_dict() for name, part in self._parts().items()},
            "step": self.step,
            "seconds": self.seconds,
            "figures": self.figures,
            "log": [asdict(row) for row in self.log],
        }
        write_state(path, identity, stored)

    def load(self, path: Path, identity: Mapping[str, Any], device: torch.device) -> None:
        """Resume from a file by :meth:`save`. Nothing in it is executed.

        Raises:
            CheckpointError: it is missing, damaged, or of another training.
        """
        with read_state(path, identity, device) as stored:
            for name, part in self._parts().items():
                part.load_state_dict(stored[name])
            self.step, self.seconds = stored["step"], stored["seconds"]
            self.figures = stored["figures"]
            self.log = [Row(**row) for row in stored["log"]]

    def _parts(self) -> dict[str, Any]:
        """Return what has a state dict of its own, by the name it is stored under."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "ema": self.ema.module,
            "generator_optimiser": self.generator_optimiser,
            "discriminator_optimiser": self.discriminator_optimiser,
        }
