"""dedup: exact and near duplicates to groups, exclusions and a duplicates table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from facecheck.core.errors import FacecheckError, ImageError, ManifestError
from facecheck.core.files import path_text, refuse_to_overwrite
from facecheck.core.lock import only_one
from facecheck.core.manifest import (
    Manifest,
    is_made_by,
    made_from,
    read_manifest,
    write_manifest,
)
from facecheck.core.parallel import Progress, cpu_count, silent
from facecheck.core.table_paths import portable_paths
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
from facecheck.data.duplicates.keepers import Found, find_keepers, keeper_of
from facecheck.data.duplicates.preferences import check_preferred, protected_records
from facecheck.data.options import DedupOptions

#: Values that dedup itself writes to the ``excluded`` column, and so takes back when run again.
DUPLICATE = "duplicate"
CONFLICT = "conflict"

_Flags = npt.NDArray[np.bool_]

#: The counts of a result that the record of a move keeps.
_COUNTS = (
    *("level", "records", "dropped", "conflicts", "groups", "candidates", "apart", "by_kinds"),
    *("spared", "protected_conflicts"),
)


@dataclass(frozen=True)
class DedupResult:
    """What ``dedup`` did.

    Attributes:
        manifest: where the manifest with groups was written.
        duplicates: where the duplicates table was written; see :func:`_duplicates`.
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
    check_preferred(table.frame, options.prefer)
    protected = protected_records(table.frame, options.protect)
    try:
        found = find_keepers(
            table.frame,
            level=options.level,
            radius=options.radius,
            workers=options.workers or cpu_count(),
            # What the user excluded for reasons of their own must not stand for anything else.
            among=table.frame["excluded"].is_in(["", DUPLICATE, CONFLICT]),
            protected=protected,
            prefer=options.prefer,
            progress=progress,
        )
    except ImageError as error:
        raise ManifestError(
            f"{path_text(manifest)}: {error}: run `facecheck index` again"
        ) from None
    result = _written(table, found, protected, target, options.level, made_by)
    return _applied(result, arguments, options, progress)


def _written(
    table: Manifest,
    found: Found,
    protected: pl.Series,
    target: Path,
    level: str,
    made_by: Mapping[str, Any],
) -> DedupResult:
    """Write the manifest and the tables next to it; return where, and what they hold."""
    frame, copies = table.frame, found.copies
    disputed = _disputed(frame, copies)
    in_conflict = pl.Series(disputed | disputed[keeper_of(copies, frame.height)])
    duplicates = _duplicates(frame, found, disputed)
    by_sources = _by_sources(duplicates.head(copies.height))
    conflicts = _conflicts(frame, copies, disputed)
    duplicates_path, contamination_path, conflicts_path = _tables(target)
    short = [portable_paths(pl.col(name), target, table.root) for name in ("dropped", "keeper")]
    ordered = duplicates.sort("dropped", maintain_order=True)
    write_table(ordered.with_columns(short), duplicates_path)
    write_table(_contamination(by_sources), contamination_path)
    write_table(conflicts, conflicts_path)
    result = table.with_columns(
        group=_groups(frame, pl.concat([found.apart, copies])),
        excluded=_exclusions(frame, copies, in_conflict & ~protected),
    )
    write_manifest(result, target, made_by)
    kinds = conflicts.group_by("picture").agg(pl.col("kind").unique().sort().str.join(" / "))
    by_kinds = conflicts.select("picture").join(kinds, on="picture", maintain_order="left")
    return DedupResult(
        manifest=target,
        duplicates=duplicates_path,
        contamination=contamination_path,
        conflicts_table=conflicts_path,
        level=level,
        records=frame.height,
        dropped=_count(duplicates.filter(~pl.col("conflict") & ~pl.col("kept"))["why"]),
        conflicts=result.frame.filter(pl.col("excluded") == CONFLICT).height,
        groups=result.frame.filter(pl.col("excluded") == "")["group"].n_unique(),
        candidates=found.candidates,
        apart=found.apart.height,
        by_sources=by_sources,
        by_kinds=_count(by_kinds["kind"]),
        applied=None,
        spared=int(copies["kept"].sum()),
        protected_conflicts=int((in_conflict & protected).sum()),
    )


def _count(values: pl.Series) -> Counter[str]:
    """Return how often each value is there, in the order in which they come."""
    counts = values.to_frame("value").group_by("value", maintain_order=True).len()
    return Counter(dict(counts.iter_rows()))


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


def _contamination(by_sources: Mapping[tuple[str, str], int]) -> pl.DataFrame:
    rows = [(*sources, pairs) for sources, pairs in sorted(by_sources.items())]
    schema = {"source": pl.String, "other_source": pl.String, "pairs": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _by_sources(duplicates: pl.DataFrame) -> dict[tuple[str, str], int]:
    """Return the confirmed pairs by the two sources, names in order."""
    names = ("dropped_source", "keeper_source")
    ends = duplicates.select(one=pl.min_horizontal(names), two=pl.max_horizontal(names))
    counts = ends.group_by("one", "two").len().sort("one", "two")
    return {(one, two): count for one, two, count in counts.iter_rows()}


def _conflicts(frame: pl.DataFrame, copies: pl.DataFrame, disputed: _Flags) -> pl.DataFrame:
    """Return every file of a disputed picture, which is named by its keeper's path."""
    keepers = np.flatnonzero(disputed)
    dropped = copies.filter(pl.Series(disputed[copies["keeper"].to_numpy()]))
    files = pl.concat([pl.Series(keepers, dtype=pl.Int64), dropped["dropped"]])
    pictures = pl.concat([pl.Series(keepers, dtype=pl.Int64), dropped["keeper"]])
    listed = frame[files].select(frame["path"][pictures].alias("picture"), "path", "kind", "source")
    return listed.sort(pl.all())


def _disputed(frame: pl.DataFrame, copies: pl.DataFrame) -> _Flags:
    """Return which records are keepers whose picture is held by files of different kinds."""
    disputed = np.zeros(frame.height, np.bool_)
    differ = frame["kind"][copies["dropped"]] != frame["kind"][copies["keeper"]]
    disputed[copies["keeper"].filter(differ).to_numpy()] = True
    return disputed


def _duplicates(frame: pl.DataFrame, found: Found, disputed: _Flags) -> pl.DataFrame:
    """Return one row for each record that holds the same picture as another: copies, then apart.

    Its columns are those of :data:`facecheck.data.duplicates.keepers.MATCH`, with paths for
    indices; ``conflict``, whether files of this picture carry different kinds, so that the keeper
    is excluded too until someone decides, unless it is protected; and kind and source of both.
    """
    in_conflict = pl.Series(disputed[found.copies["keeper"].to_numpy()])
    parts = (
        found.copies.with_columns(conflict=in_conflict),
        found.apart.with_columns(conflict=False),
    )
    pairs = pl.concat(parts)
    one, two = frame[pairs["dropped"]], frame[pairs["keeper"]]
    return pairs.with_columns(
        one["path"].alias("dropped"),
        two["path"].alias("keeper"),
        dropped_kind=one["kind"],
        keeper_kind=two["kind"],
        dropped_source=one["source"],
        keeper_source=two["source"],
    )


def _exclusions(frame: pl.DataFrame, copies: pl.DataFrame, set_aside: pl.Series) -> pl.Series:
    """Return the ``excluded`` column: our reasons made again, the user's own as they were."""
    dropped = np.zeros(frame.height, np.bool_)
    dropped[copies.filter(~pl.col("kept"))["dropped"].to_numpy()] = True
    return frame.select(
        pl.when(set_aside)
        .then(pl.lit(CONFLICT))
        .when(pl.Series(dropped))
        .then(pl.lit(DUPLICATE))
        .when(pl.col("excluded").is_in([DUPLICATE, CONFLICT]))
        .then(pl.lit(""))
        .otherwise("excluded")
    ).to_series()


def _groups(frame: pl.DataFrame, matches: pl.DataFrame) -> pl.Series:
    """Return the ``group`` column: given groups kept whole, duplicates joined to their keeper's.

    A given group (an identity, a pair) keeps its name; where duplicates join several, the first
    name in order stands for all. A record without one is named after its keeper's pixels.
    """
    own = frame.select(group="pixels/" + pl.col("pixel_hash").str.slice(0, 16))["group"]
    names = pl.concat([own, frame["group"]])
    number = names.rank("dense").to_numpy().astype(np.int64) - 1  # in the order of the names
    count = int(number.max(initial=-1)) + 1
    mine, given = number[: own.len()], number[own.len() :]
    is_given = (frame["group"] != "").to_numpy()
    keepers = mine[keeper_of(matches, own.len())]
    edges = np.stack([np.tile(mine, 2), np.concatenate([keepers, np.where(is_given, given, mine)])])
    component = connected(edges[:, edges[0] != edges[1]].T, count)
    made_here = np.zeros(count, np.bool_)
    made_here[mine] = True
    # Where several names are of one component, the last one to be written stands.
    worst_first = np.argsort(made_here, kind="stable")[::-1]
    best, where = np.empty(count, np.int64), np.empty(count, np.int64)
    best[component[worst_first]] = worst_first
    where[number] = np.arange(len(number))
    return names[where[best[component[mine]]]]
