from __future__ import annotations

import mmap
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from facecheck.core.errors import TrainingError
from facecheck.model.transforms import Transform, load_pixels
from facecheck.training import dataset
from facecheck.training.augment import Pixels
from facecheck.training.dataset import TrainingImages, epoch_batches, epoch_loader
from facecheck.training.decoded import DecodedImages
from facecheck.training.distributed import Ranks
from tests.conftest import SMALL

TRANSFORM = Transform(32, 40, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
RECIPE = replace(SMALL, seed=3)


def images(folder: Path, *, memory: int = 0) -> TrainingImages:
    paths = sorted(folder.rglob("*.png"))
    decoded = DecodedImages(len(paths), TRANSFORM.resize, memory) if memory else None
    return TrainingImages(paths, list(range(len(paths))), TRANSFORM, RECIPE, decoded=decoded)


def test_an_epoch_holds_every_image_once_in_another_order_each_time() -> None:
    first, second = (epoch_batches(21, 4, 0, epoch) for epoch in (1, 2))
    for batches in (first, second):
        assert sorted(position for batch in batches for position in batch) == list(range(21))
        assert [len(batch) for batch in batches] == [4, 4, 4, 3, 3, 3]
    assert first != second
    assert epoch_batches(21, 4, 0, 1) == first
    assert epoch_batches(1, 4, 0, 1) == [[0]]
    assert [len(batch) for batch in epoch_batches(5, 4, 0, 1)] == [3, 2]  # no batch of one


def test_a_balanced_epoch_draws_groups_and_their_images_evenly() -> None:
    groups = np.array([0] * 90 + [1] * 9 + [2])
    drawn = [place for batch in epoch_batches(100, 8, 0, 1, groups=groups) for place in batch]
    counts = Counter(int(groups[place]) for place in drawn)
    assert sum(counts.values()) == 100
    assert set(counts.values()) <= {33, 34}
    within = Counter(place for place in drawn if groups[place] == 1)
    assert set(within.values()) <= {3, 4}
    assert max(Counter(place for place in drawn if groups[place] == 0).values()) == 1
    uneven = epoch_batches(100, 8, 0, 1, groups=groups, shares=np.array([0.5, 1.0, 3.5]))
    counts = Counter(int(groups[place]) for batch in uneven for place in batch)
    assert counts == {0: 10, 1: 20, 2: 70}
    assert epoch_batches(100, 8, 0, 2, groups=groups) != epoch_batches(100, 8, 0, 1, groups=groups)


def test_augmentation_depends_on_seed_epoch_and_image_alone(drawn: Path) -> None:
    data = images(drawn)
    once = data.varied(5, 1)
    assert once.shape == (32, 32, 3)
    assert once.dtype == np.uint8
    data.varied(6, 1)
    assert np.array_equal(data.varied(5, 1), once)
    assert any(not np.array_equal(data.varied(5, epoch), once) for epoch in range(2, 10))


@pytest.mark.slow
def test_processes_and_kept_pixels_give_the_same_batches(drawn: Path) -> None:
    batches = epoch_batches(len(images(drawn)), 8, 0, 1)
    alone = list(epoch_loader(images(drawn), batches, 1, workers=0))
    helped = list(epoch_loader(images(drawn, memory=10**9), batches, 1, workers=2))
    for ours, theirs in zip(alone, helped, strict=True):
        assert all(torch.equal(part, other) for part, other in zip(ours, theirs, strict=True))


def test_kept_pixels_need_no_file_and_the_others_do(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path / "raw")
    size = images(tmp_path / "raw").pixels(0).nbytes
    whole = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    data = images(tmp_path / "raw", memory=2 * whole)
    first = [data.pixels(position).copy() for position in range(3)]
    for path in data.paths:
        path.unlink()
    assert all(np.array_equal(data.pixels(place), first[place]) for place in range(2))
    with pytest.raises(TrainingError, match="the file is not there"):
        data.pixels(2)


def test_a_vanished_file_is_named(tmp_path: Path) -> None:
    data = TrainingImages([tmp_path / "gone.png"], [0], TRANSFORM, RECIPE)
    with pytest.raises(TrainingError, match=r"gone\.png: the file is not there"):
        data.pixels(0)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux shares them")
def test_processes_of_one_machine_share_what_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[str] = []

    def gather(_: Ranks, value: str) -> list[str]:
        gathered.append(value)
        return gathered

    monkeypatch.setattr(Ranks, "gather", gather)
    ranks = [Ranks(rank, 2, rank, 2) for rank in (0, 1)]
    first, second = (DecodedImages(3, 40, 10**6, own) for own in ranks)
    pixels = np.random.default_rng(0).integers(0, 256, (80, 40, 3), np.uint8)
    first.keep(2, pixels)
    second.keep(1, pixels[:50])
    assert np.array_equal(second.get(2), pixels)  # type: ignore[arg-type]
    assert np.array_equal(first.get(1), pixels[:50])  # type: ignore[arg-type]
    assert first.get(0) is second.get(0) is None
    assert DecodedImages(3, 40, 10**6).get(2) is None


def crash(path: Path) -> Pixels:
    if path.name == "bad.png":
        os.kill(os.getpid(), signal.SIGSEGV)
    return load_pixels(path, TRANSFORM)


def hang(path: Path) -> Pixels:
    if path.name == "bad.png":
        time.sleep(60)
    return load_pixels(path, TRANSFORM)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "seconds", "message"),
    [
        (crash, 60, r"bad\.png: the decoder crashed \(SIGSEGV\): fix it, or run"),
        (hang, 2, r"bad\.png: took longer than 2 s: fix it, or run"),
        (partial(load_pixels, transform=TRANSFORM), 60, r"bad\.png: .*: fix it, or run"),
    ],
)
def test_a_file_that_no_process_decodes_is_named(
    load: Callable[[Path], Pixels],
    seconds: float,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    data = TrainingImages([bad], [0], TRANSFORM, RECIPE)
    data.loader = load
    monkeypatch.setattr(dataset, "TIMEOUT", seconds)
    with pytest.raises(TrainingError, match=message):
        list(epoch_loader(data, [[0]], 1, workers=1))
