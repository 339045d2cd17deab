"""Training a generator."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import facecheck
from facecheck.core.errors import CheckpointError, TrainingError, UsageError
from facecheck.generator import train as module
from facecheck.generator.checkpoint import find_generator, load_generator
from facecheck.generator.images import RealImages, real_records
from facecheck.generator.options import GenerateTrainOptions, GeneratorSettings
from facecheck.generator.state import Row
from facecheck.generator.train import (
    GenerateTrainResult,
    generate_train,
    read_run,
)
from tests.generator.conftest import TINY

Trained = tuple[Path, Path]


def test_a_run_folder(made: GenerateTrainResult) -> None:
    assert sorted(path.name for path in made.run.iterdir()) == [
        "generator.safetensors", "grid-000004.png", "grid.png", "log.jsonl", "run.json", "state.pt",
    ]  # fmt: skip
    assert made.run.name == "generate-all"
    assert made.kinds == ("photo", "cartoon", "sketch")
    assert made.images == {"photo": 6, "cartoon": 6, "sketch": 6}
    assert made.steps == 6
    with Image.open(made.run / "grid.png") as grid:
        assert grid.size == (8 * 66 - 2, 12 * 66 - 2)
    _, header = load_generator(made.checkpoint)
    assert (header.kinds, header.size, header.steps) == (made.kinds, 64, 6)
    assert header.sources == ("cartoon/drawn-cartoon", "photo/drawn-photo", "sketch/drawn-sketch")


@pytest.mark.slow
def test_an_interrupted_training_ends_as_an_unbroken_one(
    made: GenerateTrainResult, trained: Trained, tmp_path: Path
) -> None:
    begun = generate_train(
        trained[0], TINY, GenerateTrainOptions(steps=3, runs=tmp_path, device="cpu")
    )
    manifest, settings = read_run(begun.run)
    assert settings == TINY
    ended = generate_train(
        manifest, settings, GenerateTrainOptions(steps=6, resume=begun.run, device="cpu")
    )
    assert ended.run == begun.run
    assert ended.checkpoint.read_bytes() == made.checkpoint.read_bytes()
    stored, whole = (
        torch.load(run / "state.pt", weights_only=True) for run in (ended.run, made.run)
    )
    for part in ("generator", "discriminator", "ema"):
        for name, tensor in whole[part].items():
            assert torch.equal(stored[part][name], tensor), name
    assert stored["figures"] == whole["figures"]


def test_a_kill_costs_only_what_was_not_saved(
    made: GenerateTrainResult, trained: Trained, tmp_path: Path
) -> None:
    class StopError(Exception):
        """As sudden as a signal."""

    def kill(done: int, total: int | None) -> None:
        if done == 5:
            raise StopError

    with pytest.raises(StopError):
        generate_train(
            trained[0],
            TINY,
            GenerateTrainOptions(steps=6, runs=tmp_path, device="cpu", save_every=0),
            progress=kill,
        )
    run = tmp_path / "generate-all"
    ended = generate_train(
        trained[0], TINY, GenerateTrainOptions(steps=6, resume=run, device="cpu")
    )
    assert ended.checkpoint.read_bytes() == made.checkpoint.read_bytes()


def test_the_log_has_a_row_for_so_many_steps(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_EVERY", 2)
    rows: list[Row] = []
    result = generate_train(
        *(trained[0], TINY),
        options=GenerateTrainOptions(steps=5, runs=tmp_path, device="cpu"),
        on_row=rows.append,
    )
    assert [(row.step, row.images) for row in rows] == [
        (2, 8),
        (4, 15),
    ]  # 18 images, in batches of 4 and 3
    assert result.log == tuple(rows)
    lines = (result.run / "log.jsonl").read_text().splitlines()
    assert [Row(**json.loads(line)) for line in lines] == rows


def test_minutes_end_it_and_more_go_on(trained: Trained, tmp_path: Path) -> None:
    first = generate_train(
        trained[0], TINY, GenerateTrainOptions(minutes=0, runs=tmp_path, device="cpu")
    )
    assert first.steps == 0
    more = generate_train(
        trained[0], TINY, GenerateTrainOptions(minutes=1e-4, resume=first.run, device="cpu")
    )
    assert more.steps >= 1


def test_only_train_records_that_are_not_excluded_are_learned_from(trained: Trained) -> None:
    records = real_records(trained[0], ["train"], kind="cartoon")
    assert set(records.frame["split"]) == {"train"}
    assert set(records.frame["kind"]) == {"cartoon"}
    manifest = facecheck.read_manifest(trained[0])
    changed = manifest.frame.with_columns(
        excluded=manifest.frame["path"].is_in(records.frame["path"][:2].implode())
        .replace_strict({True: "duplicate", False: ""})
    )  # fmt: skip
    assert len(real_records(trained[0], ["train", "val", "test"])) == 36
    copy = trained[0].with_name("excluded.csv")
    facecheck.write_manifest(facecheck.Manifest(changed), copy, {})
    assert len(real_records(copy, ["train"], kind="cartoon")) == len(records) - 2


def test_kinds_are_drawn_equally_often(trained: Trained) -> None:
    records = real_records(trained[0], ["train"], sources=["photo", "cartoon"])
    images = RealImages(records, ("photo", "cartoon"), 64)
    images.kinds[:] = [0, 0, *[1] * (len(records) - 2)]
    batches = module._batches(images, TINY, 0)
    drawn = [images.kinds[position] for _ in range(30) for position in next(batches)]
    assert 0.4 < sum(drawn) / len(drawn) < 0.6


def test_batches_go_on_where_they_stood(trained: Trained) -> None:
    images = RealImages(real_records(trained[0], ["train"]), ("photo", "cartoon", "sketch"), 64)
    whole, later = module._batches(images, TINY, 0), module._batches(images, TINY, 7)
    for _ in range(7):
        next(whole)
    assert [next(whole) for _ in range(9)] == [next(later) for _ in range(9)]


def test_real_images_are_what_was_decoded(trained: Trained) -> None:
    records = real_records(trained[0], ["train"], kind="photo")
    images = RealImages(records, ("photo",), 64)
    tensor = module._real(images, [0, 1, 2, 3], seed=0, step=0)
    assert tensor.shape == (4, 3, 64, 64)
    straight = (torch.from_numpy(images.pixels([0, 1, 2, 3])).permute(0, 3, 1, 2) - 127.5) / 127.5
    for changed, own in zip(tensor, straight, strict=True):
        assert torch.allclose(changed, own) or torch.allclose(changed, own.flip(2))


def test_a_loss_that_is_not_finite_stops_it(trained: Trained, tmp_path: Path) -> None:
    wild = replace(TINY, lr_generator=0.99, lr_discriminator=0.99)

    def spoil(done: int, total: int | None) -> None:
        # What a loss that has run away does to the weights.
        for parameter in spoiled:
            with torch.no_grad():
                parameter.fill_(torch.inf)

    spoiled: list[torch.Tensor] = []
    original = module._first_state

    def catch(*arguments: object) -> object:
        state = original(*arguments)  # type: ignore[arg-type]
        spoiled.extend(state.generator.parameters())
        return state

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_first_state", catch)
        with pytest.raises(TrainingError, match=r"not finite at step 2 .*--lr-generator"):
            generate_train(
                trained[0],
                wild,
                GenerateTrainOptions(steps=4, runs=tmp_path, device="cpu"),
                progress=spoil,
            )
    network, _ = load_generator(tmp_path / "generate-all" / "generator.safetensors")
    assert all(tensor.isfinite().all() for tensor in network.state_dict().values())


def test_settings_that_cannot_be() -> None:
    for change, told in (
        ({"size": 96}, "--size 96: must be"),
        ({"batch_size": 1}, "--batch-size 1: must be 2 or more"),
        ({"lr_generator": 0.0}, "--lr-generator 0: must be above 0"),
        ({"ema": 1.0}, "ema 1: must be"),
        ({"seed": -1}, "--seed -1: must be 0 or more"),
    ):
        with pytest.raises(UsageError, match=told):
            GeneratorSettings(**change)


def test_what_cannot_be_learned_from(trained: Trained, tmp_path: Path) -> None:
    manifest, _ = trained
    with pytest.raises(UsageError, match="no record is of 'painting'"):
        generate_train(
            manifest, replace(TINY, kind="painting"), GenerateTrainOptions(runs=tmp_path)
        )
    with pytest.raises(UsageError, match="unknown kind 'cartoons'.*'cartoon'"):
        generate_train(
            manifest, replace(TINY, kind="cartoons"), GenerateTrainOptions(runs=tmp_path)
        )
    unsplit = tmp_path / "unsplit.csv"
    facecheck.write_manifest(
        facecheck.Manifest.from_frame(facecheck.read_manifest(manifest).frame.drop("split")),
        *(unsplit, {}),
    )
    with pytest.raises(TrainingError, match="run `facecheck split` first"):
        generate_train(unsplit, TINY, GenerateTrainOptions(runs=tmp_path))
    assert not list(tmp_path.glob("*/run.json"))


def test_a_run_goes_on_by_its_own_settings_only(
    made: GenerateTrainResult, trained: Trained, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="of another training: settings is"):
        generate_train(
            trained[0], replace(TINY, seed=4), GenerateTrainOptions(steps=9, resume=made.run)
        )
    (tmp_path / "state.pt").write_bytes(b"PK\x03\x04 no state")
    with pytest.raises(CheckpointError, match=r"state\.pt: (damaged|refused)"):
        generate_train(trained[0], TINY, GenerateTrainOptions(steps=9, resume=tmp_path))
    with pytest.raises(UsageError, match="not a run that can be resumed"):
        read_run(tmp_path)


def test_files_that_are_no_generator(
    made: GenerateTrainResult, trained: Trained, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="holds no generator"):
        load_generator(trained[1])  # a classifier's checkpoint
    with pytest.raises(CheckpointError, match="no facecheck header"):
        facecheck.Checker(made.checkpoint)
    (tmp_path / "half.safetensors").write_bytes(made.checkpoint.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_generator(tmp_path / "half.safetensors")
    with pytest.raises(UsageError, match="no generator at"):
        load_generator(tmp_path / "none.safetensors")
    assert find_generator(made.run) == made.checkpoint
    assert find_generator(None, made.run.parent) == made.checkpoint
    with pytest.raises(UsageError, match="generate train` first"):
        find_generator(None, tmp_path)
