"""What a network looks for: its first filters, and the channels that it opens for each kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facecheck.core.errors import ImageError
from facecheck.model.metrics import Floats
from facecheck.model.predict import Pixels
from facecheck.model.torch_predictor import TorchPredictor
from facecheck.model.transforms import Transform, load_input

if TYPE_CHECKING:
    import torch
    from torch import nn


#: What timm's families call the block; its last layer is ``gate``, or ``sigmoid`` in the oldest.
_BLOCKS = frozenset({"SEModule", "SqueezeExcite", "EffectiveSEModule"})


def first_filters(model: nn.Module) -> Floats | None:
    """Return the kernels of the first convolution over RGB; None where a network has none.

    Returns:
        shape (filters, height, width, 3).
    """
    from torch import nn

    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3:
            weight = module.weight.detach().float().cpu().permute(0, 2, 3, 1)
            return np.asarray(weight.numpy(), dtype=np.float64)
    return None


@dataclass(frozen=True)
class Gates:
    """How far one squeeze-and-excitation block opens each channel, by kind.

    Attributes:
        block: its name in the network.
        by_kind: mean gate over the kind's images, shape (channels,), 0 closed to 1 open.
    """

    block: str
    by_kind: Mapping[str, Floats]


def channel_gates(
    predictor: TorchPredictor, images: Mapping[str, Sequence[Path]]
) -> tuple[Gates, ...]:
    """Return the mean gates of every squeeze-and-excitation block, input first; empty without any.

    Hu et al. 2018, "Squeeze-and-excitation networks", figure 6. Files that cannot be read are
    skipped, and so is a kind without one.

    Args:
        predictor: of a checkpoint, whose network torch runs.
        images: some of each kind; 50 do.
    """
    found: dict[str, dict[str, Floats]] = {}
    with _watched_gates(predictor.model) as seen:
        for kind, paths in images.items():
            for pixels in _readable(paths, predictor.header.transform):
                predictor.forward(pixels)
            for block, values in seen.items():
                if values:
                    found.setdefault(block, {})[kind] = np.concatenate(values).mean(axis=0)
                values.clear()
    return tuple(Gates(block, by_kind) for block, by_kind in found.items())


def _readable(paths: Sequence[Path], transform: Transform) -> Iterator[Pixels]:
    """Yield the crops of each file that can be read."""
    for path in paths:
        with suppress(ImageError):
            yield load_input(path, transform)


@contextmanager
def _watched_gates(model: nn.Module) -> Iterator[dict[str, list[Floats]]]:
    """Yield what each block's gates are for each image of each batch that goes by."""
    seen: dict[str, list[Floats]] = {}

    def keep(name: str, _module: Any, _inputs: Any, output: torch.Tensor) -> None:
        seen[name].append(np.asarray(output.flatten(1).float().cpu().numpy(), dtype=np.float64))

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            gate = getattr(module, "gate", getattr(module, "sigmoid", None))
            if type(module).__name__ in _BLOCKS and gate is not None:
                seen[name] = []
                hooks.callback(gate.register_forward_hook(partial(keep, name)).remove)
        yield seen
