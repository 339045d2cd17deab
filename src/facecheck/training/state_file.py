"""The file that a training resumes from: written atomically, read without running anything."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from facecheck.core.errors import CheckpointError, reason
from facecheck.core.files import atomic_path, path_text


def write_state(path: Path, identity: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Write a training's state.

    Args:
        path: the file, in the run's folder.
        identity: what must be the same when it is read.
        stored: tensors, numbers, texts, and lists and dictionaries of these.

    Raises:
        CheckpointError: the file cannot be written; the one before it is whole.
    """
    try:
        with atomic_path(path) as temporary:
            torch.save({"identity": dict(identity), **stored}, temporary)
    # Torch reports a full disk by RuntimeError.
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"{path_text(path)}: cannot be written ({reason(error)}): free some space, "
            f"then resume it with --resume {path_text(path.parent)}"
        ) from None


@contextmanager
def read_state(
    path: Path, identity: Mapping[str, Any], device: torch.device
) -> Iterator[dict[str, Any]]:
    """Yield what :func:`write_state` stored; what cannot be taken from it within is damage.

    Raises:
        CheckpointError: it is missing, damaged, or of another training; the message names what
            differs.
    """
    name = path_text(path)
    try:
        stored = torch.load(path, map_location=device, weights_only=True)
        theirs = stored["identity"]
        for key, wanted in identity.items():
            if theirs.get(key) != wanted:
                raise CheckpointError(
                    f"{name}: of another training: {key} is {theirs.get(key)!r} there and "
                    f"{wanted!r} now: start from scratch, without --resume"
                )
        yield stored
    except FileNotFoundError:
        raise CheckpointError(
            f"{name}: not there: the training is finished (train on from its checkpoint with "
            "--weights), or was not one that can be resumed"
        ) from None
    except pickle.UnpicklingError:
        raise CheckpointError(f"{name}: refused: reading it could run code") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{name}: damaged ({reason(error)})") from None
