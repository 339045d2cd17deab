"""What is remembered of a finished fetch: its marker in the raw folder, and its entry in the lock.

Both are JSON. Markers lie in the hidden folder ``.facecheck`` under the raw folder, one for each
source; ``index`` reads groups and further columns from the rules in them. ``facecheck.lock`` lies
in the project and is meant to be committed: it pins the archives, so that others get the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facecheck.core.errors import SourceError
from facecheck.core.files import path_text, write_json
from facecheck.core.jsonable import parse_json
from facecheck.data.sources.rules import Rule

#: The hidden folder under the raw folder for markers and downloads.
HIDDEN = ".facecheck"
#: The lock file's name; it lies in the current folder.
LOCK = Path("facecheck.lock")
_LOCK_FORMAT = 1


@dataclass(frozen=True)
class Archive:
    """One downloaded file: its name, its size in bytes, and its hex sha256."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Origin:
    """Where a source came from, exactly; what ``facecheck.lock`` keeps of it.

    Attributes:
        platform: the platform that served it.
        handles: what names it there.
        version: what the platform calls the state that was fetched, or empty.
        archives: the files that were downloaded; of a folder, one that stands for all of it.
    """

    platform: str
    handles: tuple[str, ...]
    version: str
    archives: tuple[Archive, ...]

    def differs_from(self, other: Origin) -> str:
        """Return in words how another origin's place or bytes differ, or an empty text."""
        if (self.platform, self.handles) != (other.platform, other.handles):
            return f"it comes from {_place(self)}, not {_place(other)}"
        ours = sorted((item.sha256, item.bytes) for item in self.archives)
        theirs = sorted((item.sha256, item.bytes) for item in other.archives)
        if ours != theirs:
            return f"its archives have sha256 {_digests(self)}, not {_digests(other)}"
        return ""


def _place(origin: Origin) -> str:
    return f"{origin.platform} {' '.join(origin.handles)}".rstrip()


def _digests(origin: Origin) -> str:
    return ", ".join(f"{item.sha256[:16]}…" for item in origin.archives) or "(none)"


@dataclass(frozen=True)
class Marker:
    """Written last, when a fetch is whole: what was fetched, and how its files are read.

    Attributes:
        origin: where it came from.
        files: files placed under the raw folder.
        bytes: their size.
        licence: the licence as the catalogue stated it.
        time: when it was fetched, UTC, ISO 8601.
        folders: the ``<kind>/<source>`` folders it filled.
        rules: the rules that placed the files; empty when their folders already said it all.
    """

    origin: Origin
    files: int
    bytes: int
    licence: str
    time: str
    folders: tuple[str, ...]
    rules: tuple[Rule, ...]


def marker_path(root: Path, name: str) -> Path:
    """Return where the marker of the source ``name`` lies under the raw folder ``root``."""
    return root / HIDDEN / f"{name}.json"


def read_marker(path: Path) -> Marker | None:
    """Return the marker at ``path``, or None when there is none.

    Raises:
        SourceError: it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        stored = parse_json(path.read_text(encoding="utf-8"))
        return Marker(
            **{
                **stored,
                "origin": _origin(stored["origin"]),
                "folders": tuple(stored["folders"]),
                "rules": tuple(Rule(**rule) for rule in stored["rules"]),
            }
        )
    except (OSError, ValueError, TypeError, KeyError):
        raise SourceError(
            f"{path_text(path)}: damaged marker: move it and the folders it speaks of away, and "
            "fetch again"
        ) from None


def write_marker(path: Path, marker: Marker) -> None:
    """Write a marker atomically."""
    write_json(path, asdict(marker))


def rules_by_folder(root: Path) -> dict[str, Sequence[Rule]]:
    """Return the rules of every ``<kind>/<source>`` folder that was fetched to ``root``.

    Raises:
        SourceError: a marker cannot be read.
    """
    paths = sorted((root / HIDDEN).glob("*.json"))
    # What a kill left half written is hidden.
    markers = (read_marker(path) for path in paths if not path.name.startswith("."))
    return {
        folder: marker.rules
        for marker in markers
        if marker is not None and marker.rules
        for folder in marker.folders
    }


def _origin(stored: Mapping[str, Any]) -> Origin:
    return Origin(
        platform=str(stored["platform"]),
        handles=tuple(map(str, stored["handles"])),
        version=str(stored["version"]),
        archives=tuple(Archive(**archive) for archive in stored["archives"]),
    )


def read_lock(path: Path) -> dict[str, Origin]:
    """Return the origins that a lock file pins, by source; none when there is no such file.

    Raises:
        SourceError: it cannot be read, or is of a later format.
    """
    if not path.is_file():
        return {}
    try:
        stored = parse_json(path.read_text(encoding="utf-8"))
        if stored["format"] != _LOCK_FORMAT:
            raise SourceError(
                f"{path_text(path)}: format {stored['format']} is unknown to this version: use the "
                "facecheck that wrote it"
            )
        return {str(name): _origin(origin) for name, origin in stored["sources"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise SourceError(
            f"{path_text(path)}: damaged lock file: restore it, or move it away to pin again"
        ) from None


def write_lock(path: Path, origins: Mapping[str, Origin]) -> None:
    """Write a lock file atomically, sources in order of their names."""
    sources = {name: asdict(origins[name]) for name in sorted(origins)}
    write_json(path, {"format": _LOCK_FORMAT, "sources": sources})
