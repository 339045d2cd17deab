"""TorchScript: a checkpoint as one archive that libtorch runs, from C++ or Python, without timm.

The header is one of the archive's extra files. An archive is a program in TorchScript's language,
in which one can write files, too; so it is looked through before anything of it runs: nothing in it
may run by being loaded, and its graph may hold the operators of networks alone.

PyTorch calls TorchScript deprecated in favour of ``torch.export``. But that loads by pickle and by
sympy's ``eval``, and says itself never to load a stranger's file, so it is no format for models
that are handed on.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from facecheck.core.errors import CheckpointError
from facecheck.core.files import path_text
from facecheck.engines.base import (
    Batches,
    ExportedPredictor,
    damaged,
    example,
    from_pixels,
    read_bytes,
)
from facecheck.engines.options import Precision
from facecheck.model.checkpoint import HEADER_KEY, Header, header_text
from facecheck.model.cores import TorchCores
from facecheck.model.metrics import Floats
from facecheck.model.predict import Finish, Pixels
from facecheck.model.quiet import quiet

if TYPE_CHECKING:
    import torch

# What would run while an archive is loaded: methods of that name, and classes of torch's own.
_RUN_BY_LOADING = (b"__setstate__", b"classes")
# What networks of timm compute by, in place or not. None reads, writes or starts anything.
_OPERATORS = frozenset(
    """
    prim::Constant prim::ListConstruct prim::ListUnpack prim::NumToTensor prim::TupleConstruct
    aten::Int aten::_convolution aten::adaptive_avg_pool2d aten::adaptive_max_pool2d aten::add
    aten::addmm aten::amax aten::avg_pool2d aten::batch_norm aten::bmm aten::cat aten::ceil
    aten::chunk aten::clamp aten::contiguous aten::div aten::elu aten::exp aten::expand
    aten::flatten aten::floor_divide aten::gelu aten::group_norm aten::hardsigmoid aten::hardswish
    aten::hardtanh aten::layer_norm aten::leaky_relu aten::linear aten::matmul aten::max_pool2d
    aten::mean aten::mish aten::mul aten::neg aten::pad aten::permute aten::pow aten::prelu
    aten::relu aten::remainder aten::reshape aten::roll aten::rsqrt aten::rsub
    aten::scaled_dot_product_attention aten::select aten::sigmoid aten::silu aten::size aten::slice
    aten::softmax aten::softplus aten::split aten::sqrt aten::squeeze aten::stack aten::sub
    aten::sum aten::tanh aten::to aten::transpose aten::type_as aten::unbind aten::unsqueeze
    aten::upsample_bilinear2d aten::upsample_nearest2d aten::view
    """.split()  # noqa: SIM905
)


class TorchScriptPredictor(ExportedPredictor):
    """A TorchScript export on torch's CPU."""

    def _load(self, path: Path) -> str | None:
        import torch

        content = read_bytes(path)
        try:
            _refuse_programs(content, path)
            extra = {HEADER_KEY: ""}
            with quiet():
                self._script = torch.jit.load(  # type: ignore[no-untyped-call]
                    io.BytesIO(content), map_location="cpu", _extra_files=extra
                )
            unknown = sorted(set(_operators(self._script.inlined_graph)) - _OPERATORS)
        except (RuntimeError, AttributeError, ValueError) as error:
            raise damaged(path, "TorchScript", error) from None
        if unknown:
            raise CheckpointError(
                f"{path_text(path)}: its program calls {unknown[0]}, which no network needs: it is "
                "not run"
            )
        self._cores = TorchCores(self._threads)
        text = extra[HEADER_KEY]
        return (text.decode("utf-8", "replace") if isinstance(text, bytes) else text) or None

    def _save(self, text: str, path: Path) -> None:
        _store(self._script, text, path)

    def begin_crops(self, pixels: Pixels) -> Finish:
        """Begin with crops on all cores, a few crops a core."""
        return self._cores.begin(self._answer, pixels)

    def _run(self, pixels: npt.NDArray[np.uint8]) -> tuple[Floats, Floats | None]:
        import torch

        with torch.inference_mode():
            # Not by calling the module, which would run hooks, too.
            found = self._script.forward(torch.from_numpy(pixels))
        logits, features = (np.asarray(output.numpy(), np.float64) for output in found)
        return logits, features if self.gives_features else None


def write(
    model: torch.nn.Module, header: Header, path: Path, precision: Precision, batches: Batches
) -> None:
    """Write a network to ``path`` as TorchScript, traced and frozen, ``fp32``.

    Arguments are those of :func:`facecheck.engines.onnx.write`.
    """
    del precision, batches  # one precision, which needs no calibration
    import torch

    with quiet(), torch.inference_mode():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            from_pixels(model, header), (example(header, 2),), check_trace=False
        )
        _store(torch.jit.freeze(traced), header_text(header), path)


def _store(script: Any, text: str, path: Path) -> None:
    import torch

    with quiet():
        torch.jit.save(script, path, _extra_files={HEADER_KEY: text})


def _refuse_programs(content: bytes, path: Path) -> None:
    """Raise :class:`CheckpointError` if something in an archive would run by being loaded."""
    import torch

    # The reader that loads the archive, so that none can look different to it.
    reader = torch._C.PyTorchFileReader(io.BytesIO(content))
    for name in reader.get_all_records():
        if name == f"extra/{HEADER_KEY}":
            continue
        record = reader.get_record(name)
        if any(word in record for word in _RUN_BY_LOADING):
            raise CheckpointError(
                f"{path_text(path)}: holds a program that would run by being loaded: it is not "
                "loaded"
            )


def _operators(block: Any) -> Iterator[str]:
    """Yield the operators of a graph, those of its inner blocks included."""
    for node in block.nodes():
        yield node.kind().removesuffix("_")
        for inner in node.blocks():
            yield from _operators(inner)
