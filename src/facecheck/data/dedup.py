"""dedup: exact and near duplicates to groups, exclusions and a duplicates table."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from facecheck.core.errors import ImageError, ManifestError, UsageError
from facecheck.core.files import path_text, refuse_to_overwrite
from facecheck.core.image import decode
from facecheck.core.manifest import (
    Record,
    input_meta,
    read_manifest,
    read_meta,
    write_manifest,
    write_table,
)
from facecheck.core.parallel import Progress, cpu_count, map_ordered, silent
from facecheck.data.near import THUMBNAIL_SIDE, Thumbnail, likeness, pairs_within, thumbnail

#: Values that dedup itself writes to the ``excluded`` column, and so takes back when run again.
DUPLICATE = "duplicate"
CONFLICT = "conflict"


@dataclass(frozen=True)
class Duplicate:
    """One record that holds the same picture as another, and why we say so.

    Attributes:
        dropped: the record that is excluded.
        keeper: the record that stands for it.
        why: ``same bytes``, ``same pixels`` or ``same picture``.
        distance: bits between the two pHashes.
        correlation: of the grey thumbnails; 1 for the same pixels.
        difference: mean RGB difference of the thumbnails, 0 to 255.
        conflict: whether files of this picture carry different kinds, so that the keeper is
            excluded too until someone decides.
        dropped_kind: the kind of the dropped record.
        keeper_kind: the kind of the keeper.
    """

    dropped: str
    keeper: str
    why: str
    distance: int
    correlation: float
    difference: float
    conflict: bool
    dropped_kind: str
    keeper_kind: str


@dataclass(frozen=True)
class DedupResult:
    """What ``dedup`` did.

    Attributes:
        manifest: where the manifest with groups was written.
        duplicates: where the duplicates table was written, one row per :class:`Duplicate`.
        records: records in the manifest.
        dropped: records excluded as duplicates, by reason.
        conflicts: records excluded because files of one picture carry different kinds.
        groups: groups among the records that are left.
        candidates: pairs that the hash proposed and thumbnails decided.
    """

    manifest: Path
    duplicates: Path
    records: int
    dropped: Mapping[str, int]
    conflicts: int
    groups: int
    candidates: int


def dedup(
    manifest: Path,
    *,
    out: Path | None = None,
    radius: int = 8,
    overwrite: bool = False,
    workers: int | None = None,
    progress: Progress = silent,
) -> DedupResult:
    """Find files that hold the same picture; group them and exclude all but one of each.

    Records are taken in order of preference (more pixels, then more bytes, then path). Each is a
    keeper unless it is confirmed to hold the picture of an earlier keeper. Every dropped record
    is thus compared with its keeper itself, never through a chain of others. No file is touched
    and no row removed: the columns ``group`` and ``excluded`` change, and running it again gives
    the same result.

    Args:
        manifest: a manifest by ``index``.
        out: where the result goes; None updates the manifest in place.
        radius: largest pHash distance in bits, 0 to 16, at which a pair is looked at.
        overwrite: replace an existing ``out``.
        workers: decoding threads; None takes one per core.
        progress: told thumbnails made and to make.

    Raises:
        UsageError: the manifest is not there, ``radius`` is out of range, or ``out`` exists.
        ManifestError: a hash is missing or malformed, or a file that must be looked at is gone.
    """
    if not 0 <= radius <= 16:
        raise UsageError(f"--radius {radius}: must be 0 to 16 bits")
    table = read_manifest(manifest)
    target = out or manifest
    if target != manifest:
        refuse_to_overwrite(target, overwrite=overwrite)
    for column in ("sha256", "pixel_hash", "phash"):
        table.require_filled(column, manifest)
    records = list(table.records())
    try:
        keepers, candidates = _find_keepers(records, radius, workers or cpu_count(), progress)
    except ImageError as error:
        raise ManifestError(
            f"{path_text(manifest)}: {error}: run `facecheck index` again"
        ) from None
    disputed = _disputed(records, keepers)
    duplicates = [
        _duplicate(records[index], records[match.keeper], match, match.keeper in disputed)
        for index, match in sorted(keepers.items())
    ]
    duplicates_path = target.with_name(f"{target.stem}.duplicates{target.suffix}")
    _write_duplicates(duplicates, duplicates_path)
    result = table.with_columns(
        group=_groups(records, keepers), excluded=_exclusions(records, keepers, disputed)
    )
    made_by = {
        "command": "dedup",
        "arguments": {"radius": radius},
        "input": input_meta(manifest),
        "decode_policy": read_meta(manifest).get("decode_policy"),
    }
    write_manifest(result, target, made_by)
    left = result.frame.filter(pl.col("excluded") == "")
    return DedupResult(
        manifest=target,
        duplicates=duplicates_path,
        records=len(records),
        dropped=Counter(pair.why for pair in duplicates if not pair.conflict),
        conflicts=result.frame.filter(pl.col("excluded") == CONFLICT).height,
        groups=left["group"].n_unique(),
        candidates=candidates,
    )


def _write_duplicates(duplicates: list[Duplicate], path: Path) -> None:
    types = {"str": pl.String, "int": pl.Int64, "float": pl.Float64, "bool": pl.Boolean}
    schema = {field.name: types[str(field.type)] for field in fields(Duplicate)}
    rows = [astuple(pair) for pair in sorted(duplicates, key=lambda pair: pair.dropped)]
    write_table(pl.DataFrame(rows, schema=schema, orient="row"), path)


def _preference(record: Record) -> tuple[int, int, str, str]:
    """Order records from the best keeper to the worst; total, since no two share a path."""
    return (-record.width * record.height, -record.bytes, record.sha256, record.path)


@dataclass(frozen=True)
class _Match:
    """That a record holds the picture of the record at index ``keeper``, itself not dropped."""

    keeper: int
    why: str
    distance: int
    correlation: float
    difference: float


def _find_keepers(
    records: list[Record], radius: int, workers: int, progress: Progress
) -> tuple[dict[int, _Match], int]:
    """Return the match of every dropped index, and how many pairs were looked at."""
    # What the user excluded for reasons of their own must not stand for anything else.
    ours = [i for i, record in enumerate(records) if record.excluded in {"", DUPLICATE, CONFLICT}]
    ours.sort(key=lambda index: _preference(records[index]))
    rank = {index: position for position, index in enumerate(ours)}
    exact, unique = _exact_matches(records, ours)
    neighbours = _candidates(records, unique, radius)
    thumbnails = _thumbnails(records, sorted(neighbours), workers, progress)
    near: dict[int, _Match] = {}
    for index in unique:
        matches = []
        for other, distance in neighbours.get(index, ()):
            if rank[other] < rank[index] and other not in near:
                alike = likeness(thumbnails[index], thumbnails[other])
                if alike.same_picture:
                    order = (-alike.correlation, rank[other])
                    measures = (distance, alike.correlation, alike.difference)
                    matches.append((order, _Match(other, "same picture", *measures)))
        if matches:
            near[index] = min(matches, key=lambda match: match[0])[1]
    for index, match in exact.items():
        # Its keeper among equal pixels may itself hold the picture of a larger file.
        if match.keeper in near:
            exact[index] = replace(near[match.keeper], why="same picture")
    return exact | near, sum(map(len, neighbours.values())) // 2


def _exact_matches(
    records: list[Record], preferred: list[int]
) -> tuple[dict[int, _Match], list[int]]:
    """Match equal pixels with the first of them; return the matches and the indices left."""
    first: dict[str, int] = {}
    matches: dict[int, _Match] = {}
    for index in preferred:
        keeper = first.setdefault(records[index].pixel_hash, index)
        if keeper != index:
            same_bytes = records[index].sha256 == records[keeper].sha256
            why = "same bytes" if same_bytes else "same pixels"
            matches[index] = _Match(keeper, why, 0, 1.0, 0.0)
    return matches, list(first.values())


def _candidates(
    records: list[Record], unique: list[int], radius: int
) -> dict[int, list[tuple[int, int]]]:
    """Return, for each index with neighbours, the indices in reach and their distances."""
    by_hash: dict[int, list[int]] = defaultdict(list)
    for index in unique:
        by_hash[_hash(records[index])].append(index)
    hashes = sorted(by_hash)
    found = pairs_within(np.array(hashes, dtype=np.uint64), radius).tolist()
    neighbours: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for one, two, distance in [*((i, i, 0) for i in range(len(hashes))), *found]:
        for first in by_hash[hashes[one]]:
            for second in by_hash[hashes[two]]:
                if first != second:
                    neighbours[first].append((second, distance))
                    if one != two:
                        neighbours[second].append((first, distance))
    return neighbours


def _hash(record: Record) -> int:
    if not re.fullmatch(r"[0-9a-f]{16}", record.phash):
        raise ManifestError(
            f"phash {record.phash!r} of {path_text(Path(record.path))} is not 16 hex digits: run "
            "`facecheck index` again"
        )
    return int(record.phash, 16)


def _thumbnails(
    records: list[Record], indices: list[int], workers: int, progress: Progress
) -> dict[int, Thumbnail]:
    def make(index: int) -> Thumbnail:
        path = Path(records[index].path)
        try:
            return thumbnail(decode(path, short_side=THUMBNAIL_SIDE).image)
        except ImageError as error:
            raise ImageError(f"{path_text(path)}: {error}") from None

    made: dict[int, Thumbnail] = {}
    for index, small in zip(indices, map_ordered(make, indices, workers=workers), strict=True):
        made[index] = small
        progress(len(made), len(indices))
    return made


def _disputed(records: list[Record], keepers: Mapping[int, _Match]) -> set[int]:
    """Return the keepers whose picture is held by files of different kinds."""
    return {
        match.keeper
        for index, match in keepers.items()
        if records[index].kind != records[match.keeper].kind
    }


def _duplicate(dropped: Record, keeper: Record, match: _Match, conflict: bool) -> Duplicate:
    return Duplicate(
        dropped=path_text(Path(dropped.path)),
        keeper=path_text(Path(keeper.path)),
        why=match.why,
        distance=match.distance,
        correlation=round(match.correlation, 4),
        difference=round(match.difference, 2),
        conflict=conflict,
        dropped_kind=dropped.kind,
        keeper_kind=keeper.kind,
    )


def _exclusions(
    records: list[Record], keepers: Mapping[int, _Match], disputed: set[int]
) -> list[str]:
    """Return the ``excluded`` column: ours anew, and the user's own reasons as they were."""
    values = []
    for index, record in enumerate(records):
        keeper = keepers[index].keeper if index in keepers else index
        if keeper in disputed:
            values.append(CONFLICT)
        elif index in keepers:
            values.append(DUPLICATE)
        else:
            values.append("" if record.excluded in {DUPLICATE, CONFLICT} else record.excluded)
    return values


def _groups(records: list[Record], keepers: Mapping[int, _Match]) -> list[str]:
    """Return the ``group`` column: given groups kept whole, duplicates joined to their keeper's.

    A given group (an identity, a pair) keeps its name; where duplicates join several, the first
    name in order stands for all. A record without one is named after its keeper's pixels.
    """
    own = [f"pixels/{record.pixel_hash[:16]}" for record in records]
    made_here = set(own)
    names = sorted({*own, *(record.group for record in records if record.group)})
    number = {name: position for position, name in enumerate(names)}
    edges = []
    for index, record in enumerate(records):
        keeper = keepers[index].keeper if index in keepers else index
        edges.append((number[own[index]], number[own[keeper]]))
        if record.group:
            edges.append((number[own[index]], number[record.group]))
    rows, columns = np.array(edges).T
    links = coo_matrix((np.ones(len(edges), np.int8), (rows, columns)), shape=(len(names),) * 2)
    _, component = connected_components(links, directed=False)
    best: dict[int, str] = {}
    for name in sorted(names, key=lambda name: (name in made_here, name)):
        best.setdefault(int(component[number[name]]), name)
    return [best[int(component[number[name]])] for name in own]
