"""A folder or archive on this machine: read where it lies, never moved or changed."""

from __future__ import annotations

from pathlib import Path

from facecheck.core.errors import UsageError
from facecheck.core.files import path_text
from facecheck.data.sources.archive import is_archive, other_format
from facecheck.data.sources.catalog import Source
from facecheck.data.sources.platforms import Download, Transfer


def where(source: Source) -> str:
    """Return the paths."""
    return ", ".join(source.handles)


def download(source: Source, folder: Path, transfer: Transfer) -> list[Download]:
    """Return the folders and archives as they lie.

    Raises:
        UsageError: one is missing, or is neither a folder nor an archive.
    """
    del folder, transfer  # nothing travels
    return [Download(checked(Path(handle).expanduser()), ours=False) for handle in source.handles]


def checked(path: Path) -> Path:
    """Return ``path`` if it is a folder, or an archive of a supported format.

    Raises:
        UsageError: it is missing, or neither.
    """
    if path.is_dir() or is_archive(path):
        return path
    if not path.exists():
        raise UsageError(f"nothing at {path_text(path)}: check the path")
    name = other_format(path) if path.is_file() else None
    unpack = f" (a {name} archive: unpack it with another program, and pass its folder)"
    raise UsageError(
        f"{path_text(path)} is neither a folder nor a zip or tar archive"
        + (unpack if name else ": check the path")
    )
