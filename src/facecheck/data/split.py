"""split: assign groups to train, val and test, or to folds, stratified by kind and source."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from facecheck.core.errors import FacecheckError, UsageError, did_you_mean
from facecheck.core.files import path_text, refuse_to_overwrite
from facecheck.core.lock import only_one
from facecheck.core.manifest import SPLITS, made_from, read_manifest, write_manifest
from facecheck.core.text import some_of
from facecheck.core.workspace import find_manifest
from facecheck.data.duplicates.groups import KEYS, components, duplicates_of
from facecheck.data.leaks import NOT_CHECKED, Proof, prove
from facecheck.data.options import SplitOptions

#: What the parts of a ratio are called, by how many there are. More than three are folds: the
#: steps that follow know train, val and test alone.
_NAMES = {2: ("train", "test"), 3: SPLITS}
#: The column of the parts that have no name.
FOLD = "fold"


@dataclass(frozen=True)
class SplitResult:
    """What ``split`` did.

    Attributes:
        manifest: where the manifest with its new column was written.
        column: the column that was filled, ``split`` or ``fold``.
        counts: records by part, in the order of the ratio.
        by_source: records by part for each (kind, source).
        left_out: records left without a part, by reason: why they are excluded, for folds
            ``in test``, and with ``keep`` ``related to test`` and the like.
        replaced: records that had another part before, which this one has taken the place of.
        kept: records whose part was there before and was kept (``--extend``, ``--keep``).
        kept_excluded: records of the parts to keep that are excluded, and so in no part.
        groups: sets of records that had to stay together, single records counted.
        near: the duplicates table that the proof rests on, or ``not checked``.
        proof: that no group and no confirmed duplicate crosses, checked after the fact.
    """

    manifest: Path
    column: str
    counts: Mapping[str, int]
    by_source: Mapping[tuple[str, str], Mapping[str, int]]
    left_out: Mapping[str, int]
    replaced: int
    kept: int
    kept_excluded: int
    groups: int
    near: str
    proof: Proof


def split(
    manifest: Path | str | None = None,
    options: SplitOptions = SplitOptions(),
) -> SplitResult:
    """Assign every record that is not excluded to train, val or test, or to a fold.

    Records that belong together share a part: those of one group, of equal bytes or pixels, of a
    confirmed pair in the duplicates table, and of one value in ``group_column``. Within that, each
    stratum follows the ratio as nearly as its groups allow. Sets of records are placed largest
    first, each where its strata lack most (the greedy rule of Sechidis et al. 2011, "On the
    stratification of multi-label data"). The result depends on the records and the seed, not on
    the order of the file.

    Two parts are train and test, three are train, val and test. More than three, and ``kfold``,
    fill the column ``fold`` with 0, 1, 2… and leave ``split`` as it is; records already in test
    then stay out of the folds, and so does whatever belongs with them. With ``extend``, new records
    join their groups and fill up what the ratio lacks. With ``keep``, the records of a part stay
    exactly those that are in it: the others that belong with one of them, or with an excluded one
    that was in the part, get no part, and the rest is divided among the other parts.

    Args:
        manifest: a manifest by ``index`` or ``dedup``.
        options: how; by default in place, 8:1:1.

    Raises:
        UsageError: a column or source is not there, the manifest is not there, or ``out`` exists.
        ManifestError: the manifest or its duplicates table cannot be read.
        FacecheckError: no record takes part or is in the part to keep, records that belong
            together are already in different parts (``extend``, ``keep``), or another process
            writes the manifest.
    """
    manifest = find_manifest(manifest)
    target = options.out or manifest
    with only_one(target, "split"):
        return _split(manifest, target, options)


def _split(manifest: Path, target: Path, options: SplitOptions) -> SplitResult:
    shares = options.shares
    names = _NAMES.get(len(shares)) if options.kfold is None else None
    column = "split" if names else FOLD
    parts = names or tuple(map(str, range(len(shares))))
    table = read_manifest(manifest)
    if target != manifest:
        refuse_to_overwrite(target, overwrite=options.overwrite)
    frame = table.frame
    keys = _check_columns(frame, options.strata, options.group_column)
    _check_sources(frame, options.hold_out_source)
    frame = _before(frame, column, options)
    _check_keep(frame, options.keep, manifest)
    duplicates, pairs = duplicates_of(manifest)
    in_kept = pl.col(column).is_in(options.keep)
    # A million records of all columns would take a quarter of a gigabyte once more.
    needed = dict.fromkeys(
        ("path", "source", "excluded", "split", column, *KEYS, *keys, *options.strata)
    )
    taking_part = frame.select(*needed).filter((pl.col("excluded") == "") | in_kept)
    taking_part = taking_part.with_columns(component=components(taking_part, pairs, keys))
    taking_part, related = _without_related(taking_part, column, options.keep)
    if column == FOLD:
        in_test = (pl.col("split") == "test").any().over("component")
        taking_part = taking_part.filter(~in_test)
    if taking_part.is_empty():
        raise FacecheckError(f"{path_text(manifest)}: no record takes part: all are excluded")
    stands = pl.when(pl.col(column) != "").then(pl.col(column))
    held = pl.when(pl.col("source").is_in(options.hold_out_source)).then(pl.lit("test"))
    taking_part = taking_part.with_columns(fixed=pl.coalesce(stands, held))
    parts = tuple(name for name in SPLITS if name in {*parts, *options.keep}) if names else parts
    _check_fixed(taking_part, parts, options, manifest)
    wanted = _wanted(dict(zip(names or parts, shares, strict=True)), parts, options.keep)
    assigned = taking_part.select(
        "path", part=assign(taking_part, options.strata, wanted, options.seed)
    )
    values = frame.join(assigned, on="path", how="left", maintain_order="left")["part"]
    result = table.with_columns(**{column: values.fill_null("")})
    arguments = {
        **({"kfold": options.kfold} if options.kfold else {"ratio": options.ratio}),
        "by": list(options.strata),
        "group_column": options.group_column,
        "hold_out": list(options.hold_out_source),
        "extend": options.extend,
        **({"keep": list(options.keep)} if options.keep else {}),
        "seed": options.seed,
    }
    write_manifest(result, target, made_from(manifest, target, "split", arguments))
    return SplitResult(
        manifest=target,
        column=column,
        counts={name: assigned.filter(pl.col("part") == name).height for name in parts},
        by_source=_shares_by_source(result.frame, column, parts),
        left_out=_left_out(frame, taking_part, related),
        replaced=_replaced(table.frame, column, values) if target == manifest else 0,
        kept=taking_part.filter(pl.col(column) != "").height,
        kept_excluded=frame.filter(in_kept & (pl.col("excluded") != "")).height,
        groups=taking_part["component"].n_unique(),
        near=path_text(duplicates) if duplicates else NOT_CHECKED,
        proof=prove(result.frame, pairs, column=column, keys=keys),
    )


def _left_out(
    frame: pl.DataFrame, taking_part: pl.DataFrame, related: dict[str, int]
) -> dict[str, int]:
    """Return how many records take no part, by reason, the most frequent first."""
    excluded = frame.filter(pl.col("excluded") != "")["excluded"]
    counts = Counter(excluded)
    in_test = frame.height - excluded.len() - taking_part.height - sum(related.values())
    return dict(counts.most_common()) | related | ({"in test": in_test} if in_test else {})


def _without_related(
    frame: pl.DataFrame, column: str, keep: Sequence[str]
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the records that take part, and how many do not since they belong with a kept one.

    Such a record must not go to another part, and would change the one that is to be kept.

    Args:
        frame: the records that are not excluded, and excluded ones of the parts to keep.
        column: where the parts are.
        keep: the parts to keep.
    """
    if not keep:
        return frame, {}
    kept = pl.when(pl.col(column).is_in(keep)).then(pl.col(column))
    frame = frame.with_columns(_near=kept.min().over("component"), _kept=kept)
    used = frame.filter(pl.col("excluded") == "")
    is_related = pl.col("_near").is_not_null() & pl.col("_kept").is_null()
    related = used.filter(is_related)["_near"].value_counts(sort=True).rows()
    counts = {f"related to {part}": count for part, count in related}
    return used.filter(~is_related).drop("_near", "_kept"), counts


def _wanted(
    shares: Mapping[str, float], parts: Sequence[str], keep: Sequence[str]
) -> dict[str, float]:
    """Return the share of each part of what is to be assigned: kept ones get nothing more.

    Raises:
        UsageError: nothing is left to fill.
    """
    free = {name: 0.0 if name in keep else shares.get(name, 0.0) for name in parts}
    total = sum(free.values())
    if not total:
        raise UsageError("--keep names every part that the ratio fills: leave one out")
    return {name: share / total for name, share in free.items()}


def _check_keep(frame: pl.DataFrame, keep: Sequence[str], manifest: Path) -> None:
    """Raise :class:`FacecheckError` if a part to keep holds nothing."""
    for part in keep:
        if not (frame["split"] == part).any():
            raise FacecheckError(
                f"{path_text(manifest)}: --keep {part}: no record is in it: leave --keep out, or "
                "name a manifest with this part"
            )


def _replaced(before: pl.DataFrame, column: str, now: pl.Series) -> int:
    """Return how many records had a part and have another one, or none, now."""
    if column not in before.columns:
        return 0
    old = before[column].cast(pl.String).fill_null("")
    return int(((old != "") & (old != now.fill_null(""))).sum())


def _check_columns(
    frame: pl.DataFrame, by: Sequence[str], group_column: str | None
) -> tuple[str, ...]:
    """Return the columns that hold records together; raise if one that was asked for is missing."""
    for flag, name in [*(("--by", name) for name in by), ("--group-column", group_column)]:
        if name is not None and name not in frame.columns:
            raise UsageError(
                f"{flag} names column {name!r}: the manifest has {some_of(frame.columns)}"
                + did_you_mean(name, frame.columns)
            )
    return (*KEYS, group_column) if group_column and group_column not in KEYS else KEYS


def _check_sources(frame: pl.DataFrame, sources: Sequence[str]) -> None:
    known = sorted(set(frame["source"]))
    for source in sources:
        if source not in known:
            raise UsageError(
                f"--hold-out-source names {source!r}: the sources are {', '.join(known)}"
                + did_you_mean(source, known)
            )


def _before(frame: pl.DataFrame, column: str, options: SplitOptions) -> pl.DataFrame:
    """Return the records with the parts that stand: those of before, those to keep, or none."""
    if column not in frame.columns or not (options.extend or options.keep):
        return frame.with_columns(pl.lit("").alias(column))
    before = pl.col(column).cast(pl.String).fill_null("")
    stands = pl.lit(True) if options.extend else before.is_in(options.keep)
    return frame.with_columns(pl.when(stands).then(before).otherwise(pl.lit("")).alias(column))


def _check_fixed(
    frame: pl.DataFrame, parts: Sequence[str], options: SplitOptions, manifest: Path
) -> None:
    """Raise if a record has an unknown or forbidden part, or a group has two."""
    hold_out = options.hold_out_source
    strange = frame.filter(pl.col("fixed").is_not_null() & ~pl.col("fixed").is_in(list(parts)))
    if strange.height:
        raise UsageError(
            f"{path_text(manifest)}: {strange.height:,} records are already in "
            f"{strange['fixed'][0]!r}, which the ratio has no part for: give it as many parts as "
            "before"
        )
    astray = frame.filter(pl.col("source").is_in(list(hold_out)) & (pl.col("fixed") != "test"))
    if astray.height:
        raise FacecheckError(
            f"{path_text(manifest)}: {astray.height:,} records of {astray['source'][0]!r} are "
            f"already in {astray['fixed'][0]}, and --extend keeps them there: hold the source out "
            "without --extend"
        )
    fixed = frame.filter(pl.col("fixed").is_not_null())
    torn = fixed.filter(pl.col("fixed").n_unique().over("component") > 1).sort("path")
    if torn.height:
        one = torn.row(0, named=True)
        two = torn.filter(
            (pl.col("component") == one["component"]) & (pl.col("fixed") != one["fixed"])
        ).row(0, named=True)
        raise FacecheckError(
            f"{path_text(manifest)}: {torn['component'].n_unique():,} groups are already torn: "
            f"{path_text(Path(one['path']))} is in {one['fixed']}, "
            f"{path_text(Path(two['path']))} belongs with it and is in {two['fixed']}: exclude "
            f"one, or split from scratch, without {'--keep' if options.keep else '--extend'}"
        )


def assign(
    frame: pl.DataFrame, by: Sequence[str], shares: Mapping[str, float], seed: int
) -> pl.Series:
    """Return the part of every record, groups whole and strata in proportion.

    Args:
        frame: n records with the columns of ``by``, ``component`` (equal for records that stay
            together) and, where a group's part is fixed, that part in ``fixed``.
        by: columns whose every combination of values is a stratum.
        shares: the share of each part, by name, summing to 1.
        seed: decides which of several like groups goes where.

    Returns:
        n names of parts, in the order of the records, whatever that order is.
    """
    names, wanted_shares = list(shares), np.array(list(shares.values()))
    fixed = pl.col("fixed").cast(pl.String) if "fixed" in frame.columns else pl.lit(None, pl.String)
    records = frame.select(
        "component",
        # The hash rather than the path, so that the split survives moving the files.
        key=pl.when(pl.col("group") != "")
        .then(pl.col("group"))
        .when(pl.col("pixel_hash") != "")
        .then("pixels/" + pl.col("pixel_hash").str.slice(0, 16))
        .when(pl.col("sha256") != "")
        .then("pixels/" + pl.col("sha256").str.slice(0, 16))
        .otherwise(pl.col("path")),
        stratum=pl.struct(pl.col(name).cast(pl.String).fill_null("") for name in by),
        part=fixed.replace_strict(
            dict(zip(names, range(len(names)), strict=True)), default=None, return_dtype=pl.Int64
        ),
    ).with_columns(pl.col("stratum").rank("dense").cast(pl.Int64) - 1)
    totals = np.bincount(records["stratum"].to_numpy())
    wanted = totals[:, None] * wanted_shares
    groups = _groups(records)
    for signature, part, count in (
        groups.drop_nulls("part").group_by("signature", "part").len().iter_rows()
    ):
        strata, counts = _signature(signature)
        wanted[strata, part] -= counts * count
    free = groups.filter(pl.col("part").is_null())
    free = free.with_columns(digest=_digests(seed, free["key"]), smaller=-pl.col("size").cast(int))
    # Sorting the rows themselves would take several times the memory.
    free = free[free.select(pl.arg_sort_by("smaller", "signature", "digest", "key")).to_series()]
    placed = np.empty(free.height, dtype=np.int64)
    start = 0
    for signature, count in free.group_by("signature", maintain_order=True).len().iter_rows():
        strata, counts = _signature(signature)
        placed[start : start + count] = _place(wanted, strata, counts, wanted_shares, count)
        start += count
    fixed_groups = groups.drop_nulls("part").select("component", "part")
    placed_groups = free.select("component", part=pl.Series(placed, dtype=pl.Int64))
    parts = pl.concat([fixed_groups, placed_groups])
    found = records.join(
        parts.rename({"part": "placed"}), on="component", how="left", maintain_order="left"
    )["placed"]
    return found.replace_strict(dict(enumerate(names)), return_dtype=pl.String)


def _groups(records: pl.DataFrame) -> pl.DataFrame:
    """Return the sets of records, each with its size, its least key, its part and its signature.

    Groups of one signature, the sorted strata of their records, are alike to the ratio, so they are
    placed in one go.
    """
    columns = {"size": pl.len(), "key": pl.col("key").min(), "part": pl.col("part").max()}
    is_alone = pl.col("component").is_unique()
    # Nearly all are alone; to group those as well would take several times the memory.
    alone = records.filter(is_alone).select(
        *("component", pl.lit(1, pl.UInt32).alias("size"), "key", "part"),
        pl.col("stratum").cast(pl.String).alias("signature"),
    )
    together = records.filter(~is_alone).sort("stratum").group_by("component", maintain_order=True)
    signature = pl.col("stratum").cast(pl.String).str.join(",").alias("signature")
    return pl.concat([alone, together.agg(**columns, signature=signature)])


def _digests(seed: int, keys: pl.Series) -> npt.NDArray[np.uint64]:
    """Return the first 64 bits of the sha256 of the seed and each key."""
    digests = (hashlib.sha256(f"{seed}/{key}".encode()).digest() for key in keys)
    return np.fromiter((int.from_bytes(each[:8]) for each in digests), np.uint64, len(keys))


def _signature(text: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the distinct strata in a signature, and how many records each has there."""
    strata, counts = np.unique(np.array(text.split(","), dtype=np.int64), return_counts=True)
    return strata, counts


def _place(
    wanted: npt.NDArray[np.float64],
    strata: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    shares: npt.NDArray[np.float64],
    count: int,
) -> npt.NDArray[np.int64]:
    """Return the parts of ``count`` like groups, and take them off what is wanted.

    One after the other would go where its strata together still lack most, each in proportion to
    the part's share. Every group placed lowers a part's lack by one step, so the lacks met on the
    way are known beforehand, and the ``count`` largest of them are where the groups go.

    Args:
        wanted: records still wanted, shape (strata, parts); changed.
        strata: the strata of each of the groups, shape (k,).
        counts: its records in each of these, shape (k,).
        shares: of each part, shape (parts,).
        count: how many groups.
    """
    open_parts = np.flatnonzero(shares)
    lack = counts @ wanted[np.ix_(strata, open_parts)] / shares[open_parts]
    step = (counts**2).sum() / shares[open_parts]
    if count == 1:
        parts = open_parts[[int(lack.argmax())]]
    else:
        lacks = lack[:, None] - np.arange(count) * step[:, None]
        largest = np.argsort(-lacks, axis=None, kind="stable")[:count]
        parts = open_parts[largest // count]
    wanted[strata] -= counts[:, None] * np.bincount(parts, minlength=len(shares))
    return parts


def _shares_by_source(
    frame: pl.DataFrame, column: str, parts: Sequence[str]
) -> dict[tuple[str, str], dict[str, int]]:
    table: dict[tuple[str, str], dict[str, int]] = {}
    parted = frame.select("kind", "source", column).filter(pl.col(column) != "")
    counted = parted.group_by("kind", "source", column).len()
    for kind, source, name, count in counted.sort("kind", "source").iter_rows():
        table.setdefault((kind, source), dict.fromkeys(parts, 0))[name] = count
    return table
