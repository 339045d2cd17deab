"""A frozen encoder that is quick: mean colours, and how rough the pixels are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facecheck.model.encoder import ENCODER_KEY

SIDE = 32


def write_encoder(path: Path, name: str = "colours", *, fault: float = 1.0) -> Path:
    """Write an encoder of two sets of features, 3 and 3 wide, scaled by ``fault``."""
    node = helper.make_node
    nodes = [
        node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        node("Mul", ["float", "scale"], ["scaled"]),
        node("ReduceMean", ["scaled"], ["colours"], axes=[1, 2], keepdims=0),
        node("Slice", ["scaled", "zero", "last", "axis"], ["left"]),
        node("Slice", ["scaled", "one", "end", "axis"], ["right"]),
        node("Sub", ["left", "right"], ["step"]),
        node("Abs", ["step"], ["rough"]),
        node("ReduceMean", ["rough"], ["roughness"], axes=[1, 2], keepdims=0),
    ]
    values = {"zero": [0], "one": [1], "last": [SIDE - 1], "end": [SIDE], "axis": [2]}
    tensors = [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in values.items()]
    tensors.append(numpy_helper.from_array(np.array(fault / 64, np.float32), "scale"))
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", SIDE, SIDE, 3])],
        [
            helper.make_tensor_value_info(one, TensorProto.FLOAT, ["n", 3])
            for one in ("colours", "roughness")
        ],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    facts = model.metadata_props.add()
    facts.key, facts.value = ENCODER_KEY, json.dumps({"name": name})
    onnx.save(model, path)
    return path
