"""dedup: exact and near duplicates to groups, exclusions and a duplicates table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from facecheck.core.errors import FacecheckError, ImageError, ManifestError
from facecheck.core.files import path_text, refuse_to_overwrite
from facecheck.core.lock import only_one
from facecheck.core.manifest import (
    Record,
    is_made_by,
    made_from,
    portable_paths,
    read_manifest,
    write_manifest,
)
from facecheck.core.parallel import Progress, cpu_count, silent
from facecheck.core.tables import write_table
from facecheck.core.text import printable
from facecheck.core.workspace import find_manifest
from facecheck.data.duplicates.apply import (
    ApplyResult,
    already_applied,
    finished_moves,
    unfinished_moves,
)
from facecheck.data.duplicates.apply import apply as lay_out
from facecheck.data.duplicates.groups import connected
from facecheck.data.duplicates.keepers import Match, find_keepers
from facecheck.data.duplicates.preferences import check_preferred, protected_records
from facecheck.data.options import DedupOptions

#: Values that dedup itself writes to the ``excluded`` column, and so takes back when run again.
DUPLICATE = "duplicate"
CONFLICT = "conflict"

#: The counts of a result that the record of a move keeps.
_COUNTS = (
    *("level", "records", "dropped", "conflicts", "groups", "candidates", "apart", "by_kinds"),
    *("spared", "protected_conflicts"),
)


@dataclass(frozen=True)
class Duplicate:
    """One record that holds the same picture as another, and why we say so.

    Attributes:
        dropped: the record that is excluded, unless it is ``kept``.
        keeper: the record that stands for it.
        why: ``same bytes``, ``same pixels``, ``same picture`` (re-encoded or resized) or ``edited
            picture`` (cropped, mirrored or recoloured); ``other transparency or frames`` of two
            pictures that are ``kept``.
        distance: bits between the two pHashes, of the views under which they met.
        correlation: of the grey thumbnails, aligned; 1 for the same pixels.
        detail: of their details.
        difference: mean RGB difference of the thumbnails, 0 to 255, not aligned.
        view: of the first picture: ``whole``, ``mirrored`` or ``cropped``.
        kept: whether both are kept: they show one picture only to a program that knows neither
            transparency nor frames, or both are protected.
        conflict: whether files of this picture carry different kinds, so that the keeper is
            excluded too until someone decides, unless it is protected.
        dropped_kind: the kind of the dropped record.
        keeper_kind: the kind of the keeper.
        dropped_source: the source of the dropped record.
        keeper_source: the source of the keeper.
    """

    dropped: str
    keeper: str
    why: str
    distance: int
    correlation: float
    detail: float
    difference: float
    view: str
    kept: bool
    conflict: bool
    dropped_kind: str
    keeper_kind: str
    dropped_source: str
    keeper_source: str


@dataclass(frozen=True)
class DedupResult:
    """What ``dedup`` did.

    Attributes:
        manifest: where the manifest with groups was written.
        duplicates: where the duplicates table was written, one row per :class:`Duplicate`.
        contamination: where the counts of confirmed pairs, source by source, were written
            (``source``, ``other_source``, ``pairs``).
        conflicts_table: where the files of pictures that carry different kinds were listed
            (``picture``, ``path``, ``kind``, ``source``).
        level: how far it went, one of :data:`facecheck.data.duplicates.keepers.LEVELS`.
        records: records in the manifest.
        dropped: records excluded as duplicates, by reason.
        conflicts: records excluded because files of one picture carry different kinds.
        groups: groups among the records that are left.
        candidates: pairs that the hash proposed and thumbnails decided.
        apart: records that are kept, though their first frame over white is another's picture:
            they differ from it in transparency or frames.
        by_sources: confirmed pairs by (source, source), names in order.
        by_kinds: records in conflict by the kinds that their picture carries, joined by `` / ``.
        applied: the clean tree, if one was asked for.
        spared: protected records that are kept, though they hold the picture of another one.
        protected_conflicts: protected records whose picture carries another kind elsewhere: they
            are kept, and listed among the conflicts.
    """

    manifest: Path
    duplicates: Path
    contamination: Path
    conflicts_table: Path
    level: str
    records: int
    dropped: Mapping[str, int]
    conflicts: int
    groups: int
    candidates: int
    apart: int
    by_sources: Mapping[tuple[str, str], int]
    by_kinds: Mapping[str, int]
    applied: ApplyResult | None
    spared: int = 0
    protected_conflicts: int = 0


def dedup(
    manifest: Path | str | None = None,
    options: DedupOptions = DedupOptions(),
    *,
    progress: Progress = silent,
) -> DedupResult:
    """Find files that hold the same picture; group them and exclude all but one of each.

    Records are taken in order of preference (those under a folder to ``protect``, then those of the
    sources to ``prefer``, then more pixels, more bytes, sha256 and path). Each is a keeper unless
    it is confirmed to hold the picture of an earlier keeper. Every dropped record is thus compared
    with its keeper itself, never through a chain of others. No file is touched and no row removed:
    the columns ``group`` and ``excluded`` change, and running it again gives the same result,
    whatever the order of the rows.

    What lies under a folder to ``protect`` is never excluded: copies among those files share a
    group, and where a copy elsewhere carries another kind, that one alone is set aside.

    Args:
        manifest: a manifest by ``index``.
        options: what counts as a duplicate, where the result goes, and what to do with the files
            that are kept. The level ``edited`` decodes every file.
        progress: called with thumbnails made and to make.

    Raises:
        UsageError: the manifest is not there, ``out`` exists, or no record is of a source to
            prefer, or under a folder to protect.
        ManifestError: a hash is missing or malformed, or a file that must be compared is gone.
        FacecheckError: a file of the tree exists, or another process writes the manifest.
    """
    manifest = find_manifest(manifest)
    target = options.out or manifest
    with only_one(target, "dedup"):
        return _dedup(manifest, target, options, progress)


def _dedup(manifest: Path, target: Path, options: DedupOptions, progress: Progress) -> DedupResult:
    arguments = _arguments(options)
    if resumed := _resumed(target, arguments, options, progress):
        return resumed
    table = read_manifest(manifest)
    made_by = made_from(manifest, target, "dedup", arguments)
    if target != manifest and not (options.apply and is_made_by(target, made_by)):
        refuse_to_overwrite(target, overwrite=options.overwrite)
    for column in ("sha256", "pixel_hash", "phash"):
        table.require_filled(column, manifest)
    records = list(table.records())
    check_preferred(records, options.prefer)
    protected = protected_records(records, options.protect)
    # What the user excluded for reasons of their own must not stand for anything else.
    ours = [i for i, record in enumerate(records) if record.excluded in {"", DUPLICATE, CONFLICT}]
    try:
        found = find_keepers(
            *(records, ours),
            level=options.level,
            radius=options.radius,
            workers=options.workers or cpu_count(),
            prefer=options.prefer,
            protected=protected.intersection(ours),
            progress=progress,
        )
    except ImageError as error:
        raise ManifestError(
            f"{path_text(manifest)}: {error}: run `facecheck index` again"
        ) from None
    keepers = found.matches
    copies = keepers | found.spared
    disputed = _disputed(records, copies)
    duplicates = [
        _duplicate(
            *(records[index], records[match.keeper], match),
            conflict=match.keeper in disputed,
            kept=index in found.spared,
        )
        for index, match in sorted(copies.items())
    ]
    apart = [
        _duplicate(records[index], records[match.keeper], match, conflict=False, kept=True)
        for index, match in sorted(found.apart.items())
    ]
    by_sources = Counter(
        (min(pair), max(pair))
        for pair in ((each.dropped_source, each.keeper_source) for each in duplicates)
    )
    conflicts = _conflicts(records, copies, disputed)
    duplicates_path, contamination_path, conflicts_path = _tables(target)
    _write_duplicates([*duplicates, *apart], duplicates_path, table.root)
    write_table(_contamination(by_sources), contamination_path)
    write_table(conflicts, conflicts_path)
    result = table.with_columns(
        group=_groups(records, found.apart | copies),
        excluded=_exclusions(records, keepers, disputed, protected),
    )
    write_manifest(result, target, made_by)
    left = result.frame.filter(pl.col("excluded") == "")
    kinds = conflicts.group_by("picture").agg(pl.col("kind").unique().sort().str.join(" / "))
    found_all = DedupResult(
        manifest=target,
        duplicates=duplicates_path,
        contamination=contamination_path,
        conflicts_table=conflicts_path,
        level=options.level,
        records=len(records),
        dropped=Counter(pair.why for pair in duplicates if not pair.conflict and not pair.kept),
        conflicts=result.frame.filter(pl.col("excluded") == CONFLICT).height,
        groups=left["group"].n_unique(),
        candidates=found.candidates,
        apart=len(apart),
        by_sources=dict(sorted(by_sources.items())),
        by_kinds=Counter(conflicts.select("picture").join(kinds, on="picture")["kind"].to_list()),
        applied=None,
        spared=len(found.spared),
        protected_conflicts=len(_in_conflict(copies, disputed) & protected),
    )
    return _applied(found_all, arguments, options, progress)


def _arguments(options: DedupOptions) -> dict[str, Any]:
    """Return what the manifest's ``.meta.json`` says of the options, as JSON values."""
    asked: dict[str, Any] = {"level": options.level, "radius": options.radius}
    if options.prefer:
        asked["prefer"] = list(options.prefer)
    if options.protect:
        asked["protect"] = [path_text(folder.absolute()) for folder in options.protect]
    if options.apply and options.to:
        asked |= {"apply": options.apply, "to": path_text(options.to.absolute())}
    return asked


def _tables(target: Path) -> list[Path]:
    """Return the paths of the tables of duplicates, contamination and conflicts."""
    names = (f"duplicates{target.suffix}", "contamination.csv", "conflicts.csv")
    return [target.with_name(f"{target.stem}.{name}") for name in names]


def _applied(
    result: DedupResult, arguments: Mapping[str, Any], options: DedupOptions, progress: Progress
) -> DedupResult:
    """Place the files as the options say; the record of a move keeps the result for a resume."""
    if not options.apply or not options.to:
        return result
    counts = {name: getattr(result, name) for name in _COUNTS}
    pairs = [[*sources, count] for sources, count in result.by_sources.items()]
    notes = {"arguments": arguments, "result": {**counts, "by_sources": pairs}}
    applied = lay_out(
        *(result.manifest, options.to),
        how=options.apply,
        stay=options.protect,
        notes=notes,
        progress=progress,
    )
    return replace(result, applied=applied)


def _resumed(
    target: Path, arguments: Mapping[str, Any], options: DedupOptions, progress: Progress
) -> DedupResult | None:
    """Finish moving the files that an interrupted run of the same command has begun to move.

    Returns:
        None where there is nothing of the kind. A run that was killed after all was done counts,
        too: its files have new names, by which other ones might be kept.

    Raises:
        FacecheckError: another command was interrupted, and the manifest no longer finds its files.
    """
    if not target.is_file():
        return None
    begun = unfinished_moves(target)
    if begun is not None and begun.get("arguments") != arguments:
        raise FacecheckError(
            f"{path_text(target)}: moving its files to {printable(str(begun.get('to')))} was "
            "interrupted: run that `facecheck dedup --apply move` again first, to finish it"
        )
    notes = begun or finished_moves(target)
    if notes is None or notes.get("arguments") != arguments or not options.to:
        return None
    pairs = {(one, two): count for one, two, count in notes["result"]["by_sources"]}
    duplicates, contamination, conflicts = _tables(target)
    result = DedupResult(
        manifest=target,
        duplicates=duplicates,
        contamination=contamination,
        conflicts_table=conflicts,
        **{**notes["result"], "by_sources": pairs},
        applied=None,
    )
    if begun is not None:
        return _applied(result, arguments, options, progress)
    return replace(result, applied=already_applied(target, options.to, options.protect))


def _write_duplicates(duplicates: list[Duplicate], path: Path, root: Path | None) -> None:
    """Write the table, its paths as those of the manifest are written."""
    types = {"str": pl.String, "int": pl.Int64, "float": pl.Float64, "bool": pl.Boolean}
    schema = {field.name: types[str(field.type)] for field in fields(Duplicate)}
    rows = [astuple(pair) for pair in sorted(duplicates, key=lambda pair: pair.dropped)]
    table = pl.DataFrame(rows, schema=schema, orient="row")
    short = {name: portable_paths(table[name], path, root) for name in ("dropped", "keeper")}
    columns = [pl.Series(name, paths, pl.String) for name, paths in short.items()]
    write_table(table.with_columns(columns), path)


def _contamination(by_sources: Mapping[tuple[str, str], int]) -> pl.DataFrame:
    rows = [(*sources, pairs) for sources, pairs in sorted(by_sources.items())]
    schema = {"source": pl.String, "other_source": pl.String, "pairs": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _conflicts(
    records: list[Record], keepers: Mapping[int, Match], disputed: set[int]
) -> pl.DataFrame:
    """Return every file of a disputed picture, which is named by its keeper's path."""
    files = [(keeper, keeper) for keeper in disputed]
    files += [(match.keeper, i) for i, match in keepers.items() if match.keeper in disputed]
    rows = sorted(
        (
            path_text(Path(records[keeper].path)),
            path_text(Path(records[index].path)),
            records[index].kind,
            records[index].source,
        )
        for keeper, index in files
    )
    schema = dict.fromkeys(("picture", "path", "kind", "source"), pl.String)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _disputed(records: list[Record], keepers: Mapping[int, Match]) -> set[int]:
    """Return the keepers whose picture is held by files of different kinds."""
    return {
        match.keeper
        for index, match in keepers.items()
        if records[index].kind != records[match.keeper].kind
    }


def _in_conflict(keepers: Mapping[int, Match], disputed: set[int]) -> set[int]:
    """Return every index whose picture is disputed."""
    return disputed | {i for i, match in keepers.items() if match.keeper in disputed}


def _duplicate(
    dropped: Record, keeper: Record, match: Match, *, conflict: bool, kept: bool
) -> Duplicate:
    alike = match.alike
    return Duplicate(
        dropped=path_text(Path(dropped.path)),
        keeper=path_text(Path(keeper.path)),
        why=match.why,
        distance=match.distance,
        correlation=round(alike.correlation, 4) if alike else 1.0,
        detail=round(alike.detail, 4) if alike else 1.0,
        difference=round(alike.difference, 2) if alike else 0.0,
        view=alike.view.name if alike else "whole",
        kept=kept,
        conflict=conflict,
        dropped_kind=dropped.kind,
        keeper_kind=keeper.kind,
        dropped_source=dropped.source,
        keeper_source=keeper.source,
    )


def _exclusions(
    records: list[Record],
    keepers: Mapping[int, Match],
    disputed: set[int],
    protected: Set[int],
) -> list[str]:
    """Return the ``excluded`` column: our reasons made again, the user's own as they were."""
    values = []
    for index, record in enumerate(records):
        keeper = keepers[index].keeper if index in keepers else index
        if keeper in disputed and index not in protected:
            values.append(CONFLICT)
        elif index in keepers:
            values.append(DUPLICATE)
        else:
            values.append("" if record.excluded in {DUPLICATE, CONFLICT} else record.excluded)
    return values


def _groups(records: list[Record], keepers: Mapping[int, Match]) -> list[str]:
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
    component = connected(np.array(edges, np.int64).reshape(-1, 2), len(names))
    best: dict[int, str] = {}
    for name in sorted(names, key=lambda name: (name in made_here, name)):
        best.setdefault(int(component[number[name]]), name)
    return [best[int(component[number[name]])] for name in own]
