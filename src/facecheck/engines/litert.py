"""LiteRT, the former TensorFlow Lite: a checkpoint as one file for phones and small computers.

``litert-torch`` converts it, ``ai-edge-litert`` runs it: neither needs TensorFlow. The header is in
the file's metadata. The graph takes one image at a time, as delegates for phones want it.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

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
    damaged,
    example,
    from_pixels,
    has_loop,
    read_bytes,
)
from facecheck.engines.options import Precision
from facecheck.model.checkpoint import HEADER_KEY, PIXELS, Header, header_text
from facecheck.model.metrics import Floats
from facecheck.model.quiet import quiet

if TYPE_CHECKING:
    import torch

_HEADER_FILE = f"{HEADER_KEY}.json"
_LONGEST_HEADER = 1 << 24
#: Operations that repeat or choose a graph of their own, or run code of others, which no export of
#: ours has: one that a stranger made need not end, and LiteRT cannot be stopped.
_LOOPS = frozenset(("WHILE", "IF", "CALL", "CALL_ONCE"))
_SIGNATURE = "serving_default"
# What int8 computes in. Normalisation and head cost nothing, and the converter fails to join a
# quantised head to outputs that are not.
_QUANTISED = ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD")


class LiteRtPredictor(ExportedPredictor):
    """A LiteRT export on LiteRT's CPU engine."""

    def _load(self, path: Path) -> str | None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise CheckpointError(
                "running .tflite needs LiteRT: pip install ai-edge-litert"
            ) from None
        content = read_bytes(path)
        try:
            with _silent():
                interpreter = Interpreter(model_content=content, num_threads=self._threads)
                interpreter.allocate_tensors()
                self._runner = interpreter.get_signature_runner()
            names = {each["op_name"] for each in interpreter._get_ops_details()}
            text = _text(content)
        # What a damaged file leads to is not documented.
        except Exception as error:
            raise damaged(path, "LiteRT", error) from None
        if loops := _LOOPS & names:
            raise has_loop(path, min(loops))
        return text

    def _save(self, text: str, path: Path) -> None:
        path.write_bytes(_with_text(self._path.read_bytes(), text))

    def _run(self, pixels: npt.NDArray[np.uint8]) -> tuple[Floats, Floats | None]:
        found = [self._runner(**{PIXELS: pixels[[row]]}) for row in range(len(pixels))]
        logits, features = (
            np.concatenate([one[name] for one in found]).astype(np.float64)
            for name in (LOGITS, FEATURES)
        )
        return logits, features if self.gives_features else None


def write(
    model: torch.nn.Module, header: Header, path: Path, precision: Precision, batches: Batches
) -> None:
    """Write a network to ``path`` as LiteRT.

    ``fp16`` stores the weights alone in 16 bits, ``int8`` quantises weights, per channel, and
    activations, by calibration. Arguments are those of :func:`facecheck.engines.onnx.write`.

    Raises:
        CheckpointError: the extra ``litert`` is missing, or cannot convert this network.
    """
    _need_converter()
    with quiet(), _silent():
        content = _converted(model, header)
        if precision != "fp32":
            content = _quantised(content, precision, batches)
    path.write_bytes(_with_text(content, header_text(header)))


def _need_converter() -> None:
    try:
        import litert_torch  # noqa: F401
    except ImportError:
        raise CheckpointError(extra_hint("writing .tflite", "litert")) from None


def _converted(model: torch.nn.Module, header: Header) -> bytes:
    import litert_torch
    import torch

    class Named(torch.nn.Module):
        """Outputs by name, which the file's signature then has."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = from_pixels(model, header)

        def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
            logits, features = self.inner(pixels)
            return {LOGITS: logits, FEATURES: features}

    edge = litert_torch.convert(Named().eval(), sample_kwargs={PIXELS: example(header, 1)})
    with scratch_folder() as scratch:
        path = scratch / "plain.tflite"
        edge.export(str(path))
        return path.read_bytes()


def _quantised(content: bytes, precision: Precision, batches: Batches) -> bytes:
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    work = quantizer.Quantizer(bytearray(content))
    if precision == "fp16":
        half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=half,
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        )
        work.update_quantization_recipe(
            ".*", qtyping.TFLOperationName.ALL_SUPPORTED, config, AlgorithmName.FLOAT_CASTING
        )
        return bytes(work.quantize().quantized_model)
    for name in _QUANTISED:
        work.add_static_config(".*", qtyping.TFLOperationName(name), 8, 8)
    images = [{PIXELS: batch[[row]]} for batch in batches for row in range(len(batch))]
    found = work.calibrate({_SIGNATURE: images})
    return bytes(work.quantize(found).quantized_model)


def _text(content: bytes) -> str | None:
    """Return the header, or None: a file in the zip archive at the end of a model.

    That is where a TensorFlow Lite model's associated files are.
    """
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return None
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if _HEADER_FILE not in archive.namelist():
            return None
        with archive.open(_HEADER_FILE) as stream:
            return stream.read(_LONGEST_HEADER).decode("utf-8", "replace")


def _with_text(content: bytes, text: str) -> bytes:
    """Return the model with another header."""
    stream = io.BytesIO(content)
    if zipfile.is_zipfile(stream):
        with zipfile.ZipFile(stream) as archive:
            start = min(member.header_offset for member in archive.infolist())
        stream = io.BytesIO(content[:start])
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr(zipfile.ZipInfo(_HEADER_FILE), text)
    return stream.getvalue()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the output of LiteRT's compiled code, which bypasses Python, off the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(stream, os.dup(stream)) for stream in (1, 2)]
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            for stream, _ in kept:
                os.dup2(nowhere.fileno(), stream)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for stream, copy in kept:
            os.dup2(copy, stream)
            os.close(copy)
