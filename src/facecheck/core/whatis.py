"""What a path leads to, in a user's words: for messages that say what was given instead."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from facecheck.core.csv_files import csv_form
from facecheck.core.files import path_text

#: What a table is, by columns that only such a table has together.
_TABLES = (
    ({"path", "status", "verdict", "score"}, "a table of scan results"),
    ({"path", "source", "kind"}, "a manifest"),
    ({"dropped", "keeper"}, "a table of duplicates"),
    ({"path", "reason"}, "a table of rejected files"),
    ({"sha256", "verdict", "thumbnail"}, "a table of known files"),
)
#: What a folder is, by a file or folder in it.
_FOLDERS = (
    ("run.json", "a run folder"),
    ("best.safetensors", "a run folder"),
    ("index.html", "a report"),
    ("data/manifest.csv", "a workspace"),
)
_ENDINGS = {
    ".safetensors": "a safetensors file",
    ".onnx": "an ONNX file",
    ".ts": "a TorchScript file",
    ".tflite": "a LiteRT file",
    ".pt": "a PyTorch file",
    ".pth": "a PyTorch file",
    ".yaml": "a YAML file",
    ".yml": "a YAML file",
    ".npz": "a file of numpy arrays",
}


def what_is(path: Path) -> str:
    """Return what a path leads to, such as ``a folder``, ``a manifest`` or ``a JPEG image``.

    It reads the beginning of a file and the names in a folder, and no more.
    """
    try:
        if path.is_dir():
            return next((name for inner, name in _FOLDERS if (path / inner).exists()), "a folder")
        return _what_file(path) if path.is_file() else "not there"
    except (OSError, ValueError, csv.Error):
        return "a file that cannot be read"


def mistaken(path: Path, wanted: str, hint: str) -> str:
    """Return the message that a path leads to something else than ``wanted``, such as a run.

    Args:
        path: what was given.
        wanted: what it should be, with its article: ``a checkpoint``.
        hint: what to give instead, or what to do with what was given.
    """
    return f"{path_text(path)} is {what_is(path)}, not {wanted}: {hint}"


def _what_file(path: Path) -> str:
    suffix = path.suffix.lower()
    columns = _columns(path) if suffix in (".csv", ".jsonl", ".parquet") else None
    if columns:
        return next((name for known, name in _TABLES if known <= columns), "a table")
    if suffix in _ENDINGS:
        return _ENDINGS[suffix]
    from facecheck.core.formats import HEAD, identify

    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if not head:
        return "an empty file"
    kind = identify(head)
    return kind.name if kind else "a file of an unknown format"


def _columns(path: Path) -> set[str]:
    if path.suffix.lower() == ".parquet":
        import polars as pl

        try:
            return set(pl.read_parquet_schema(path))
        except pl.exceptions.PolarsError:
            return set()
    if path.suffix.lower() == ".jsonl":
        with path.open(encoding="utf-8") as stream:
            row = json.loads(stream.readline(1 << 20) or "{}")
        return set(row) if isinstance(row, dict) else set()
    form = csv_form(path)
    with path.open(encoding=form.encoding, newline="") as stream:
        return set(next(csv.reader(stream, delimiter=form.separator), ()))
