from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facecheck.core.errors import TrainingError, UsageError
from facecheck.core.manifest import read_manifest
from facecheck.engines.load import load_predictor
from facecheck.training.feature_cache import CachePlan
from facecheck.training.head import FeatureData, fit_head
from facecheck.training.lr_find import lr_find
from facecheck.training.options import TrainOptions
from facecheck.training.recipe import Recipe
from facecheck.training.train import train
from tests.conftest import SMALL
from tests.encoder import write_encoder

HEAD = Recipe(epochs=30, batch_size=32, lr=1e-2, hidden=16, components=8, schedule="cosine")


def rings(count: int) -> FeatureData:
    """Three kinds that no line parts: rings in each other, and a second set that says little."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    angle, radius = rng.uniform(0, 6.28, count), 1 + labels + rng.normal(0, 0.1, count)
    ring = np.stack([np.cos(angle) * radius, np.sin(angle) * radius], axis=1)
    return FeatureData(
        [ring[:, None], rng.normal(size=(count, 1, 4))], labels, np.ones(count, np.float32)
    )


def right(head: object, data: FeatureData) -> float:
    logits, _ = head.answer([one[:, 0] for one in data.sets])  # type: ignore[attr-defined]
    return float((logits.argmax(1) == data.labels).mean())


def test_a_hidden_layer_learns_what_a_linear_head_cannot() -> None:
    data = rings(600)
    curved = HEAD.changed({"set_share": [0.9, 0.1]})
    assert right(fit_head(data, 3, 0, curved), data) > 0.95
    assert right(fit_head(data, 3, 0, curved.changed({"hidden": 0})), data) < 0.7


def test_members_views_mixup_and_the_second_loss_learn_too() -> None:
    data = rings(300)
    varied = FeatureData(
        [np.concatenate([one, one + 0.01], axis=1) for one in data.sets], data.labels, data.weights
    )
    recipe = HEAD.changed(
        {
            "epochs": 60,
            "members": 3,
            "mixup": 0.1,
            "dropout": 0.1,
            "real_loss": 1.0,
            "set_share": [0.9, 0.1],
        }
    )
    assert right(fit_head(varied, 3, 0, recipe), data) > 0.9


def test_one_seed_gives_one_head() -> None:
    data, recipe = rings(120), HEAD.changed({"epochs": 2})
    first, again = (fit_head(data, 3, 0, recipe).tensors() for _ in range(2))
    other = fit_head(data, 3, 0, recipe.changed({"seed": 1})).tensors()
    assert all((first[name] == again[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)


def test_bad_numbers_and_shares_are_refused() -> None:
    data = rings(60)
    with pytest.raises(TrainingError, match="set share has 3 numbers"):
        fit_head(data, 3, 0, HEAD.changed({"set_share": [1.0, 1.0, 1.0]}))
    with pytest.raises(TrainingError, match="the loss is"):
        fit_head(replace(data, weights=data.weights * np.nan), 3, 0, HEAD)


def test_a_run_of_a_head_is_a_run(trained: tuple[Path, Path], tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "colours.onnx")
    recipe = HEAD.changed({"encoder": encoder, "views": 2, "flip": True, "epochs": 4})
    options = TrainOptions(runs=tmp_path / "runs", features=tmp_path / "f", log_test=True)
    plans: list[CachePlan] = []
    result = train(trained[0], recipe, options, on_plan=plans.append)
    run = result.run
    assert {path.name for path in run.iterdir()} == {
        "best.safetensors", "last.safetensors", "log.jsonl", "recipe.yaml", "run.json",
        "colours.onnx",
    }  # fmt: skip
    assert run.name == "colours"
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in log] == [1, 2, 3, 4]
    assert log[-1]["test_top1"] is not None
    assert plans[0].missing == len(read_manifest(trained[0])) + result.train_images
    again = train(trained[0], recipe, options, on_plan=plans.append)
    assert plans[1].missing == 0
    assert (again.run / "best.safetensors").read_bytes() == (
        (run / "best.safetensors").read_bytes()
    )
    val = read_manifest(trained[0]).in_split("val")
    answers = load_predictor(result.best).file_outputs(val.paths())
    logits = [answer.logits for answer in answers if answer.logits is not None]
    found = np.array(result.kinds)[np.argmax(logits, axis=1)] == val.frame["kind"].to_numpy()
    assert found.mean() == pytest.approx(log[-1]["val_top1"], abs=0.051)
    with pytest.raises(UsageError, match=r"--resume: .*recipe\.yaml"):
        train(trained[0], recipe, TrainOptions(resume=run))


def test_what_is_for_whole_networks_is_refused(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = HEAD.changed({"encoder": write_encoder(tmp_path / "colours.onnx")})
    with pytest.raises(UsageError, match="lr-find is for whole networks"):
        lr_find(trained[0], recipe)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="by one process"):
        train(trained[0], recipe, TrainOptions(runs=tmp_path))


def test_a_network_learns_from_a_head(trained: tuple[Path, Path], tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "colours.onnx")
    options = TrainOptions(runs=tmp_path / "runs", features=tmp_path / "f", device="cpu", workers=0)
    teacher = train(trained[0], HEAD.changed({"encoder": encoder, "epochs": 2}), options)
    recipe = SMALL.changed({"teacher": teacher.best, "teacher_share": 1.0, "epochs": 1})
    taught = train(trained[0], recipe, options)
    labels = train(trained[0], recipe.changed({"teacher_share": 0.0}), options)
    alone = train(trained[0], SMALL.changed({"epochs": 1}), options)
    assert labels.best.read_bytes() != taught.best.read_bytes()
    loss = alone.epochs[0].train_loss
    assert labels.epochs[0].train_loss == pytest.approx(loss, abs=1e-6)
    assert taught.epochs[0].train_loss != pytest.approx(loss, abs=1e-6)
