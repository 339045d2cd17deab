"""A checkpoint on torch: the one engine that can also be asked about its network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facecheck.model.checkpoint import Checkpoint, Header, save_checkpoint
from facecheck.model.metrics import Floats
from facecheck.model.predict import Finish, Pixels, Predictor
from facecheck.model.transforms import normalise

if TYPE_CHECKING:
    import torch
    from torch import nn


class TorchPredictor(Predictor):
    """A checkpoint that torch runs; :attr:`model` is its network, on the device.

    What needs the network (gradients, filters, gates) asks ``isinstance(predictor,
    TorchPredictor)``; an export has none to show.

    Args:
        checkpoint: the model.
        device: where it computes.
        features: give the features too, even where no out-of-distribution detector needs them.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: torch.device, *, features: bool = False
    ) -> None:
        import torch

        from facecheck.model.precision import choose_inference_precision

        self.header = checkpoint.header
        self.device = str(device)
        self.gives_features = features or self.header.guard is not None
        self._device = device
        self._precision = choose_inference_precision(device)
        self.model = checkpoint.model.to(device).to(memory_format=torch.channels_last).eval()

    def save(self, header: Header, path: Path) -> None:
        """Write the same weights with another header to ``path``.

        Raises:
            CheckpointError: the file cannot be written.
        """
        save_checkpoint(self.model, header, path)

    def begin_crops(self, pixels: Pixels) -> Finish:
        """Begin with crops; the device computes in the background."""
        import torch

        watched: AbstractContextManager[list[torch.Tensor]] = (
            seen_by_head(self.model) if self.gives_features else nullcontext([])
        )
        inputs = torch.from_numpy(pixels)
        if self._device.type == "cuda":
            inputs = inputs.pin_memory()  # else the copy would wait for the batch before
        with torch.inference_mode(), self._precision.autocast(self._device), watched as seen:
            output = self.model(
                normalise(inputs.to(self._device, non_blocking=True), self.header.transform)
            )
        features = seen[0].flatten(1) if seen else None
        return lambda: (_numbers(output), None if features is None else _numbers(features))


@contextmanager
def seen_by_head(model: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Yield a list that receives what the head sees, the same in every architecture."""
    seen: list[torch.Tensor] = []
    head = model.get_classifier()  # type: ignore[operator]
    head = head[0] if isinstance(head, tuple) else head
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        hook.remove()


def _numbers(tensor: torch.Tensor) -> Floats:
    return np.asarray(tensor.float().cpu().numpy(), dtype=np.float64)
