"""Where each command leaves its work and the next one finds it, under the current folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from facecheck.core.errors import UsageError
from facecheck.core.files import path_text, temporary_folder, to_path
from facecheck.core.version import PACKAGE
from facecheck.core.whatis import mistaken, what_is

#: Default options for each command (:mod:`facecheck.core.settings`).
PROJECT_FILE = Path("facecheck.yaml")
RAW = Path("data/raw")
MANIFEST = Path("data/manifest.csv")
#: Where a scan writes.
RESULTS = Path("results.csv")
RUNS = Path("runs")
#: Features of frozen encoders, kept from one training to the next.
FEATURES = Path("data/features")
BEST = "best.safetensors"
LAST = "last.safetensors"
#: The endings of checkpoints and of their exports.
MODELS = (".safetensors", ".onnx", ".ts", ".xml", ".tflite")
STATE = "state.pt"
#: The models that come with the package (docs/model-card.md), by their names on the command line.
PACKAGED_MODELS = PACKAGE / "model"
BUILTIN_NAME = "builtin"
BUILTINS = {
    BUILTIN_NAME: PACKAGED_MODELS / "builtin.safetensors",
    "builtin-fast": PACKAGED_MODELS / "builtin-fast.onnx",
}
BUILTIN = BUILTINS[BUILTIN_NAME]
BUILTIN_FAST = BUILTINS["builtin-fast"]
#: Its frozen encoder, on which heads of your own can be trained.
BUILTIN_ENCODER = PACKAGED_MODELS / "clip-vit-b16.onnx"
#: Names a face detector's file for every command; a flag takes precedence.
FACE_DETECTOR_VARIABLE = "FACECHECK_FACE_DETECTOR"
#: Names the folder that the paths of manifests with a root count from, for every command.
ROOT_VARIABLE = "FACECHECK_ROOT"
#: The environment variables that set no command's option.
VARIABLES = (FACE_DETECTOR_VARIABLE, ROOT_VARIABLE)


def find_manifest(path: Path | str | None) -> Path:
    """Return ``path``, or the workspace's manifest when it is None.

    Raises:
        UsageError: the file is not there.
    """
    if path is not None:
        return require_manifest(path, "check the path")
    return require_manifest(
        MANIFEST, "run `facecheck fetch` or `facecheck index DIR` first, or name a manifest"
    )


def require_manifest(path: Path | str, hint: str) -> Path:
    """Return ``path`` if there is a file.

    Args:
        path: where a manifest, or another table, is expected.
        hint: what to do where there is nothing.

    Raises:
        UsageError: there is nothing, or a folder; or ``path`` is none.
    """
    path = to_path(path, "a manifest")
    name = path_text(path)
    if path.is_dir():
        what, make = what_is(path), f"make a manifest of it with `facecheck index {name}`"
        raise UsageError(
            f"{name} is a folder: {make}"
            if what == "a folder"
            else mistaken(path, "a manifest", "name one that `facecheck index` wrote")
        )
    if not path.is_file():
        raise UsageError(f"no manifest at {name}: {hint}")
    return path


@dataclass(frozen=True)
class Choice:
    """A checkpoint, and what it was chosen among.

    Attributes:
        path: the checkpoint.
        runs: finished runs that it is the newest of; 0 where it was named, or is the built-in one.
        unfinished: runs that were skipped since their training is not finished; or, where the
            checkpoint was named, its own run if that is not.
    """

    path: Path
    runs: int = 0
    unfinished: tuple[Path, ...] = ()


def find_checkpoint(path: Path | str | None, runs: Path = RUNS) -> Path:
    """Return the checkpoint of :func:`choose_checkpoint`."""
    return choose_checkpoint(path, runs).path


def choose_checkpoint(path: Path | str | None, runs: Path = RUNS) -> Choice:
    """Return the checkpoint at ``path`` (a file or a run folder), or the newest run's best one.

    Without a path and without a finished run it is the built-in model; ``builtin`` and
    ``builtin-fast`` name those that come with the package. Without a path, runs whose training is
    not finished are skipped: those whose folder holds what they resume from.

    Raises:
        UsageError: there is none.
    """
    if path is None:
        found = sorted(runs.glob(f"*/{BEST}"), key=lambda file: (file.stat().st_mtime_ns, file))
        unfinished = tuple(file.parent for file in found if _is_unfinished(file))
        finished = [file for file in found if file.parent not in unfinished]
        best = finished[-1] if finished else BUILTINS[BUILTIN_NAME]
        return Choice(best, len(finished), unfinished)
    path = to_path(path, "a checkpoint")
    if str(path) in BUILTINS and not path.exists():
        return Choice(BUILTINS[str(path)])
    checkpoint = path / BEST if path.is_dir() else path
    wanted = f"pass a checkpoint, an export of one, a run folder, or {' or '.join(BUILTINS)}"
    if path.is_dir() and not checkpoint.is_file():
        raise UsageError(mistaken(path, "a run folder with a checkpoint", wanted))
    if not checkpoint.is_file():
        raise UsageError(f"no checkpoint at {path_text(checkpoint)}: {wanted}")
    if checkpoint.suffix.lower() not in MODELS:
        raise UsageError(mistaken(path, "a checkpoint", wanted))
    return Choice(checkpoint, 0, (checkpoint.parent,) if _is_unfinished(checkpoint) else ())


def _is_unfinished(checkpoint: Path) -> bool:
    return checkpoint.name in {BEST, LAST} and checkpoint.with_name(STATE).is_file()


def builtin_name(path: Path) -> str | None:
    """Return the name of a model that comes with the package, or None for any other file."""
    return next((name for name, one in BUILTINS.items() if one == path), None)


def find_encoder(path: Path) -> Path:
    """Return the encoder at ``path``, or by the name ``builtin`` the one of the package.

    Raises:
        UsageError: there is none.
    """
    if str(path) == BUILTIN_NAME and not path.exists():
        return BUILTIN_ENCODER
    wanted = f"pass an .onnx file or {BUILTIN_NAME!r}"
    if path.is_dir() or (path.exists() and path.suffix.lower() != ".onnx"):
        raise UsageError(mistaken(path, "an encoder", wanted))
    if not path.is_file():
        raise UsageError(f"no encoder at {path_text(path)}: pass an .onnx file or {BUILTIN_NAME!r}")
    return path


def not_a_run(path: Path, command: str, example: str) -> str:
    """Return the message that a run cannot be resumed, since ``path`` is no run of ``command``."""
    known, fix = RUNS / path, f"pass one of `{command}`, such as {example}"
    if path.exists():
        return mistaken(path, "a run that can be resumed", fix)
    near = f"; did you mean {path_text(known)}?" if known.is_dir() else f": {fix}"
    return f"no run at {path_text(path)}{near}"


def new_run_folder(name: str, runs: Path, fill: Callable[[Path], None]) -> Path:
    """Make and return ``runs/name``, or ``runs/name-2``, ``-3``… when the name is taken.

    ``fill`` writes into the folder before it gets its name: a run that is there can be resumed.
    """
    with temporary_folder(runs / name) as made:
        draft = made / "run"
        draft.mkdir()
        fill(draft)
        for number in count(1):
            folder = runs / (name if number == 1 else f"{name}-{number}")
            if not os.path.lexists(folder):
                try:
                    return draft.rename(folder)
                except OSError as error:  # another run was faster
                    if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                        raise
    raise AssertionError("numbers have no end")
