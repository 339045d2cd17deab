"""The commands that make faces of a kind: generate train, generate sample, generate quality."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecheck.cli.options import (
    Device,
    Json,
    ManifestOption,
    Quiet,
    SourceNames,
    progress_bar,
    show,
)
from facecheck.core.errors import UsageError
from facecheck.core.workspace import RUNS, find_manifest

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
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]


def train(
    sources: SourceNames,
    manifest: ManifestOption = None,
    kind: Annotated[str, typer.Option(help="The kind to learn, or all.")] = "all",
    size: Annotated[int, typer.Option(help="Side of the images in pixels, 64 or 128.")] = 64,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Stop after so many, in all.", show_default="10,000, without --minutes"
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0, help="Stop after so many of training, in all.", show_default="no limit"
        ),
    ] = None,
    width: Annotated[
        int,
        typer.Option(
            min=1, help="Channels of the narrowest layers; a step's time grows with its square."
        ),
    ] = 16,
    batch_size: Annotated[int, typer.Option(min=2, help="Real images in one step.")] = 32,
    lr_generator: Annotated[float, typer.Option(help="The generator's learning rate.")] = 2e-4,
    lr_discriminator: Annotated[
        float, typer.Option(help="The discriminator's learning rate.")
    ] = 4e-4,
    seed: Seed = 0,
    name: Annotated[
        str | None, typer.Option(help="Name of the run folder.", show_default="generate-<kind>")
    ] = None,
    runs: Annotated[Path, typer.Option(help="The folder for run folders.")] = RUNS,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with a run, by its own settings, where it stood."),
    ] = None,
    grid_every: Annotated[int, typer.Option(min=1, help="Steps between sample grids.")] = 500,
    save_every: Annotated[
        float, typer.Option(min=0, help="Seconds between savings of the state.")
    ] = 300.0,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a generator of faces on the manifest's train split.

    A class-conditional GAN for a few thousand images: hinge loss, spectral normalisation,
    DiffAugment, an averaged generator. The run folder gets a log, sample grids, the generator, and
    the state from which --resume goes on.
    """
    from facecheck.generator.train import GeneratorSettings, generate_train, read_run
    from facecheck.report.terminal.generator import render_generate_train

    settings = GeneratorSettings(
        kind=kind,
        sources=tuple(sources),
        size=size,
        width=width,
        batch_size=batch_size,
        lr_generator=lr_generator,
        lr_discriminator=lr_discriminator,
        seed=seed,
    )
    if resume is not None:
        own_manifest, own = read_run(resume)
        if settings not in (GeneratorSettings(), own):
            raise UsageError(
                "--resume goes on with the run's own settings: leave out all but --steps, "
                "--minutes and what only says where and how often"
            )
        manifest, settings = manifest or own_manifest, own
    with progress_bar("training", quiet=quiet) as progress:
        result = generate_train(
            find_manifest(manifest),
            settings,
            steps=steps,
            minutes=minutes,
            name=name,
            runs=runs,
            resume=resume,
            device=device,
            grid_every=grid_every,
            save_every=save_every,
            progress=progress,
            on_row=_ignore if quiet or sys.stderr.isatty() else _tell,
        )
    show(result, render_generate_train, as_json=as_json, quiet=quiet)


def _ignore(row: Row) -> None:
    """Leave a row to the bar, or to silence."""


def _tell(row: Row) -> None:
    from facecheck.report.terminal.generator import generate_line

    sys.stderr.write(f"{generate_line(row)}\n")


def sample(
    out: Annotated[Path, typer.Option(help="The folder for the images.")],
    generator: GeneratorArgument = None,
    kind: Annotated[str, typer.Option(help="The kind to make, or all in turn.")] = "all",
    count: Annotated[int, typer.Option(min=1, help="How many images.")] = 64,
    seed: Seed = 0,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Write into a folder with images, replacing namesakes."),
    ] = False,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write faces by a generator as PNG, each marked as synthetic, and a grid beside the folder.

    The mark is text and XMP: IPTC's digital source type trainedAlgorithmicMedia. The same seed
    gives the same bytes. To learn from them, or be judged by them:
    facecheck index OUT --kind generated --source NAME.
    """
    from facecheck.generator.checkpoint import find_generator
    from facecheck.generator.sample import generate_sample
    from facecheck.report.terminal.generator import render_generate_sample

    with progress_bar("drawing", quiet=quiet) as progress:
        result = generate_sample(
            find_generator(generator),
            out,
            kind=kind,
            count=count,
            seed=seed,
            overwrite=overwrite,
            device=device,
            progress=progress,
        )
    show(result, render_generate_sample, as_json=as_json, quiet=quiet)


def quality(
    generator: GeneratorArgument = None,
    manifest: ManifestOption = None,
    kind: Annotated[str, typer.Option(help="One of the generator's kinds, or all.")] = "all",
    count: Annotated[
        int, typer.Option(min=1, help="Images of a set at most; never more than are held out.")
    ] = 1000,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure how far generated faces are from real ones that the generator never saw.

    The kernel inception distance to images of val and test, on features of an ImageNet
    EfficientNet-Lite0, beside two anchors: real images of the train split, and noise. Needs the
    extra generate.
    """
    from facecheck.generator.checkpoint import find_generator
    from facecheck.generator.quality import generate_quality
    from facecheck.report.terminal.generator import render_generate_quality

    with progress_bar("comparing", quiet=quiet) as progress:
        result = generate_quality(
            find_generator(generator),
            find_manifest(manifest),
            kind=kind,
            count=count,
            seed=seed,
            device=device,
            progress=progress,
        )
    show(result, render_generate_quality, as_json=as_json, quiet=quiet)
