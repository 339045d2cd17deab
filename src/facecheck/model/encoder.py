"""A frozen encoder as an ONNX file: from crops to sets of features, without torch.

The graph takes ``pixels``, shape (1, side, side, 3), uint8, RGB, and normalises them itself; each
of its outputs is a set of features, shape (1, width). Its metadata say what it is, under
:data:`ENCODER_KEY`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from facecheck.core.errors import CheckpointError, reason
from facecheck.core.files import path_text, sha256_file
from facecheck.core.jsonable import parse_json
from facecheck.model.checkpoint import PIXELS
from facecheck.model.metrics import Floats
from facecheck.model.onnx_session import open_session, run_session
from facecheck.model.predict import Pixels
from facecheck.model.transforms import Transform

#: Where an encoder's description is in its file's metadata.
ENCODER_KEY = "facecheck_encoder"


@dataclass(frozen=True)
class EncoderFacts:
    """What an encoder's file says of itself.

    Attributes:
        name: of the network, such as ``clip-vit-b16``.
        about: where its weights come from, and their licence.
    """

    name: str
    about: str = ""


class Encoder:
    """A frozen encoder, ready to run.

    Attributes:
        path: its file.
        facts: what the file says of itself.
        image_size: the side of its square input, in pixels.
        transform: how an image becomes its input.
        sets: the names of its sets of features.
        widths: how many features each set has.

    Raises:
        CheckpointError: the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._session = open_session(path)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if inputs else []
        sized = all(isinstance(one.shape[-1], int) for one in outputs if one.shape)
        if [one.name for one in inputs] != [PIXELS] or len(shape) != 4 or not sized:
            raise CheckpointError(
                f"{path_text(path)}: not an encoder: its input must be `{PIXELS}`, (1, side, side, "
                "3), and every output must have a fixed width (docs/training.md)"
            )
        self.image_size = int(shape[1])
        self.sets = tuple(one.name for one in outputs)
        self.widths = tuple(int(one.shape[-1]) for one in outputs)
        # It normalises by itself, whatever the network in it expects.
        self.transform = Transform.for_size(self.image_size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        self.facts = _facts(
            self._session.get_modelmeta().custom_metadata_map.get(ENCODER_KEY), path
        )

    @property
    def weights(self) -> str:
        """Where its weights came from, in words."""
        return path_text(self.path)

    @cached_property
    def sha256(self) -> str:
        """The file's digest, as what is kept of its features names it."""
        return sha256_file(self.path)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Do nothing: its sessions compute on one core each as they are."""
        yield

    def features(self, pixels: Pixels) -> tuple[Floats, ...]:
        """Return each set of features of crops, shape (n, width), float32.

        Every crop is run alone: an int8 encoder scales its activations by the largest of a run, so
        that a crop's features would depend on its neighbours.

        Args:
            pixels: shape (n, image_size, image_size, 3), RGB, 0 to 255.

        Raises:
            CheckpointError: the encoder fails, or takes too long.
        """
        try:
            rows = [run_session(self._session, self.sets, {PIXELS: one[None]}) for one in pixels]
        # ONNX Runtime raises classes of its own, which have no common parent but Exception.
        except Exception as error:
            raise CheckpointError(
                f"{path_text(self.path)}: fails while it runs ({reason(error)})"
            ) from None
        found = tuple(
            np.concatenate(parts).reshape(len(pixels), -1) for parts in zip(*rows, strict=True)
        )
        for one, width in zip(found, self.widths, strict=True):
            if one.shape != (len(pixels), width):
                raise CheckpointError(
                    f"{path_text(self.path)}: gives features of shape {one.shape}, not "
                    f"({len(pixels)}, {width})"
                )
        return found


def describe_encoder(model: Any, facts: EncoderFacts) -> None:
    """Put into an encoder's ONNX model what it says of itself."""
    entry = model.metadata_props.add()
    entry.key, entry.value = ENCODER_KEY, json.dumps(asdict(facts))


def _facts(text: str | None, path: Path) -> EncoderFacts:
    if text is None:
        return EncoderFacts(path.stem)
    try:
        stored = parse_json(text)
        return EncoderFacts(str(stored["name"]), str(stored.get("about", "")))
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path_text(path)}: damaged description ({error})") from None
