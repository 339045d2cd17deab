from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from facecheck.core.errors import CheckpointError
from facecheck.model.backbones import build
from facecheck.model.checkpoint import Header, load_checkpoint, read_header, save_checkpoint
from facecheck.model.transforms import Transform

HEADER = Header(
    "resnet10t", ("photo", "sketch"), Transform(32, 37, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)),
    temperature=1.5, thresholds=(0.25, 0.75), recipe={"lr": 0.1}, manifest_sha256="ab", epoch=3,
    metrics={"val_top1": 0.9},
)  # fmt: skip


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "c.safetensors"
    save_checkpoint(build("resnet10t", 2, pretrained=False).model, HEADER, path)
    return path


def rewritten(path: Path, **changes: object) -> Path:
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        stored = json.loads(file.metadata()["facecheck"])
    save_file(tensors, path, metadata={"facecheck": json.dumps({**stored, **changes})})
    return path


def test_a_checkpoint_comes_back_as_it_was(saved: Path) -> None:
    checkpoint = load_checkpoint(saved)
    assert checkpoint.header == HEADER
    assert asdict(checkpoint.header) == asdict(HEADER)
    assert not checkpoint.model.training
    inputs = torch.rand(2, 3, 32, 32)
    again = load_checkpoint(saved).model
    assert torch.equal(checkpoint.model(inputs), again(inputs))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kinds", ["photo", "foto"], "field 'kinds'"),
        ("kinds", ["sketch", "cartoon"], "field 'kinds'"),
        ("kinds", ["photo", "sketch", "cartoon"], "field 'arch'.*3 kinds"),
        ("arch", "resnet18", "field 'arch' 'resnet18'"),
        ("arch", "no_such_net", "field 'arch'"),
        ("temperature", 0, "field 'temperature'"),
        ("thresholds", [0.9, 0.1], "field 'thresholds'"),
        ("thresholds", "wide", "damaged header"),
        ("decode_policy", 1, "decode_policy 1, in this version 2\\): train it again"),
        ("transform", {"image_size": 4}, "damaged header"),
        ("guard", {"centres": [[1, 0], [1]], "limit": 0.5}, "field 'guard'"),
        ("guard", {"centres": "many"}, "damaged header"),
        ("colour", "blue", "unknown field 'colour'"),
    ],
)
def test_a_mismatch_is_refused_by_the_fields_name(
    saved: Path, field: str, value: object, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(rewritten(saved, **{field: value}))
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_checkpoint_are_told(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        read_header(tmp_path / "nothing.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="no facecheck header"):
        read_header(tmp_path / "plain.safetensors")
    saved.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_checkpoint(saved)


def test_a_failed_save_leaves_the_old_checkpoint_whole(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    model = load_checkpoint(saved).model
    with pytest.raises(CheckpointError, match="No space left.*earlier checkpoint there is whole"):
        save_checkpoint(model, replace(HEADER, epoch=4), saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
