"""The options of the jobs that measure a checkpoint, or choose among recipes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facecheck.core.common_options import (
    BatchSizeOption,
    DeviceOption,
    OverwriteOption,
    SourcesOption,
    WorkersOption,
)
from facecheck.core.errors import UsageError
from facecheck.core.options import Options, Trust, option
from facecheck.training.options import FeaturesOption, TrainingWorkersOption


@dataclass(frozen=True)
class CalibrateOptions(OverwriteOption, DeviceOption, BatchSizeOption, WorkersOption):
    """How ``calibrate`` chooses thresholds, and where the calibrated checkpoint goes.

    Raises:
        UsageError: the budget is not above 0 and below 0.5.
    """

    budget: float = option(
        0.01,
        "Allowed error rate for real and for artificial images, above 0 and below 0.5; lower means "
        "more uncertain.",
    )
    guard: float = option(
        99.0,
        "Percentage of the val images that count as familiar: what is less like every kind becomes "
        "uncertain; 100: nothing does.",
        least=50,
        most=100,
    )
    left_out: Path | None = option(
        None,
        "Choose thresholds for strangers' images: by this table of scores, which `facecheck "
        "leave-out` wrote.",
        metavar="SCORES",
    )
    uncertain: float = option(
        0.15,
        "With --left-out: share of strangers' photographs that may be uncertain; it limits what "
        "the budget asks for artificial faces.",
        least=0,
        most=1,
    )
    out: Path | None = option(
        None,
        "Where to write the calibrated checkpoint.",
        words="update in place",
        trust=Trust.NAMED,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.budget < 0.5:
            raise UsageError(
                f"--budget {self.budget}: must be a share above 0 and below 0.5; for 5 % write 0.05"
            )


@dataclass(frozen=True)
class SplitOption(Options):
    """Which images of a manifest are classified."""

    split: str = option("test", "The split to evaluate on.", metavar="train|val|test")


@dataclass(frozen=True)
class EvaluateOptions(
    SplitOption, SourcesOption, OverwriteOption, DeviceOption, BatchSizeOption, WorkersOption
):
    """What ``evaluate`` measures, and which tables it writes."""

    predictions: Path | None = option(
        None, "Write every prediction to this table, .csv or .parquet.", trust=Trust.NAMED
    )
    features: Path | None = option(
        None,
        "Save the feature vectors to this .npz file, for PCA or t-SNE.",
        trust=Trust.NAMED,
    )
    baseline: bool = option(
        True,
        "Compare each source with what metadata alone achieves; runs `facecheck audit` first if "
        "needed.",
    )


@dataclass(frozen=True)
class BenchmarkOptions(SplitOption, SourcesOption, OverwriteOption, DeviceOption, WorkersOption):
    """What ``benchmark-model`` measures."""

    per_source: int = option(100, "Use at most this many images per source; 0: all.", least=0)
    out: Path | None = option(
        None, "Write the results as JSON and CSV to this folder.", trust=Trust.NAMED
    )


@dataclass(frozen=True)
class LeaveOneOutOptions(SplitOption, DeviceOption, TrainingWorkersOption):
    """Which sources ``leave_one_out`` leaves out, and what it evaluates on."""

    left_out: tuple[str, ...] = option(
        (),
        "Leave out only these kinds' sources, sources or kind/source pairs, one at a time.",
        metavar="KIND|SOURCE",
    )
    per_source: int = option(0, "Evaluate at most this many images per source; 0: all.", least=0)


@dataclass(frozen=True)
class LeaveOutOptions(FeaturesOption, DeviceOption, TrainingWorkersOption):
    """Which sources ``leave_out`` leaves out together, and where its scores go."""

    out: Path = option(
        Path("left-out"), "The folder for the scores and the runs.", trust=Trust.NAMED
    )
    together: tuple[str, ...] = option(
        (),
        "Sources to leave out in one training, since they share their processing or only to save "
        "time, as in ffhq-256:stylegan-256; each other source is left out alone. Repeatable.",
        metavar="SOURCE:SOURCE…",
    )
    per_source: int = option(
        0, "Train on and score at most this many images of each source; 0: all.", least=0
    )
    only_together: bool = option(False, "Leave out what --together names, and no other source.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.only_together and not self.together:
            raise UsageError("--only-together needs --together, which names what to leave out")


@dataclass(frozen=True)
class StudyOptions(DeviceOption, TrainingWorkersOption):
    """How a study trains."""

    keep_checkpoints: bool = option(
        False,
        "Keep each run's checkpoints after it has been evaluated.",
        flags=("--keep-checkpoints/--no-keep-checkpoints",),
    )
