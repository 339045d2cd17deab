from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facecheck.core.errors import CheckpointError, UsageError
from facecheck.engines.load import load_predictor
from facecheck.model.checkpoint import load_checkpoint
from facecheck.model.encoder import Encoder
from facecheck.model.head_predictor import HeadPredictor, load_head, save_head
from facecheck.training.options import TrainOptions
from facecheck.training.recipe import Recipe
from facecheck.training.train import train
from tests.encoder import SIDE, write_encoder


@pytest.fixture(scope="module")
def run(trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("head")
    encoder = write_encoder(folder / "colours.onnx")
    recipe = Recipe(encoder=encoder, epochs=3, members=2, hidden=8, batch_size=8, lr=1e-2)
    options = TrainOptions(runs=folder / "runs", features=folder / "features")
    return train(trained[0], recipe, options).run


def crops(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def test_a_head_with_its_encoder_is_a_predictor(run: Path) -> None:
    predictor = load_predictor(run / "best.safetensors")
    assert isinstance(predictor, HeadPredictor)
    assert predictor.header.arch == "colours"
    logits, features = predictor.outputs(crops(5)[:, None])
    assert logits.shape == (5, 3)
    assert features is None
    with_features = load_predictor(run / "best.safetensors", features=True)
    assert with_features.outputs(crops(5)[:, None])[1] is not None


def test_an_answer_depends_on_nothing_but_the_crop(run: Path) -> None:
    pixels = crops(9)
    whole = HeadPredictor(run / "best.safetensors", threads=2).outputs(pixels[:, None])[0]
    alone = HeadPredictor(run / "best.safetensors", threads=1)
    each = np.concatenate([alone.outputs(one[None, None])[0] for one in pixels])
    assert whole == pytest.approx(each, abs=1e-9)


def test_another_header_keeps_the_head(run: Path, tmp_path: Path) -> None:
    predictor = HeadPredictor(run / "best.safetensors")
    (tmp_path / "colours.onnx").hardlink_to(run / "colours.onnx")
    predictor.save(replace(predictor.header, temperature=2.0), tmp_path / "x.safetensors")
    again = HeadPredictor(tmp_path / "x.safetensors")
    assert again.header.temperature == 2.0
    assert again.outputs(crops(2)[:, None])[0].tolist() == (
        predictor.outputs(crops(2)[:, None])[0].tolist()
    )


def test_the_encoder_is_found_by_name_and_proven_by_its_bytes(run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "best.safetensors"
    alone.write_bytes((run / "best.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"its encoder colours\.onnx is missing: copy it"):
        HeadPredictor(alone)
    write_encoder(tmp_path / "colours.onnx", fault=2.0)
    with pytest.raises(CheckpointError, match="not the encoder that .* was trained on"):
        HeadPredictor(alone)


def test_a_header_names_no_file_elsewhere(run: Path, tmp_path: Path) -> None:
    header, head = load_head(run / "best.safetensors")
    stored = {**(header.encoder or {}), "file": str(run / "colours.onnx")}
    save_head(head, replace(header, encoder=stored), tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"its encoder colours\.onnx is missing"):
        HeadPredictor(tmp_path / "x.safetensors")


def test_it_is_no_network_for_torch_and_runs_on_the_cpu(run: Path) -> None:
    with pytest.raises(CheckpointError, match="a head on the frozen encoder colours"):
        load_checkpoint(run / "best.safetensors")
    with pytest.raises(UsageError, match="runs on the cpu"):
        HeadPredictor(run / "best.safetensors", device="cuda")


def test_an_ordinary_graph_is_no_encoder(trained: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match="not a whole ONNX file"):
        Encoder(tmp_path / "x.onnx")
    with pytest.raises(CheckpointError, match="a whole network, not a head"):
        load_head(trained[1])
