"""A checkpoint on torch: the one engine that can also be asked about its network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facecheck.model.checkpoint import Checkpoint, Header, save_checkpoint
from facecheck.model.cores import TorchCores
from facecheck.model.metrics import Floats
from facecheck.model.predict import Finish, Pixels, Predictor
from facecheck.model.transforms import normalise

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.utils.hooks import RemovableHandle


class TorchPredictor(Predictor):
    """A checkpoint that torch runs; :attr:`model` is its network, on the device.

    What needs the network (gradients, filters, gates) asks ``isinstance(predictor,
    TorchPredictor)``; an export has none to show.

    Args:
        checkpoint: the model.
        device: where it computes.
        features: give the features too, even where no out-of-distribution detector needs them.
        threads: how many compute on a CPU; None: one per core. They change no number.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        *,
        features: bool = False,
        threads: int | None = None,
    ) -> None:
        import torch

        from facecheck.model.precision import choose_inference_precision

        self.header = checkpoint.header
        self.device = str(device)
        self.gives_features = features or self.header.guard is not None
        self._device = device
        self._precision = choose_inference_precision(device)
        self.model = checkpoint.model.to(device).to(memory_format=torch.channels_last).eval()
        self._cores = TorchCores(threads) if device.type == "cpu" else None
        # Each thread keeps what the head saw in its own run.
        self._seen = threading.local()
        if self.gives_features:
            _watch_head(self.model, lambda inputs: setattr(self._seen, "inputs", inputs))

    def save(self, header: Header, path: Path) -> None:
        """Write the same weights with another header to ``path``.

        Raises:
            CheckpointError: the file cannot be written.
        """
        save_checkpoint(self.model, header, path)

    def begin_crops(self, pixels: Pixels) -> Finish:
        """Begin with crops; the device, or the CPU's cores, compute while the caller continues."""
        if self._cores is not None:
            return self._cores.begin(lambda few: _numbers(*self.forward(few)), pixels)
        found = self.forward(pixels)
        return lambda: _numbers(*found)

    def forward(self, pixels: Pixels) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return logits and features of crops in one run, for who watches the network meanwhile.

        Args:
            pixels: as :meth:`begin_crops` takes them.
        """
        import torch

        inputs = torch.from_numpy(pixels)
        if self._device.type == "cuda":
            inputs = inputs.pin_memory()  # else the copy would wait for the batch before
        with torch.inference_mode(), self._precision.autocast(self._device):
            output = self.model(
                normalise(inputs.to(self._device, non_blocking=True), self.header.transform)
            )
        features = self._seen.__dict__.pop("inputs", None)
        return output, None if features is None else features.flatten(1)


@contextmanager
def seen_by_head(model: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Yield a list that receives what the head sees, the same in every architecture."""
    seen: list[torch.Tensor] = []
    hook = _watch_head(model, seen.append)
    try:
        yield seen
    finally:
        hook.remove()


def _watch_head(model: nn.Module, keep: Callable[[torch.Tensor], None]) -> RemovableHandle:
    head = model.get_classifier()  # type: ignore[operator]
    head = head[0] if isinstance(head, tuple) else head
    handle: RemovableHandle = head.register_forward_pre_hook(lambda _, inputs: keep(inputs[0]))
    return handle


def _numbers(output: torch.Tensor, features: torch.Tensor | None) -> tuple[Floats, Floats | None]:
    return _array(output), None if features is None else _array(features)


def _array(tensor: torch.Tensor) -> Floats:
    return np.asarray(tensor.float().cpu().numpy(), dtype=np.float64)
