"""One image at a time, from Python."""

from __future__ import annotations

from pathlib import Path

from facecheck.core.workspace import find_checkpoint
from facecheck.engines.load import load_predictor
from facecheck.model.predict import Prediction
from facecheck.model.transforms import load_input


class Checker:
    """A loaded checkpoint that answers for single images.

    Args:
        checkpoint: a checkpoint or run folder; None takes the newest run of the workspace.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.

    Raises:
        UsageError: there is no checkpoint, or no such device.
        CheckpointError: the checkpoint cannot be used.
    """

    def __init__(self, checkpoint: Path | str | None = None, *, device: str = "auto") -> None:
        path = find_checkpoint(None if checkpoint is None else Path(checkpoint))
        self._predictor = load_predictor(path, device)

    def check(self, image: Path | str | bytes) -> Prediction:
        """Return the verdict on one file, or on the bytes of one.

        Raises:
            ImageError: the image cannot be decoded.
        """
        source = image if isinstance(image, bytes) else Path(image)
        pixels = load_input(source, self._predictor.header.transform)
        return self._predictor.predictions(pixels[None])[0]
