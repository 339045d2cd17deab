"""Exports and checkpoints of strangers: each fault is one line, and nothing runs for ever."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecheck.core.errors import CheckpointError
from facecheck.engines.onnx import OnnxPredictor
from facecheck.model import onnx_session as engine
from facecheck.model.checkpoint import HEADER_KEY, Header, header_text, load_checkpoint
from facecheck.model.transforms import Transform

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
HEADER = Header("resnet18", ("photo", "cartoon"), Transform(32, 32, (0.5,) * 3, (0.5,) * 3))
PIXELS = np.zeros((2, 32, 32, 3), np.uint8)


def written(path: Path, nodes: Sequence[Any], *, outputs: int = 2) -> Path:
    """Write a graph from pixels to logits, with our header in it."""
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("pixels", kinds.UINT8, ["n", 32, 32, 3])],
        [helper.make_tensor_value_info("logits", kinds.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    entry = model.metadata_props.add()
    entry.key, entry.value = HEADER_KEY, header_text(HEADER)
    onnx.save(model, path)
    return path


def constant(name: str, values: Any, kind: int, shape: Sequence[int]) -> Any:
    value = onnx.helper.make_tensor(name, kind, shape, values)
    return onnx.helper.make_node("Constant", [], [name], value=value)


def test_an_answer_of_another_shape_is_one_line(tmp_path: Path) -> None:
    nodes = [constant("logits", [0.0] * 3, onnx.TensorProto.FLOAT, (1, 3))]
    predictor = OnnxPredictor(written(tmp_path / "m.onnx", nodes))
    with pytest.raises(CheckpointError, match=r"answers numbers of shape \(1, 3\), not \(1, 2\)"):
        predictor.begin_crops(PIXELS)()


def test_a_graph_that_fails_while_it_runs_is_one_line(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("Cast", ["pixels"], ["numbers"], to=onnx.TensorProto.FLOAT),
        constant("shape", [7, 13], onnx.TensorProto.INT64, (2,)),
        onnx.helper.make_node("Reshape", ["numbers", "shape"], ["logits"]),
    ]
    predictor = OnnxPredictor(written(tmp_path / "m.onnx", nodes))
    with pytest.raises(CheckpointError, match="fails while it runs") as caught:
        predictor.begin_crops(PIXELS)()
    assert "\n" not in str(caught.value)


def endless(path: Path) -> Path:
    """Write a graph that runs for ever, for any pixels: no engine finds out while it loads it."""
    helper, kinds = onnx.helper, onnx.TensorProto
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["keep"], ["still"]),
            helper.make_node("Add", ["sum", "sum"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", kinds.INT64, []),
            helper.make_tensor_value_info("keep", kinds.BOOL, []),
            helper.make_tensor_value_info("sum", kinds.FLOAT, [2, 2]),
        ],
        [
            helper.make_tensor_value_info("still", kinds.BOOL, []),
            helper.make_tensor_value_info("next", kinds.FLOAT, [2, 2]),
        ],
    )
    nodes = [
        constant("often", [2**62], kinds.INT64, ()),
        constant("yes", [True], kinds.BOOL, ()),
        constant("zeros", [0.0] * 4, kinds.FLOAT, (2, 2)),
        helper.make_node("Cast", ["pixels"], ["numbers"], to=kinds.FLOAT),
        helper.make_node("ReduceMax", ["numbers"], ["most"], keepdims=0),
        helper.make_node("Add", ["zeros", "most"], ["start"]),
        helper.make_node("Loop", ["often", "yes", "start"], ["logits"], body=body),
    ]
    return written(path, nodes)


def test_a_loop_without_an_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = OnnxPredictor(endless(tmp_path / "m.onnx"))
    monkeypatch.setattr(engine, "LONGEST_RUN", 0.5)
    with pytest.raises(CheckpointError, match="took longer than 0.5 s"):
        predictor.begin_crops(PIXELS)()


@pytest.mark.openvino
def test_openvino_is_not_given_a_loop(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    from facecheck.engines.openvino import OpenVinoPredictor, _store

    network = openvino.Core().read_model(endless(tmp_path / "m.onnx"))
    _store(network, header_text(HEADER), tmp_path / "m.xml", halved=False)
    with pytest.raises(CheckpointError, match="the operation Loop, which may run for ever"):
        OpenVinoPredictor(tmp_path / "m.xml")


def test_torchscript_runs_no_loop_and_says_what_fails(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the full install is not there")
    from facecheck.engines.torchscript import TorchScriptPredictor, _store

    class Endless(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:  # type: ignore[name-defined]
            while bool(pixels.sum() >= 0):
                pixels = pixels + 1
            return pixels

    class Narrow(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, pixels: torch.Tensor) -> Any:  # type: ignore[name-defined]
            numbers = pixels.flatten(1).float()
            return numbers[:, :3], numbers

    path = tmp_path / "m.ts"
    _store(torch.jit.script(Endless().eval()), header_text(HEADER), path)
    with pytest.raises(CheckpointError, match=r"its program calls .*, which no network needs"):
        TorchScriptPredictor(path)
    traced = torch.jit.trace(Narrow().eval(), torch.from_numpy(PIXELS))
    _store(torch.jit.freeze(traced), header_text(HEADER), path)
    with pytest.raises(CheckpointError, match=r"answers numbers of shape \(\d, 3\), not \(\d, 2\)"):
        TorchScriptPredictor(path).begin_crops(PIXELS)()


def test_a_header_that_names_a_huge_network_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="the full install is not there")
    from safetensors.torch import save_file

    from facecheck.model import backbones

    built: list[Any] = []
    create = backbones._create

    def noted(*arguments: Any) -> Any:
        built.append(torch.get_default_device().type)
        return create(*arguments)

    monkeypatch.setattr(backbones, "_create", noted)
    header = Header("vit_giant_patch14_dinov2", HEADER.kinds, HEADER.transform)
    path = tmp_path / "m.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata={HEADER_KEY: header_text(header)})
    with pytest.raises(CheckpointError, match="tensors differ, such as"):
        load_checkpoint(path)
    assert built == ["meta"]


def test_a_header_without_an_end_of_brackets_is_one_line(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the full install is not there")
    from safetensors.torch import save_file

    path = tmp_path / "m.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata={HEADER_KEY: "[" * 200_000})
    with pytest.raises(CheckpointError, match="damaged header"):
        load_checkpoint(path)
