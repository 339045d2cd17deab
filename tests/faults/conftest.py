"""Faults planted in real portraits."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

import facecheck
from tests.test_benchmarks import loaded


@dataclass(frozen=True)
class Planted:
    """A manifest of portraits and of copies of them with one fault each.

    Attributes:
        manifest: 20 portraits of one source as they are, and the copies.
        files: each copy's path, by its fault.
    """

    manifest: Path
    files: dict[str, Path]


@pytest.fixture(scope="session")
def planters() -> ModuleType:
    """The benchmark that plants faults."""
    return loaded("check")


@pytest.fixture(scope="session")
def planted(
    real_images: Callable[..., list[Path]],
    planters: ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
) -> Planted:
    """Twenty portraits, and one of each fault. Not to be changed."""
    home = tmp_path_factory.mktemp("planted")
    folder = home / "photo" / "ffhq"
    folder.mkdir(parents=True)
    clean = real_images("photo/ffhq-256/", 40)
    for number, path in enumerate(clean[:20]):
        (folder / f"clean{number}.jpg").write_bytes(path.read_bytes())
    files = {}
    for number, (fault, plant) in enumerate(planters.PLANTERS.items()):
        with Image.open(clean[20 + number]) as image:
            made = plant(image.convert("RGB"), random.Random(number))
        files[fault] = folder / f"{fault}.png"
        made.save(files[fault])
    with Image.open(clean[38]) as one, Image.open(clean[39]) as two:
        pair = planters.several_faces(one, two)
    files["several faces"] = folder / "several.png"
    pair.save(files["several faces"])
    facecheck.index([home], home / "m.csv")
    return Planted(home / "m.csv", files)
