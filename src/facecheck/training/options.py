"""The options of training jobs that are not the recipe's: where, on what, and how often to save."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facecheck.core.common_options import DeviceOption, OverwriteOption
from facecheck.core.errors import UsageError
from facecheck.core.options import Options, Trust, option
from facecheck.core.workspace import FEATURES, RUNS


@dataclass(frozen=True)
class TrainingWorkersOption(Options):
    """How many processes decode training images; None takes one per core, 0 decodes in this one."""

    workers: int | None = option(
        None, "Decoding processes; 0: decode in this one.", least=0, words="one per core"
    )


@dataclass(frozen=True)
class RunOptions(Options):
    """Where a training leaves its run folder, or which one it resumes.

    Raises:
        UsageError: a run that is resumed is to have another name.
    """

    name: str | None = option(None, "Name of the run folder.", words="the architecture")
    runs: Path = option(RUNS, "The folder for run folders.", trust=Trust.NAMED)
    resume: Path | None = option(
        None,
        "Resume an interrupted run, with its own recipe.",
        metavar="RUN",
        trust=Trust.NAMED,
    )
    save_every: float = option(
        300.0, "Seconds between saves of the training state within an epoch.", least=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resume is not None and self.name is not None:
            raise UsageError("--resume and --name: a resumed run keeps its folder: leave one out")


@dataclass(frozen=True)
class FeaturesOption(Options):
    """Where the features of frozen encoders are kept."""

    features: Path = option(
        FEATURES,
        "With --encoder or --freeze: where features are kept, for this and later trainings.",
        trust=Trust.NAMED,
    )


@dataclass(frozen=True)
class TrainOptions(RunOptions, FeaturesOption, DeviceOption, TrainingWorkersOption):
    """How ``train`` runs; what it trains is the recipe's."""

    log_test: bool = option(
        False,
        "Log top-1 and top-5 on the test split too; no choice depends on them.",
        flags=("--log-test/--no-log-test",),
    )
    tensorboard: bool = option(
        False,
        "Write TensorBoard events to the run folder (extra tensorboard).",
        flags=("--tensorboard/--no-tensorboard",),
    )
    cache: bool = option(True, "Keep decoded images in up to half of the free memory.")
    compile_model: Literal["auto", "yes", "no"] = option(
        "auto", "torch.compile; auto: on a GPU, where it is faster.", flags=("--compile",)
    )


@dataclass(frozen=True)
class LrFindOptions(OverwriteOption, DeviceOption, TrainingWorkersOption):
    """Which learning rates ``lr-find`` tries.

    Raises:
        UsageError: the rates are not above 0 and rising.
    """

    lowest: float = option(1e-7, "The first rate tried.")
    highest: float = option(1.0, "The last rate tried, unless the loss diverges before.")
    steps: int = option(100, "Number of rates to try (one per batch, at least 20).", least=20)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.lowest < self.highest:
            raise UsageError(
                f"rates from {self.lowest:g} to {self.highest:g}: must be above 0 and rising"
            )
