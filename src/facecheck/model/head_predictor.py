"""A head on an encoder's features: two files, one predictor, no torch.

The encoder is large and stays; a head is small and is trained in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from facecheck.core.errors import CheckpointError, UsageError, reason
from facecheck.core.files import atomic_path, path_text, sha256_file
from facecheck.core.workspace import PACKAGED_MODELS
from facecheck.model.checkpoint import HEADER_KEY, Header, header_text, read_header
from facecheck.model.cores import Cores
from facecheck.model.encoder import Encoder
from facecheck.model.head import Head
from facecheck.model.metrics import Floats
from facecheck.model.predict import Finish, Pixels, Predictor


class HeadPredictor(Predictor):
    """A head on an encoder's features.

    Args:
        path: the head's checkpoint; its header names the encoder, which lies next to it or comes
            with the package.
        device: ``auto`` or ``cpu``.
        features: give what the head's perceptrons see, even where no out-of-distribution detector
            needs it.
        threads: how many compute; None: one per core. They change no number.

    Raises:
        UsageError: it does not run on ``device``.
        CheckpointError: head or encoder cannot be used, or the encoder is missing or another one.
    """

    def __init__(
        self,
        path: Path,
        device: str = "auto",
        *,
        features: bool = False,
        threads: int | None = None,
    ) -> None:
        if device not in {"auto", "cpu"}:
            raise UsageError(
                f"device {device!r}: a head on an encoder runs on the cpu: pass --device cpu"
            )
        self.device = "cpu"
        self.header, self.head = load_head(path)
        self.encoder = Encoder(_find_encoder(path, self.header))
        if self.encoder.widths != self.head.widths:
            raise CheckpointError(
                f"{path_text(path)}: takes features of widths {self.head.widths}, and "
                f"{path_text(self.encoder.path)} gives {self.encoder.widths}"
            )
        self.gives_features = features or self.header.guard is not None
        self._cores = Cores(threads)

    def begin_crops(self, pixels: Pixels) -> Finish:
        """Begin with crops on all cores, one crop a core."""
        found = self._cores.run_each(self.encoder.features, pixels)

        def finish() -> tuple[Floats, Floats | None]:
            # The head takes all crops at once: NumPy spreads each product over all cores, which the
            # encoder's next runs need.
            sets = [np.concatenate(parts) for parts in zip(*found, strict=True)]
            logits, seen = self.head.answer(sets)
            return logits, seen if self.gives_features else None

        return finish

    def save(self, header: Header, path: Path) -> None:
        """Write the same head with another header to ``path``; raises as its protocol says."""
        save_head(self.head, header, path)


def load_head(path: Path) -> tuple[Header, Head]:
    """Return the header and the head of a checkpoint.

    Raises:
        CheckpointError: it cannot be used, or is no head.
    """
    header = read_header(path)
    if header.encoder is None:
        raise CheckpointError(f"{path_text(path)}: a whole network, not a head on an encoder")
    try:
        head = Head.from_tensors(load_file(path), header.encoder["shares"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, CheckpointError) as error:
        raise CheckpointError(f"{path_text(path)}: damaged head ({reason(error)})") from None
    if head.branches[0].output.shape[1] != len(header.kinds):
        raise CheckpointError(f"{path_text(path)}: damaged head (kinds do not agree)")
    return header, head


def save_head(head: Head, header: Header, path: Path) -> None:
    """Write a head and its header to ``path`` atomically.

    Raises:
        CheckpointError: the file cannot be written.
    """
    try:
        with atomic_path(path) as temporary:
            save_file(head.tensors(), temporary, metadata={HEADER_KEY: header_text(header)})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path_text(path)}: cannot be written ({error})") from None


def encoder_field(encoder: Encoder, head: Head) -> Mapping[str, Any]:
    """Return what a head's header says of its encoder."""
    return {
        "file": encoder.path.name,
        "sha256": encoder.sha256,
        "name": encoder.facts.name,
        "about": encoder.facts.about,
        "shares": list(head.shares),
    }


def _find_encoder(path: Path, header: Header) -> Path:
    """Return the encoder that a head was trained on, found by name and proven by its bytes.

    A header may name a file only, never a folder: it may be a stranger's.
    """
    stored = header.encoder or {}
    name = Path(str(stored.get("file", ""))).name
    for folder in (path.parent, PACKAGED_MODELS):
        found = folder / name
        if name and found.is_file():
            if sha256_file(found) != stored.get("sha256"):
                raise CheckpointError(
                    f"{path_text(found)}: not the encoder that {path_text(path)} was trained on "
                    "(another sha256): put that one next to it"
                )
            return found
    raise CheckpointError(
        f"{path_text(path)}: its encoder {name or '(unnamed)'} is missing: copy it from where the "
        "head was trained, next to the head"
    )
