"""What curation left next to a manifest, read for its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from facecheck.core.errors import FacecheckError
from facecheck.core.files import path_text, sha256_file
from facecheck.core.jsonable import parse_json
from facecheck.core.labels import KINDS
from facecheck.core.manifest import SPLITS, read_manifest
from facecheck.core.tables import read_table
from facecheck.data.duplicates.dedup import CONFLICT, DUPLICATE
from facecheck.data.duplicates.groups import companion, duplicates_of
from facecheck.data.leaks import prove

#: Columns of the duplicates table, and what stands for one that an older ``dedup`` did not write.
_PAIR_DEFAULTS: Mapping[str, str] = {
    "why": "same picture", "distance": "", "correlation": "", "detail": "", "difference": "",
    "view": "whole", "kept": "false", "conflict": "false", "dropped_kind": "", "keeper_kind": "",
    "dropped_source": "", "keeper_source": "",
}  # fmt: skip


@dataclass(frozen=True)
class CurationData:
    """A manifest, and the tables that index, dedup, split and audit left next to it.

    Attributes:
        frame: the manifest's records.
        pairs: confirmed duplicates; None if ``dedup`` has not been run.
        conflicts: files of pictures that carry different kinds; None likewise.
        rejects: files that ``index`` could not read; None if none are known.
        audit: what ``audit`` found; None if it has not been run.
        audit_is_old: whether that was on another state of the manifest.
        leaks: records whose relatives are in another split; None without a split.
    """

    frame: pl.DataFrame
    pairs: pl.DataFrame | None
    conflicts: pl.DataFrame | None
    rejects: pl.DataFrame | None
    audit: dict[str, Any] | None
    audit_is_old: bool
    leaks: int | None

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return the tables of the report by name, those that hold anything."""
        guesses = self.guesses()
        found = {
            "sources": _by_source(self.frame),
            "sizes": _sizes(self.frame),
            "duplicates": self.pairs,
            "contamination": None if self.pairs is None else _between_sources(self.pairs),
            "conflicts": self.conflicts,
            "shortcuts": pl.DataFrame(guesses) if guesses else None,
            "rejects": self.rejects if self.rejects is not None and self.rejects.height else None,
        }
        return {name: table for name, table in found.items() if table is not None}

    def guesses(self) -> list[dict[str, Any]]:
        """Return audit's answers to each question, those most at risk first."""
        return [] if self.audit is None else _guesses(self.audit)

    def worst_pairs(self, limit: int) -> pl.DataFrame | None:
        """Return the pairs to show: kinds in conflict first, then the least alike."""
        return None if self.pairs is None else _worth_a_look(self.pairs).head(limit)

    def disputes(self, limit: int) -> dict[str, list[dict[str, Any]]]:
        """Return the files of each picture that carries several kinds, by picture."""
        return _disputes(self.conflicts, limit)


def read_curation(manifest: Path) -> CurationData:
    """Read a manifest and all that is known of it.

    Raises:
        UsageError: the manifest is not there.
        ManifestError: the manifest or a table next to it cannot be read.
        FacecheckError: the manifest holds no record, or its audit is damaged.
    """
    frame = read_manifest(manifest).frame
    if not frame.height:
        raise FacecheckError(f"{path_text(manifest)}: no records: there is nothing to show")
    audit, audit_is_old = _audit(manifest)
    return CurationData(
        frame=frame,
        pairs=_pairs(manifest, frame),
        conflicts=_table(manifest, "conflicts", ("picture", "path", "kind", "source")),
        rejects=_table(manifest, "rejects", ("path", "reason")),
        audit=audit,
        audit_is_old=audit_is_old,
        leaks=_leaks(manifest, frame),
    )


def _table(manifest: Path, name: str, columns: Sequence[str]) -> pl.DataFrame | None:
    """Return a table next to the manifest, all text; None where it lacks these columns."""
    path = companion(manifest, name)
    if path is None:
        return None
    table = read_table(path)
    if not set(columns) <= set(table.columns):
        return None
    return table.select(pl.col(column).cast(pl.String).fill_null("") for column in columns)


def _pairs(manifest: Path, frame: pl.DataFrame) -> pl.DataFrame | None:
    """Return the duplicates table with all its columns; kinds and sources as the manifest has them.

    Pairs of which both are kept are left out. Numbers stay text where they are not known.
    """
    path, absolute = duplicates_of(manifest)
    if path is None:
        return None
    table = read_table(path)
    known = {
        name: table[name].cast(pl.String).fill_null(default)
        if name in table.columns
        else pl.Series([default] * table.height, dtype=pl.String)
        for name, default in _PAIR_DEFAULTS.items()
    }
    found = pl.DataFrame({"dropped": absolute["one"], "keeper": absolute["two"], **known})
    found = found.filter(pl.col("kept") != "true").drop("kept")
    records = frame.select("path", "kind", "source")
    for side in ("dropped", "keeper"):
        found = found.join(
            records, left_on=side, right_on="path", how="left", maintain_order="left"
        )
        found = found.with_columns(
            pl.coalesce(column, f"{side}_{column}").alias(f"{side}_{column}")
            for column in ("kind", "source")
        ).drop("kind", "source")
    return found.with_columns(
        pl.col("conflict") == "true",
        pl.col("distance").cast(pl.Int64, strict=False),
        *(
            pl.col(name).cast(pl.Float64, strict=False)
            for name in ("correlation", "detail", "difference")
        ),
    )


def _worth_a_look(pairs: pl.DataFrame) -> pl.DataFrame:
    """Order pairs: kinds at odds first, then between sources, then the least alike."""
    return pairs.sort(
        ~pl.col("conflict"),
        pl.col("dropped_source") == pl.col("keeper_source"),
        pl.col("correlation").fill_null(1),
        "dropped",
    )


def _disputes(conflicts: pl.DataFrame | None, limit: int) -> dict[str, list[dict[str, Any]]]:
    """Return the files of each picture that carries several kinds."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in [] if conflicts is None else conflicts.iter_rows(named=True):
        found.setdefault(row["picture"], []).append(row)
    return dict(list(found.items())[:limit])


def _by_source(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each source: its images, and what became of them."""
    used = pl.col("excluded") == ""
    return (
        frame.group_by("kind", "source")
        .agg(
            pl.len().alias("images"),
            (pl.col("excluded") == DUPLICATE).sum().alias("duplicates"),
            (pl.col("excluded") == CONFLICT).sum().alias("in conflict"),
            (~used & ~pl.col("excluded").is_in([DUPLICATE, CONFLICT])).sum().alias("excluded"),
            *((used & (pl.col("split") == split)).sum().alias(split) for split in SPLITS),
        )
        .pipe(_in_order)
    )


def _sizes(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each source: short sides in pixels, megabytes, and formats."""
    short = pl.min_horizontal("width", "height")
    size = pl.concat_str("width", pl.lit(" x "), "height")
    return (
        frame.filter(pl.col("width") > 0)
        .group_by("kind", "source")
        .agg(
            pl.len().alias("images"),
            short.min().alias("smallest"),
            short.quantile(0.05, "nearest").cast(pl.Int64).alias("5 %"),
            short.median().round().cast(pl.Int64).alias("median"),
            short.quantile(0.95, "nearest").cast(pl.Int64).alias("95 %"),
            short.max().alias("largest"),
            size.mode().sort().first().alias("commonest size"),
            size.n_unique().alias("sizes"),
            pl.col("bytes").mean().round().cast(pl.Int64).alias("bytes each"),
            pl.col("format").unique().sort().str.join(", ").alias("formats"),
        )
        .pipe(_in_order)
    )


def _in_order(table: pl.DataFrame) -> pl.DataFrame:
    """Sort by kind, in the order of kinds everywhere, then by source."""
    place = pl.col("kind").replace_strict({kind: n for n, kind in enumerate(KINDS)})
    return table.sort(place, "source")


def _between_sources(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return confirmed pairs by two sources, as ``<stem>.contamination.csv`` counts them."""
    one, two = (pl.col(f"{side}_source") for side in ("dropped", "keeper"))
    return (
        pairs.select(source=pl.min_horizontal(one, two), other_source=pl.max_horizontal(one, two))
        .group_by("source", "other_source")
        .agg(pl.len().alias("pairs"))
        .sort(pl.col("source") == pl.col("other_source"), -pl.col("pairs").cast(pl.Int64), "source")
    )


def _leaks(manifest: Path, frame: pl.DataFrame) -> int | None:
    if not (frame["split"] != "").any():
        return None
    return len(prove(frame, duplicates_of(manifest)[1]).leaks)


def _audit(manifest: Path) -> tuple[dict[str, Any] | None, bool]:
    """Return what ``audit`` left, and whether that was of another state of the manifest."""
    path = companion(manifest, "audit", (".json",))
    if path is None:
        return None, False
    try:
        stored = parse_json(path.read_bytes())
        found = {name: stored[name] for name in ("images", "warn_above", "guesses", "warnings")}
        return found, stored["input"]["sha256"] != sha256_file(manifest)
    except (OSError, ValueError, KeyError, TypeError):
        raise FacecheckError(
            f"{path_text(path)}: not what audit writes: run `facecheck audit` again"
        ) from None


def _guesses(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each question for each set of features: most at risk first, kinds before pairs."""
    names = ("question", "features", "images", "sides", "balanced_accuracy", "auc", "shortcut",
             "shortcut_accuracy")  # fmt: skip
    rows = [{name: guess[name] for name in names} for guess in audit["guesses"]]
    whole = {"kind", "real or artificial"}
    return sorted(rows, key=lambda row: (row["question"] not in whole, -row["balanced_accuracy"]))
