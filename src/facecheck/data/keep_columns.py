"""keep_columns: what a manifest says of a record stays when its folders are indexed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from facecheck.core.manifest import Manifest
from facecheck.core.record import COLUMNS
from facecheck.data.duplicates.groups import components

#: What ``dedup``, ``split`` and the user decide, as opposed to what the files hold.
_DECIDED = ("group", "excluded", "split")


@dataclass(frozen=True)
class Kept:
    """What was taken over from the manifest of before.

    Attributes:
        columns: records that kept their value, by column: split, group, excluded, fold, and any
            column of the user's own.
        lost: records of before with such values whose files are gone or have changed.
        torn: groups that are in more than one split now, since they were joined.
    """

    columns: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0
    torn: int = 0


def keep_columns(before: Manifest, now: Manifest) -> tuple[Manifest, Kept]:
    """Return ``now`` with what ``before`` says of the records that are unchanged.

    A record is unchanged if a file of the same path has the same sha256. A value that ``now`` has
    stands, but for groups: where both have one, the two groups are joined, so that no record
    leaves those it must stay with.
    """
    own = [name for name in before.frame.columns if name not in COLUMNS]
    names = [*_DECIDED, *own]
    earlier = before.frame.filter(pl.col("sha256") != "").select(
        "path", "sha256", *(pl.col(name).alias(f"_{name}") for name in names)
    )
    joined = now.frame.join(earlier, on=["path", "sha256"], how="left", maintain_order="left")
    columns: dict[str, pl.Series] = {}
    kept: dict[str, int] = {}
    for name in names:
        old = joined[f"_{name}"]
        has = _filled(old)
        if name == "group":
            columns[name] = _joined_groups(joined)
        elif name in now.frame.columns:
            has &= ~_filled(joined[name])
            columns[name] = joined.select(
                pl.when(has).then(pl.col(f"_{name}").cast(pl.String)).otherwise(name).alias(name)
            )[name]
        else:
            columns[name] = old.alias(name)
        if has.any():
            kept[name] = int(has.sum())
    frame = now.frame.with_columns(*columns.values())
    still = before.frame.join(now.frame, on=["path", "sha256"], how="semi")
    lost = _decided(before.frame, names) - _decided(still, names)
    split = frame.filter((pl.col("group") != "") & (pl.col("split") != ""))
    parts = split.group_by("group").agg(pl.col("split").n_unique())
    torn = parts.filter(pl.col("split") > 1).height
    return Manifest(frame), Kept(kept, lost, torn)


def _filled(column: pl.Series) -> pl.Series:
    return column.cast(pl.String).fill_null("") != ""


def _decided(frame: pl.DataFrame, names: Sequence[str]) -> int:
    """Return how many records have a value in one of some columns."""
    filled = (pl.col(name).cast(pl.String).fill_null("") != "" for name in names)
    return int(frame.select(pl.any_horizontal(*filled).sum()).item())


def _joined_groups(joined: pl.DataFrame) -> pl.Series:
    """Return the groups, those of now and of before that share a record being one."""
    groups = joined.select("path", "group", pl.col("_group").fill_null(""))
    nothing = pl.DataFrame(schema={"one": pl.String, "two": pl.String, "why": pl.String})
    number = components(groups, nothing, ("group", "_group"))
    name = pl.min_horizontal(
        *(pl.when(pl.col(each) != "").then(pl.col(each)) for each in ("group", "_group"))
    )
    return groups.select(
        name.min().over(pl.Series("number", number)).fill_null("").alias("group")
    ).to_series()
