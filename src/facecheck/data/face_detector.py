"""The face detector's file: named by the user, or downloaded once to the cache."""

from __future__ import annotations

import os
import tempfile
from importlib.resources import files as package_files
from pathlib import Path

from facecheck.core.errors import FacecheckError, SourceError, UsageError, reason
from facecheck.core.files import path_text, sha256_file
from facecheck.core.workspace import cache_folder
from facecheck.core.yaml_files import parse_yaml
from facecheck.data.sources.catalog import Source
from facecheck.data.sources.platforms import Retry, Transfer
from facecheck.data.sources.platforms.http import download

#: Names a local file instead of the download; a flag stands before it.
VARIABLE = "FACECHECK_FACE_DETECTOR"
#: Less patient than for datasets: the file is small, and there are other addresses.
PATIENCE = Transfer(retry=Retry(attempts=2, first_wait=0.5))


def detector_source() -> Source:
    """Return where the detector is published, from ``face_detector.yaml`` next to this module."""
    name = "face_detector.yaml"
    stored = parse_yaml((package_files("facecheck.data") / name).read_bytes(), name)
    first, *mirrors = (entry["address"] for entry in stored["addresses"])
    return Source(
        stored["file"], "http", (first,), sha256=(stored["sha256"],), mirrors=tuple(mirrors)
    )


def find_face_detector(
    named: Path | None = None,
    *,
    folder: Path | None = None,
    source: Source | None = None,
    transfer: Transfer = PATIENCE,
) -> Path:
    """Return the face detector's file, downloading it to the cache the first time.

    Args:
        named: a file of the user's own; None takes that of :data:`VARIABLE`, or else the cache.
        folder: the cache; None takes the user's.
        source: where it is published; None takes :func:`detector_source`.
        transfer: progress and patience of a download.

    Raises:
        UsageError: a file is named, and is not there.
        FacecheckError: it can neither be downloaded nor kept; the message says how to do without.
    """
    given = named or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if given is not None:
        if not given.is_file():
            by = "--face-detector" if named else VARIABLE
            raise UsageError(
                f"no face detector at {path_text(given)}: correct {by}, or pass --faces off"
            )
        return given
    source = source or detector_source()
    folder = folder or cache_folder()
    kept = folder / source.name
    try:
        # Read in full at each start, a third of a megabyte: what damaged the cache is noticed.
        if not kept.is_file() or sha256_file(kept) != source.sha256[0]:
            _download(source, kept, transfer)
    except OSError as error:
        why = f"cannot be kept there: {reason(error)}"
    except SourceError as error:
        why = f"cannot be downloaded: {error}"
    else:
        return kept
    raise FacecheckError(
        f"no face detector at {path_text(kept)}, and it {why}; get {source.handles[0]} on another "
        f"machine and name the file with --face-detector or {VARIABLE}, or pass --faces off"
    )


def _download(source: Source, kept: Path, transfer: Transfer) -> None:
    """Bring the file to a folder of this process, then to its place: others may do the same."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=kept.parent) as own:
        download(source, Path(own), transfer)[0].path.replace(kept)
