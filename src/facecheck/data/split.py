"""split: assign groups to train, val and test, stratified by kind and source."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import path_text, refuse_to_overwrite
from facecheck.core.manifest import (
    SPLITS,
    Record,
    input_meta,
    read_manifest,
    read_meta,
    write_manifest,
)

#: A stratum: the (kind, source) whose share of each split follows the ratio.
Stratum = tuple[str, str]


@dataclass(frozen=True)
class SplitResult:
    """What ``split`` did.

    Attributes:
        manifest: where the manifest with its ``split`` column was written.
        counts: records by split.
        by_source: records by split for each (kind, source).
        excluded: records left without a split because they are excluded.
        groups: groups that were assigned.
        crossing: groups with records in more than one split: 0, checked after the fact.
    """

    manifest: Path
    counts: Mapping[str, int]
    by_source: Mapping[Stratum, Mapping[str, int]]
    excluded: int
    groups: int
    crossing: int


def parse_ratio(text: str) -> tuple[float, ...]:
    """Return the shares of train, val and test in ``8:1:1``, ``80:10:10`` or ``0.8:0.1:0.1``.

    Returns:
        Three shares that sum to 1.

    Raises:
        UsageError: it is not three non-negative numbers with a positive first one.
    """
    parts = text.split(":")
    number = r"\d+(\.\d*)?|\.\d+"
    if len(parts) != len(SPLITS) or not all(re.fullmatch(number, part) for part in parts):
        raise UsageError(f"ratio {text!r} is not three numbers: write train:val:test, as in 8:1:1")
    shares = [float(part) for part in parts]
    if shares[0] == 0:
        raise UsageError(f"ratio {text!r} leaves nothing to train on: give the first part a share")
    return tuple(share / sum(shares) for share in shares)


def split(
    manifest: Path,
    *,
    ratio: str = "8:1:1",
    seed: int = 0,
    out: Path | None = None,
    overwrite: bool = False,
) -> SplitResult:
    """Assign every record that is not excluded to train, val or test.

    Records of one group share a split; within that, each (kind, source) follows the ratio as
    nearly as its groups allow. Groups of several records are placed first, largest first, each
    where its strata lack most (the greedy rule of Sechidis et al. 2011, "On the stratification of
    multi-label data"); single records then fill each stratum to its share. The result depends on
    the records and the seed, not on the order of the file.

    Args:
        manifest: a manifest by ``index`` or ``dedup``.
        ratio: shares of train, val and test, as in ``8:1:1``.
        seed: any integer; another seed gives another split.
        out: where the result goes; None updates the manifest in place.
        overwrite: replace an existing ``out``.

    Raises:
        UsageError: the ratio does not parse, the manifest is not there, or ``out`` exists.
        ManifestError: the manifest cannot be read.
        FacecheckError: every record is excluded.
    """
    shares = parse_ratio(ratio)
    table = read_manifest(manifest)
    target = out or manifest
    if target != manifest:
        refuse_to_overwrite(target, overwrite=overwrite)
    records = list(table.records())
    taking_part = [record for record in records if not record.excluded]
    if not taking_part:
        raise FacecheckError(f"{path_text(manifest)}: no record takes part: all are excluded")
    groups = _group(taking_part)
    assigned = _assign(groups, shares, seed)
    column = [
        "" if record.excluded else SPLITS[assigned[_group_name(record)]] for record in records
    ]
    result = table.with_columns(split=column)
    made_by = {
        "command": "split",
        "arguments": {"ratio": ratio, "seed": seed},
        "input": input_meta(manifest),
        "decode_policy": read_meta(manifest).get("decode_policy"),
    }
    write_manifest(result, target, made_by)
    return SplitResult(
        manifest=target,
        counts={name: column.count(name) for name in SPLITS},
        by_source=_shares_by_source(result.frame),
        excluded=len(records) - len(taking_part),
        groups=len(groups),
        crossing=count_crossing(result.frame),
    )


def count_crossing(frame: pl.DataFrame) -> int:
    """Return how many groups of a manifest's frame have records in more than one split."""
    used = frame.filter((pl.col("split") != "") & (pl.col("group") != ""))
    return used.group_by("group").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1).height


def _group_name(record: Record) -> str:
    # The hash rather than the path, so that the split survives moving the files.
    return record.group or f"pixels/{record.pixel_hash[:16] or record.sha256[:16] or record.path}"


def _group(records: list[Record]) -> dict[str, Counter[Stratum]]:
    """Return how many records of each stratum every group holds."""
    groups: dict[str, Counter[Stratum]] = defaultdict(Counter)
    for record in records:
        groups[_group_name(record)][record.kind, record.source] += 1
    return groups


def _assign(
    groups: Mapping[str, Counter[Stratum]], shares: tuple[float, ...], seed: int
) -> dict[str, int]:
    """Return the position in :data:`SPLITS` of every group."""
    wanted = _wanted(groups, shares)
    shuffled = sorted(groups, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    largest_first = sorted(shuffled, key=lambda name: -groups[name].total())
    assigned = {}
    for name in largest_first:
        strata = groups[name]
        # Where the group's strata together still lack the most, each in proportion to its size.
        lack = [
            sum(
                count * wanted[stratum][part] / max(1e-9, shares[part])
                for stratum, count in strata.items()
            )
            if shares[part]
            else float("-inf")
            for part in range(len(shares))
        ]
        part = lack.index(max(lack))
        assigned[name] = part
        for stratum, count in strata.items():
            wanted[stratum][part] -= count
    return assigned


def _wanted(
    groups: Mapping[str, Counter[Stratum]], shares: tuple[float, ...]
) -> dict[Stratum, list[float]]:
    """Return how many records each split should get of every stratum."""
    totals: Counter[Stratum] = Counter()
    for strata in groups.values():
        totals.update(strata)
    return {stratum: [total * share for share in shares] for stratum, total in totals.items()}


def _shares_by_source(frame: pl.DataFrame) -> dict[Stratum, dict[str, int]]:
    table: dict[Stratum, dict[str, int]] = {}
    counted = frame.filter(pl.col("split") != "").group_by("kind", "source", "split").len()
    for kind, source, name, count in counted.sort("kind", "source").iter_rows():
        table.setdefault((kind, source), dict.fromkeys(SPLITS, 0))[name] = count
    return table
