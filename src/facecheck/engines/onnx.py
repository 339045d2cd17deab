"""ONNX: a checkpoint as one file that ONNX Runtime runs without torch.

The header is in the file's metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from facecheck.core.errors import CheckpointError
from facecheck.core.install import extra_hint
from facecheck.core.scratch import scratch_folder
from facecheck.engines.base import (
    FEATURES,
    LOGITS,
    Batches,
    ExportedPredictor,
    example,
    from_pixels,
)
from facecheck.engines.options import Precision
from facecheck.model.checkpoint import HEADER_KEY, PIXELS, Header, header_text
from facecheck.model.cores import Cores
from facecheck.model.metrics import Floats
from facecheck.model.onnx_session import open_session, run_session
from facecheck.model.predict import Finish, Pixels
from facecheck.model.quiet import quiet

if TYPE_CHECKING:
    import torch


class OnnxPredictor(ExportedPredictor):
    """An ONNX export on ONNX Runtime."""

    def _load(self, path: Path) -> str | None:
        self._session = open_session(path)
        self._cores = Cores(self._threads)
        text: str | None = self._session.get_modelmeta().custom_metadata_map.get(HEADER_KEY)
        return text

    def _save(self, text: str, path: Path) -> None:
        _need_exporter()
        import onnx

        exported = onnx.load(self._path)
        del exported.metadata_props[:]
        _store(exported, text, path)

    def begin_crops(self, pixels: Pixels) -> Finish:
        """Begin with crops on all cores, one crop a run."""
        return self._cores.begin(self._answer, pixels)

    def _run(self, pixels: Pixels) -> tuple[Floats, Floats | None]:
        wanted = [LOGITS, FEATURES] if self.gives_features else [LOGITS]
        logits, *features = run_session(self._session, wanted, {PIXELS: pixels})
        return logits.astype(np.float64), features[0].astype(np.float64) if features else None


def _need_exporter() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise CheckpointError(extra_hint("writing .onnx", "export")) from None


def write(
    model: torch.nn.Module, header: Header, path: Path, precision: Precision, batches: Batches
) -> None:
    """Write a network to ``path`` as ONNX.

    ``fp16`` stores the weights alone in 16 bits: half the size at fp32's speed. ``int8`` is static
    quantisation of weights and activations, per channel, weights of 7 bits (``reduce_range``: older
    CPUs add products of 8-bit ones beyond 16 bits).

    Args:
        model: in evaluation mode, on the CPU.
        header: its header.
        path: the file.
        precision: of the numbers.
        batches: what ``int8`` is calibrated on.

    Raises:
        CheckpointError: the extra ``export`` is missing.
    """
    _store(graph(model, header, precision, batches), header_text(header), path)


def graph(model: torch.nn.Module, header: Header, precision: Precision, batches: Batches) -> Any:
    """Return a network as an ONNX model without a header; arguments as :func:`write` takes them."""
    _need_exporter()
    exported = _graph(model, header)
    if precision == "fp16":
        return _halved(exported)
    return _quantised(exported, batches) if precision == "int8" else exported


def _graph(model: torch.nn.Module, header: Header) -> Any:
    import torch

    with quiet():
        program = torch.onnx.export(
            from_pixels(model, header),
            (example(header, 2),),
            dynamo=True,
            input_names=[PIXELS],
            output_names=[LOGITS, FEATURES],
            dynamic_shapes=({0: torch.export.Dim("images")},),
            verbose=False,
        )
    assert program is not None  # noqa: S101
    return program.model_proto


def _halved(exported: Any) -> Any:
    """Return the model with its weights stored in 16 bits, to be widened when it is loaded.

    ONNX Runtime widens them once and then computes in 32 bits: as fast as fp32 on a CPU, which has
    no 16-bit arithmetic, and no activation is rounded.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = exported.graph
    casts = []
    for weights in graph.initializer:
        # Vectors weigh nothing, and the normalisation's rounding would move every pixel.
        if weights.data_type == TensorProto.FLOAT and len(weights.dims) > 1:
            narrow = numpy_helper.to_array(weights).astype(np.float16)
            stored = f"{weights.name} fp16"
            casts.append(helper.make_node("Cast", [stored], [weights.name], to=TensorProto.FLOAT))
            weights.CopyFrom(numpy_helper.from_array(narrow, stored))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return exported


def _quantised(exported: Any, batches: Batches) -> Any:
    import onnx
    from onnxruntime import quantization  # type: ignore[import-untyped]
    from onnxruntime.quantization.shape_inference import (  # type: ignore[import-untyped]
        quant_pre_process,
    )

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
            batch = next(self._left, None)
            return None if batch is None else {PIXELS: batch}

    with scratch_folder() as scratch, quiet():
        plain, ready, small = (scratch / f"{name}.onnx" for name in ("plain", "ready", "small"))
        onnx.save(exported, plain)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        quantization.quantize_static(
            ready,
            small,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            # Not the normalisation, whose few operations cost nothing.
            op_types_to_quantize=["Conv", "Gemm", "MatMul", "Add", "GlobalAveragePool"],
        )
        return onnx.load(small)


def _store(exported: Any, text: str, path: Path) -> None:
    import onnx

    entry = exported.metadata_props.add()
    entry.key, entry.value = HEADER_KEY, text
    onnx.save(exported, path)
