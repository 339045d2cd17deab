"""The commands that make faces of a kind: generate train, generate sample, generate quality."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecheck.cli.arguments import ManifestOption
from facecheck.cli.display import Display, finish, progress_bar
from facecheck.cli.flags import takes_options
from facecheck.core.errors import UsageError
from facecheck.core.options import Trust
from facecheck.core.parallel import silent
from facecheck.core.workspace import find_manifest
from facecheck.generator.options import (
    GenerateQualityOptions,
    GenerateSampleOptions,
    GenerateTrainOptions,
    GeneratorSettings,
)

if TYPE_CHECKING:
    from facecheck.generator.state import Row

GeneratorArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="GENERATOR",
        help="A generator's checkpoint or run folder.",
        show_default="the newest",
    ),
]


@takes_options
def train(
    manifest: ManifestOption = None,
    *,
    settings: GeneratorSettings,
    options: GenerateTrainOptions,
    display: Display,
) -> None:
    """Train a generator of faces on the manifest's train split.

    A class-conditional GAN for a few thousand images: hinge loss, spectral normalisation,
    DiffAugment, an averaged generator. The run folder gets a log, sample grids, the generator, and
    the state from which --resume continues.

    Examples:
        facecheck generate train --kind cartoon --minutes 60
        facecheck generate train --resume runs/generate-cartoon
    """
    from facecheck.generator.train import generate_train, read_run
    from facecheck.report.terminal.generator import render_generate_train

    if options.resume is not None:
        own_manifest, own = read_run(options.resume)
        if settings not in (GeneratorSettings(), own):
            raise UsageError(
                "--resume uses the run's own settings: leave out all but --steps, --minutes and "
                "what only says where and how often"
            )
        manifest, settings = manifest or own_manifest, own
    with progress_bar("training", quiet=display.quiet) as progress:
        result = generate_train(
            find_manifest(manifest),
            settings,
            options,
            progress=progress,
            on_row=silent if display.quiet or sys.stderr.isatty() else _tell,
        )
    finish(result, render_generate_train, display)


def _tell(row: Row) -> None:
    from facecheck.report.terminal.generator import generate_line

    sys.stderr.write(f"{generate_line(row)}\n")


@takes_options
def sample(
    out: Annotated[Path, Trust.NAMED, typer.Option(help="The folder for the images.")],
    generator: GeneratorArgument = None,
    *,
    options: GenerateSampleOptions,
    display: Display,
) -> None:
    """Write faces by a generator as PNG, each marked as synthetic, and a grid next to the folder.

    The mark is text and XMP: IPTC's digital source type trainedAlgorithmicMedia. The same seed
    gives the same bytes. To train on them, or evaluate with them:
    facecheck index OUT --kind generated --source NAME.

    Examples:
        facecheck generate sample --count 100 --out made
        facecheck generate sample runs/generate-cartoon --kind cartoon --out cartoons
    """
    from facecheck.generator.checkpoint import find_generator
    from facecheck.generator.sample import generate_sample
    from facecheck.report.terminal.generator import render_generate_sample

    with progress_bar("drawing", quiet=display.quiet) as progress:
        result = generate_sample(find_generator(generator), out, options, progress=progress)
    finish(result, render_generate_sample, display)


@takes_options
def quality(
    generator: GeneratorArgument = None,
    manifest: ManifestOption = None,
    *,
    options: GenerateQualityOptions,
    display: Display,
) -> None:
    """Measure how far generated faces are from real ones that the generator never saw.

    The kernel inception distance to images of val and test, on features of an ImageNet
    EfficientNet-Lite0, with two reference points: real images of the train split, and noise. Needs
    the extra generate.

    Examples:
        facecheck generate quality
        facecheck generate quality runs/generate-cartoon --kind cartoon --count 200
    """
    from facecheck.generator.checkpoint import find_generator
    from facecheck.generator.quality import generate_quality
    from facecheck.report.terminal.generator import render_generate_quality

    with progress_bar("comparing", quiet=display.quiet) as progress:
        result = generate_quality(
            find_generator(generator), find_manifest(manifest), options, progress=progress
        )
    finish(result, render_generate_quality, display)
