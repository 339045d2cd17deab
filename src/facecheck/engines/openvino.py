"""OpenVINO: a checkpoint as a pair of files, the graph in ``.xml`` and its weights in ``.bin``.

That is how every tool of OpenVINO takes a model. The header is in the graph's ``rt_info``, with the
hash of the weights, so that a pair from two different exports is noticed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from facecheck.core.errors import CheckpointError
from facecheck.core.files import path_text, sha256_file
from facecheck.core.install import extra_hint
from facecheck.engines.base import (
    FEATURES,
    LOGITS,
    Batches,
    ExportedPredictor,
    damaged,
    has_loop,
    read_bytes,
)
from facecheck.engines.options import Precision
from facecheck.model.checkpoint import HEADER_KEY, PIXELS, Header, header_text
from facecheck.model.metrics import Floats

if TYPE_CHECKING:
    import torch

#: Operations that repeat or choose a graph of their own, which no export of ours has: one that a
#: stranger made need not end, and OpenVINO cannot be stopped.
_LOOPS = frozenset(("If", "Loop", "TensorIterator"))
_HEADER, _WEIGHTS = [HEADER_KEY, "header"], [HEADER_KEY, "weights_sha256"]


class OpenVinoPredictor(ExportedPredictor):
    """An OpenVINO export on OpenVINO's CPU engine."""

    def _load(self, path: Path) -> str | None:
        core = _openvino().Core()
        graph, weights = read_bytes(path), read_bytes(path.with_suffix(".bin"))
        try:
            self._network = core.read_model(graph, weights)
            # Before it is compiled, which runs what is constant.
            if loops := _LOOPS & {each.get_type_name() for each in self._network.get_ops()}:
                raise has_loop(path, min(loops))
            if not self._network.has_rt_info(_HEADER):
                return None
            text, wanted = (
                self._network.get_rt_info(key).astype(str) for key in (_HEADER, _WEIGHTS)
            )
            self._compiled = core.compile_model(
                self._network,
                "CPU",
                {
                    "INFERENCE_NUM_THREADS": self._threads,
                    "INFERENCE_PRECISION_HINT": "f32",  # else a CPU that has bf16 rounds to it
                    "PERFORMANCE_HINT": "LATENCY",
                },
            )
        except RuntimeError as error:
            raise damaged(path, "OpenVINO", error) from None
        if hashlib.sha256(weights).hexdigest() != wanted:
            raise CheckpointError(
                f"{path_text(path)}: its weights, {path_text(path.with_suffix('.bin').name)}, are "
                "of another export: keep the pair as `facecheck export` wrote it"
            )
        return str(text)

    def _save(self, text: str, path: Path) -> None:
        _store(self._network, text, path, halved=False)

    def _run(self, pixels: npt.NDArray[np.uint8]) -> tuple[Floats, Floats | None]:
        found = self._compiled({PIXELS: pixels})
        logits, features = (np.asarray(found[name], np.float64) for name in (LOGITS, FEATURES))
        return logits, features if self.gives_features else None


def write(
    model: torch.nn.Module, header: Header, path: Path, precision: Precision, batches: Batches
) -> None:
    """Write a network to ``path``, ``.xml``, and ``.bin`` next to it, by way of its ONNX graph.

    Arguments and precisions are :func:`facecheck.engines.onnx.write`'s: OpenVINO runs the quantised
    graph of ONNX as it is.

    Raises:
        CheckpointError: the extra ``export`` or ``openvino`` is missing.
    """
    core = _openvino().Core()
    from facecheck.engines import onnx

    exported = onnx.graph(model, header, "int8" if precision == "int8" else "fp32", batches)
    network = core.read_model(exported.SerializeToString())
    _store(network, header_text(header), path, halved=precision == "fp16")


def _store(network: Any, text: str, path: Path, *, halved: bool) -> None:
    openvino = _openvino()
    network.set_rt_info(text, _HEADER)
    openvino.save_model(network, path, compress_to_fp16=halved)
    # Again: the hash is known only now.
    network.set_rt_info(sha256_file(path.with_suffix(".bin")), _WEIGHTS)
    openvino.save_model(network, path, compress_to_fp16=halved)


def _openvino() -> Any:
    try:
        import openvino
    except ImportError:
        raise CheckpointError(extra_hint("an .xml model", "openvino")) from None
    return openvino
