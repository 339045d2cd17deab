"""fetch: bring a source's images to the workspace, then index and deduplicate them."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from facecheck.core.errors import SourceError, UsageError
from facecheck.core.files import path_text, sha256_file, write_json
from facecheck.core.kinds import KINDS, check_kind
from facecheck.core.parallel import Progress, silent
from facecheck.core.tree import walk_files
from facecheck.core.workspace import MANIFEST, RAW
from facecheck.data.archive import copy_tree, is_archive, unpack
from facecheck.data.dedup import DedupResult, dedup
from facecheck.data.index import IndexResult, index

#: Where, under the raw folder, a marker for each finished fetch lies. Hidden, so index skips it.
MARKERS = ".facecheck"


@dataclass(frozen=True)
class Marker:
    """Written last, when a fetch is whole: what was fetched, and how to tell it again.

    Attributes:
        handle: where it came from: the absolute path of the folder or archive.
        files: files placed under the raw folder.
        bytes: their size.
        sha256: of the archive; for a folder, of the list of its files with their sizes.
        folders: the ``<kind>/<source>`` folders it filled.
    """

    handle: str
    files: int
    bytes: int
    sha256: str
    folders: tuple[str, ...]


@dataclass(frozen=True)
class FetchResult:
    """What ``fetch`` did.

    Attributes:
        root: the raw folder.
        marker: what was fetched.
        already_there: whether an earlier fetch of the same content was found instead.
        indexed: the indexing of the whole raw folder.
        deduplicated: its deduplication; None when not asked for.
    """

    root: Path
    marker: Marker
    already_there: bool
    indexed: IndexResult
    deduplicated: DedupResult | None


def fetch(
    origin: Path,
    *,
    root: Path = RAW,
    manifest: Path = MANIFEST,
    kind: str | None = None,
    source: str | None = None,
    pairs: Sequence[Sequence[str]] = (),
    deduplicate: bool = True,
    workers: int | None = None,
    progress: Progress = silent,
) -> FetchResult:
    """Copy a local folder, or unpack a local archive, to ``root``; then index and deduplicate it.

    ``origin`` is laid out ``<kind>/<source>/…``, directly or below one top folder; or ``kind``
    and ``source`` say what all of it is. Nothing under ``root`` is ever replaced: content that is
    already there whole is recognised, and other content in the same folder is refused. The
    manifest is made anew for all of ``root``.

    Raises:
        UsageError: ``origin`` is missing or is neither folder nor archive, or a kind is unknown.
        SourceError: it is not laid out like this, is unsafe to unpack, or would replace files.
        FacecheckError: as :func:`index` and :func:`dedup`.
    """
    if kind is not None:
        check_kind(kind, "--kind")
    if (kind is None) != (source is None):
        raise UsageError("--kind and --source go together: pass both or neither")
    marker, already_there = _place(origin, root, kind, source)
    indexed = index(
        [root], manifest, pairs=pairs, overwrite=True, workers=workers, progress=progress
    )
    deduplicated = dedup(manifest, workers=workers, progress=progress) if deduplicate else None
    return FetchResult(root, marker, already_there, indexed, deduplicated)


def _place(origin: Path, root: Path, kind: str | None, source: str | None) -> tuple[Marker, bool]:
    handle = path_text(origin.resolve())
    digest = _fingerprint(origin)
    # The place in the name keeps two fetches of one folder under different kinds apart.
    name = hashlib.sha256(f"{digest} {kind} {source}".encode()).hexdigest()[:16]
    marker_path = root / MARKERS / f"{name}.json"
    if marker_path.is_file():
        return _read_marker(marker_path), True
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".facecheck-fetch-", dir=root) as temporary:
        staging = Path(temporary)
        if origin.is_dir():
            copy_tree(origin, staging, list(walk_files(origin)))
        else:
            unpack(origin, staging)
        folders = _source_folders(staging, origin, kind, source)
        taken = [place for place in folders if (root / place).exists()]
        if taken:
            raise SourceError(
                f"{root / taken[0]} is already there with other content: move it away, or fetch "
                "to another --root"
            )
        for place, folder in folders.items():
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            folder.rename(root / place)
        if source is not None:
            staging.mkdir(exist_ok=True)  # it was itself renamed; the clean-up wants it back
    placed = [file for place in folders for file in walk_files(root / place)]
    size = sum(file.stat().st_size for file in placed)
    marker = Marker(handle, len(placed), size, digest, tuple(folders))
    write_json(marker_path, asdict(marker))
    return marker, False


def _read_marker(path: Path) -> Marker:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Marker(**{**stored, "folders": tuple(stored["folders"])})
    except (ValueError, TypeError, KeyError):
        raise SourceError(f"{path}: damaged marker: remove it and fetch again") from None


def _fingerprint(origin: Path) -> str:
    """Return what tells this content from another: the archive's sha256, or that of a listing."""
    if origin.is_dir():
        lines = [
            f"{path_text(file.relative_to(origin))} {file.stat().st_size}\n"
            for file in walk_files(origin)
            if file.exists()
        ]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    if not origin.exists():
        raise UsageError(f"nothing at {path_text(origin)}: check the path given to --from")
    if not is_archive(origin):
        raise UsageError(
            f"{path_text(origin)} is neither a folder nor a zip or tar archive: check --from"
        )
    return sha256_file(origin)


def _source_folders(
    staging: Path, origin: Path, kind: str | None, source: str | None
) -> dict[str, Path]:
    """Return the folders to move into place, by their ``<kind>/<source>``."""
    if kind is not None and source is not None:
        return {f"{kind}/{source}": staging}
    top = staging
    children = _folders(top)
    if len(children) == 1 and children[0].name not in KINDS:
        top = children[0]  # archives often hold one folder named after themselves
    found = {
        f"{kind_folder.name}/{folder.name}": folder
        for kind_folder in _folders(top)
        if kind_folder.name in KINDS
        for folder in _folders(kind_folder)
    }
    if not found:
        raise SourceError(
            f"{path_text(origin)}: no <kind>/<source>/ folders in it (the kinds are "
            f"{', '.join(KINDS)}): lay it out like that, or pass --kind and --source"
        )
    return dict(sorted(found.items()))


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.is_symlink())
