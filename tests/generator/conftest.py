"""A generator small enough to train in a second or two."""

from __future__ import annotations

from pathlib import Path

import pytest

from facecheck.generator.options import GenerateTrainOptions, GeneratorSettings
from facecheck.generator.train import GenerateTrainResult, generate_train

#: Networks of a few thousand weights.
TINY = GeneratorSettings(width=1, latent=8, batch_size=4, seed=3)


@pytest.fixture(scope="session")
def made(
    trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> GenerateTrainResult:
    """A generator of drawn photos, cartoons and sketches, after six steps. Not to be changed."""
    runs = tmp_path_factory.mktemp("generators")
    return generate_train(
        trained[0], TINY, GenerateTrainOptions(steps=6, runs=runs, device="cpu", grid_every=4)
    )
