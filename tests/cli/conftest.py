"""A folder as a user has it after some work: images, a data set, a run, results."""

from __future__ import annotations

import shutil
from contextlib import chdir
from pathlib import Path

import pytest
from draw_faces import draw_dataset

import facecheck


@pytest.fixture(scope="session")
def workspace(
    tmp_path_factory: pytest.TempPathFactory, drawn: Path, trained: tuple[Path, Path]
) -> Path:
    """A folder with all that the examples name: photos, a data set, a run, …."""
    folder = tmp_path_factory.mktemp("examples")
    draw_dataset(folder / "drawn", 22)  # an audit needs twenty of a kind
    (folder / "drawn/photo/drawn-photo").rename(folder / "drawn/photo/ffhq-256")
    shutil.copytree(folder / "drawn", folder / "data" / "raw")
    facecheck.index([folder / "data" / "raw"], folder / "data" / "manifest.csv")
    facecheck.split(folder / "data" / "manifest.csv", facecheck.SplitOptions(ratio="6:3:3"))
    for split in ("train", "val"):
        for name, kind in (("real", "photo"), ("fake", "sketch")):
            at = folder / "imagefolder" / split / name
            at.mkdir(parents=True)
            for number in range(2 if split == "train" else 1):
                image = drawn / kind / f"drawn-{kind}" / f"{number + 3:03}.png"
                shutil.copy(image, at / f"{split}-{number}.png")
    for name in ("photos", "confirmed-fakes"):
        (folder / name).mkdir()
    for number in range(4):
        shutil.copy(drawn / f"photo/drawn-photo/00{number}.png", folder / f"photos/{number}.jpg")
        shutil.copy(
            drawn / f"sketch/drawn-sketch/00{number}.png", folder / f"confirmed-fakes/{number}.png"
        )
    shutil.copy(folder / "photos" / "0.jpg", folder / "portrait.jpg")
    shutil.copytree(trained[1].parent, folder / "runs" / "resnet50")
    with chdir(folder):
        decided = facecheck.KnownAddOptions(verdict="artificial")
        facecheck.known_add([Path("confirmed-fakes")], Path("known.csv"), decided)
        for name, shard in {"results.csv": None, "part1.csv": (1, 2), "part2.csv": (2, 2)}.items():
            options = facecheck.ScanOptions(faces="off", workers=1, shard=shard)
            facecheck.scan(["photos"], Path(name), trained[1], options)
    return folder
