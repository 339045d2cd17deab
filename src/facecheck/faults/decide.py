"""What people decided of images goes back into the manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from facecheck.core.errors import ManifestError
from facecheck.core.files import path_text
from facecheck.core.labels import check_kind
from facecheck.core.lock import only_one
from facecheck.core.manifest import Manifest, made_from, read_manifest, write_manifest
from facecheck.core.tables import read_table

#: The column of the manifest that says what was decided of a record: these are not shown again.
CHECKED = "checked"
KEPT, RELABELLED = "kept", "relabelled"


@dataclass(frozen=True)
class Decided:
    """What a file of decisions changed in a manifest.

    Attributes:
        relabelled: records that were given another kind.
        excluded: records that were excluded.
        kept: records that stay as they are.
        unknown: rows about files that are not in the manifest.
        changed: rows about files whose bytes are not those that were decided about.
    """

    relabelled: int = 0
    excluded: int = 0
    kept: int = 0
    unknown: int = 0
    changed: int = 0


@dataclass(frozen=True)
class _Decision:
    path: str
    sha256: str
    kind: str
    excluded: str


def take_decisions(manifest: Path, file: Path) -> Decided:
    """Write decisions to a manifest: other kinds, exclusions, and what was found right.

    The column ``kind`` gets the kind that was decided, ``excluded`` the reason, and ``checked``
    says ``kept`` or ``relabelled``. A row without kind and exclusion decides nothing. Taken twice,
    decisions change nothing more.

    Args:
        manifest: changed in place.
        file: a table with ``path`` and ``kind`` or ``excluded``, such as the page exports; with
            ``sha256``, a row counts only for a file that still has it. Paths are of the manifest's
            folder, or of the file's own.

    Raises:
        UsageError: the file is not there, or names an unknown kind.
        ManifestError: the file or the manifest cannot be read, or the file has other columns.
        FacecheckError: another process writes the manifest.
    """
    with only_one(manifest, "check"):
        return _take(manifest, file)


def _take(manifest: Path, file: Path) -> Decided:
    records = read_manifest(manifest)
    rows = {row["path"]: row for row in records.frame.iter_rows(named=True)}
    columns = {
        name: records.frame[name].fill_null("").to_list()
        if name in records.frame.columns
        else [""] * len(records)
        for name in ("kind", "excluded", CHECKED)
    }
    places = {path: place for place, path in enumerate(rows)}
    counts = dict.fromkeys(Decided.__dataclass_fields__, 0)
    for decision in _read(file):
        path = _found(decision.path, manifest, file, rows)
        if path is None:
            counts["unknown"] += 1
        elif decision.sha256 and rows[path]["sha256"] not in {"", decision.sha256}:
            counts["changed"] += 1
        else:
            word = _decide(decision, columns, places[path])
            counts[word] += 1
    made_by = made_from(manifest, manifest, "check", {"decisions": path_text(file)})
    if any(counts[word] for word in (RELABELLED, KEPT, "excluded")):
        write_manifest(records.with_columns(**columns), manifest, made_by)
    return Decided(**counts)


def _decide(decision: _Decision, columns: Mapping[str, list[str]], place: int) -> str:
    """Change one record, and return in a word how."""
    if decision.excluded:
        columns["excluded"][place] = decision.excluded
        return "excluded"
    word = KEPT if decision.kind == columns["kind"][place] else RELABELLED
    if word == RELABELLED or not columns[CHECKED][place]:
        columns[CHECKED][place] = word
    columns["kind"][place] = decision.kind
    return word


def _found(name: str, manifest: Path, file: Path, known: Mapping[str, object]) -> str | None:
    """Return the record's path that a row means, None where there is none."""
    for base in (manifest.absolute().parent, file.absolute().parent):
        path = os.path.normpath(base / name)
        if path in known:
            return path
    return None


def _read(file: Path) -> Iterator[_Decision]:
    table = read_table(file)
    names = set(table.columns)
    if "path" not in names or not names & {"kind", "excluded"}:
        raise ManifestError(
            f"{path_text(file)}: no decisions: a table of them has the columns path, and kind or "
            "excluded"
        )
    for number, row in enumerate(table.iter_rows(named=True), 2):
        path, sha256, kind, excluded = (
            (row.get(name) or "").strip() for name in ("path", "sha256", "kind", "excluded")
        )
        if kind:
            check_kind(kind, f"{path_text(file)}: line {number}")
        if kind or excluded:
            yield _Decision(path, sha256, kind, excluded)


def not_decided(records: Manifest) -> list[str]:
    """Return the paths of the records that nobody has decided about."""
    frame = records.frame
    if CHECKED not in frame.columns:
        return frame["path"].to_list()
    return frame.filter(frame[CHECKED].fill_null("") == "")["path"].to_list()
