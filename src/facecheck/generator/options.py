"""The options of the jobs that train a generator, draw from it and measure it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facecheck.core.common_options import DeviceOption, OverwriteOption, SourcesOption
from facecheck.core.errors import UsageError
from facecheck.core.options import Options, Trust, option
from facecheck.core.workspace import RUNS

#: Stands for every kind.
ALL = "all"
#: Sides of images that the networks can be built for, in pixels.
SIZES = (64, 128)


@dataclass(frozen=True)
class SeedOption(Options):
    """What random numbers start from."""

    seed: int = option(0, "Random seed.", least=0)


@dataclass(frozen=True)
class GeneratorSettings(SourcesOption, SeedOption):
    """How a generator is trained; a run that is resumed keeps them.

    Raises:
        UsageError: there is no network of this size, or a rate is not above 0 and below 1.
    """

    kind: str = option(ALL, "The kind to learn, or all.", metavar="KIND|all")
    size: int = option(64, "Side of the images in pixels, 64 or 128.")
    width: int = option(
        16, "Channels of the narrowest layers; a step's time grows with its square.", least=1
    )
    # One image alone breaks batch normalisation.
    batch_size: int = option(32, "Real images in one step.", least=2)
    lr_generator: float = option(2e-4, "Learning rate of the generator.")
    #: Higher, as in Heusel et al. 2017, "GANs trained by a two time-scale update rule".
    lr_discriminator: float = option(4e-4, "Learning rate of the discriminator.")
    # Of the network and of its training alone, and no flags.
    #: Length of the noise vector.
    latent: int = 128
    #: How much of the average of the generator's weights each step keeps.
    ema: float = 0.998

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size not in SIZES:
            raise UsageError(f"--size {self.size}: must be one of {', '.join(map(str, SIZES))}")
        for name, value in (
            ("--lr-generator", self.lr_generator),
            ("--lr-discriminator", self.lr_discriminator),
            ("ema", self.ema),
        ):
            if not 0 < value < 1:
                raise UsageError(f"{name} {value:g}: must be above 0 and below 1")


@dataclass(frozen=True)
class GenerateTrainOptions(DeviceOption):
    """How long a generator is trained, and where its run folder goes."""

    steps: int | None = option(
        None, "Stop after this many steps in total.", least=1, words="10,000, without --minutes"
    )
    minutes: float | None = option(
        None, "Stop after this many minutes of training in total.", least=0, words="no limit"
    )
    name: str | None = option(None, "Name of the run folder.", words="generate-<kind>")
    runs: Path = option(RUNS, "The folder for run folders.", trust=Trust.NAMED)
    resume: Path | None = option(
        None, "Resume a run, with its own settings.", metavar="RUN", trust=Trust.NAMED
    )
    grid_every: int = option(500, "Steps between sample grids.", least=1)
    save_every: float = option(300.0, "Seconds between saves of the training state.", least=0)


@dataclass(frozen=True)
class GenerateSampleOptions(SeedOption, OverwriteOption, DeviceOption):
    """Which images are drawn from a generator."""

    kind: str = option(ALL, "The kind to make, or all in turn.", metavar="KIND|all")
    count: int = option(64, "Number of images.", least=1)
    overwrite: bool = option(
        False,
        "Write into a folder that has images, replacing those of the same name.",
        trust=Trust.NO_FILE,
    )


@dataclass(frozen=True)
class GenerateQualityOptions(SeedOption, DeviceOption):
    """Which images a generator's are compared with."""

    kind: str = option(ALL, "One of the generator's kinds, or all.", metavar="KIND|all")
    count: int = option(
        1000, "Maximum number of images per set; never more than are held out.", least=1
    )
