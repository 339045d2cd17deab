"""One image at a time, from Python."""

from __future__ import annotations

from pathlib import Path

from facecheck.core.workspace import find_checkpoint
from facecheck.model.checkpoint import load_checkpoint
from facecheck.model.device import choose_device
from facecheck.model.predict import Predictor, Verdict, judge
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
        self._predictor = Predictor(load_checkpoint(path), choose_device(device))

    def check(self, image: Path | str | bytes) -> Verdict:
        """Return the verdict on one file, or on the bytes of one.

        Raises:
            ImageError: the image cannot be decoded.
        """
        source = image if isinstance(image, bytes) else Path(image)
        pixels = load_input(source, self._predictor.header.transform)
        logits, features = self._predictor.outputs(pixels[None])
        seen = None if features is None else features[0]
        return judge(logits[0], self._predictor.header, seen)
