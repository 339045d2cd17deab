"""Results as JSON values, for the command line and for reports alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from facecheck.core.files import path_text


def jsonable(value: Any) -> Any:
    """Return a result as JSON values; keys of several parts are joined by ``/``."""
    if is_dataclass(value):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {
            "/".join(key) if isinstance(key, tuple) else str(key): jsonable(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return path_text(value) if isinstance(value, Path) else value


def parse_json(text: str | bytes) -> Any:
    """Return what JSON holds.

    Raises:
        ValueError: it is none, or nested more deeply than Python's own stack, for which
            :func:`json.loads` raises another error.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
