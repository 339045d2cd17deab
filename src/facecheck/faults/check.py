"""check: what is wrong with the images and labels of a manifest, for people to decide on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from facecheck.core.files import path_text
from facecheck.core.lock import only_one
from facecheck.core.manifest import Manifest, read_manifest
from facecheck.core.parallel import Progress, cpu_count, silent
from facecheck.core.tables import check_table_suffix, read_table, write_table
from facecheck.core.workspace import find_manifest
from facecheck.data.duplicates.groups import duplicates_of
from facecheck.data.measure import stamp
from facecheck.faults.decide import Decided, not_decided, take_decisions
from facecheck.faults.learned_rows import LEARNED, UNCLEAR, learned_rows
from facecheck.faults.options import FaultOptions
from facecheck.faults.quantities import Measurer, QuantityJournal, policy_of
from facecheck.faults.reasons import FEW, Measure, measures
from facecheck.faults.table import as_written, ordered, table_rows
from facecheck.scanner.faces.detector import find_detector

EXACT, NEAR = "exact duplicate", "near duplicate"
#: The reasons of which nothing is known without faces, and without ``dedup``.
_OF_FACES = (
    *("no face", "several faces", "tiny face", "distant face", "cut off", "turned", "profile"),
)
_OF_DEDUP = (EXACT, NEAR)


@dataclass(frozen=True)
class Common:
    """A fault that so many images of a source have that it is a property of the source.

    Attributes:
        reason: which fault.
        kind: of the source.
        source: its name.
        having: how many of its images have it; they are not in the table for it.
        images: how many it has.
    """

    reason: str
    kind: str
    source: str
    having: int
    images: int


@dataclass(frozen=True)
class FaultResult:
    """What ``check`` found.

    Attributes:
        manifest: the manifest that was checked.
        table: one row for each record and reason: see docs/curation.md.
        records: records that were checked; excluded ones are not.
        excluded: records that are excluded already.
        faulty: records with at least one row.
        counts: rows by reason, in the table's order; a reason that was checked and not found has 0.
        common: what is said of a source instead of its images.
        not_checked: reasons that were not checked, and why.
        errors: (path, reason) of files that could not be measured.
        bad_lines: damaged lines of the journal; their files were measured again.
        settled: records that have a fault, and of which it was decided that they are right.
        decided: what ``decisions`` changed in the manifest; None without.
    """

    manifest: Path
    table: Path
    records: int
    excluded: int
    faulty: int
    counts: Mapping[str, int]
    common: tuple[Common, ...]
    not_checked: Mapping[str, str]
    errors: tuple[tuple[str, str], ...]
    bad_lines: int
    settled: int
    decided: Decided | None


def check(
    manifest: Path | str | None = None,
    options: FaultOptions = FaultOptions(),
    *,
    progress: Progress = silent,
    on_features: Progress = silent,
) -> FaultResult:
    """Find images and labels of a manifest that a person should see; write a table of them.

    Every file is decoded in a process of its own, and what is measured is kept in a journal next
    to the manifest: a run that was killed resumes, and other thresholds take no second look. The
    manifest itself changes only where decisions are given.

    Args:
        manifest: a manifest; excluded records are not measured.
        options: what counts as a fault, and what was decided.
        progress: called with images measured and in all.
        on_features: called with features computed and to compute.

    Raises:
        UsageError: the manifest or the encoder is not there, or the table has another suffix.
        ManifestError: the manifest or its table of duplicates cannot be read.
        CheckpointError: the face detector or the encoder cannot be used.
        FacecheckError: OpenCV is missing, or another process checks the manifest.
    """
    manifest = find_manifest(manifest)
    if options.learn:
        import sklearn  # noqa: F401 - to miss it before the measuring, not after
    table = options.out or manifest.with_name(f"{manifest.stem}.check.csv")
    check_table_suffix(table)
    with only_one(manifest.with_name(f"{manifest.stem}.check"), "check"):
        return _check(manifest, table, options, progress, on_features)


def _check(
    manifest: Path,
    table: Path,
    options: FaultOptions,
    progress: Progress,
    on_features: Progress,
) -> FaultResult:
    decided = take_decisions(manifest, options.decisions) if options.decisions else None
    whole = read_manifest(manifest)
    records = whole.where(pl.col("excluded") == "")
    detector = find_detector(options.face_detector).read_bytes() if options.faces else None
    journal = QuantityJournal(
        manifest.with_name(f"{manifest.stem}.check.jsonl"),
        Measurer(detector, policy_of(detector)),
    )
    found = journal.measure(
        [stamp(path) for path in records.paths()],
        workers=options.workers or cpu_count(),
        timeout=options.timeout,
        progress=progress,
    )
    measured = records.frame.select("path", "kind", "source").join(found, on="path", how="left")
    readable = measured.filter(pl.col("reason") == "")
    bad = measured.filter(pl.col("reason") != "").sort("path").select("path", "reason")
    not_checked = {} if options.faces else dict.fromkeys(_OF_FACES, "--no-faces")
    parts, common = [], []
    for measure in measures(options):
        if measure.reason not in not_checked:
            rows, usual = _rows_of(measure, readable, options.common)
            parts.append(rows)
            common += usual
    pairs = _duplicates(manifest, whole)
    if pairs is None:
        not_checked |= dict.fromkeys(_OF_DEDUP, "run `facecheck dedup` first")
    else:
        parts.append(pairs)
    if options.learn:
        seen = pl.concat(parts)
        unclear = seen.filter(pl.col("reason").is_in(UNCLEAR))["path"].to_list()
        found_by = learned_rows(manifest, records, readable, unclear, options, on_features)
        parts += found_by.rows
        not_checked |= found_by.not_checked
    else:
        not_checked |= dict.fromkeys(LEARNED, "--no-features")
    reasons = [each for each in _all_reasons(options) if each not in not_checked]
    rows = ordered(parts, reasons)
    every = rows["path"].n_unique()
    rows = rows.filter(pl.col("path").is_in(not_decided(whole)))
    counted = dict(rows.group_by("reason").len().iter_rows())
    write_table(as_written(rows, table), table)
    return FaultResult(
        manifest=manifest,
        table=table,
        records=records.frame.height,
        excluded=len(whole) - len(records),
        faulty=rows["path"].n_unique(),
        counts={reason: counted.get(reason, 0) for reason in reasons},
        common=tuple(common),
        not_checked=not_checked,
        errors=tuple((path_text(Path(path)), why) for path, why in bad.iter_rows()),
        bad_lines=journal.dropped,
        settled=every - rows["path"].n_unique(),
        decided=decided,
    )


def _all_reasons(options: FaultOptions) -> list[str]:
    return [*(measure.reason for measure in measures(options)), *_OF_DEDUP, *LEARNED]


def _rows_of(
    measure: Measure, readable: pl.DataFrame, common: float
) -> tuple[pl.DataFrame, list[Common]]:
    """Return the rows of one reason, and the sources that it is common in."""
    seen = readable.select(
        "path", "kind", "source", "sha256",
        score=measure.score().clip(0, 1), value=measure.value.cast(pl.Float64),
        holds=measure.holds().fill_null(value=False),
    )  # fmt: skip
    shares = seen.group_by("kind", "source").agg(having=pl.col("holds").sum(), images=pl.len())
    usual = shares.filter(
        (pl.col("images") >= FEW) & (pl.col("having") > common * pl.col("images"))
    ).sort("kind", "source")
    rows = seen.filter("holds").join(usual, on=["kind", "source"], how="anti")
    said = [Common(measure.reason, *row) for row in usual.iter_rows()]
    return table_rows(rows.drop("holds"), measure.reason, measure.unit), said


def _duplicates(manifest: Path, whole: Manifest) -> pl.DataFrame | None:
    """Return a row for each record that ``dedup`` found to be another's picture.

    Returns:
        None where ``dedup`` has not been run.
    """
    path, pairs = duplicates_of(manifest)
    if path is None:
        return None
    told = read_table(path)
    alike = told["correlation"] if "correlation" in told.columns else pl.Series([None] * len(told))
    known = (
        pairs.with_columns(value=alike.cast(pl.Float64, strict=False))
        .join(whole.frame, left_on="one", right_on="path", how="inner")
        .rename({"one": "path"})
        .with_columns(
            score=pl.col("value").fill_null(1).clip(0, 1), neighbours=pl.concat_list("two")
        )
    )
    exact = pl.col("why").is_in(["same bytes", "same pixels"])
    return pl.concat(
        table_rows(known.filter(taken), reason, "correlation")
        for taken, reason in ((exact, EXACT), (~exact, NEAR))
    )
