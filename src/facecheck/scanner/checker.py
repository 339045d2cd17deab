"""One image at a time, from Python."""

from __future__ import annotations

from pathlib import Path

from facecheck.core.files import name_text
from facecheck.core.workspace import find_checkpoint
from facecheck.scanner.answers import Answer
from facecheck.scanner.classifier import load_classifier
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.options import CheckOptions


class Checker:
    """A loaded checkpoint and face detector that answer for single images, as ``scan`` does.

    Args:
        checkpoint: a checkpoint or run folder; None takes the newest finished run of the
            workspace, or the built-in model.
        options: whether to find faces, thresholds, which table of known files to consult, and what
            to compute on.

    Raises:
        UsageError: there is no checkpoint, or no such device or table.
        CheckpointError: the checkpoint or the face detector cannot be used.
    """

    def __init__(
        self, checkpoint: Path | str | None = None, options: CheckOptions = CheckOptions()
    ) -> None:
        path = find_checkpoint(None if checkpoint is None else Path(checkpoint))
        self._classifier = load_classifier(
            path, options, options, options, options, device=options.device
        )

    def check(self, image: Path | str | bytes) -> Answer:
        """Return the answer for one file, or for the bytes of one.

        What is wrong with an image is the status and message of its answer, as in a row of a scan.
        """
        return self._classifier.classify(_item(image))[1]


def _item(image: Path | str | bytes) -> Item:
    if isinstance(image, bytes):
        return Item("", len(image), 0, None, _read=lambda: image)
    return Item(name_text(image), 0, 0, Path(image))
