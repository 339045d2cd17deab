"""evaluate: a checkpoint and a split to results by kind and source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from facecheck.core.errors import FacecheckError
from facecheck.core.files import atomic_path, refuse_to_overwrite
from facecheck.core.labels import Kind, Verdict
from facecheck.core.parallel import Progress, silent
from facecheck.core.tables import check_table_suffix, write_table
from facecheck.core.workspace import find_checkpoint, find_manifest
from facecheck.data.audit import metadata_shares
from facecheck.engines.load import load_predictor
from facecheck.evaluation.options import EvaluateOptions
from facecheck.model.checkpoint import Header
from facecheck.model.metrics import (
    Calibration,
    Figure,
    Flags,
    Floats,
    Labels,
    Ranking,
    RiskCoverage,
    Summary,
    balanced_top1,
    calibration,
    confusion,
    ranking,
    risk_coverage,
    share,
    softmax,
    summarise,
    wilson,
)
from facecheck.model.outputs import SplitOutputs, predict_split


@dataclass(frozen=True)
class VerdictSummary:
    """How the verdicts of some images fit.

    Attributes:
        count: images.
        right: verdicts that are right.
        wrong: verdicts that are wrong.
        uncertain: images without a verdict either way.
        interval: 95 % Wilson interval of the share that is right.
        coverage: share that has a verdict, with a Wilson interval.
        accuracy: share right of those, with a Wilson interval; not defined where there is none.
    """

    count: int
    right: int
    wrong: int
    uncertain: int
    interval: tuple[float, float]
    coverage: Figure
    accuracy: Figure


@dataclass(frozen=True)
class Baseline:
    """How many images of one source are guessed right from their files' headers alone.

    By the forests of ``audit``, which never saw the image that they guess at, and weigh every kind
    alike; so on a sample of the whole manifest, whatever the split.

    Attributes:
        kind: share whose kind is guessed right, to be held against top-1, 0 to 1; None where the
            audit had too few images to ask.
        side: share guessed right to be real or artificial, to be held against the verdicts.
    """

    kind: float | None
    side: float | None


@dataclass(frozen=True)
class EvaluateResult:
    """How good a checkpoint is on one split.

    Attributes:
        checkpoint: the file.
        manifest: the manifest.
        split: which split of it.
        kinds: in the order of the confusion matrix.
        overall: all images.
        balanced_accuracy: mean of the kinds' top-1, 0 to 1.
        by_kind: each kind.
        by_source: each (kind, source).
        verdicts: real against artificial, overall.
        verdicts_by_source: real against artificial, each (kind, source).
        ranking: real against artificial by score alone; its ``accuracy`` is at the middle of the
            checkpoint's two thresholds.
        ranking_by_source: each (kind, source) against all images of the other side.
        calibration: all images.
        calibration_by_source: each (kind, source).
        risk_coverage: of the answer real or artificial, by its probability, without the
            out-of-distribution detector.
        baseline: what metadata alone gets right of each (kind, source); empty when not asked for,
            or when the manifest is too small to be audited.
        confusion: counts by true kind (rows) and predicted kind (columns).
        errors: (path, reason) of files that could not be decoded; they count nowhere above.
        predictions: where the table of every prediction was written, if asked for.
        features: where the features were written, if asked for.
    """

    checkpoint: Path
    manifest: Path
    split: str
    kinds: tuple[str, ...]
    overall: Summary
    balanced_accuracy: Figure
    by_kind: Mapping[str, Summary]
    by_source: Mapping[tuple[str, str], Summary]
    verdicts: VerdictSummary
    verdicts_by_source: Mapping[tuple[str, str], VerdictSummary]
    ranking: Ranking
    ranking_by_source: Mapping[tuple[str, str], Ranking]
    calibration: Calibration
    calibration_by_source: Mapping[tuple[str, str], Calibration]
    risk_coverage: RiskCoverage
    baseline: Mapping[tuple[str, str], Baseline]
    confusion: tuple[tuple[int, ...], ...]
    errors: tuple[tuple[str, str], ...]
    predictions: Path | None
    features: Path | None


def evaluate(
    checkpoint: Path | str | None = None,
    manifest: Path | str | None = None,
    options: EvaluateOptions = EvaluateOptions(),
    *,
    progress: Progress = silent,
) -> EvaluateResult:
    """Evaluate a checkpoint on one split of a manifest.

    Args:
        checkpoint: a checkpoint by ``train``.
        manifest: a manifest by ``split``.
        options: which images, and what to write: ``features`` is a .npz of ``features`` (n, width),
            ``logits`` (n, kinds), ``classes`` (their order), ``paths``, ``kinds`` and ``sources``
            (n,). The baseline is read from the manifest's ``.audit.json``, which is made first if
            needed.
        progress: called with images done and images in all.

    Raises:
        UsageError: a file is not there, or an output exists or has another suffix.
        CheckpointError: the checkpoint cannot be used.
        ManifestError: the manifest cannot be read.
        FacecheckError: the split has no images, holds a kind the checkpoint does not know, or
            not one of its files can be read.
    """
    checkpoint, manifest = find_checkpoint(checkpoint), find_manifest(manifest)
    predictions, features, split = options.predictions, options.features, options.split
    if predictions is not None:
        check_table_suffix(predictions)
        refuse_to_overwrite(predictions, overwrite=options.overwrite)
    if features is not None:
        features = _npz(features)
        refuse_to_overwrite(features, overwrite=options.overwrite)
    predictor = load_predictor(checkpoint, options.device, features=features is not None)
    found = predict_split(
        *(predictor, checkpoint, manifest, split, options.sources),
        batch_size=options.batch_size,
        workers=options.workers,
        progress=progress,
    )
    result = evaluated(
        *(found, predictor.header, checkpoint, manifest, split),
        baseline=(metadata_baseline(manifest, workers=options.workers) if options.baseline else {}),
    )
    if predictions is not None:
        write_table(prediction_table(found, predictor.header), predictions)
    if features is not None and found.features is not None:
        _write_features(found, result.kinds, features)
    return replace(result, predictions=predictions, features=features)


def evaluated(
    found: SplitOutputs,
    header: Header,
    checkpoint: Path,
    manifest: Path,
    split: str,
    *,
    baseline: Mapping[tuple[str, str], Baseline],
) -> EvaluateResult:
    """Return what a checkpoint's outputs for a split are worth; it reads no file.

    Args:
        found: the outputs.
        header: of the checkpoint that gave them.
        checkpoint: what the result says of where they come from, like ``manifest`` and ``split``.
        manifest: likewise.
        split: likewise.
        baseline: by :func:`metadata_baseline`.
    """
    kinds, table, labels = header.kinds, found.logits, found.labels
    frame = _with_verdicts(found, header)
    probabilities = softmax(table / header.temperature)
    scores = 1 - probabilities[:, kinds.index(Kind.PHOTO)]
    scored = _Scored(
        probabilities, labels, scores, labels != kinds.index(Kind.PHOTO), sum(header.thresholds) / 2
    )
    everything = np.arange(len(labels))
    places = {
        (str(kind), str(source)): part["row"].to_numpy()
        for (kind, source), part in _parts(frame.with_row_index("row"), ["kind", "source"])
    }
    by_kind = _summaries(frame, table, labels, ["kind"])
    balanced = balanced_top1(table.argmax(axis=1) == labels, labels, len(kinds))
    return EvaluateResult(
        checkpoint=checkpoint,
        manifest=manifest,
        split=split,
        kinds=kinds,
        overall=summarise(table, labels),
        balanced_accuracy=balanced,
        by_kind={kind: by_kind[kind,] for kind in kinds if (kind,) in by_kind},
        by_source={key: summarise(table[rows], labels[rows]) for key, rows in places.items()},
        verdicts=_verdicts(frame),
        verdicts_by_source={key: _verdicts(frame[rows]) for key, rows in places.items()},
        ranking=scored.ranking(everything),
        ranking_by_source={
            key: scored.ranking(scored.against(rows)) for key, rows in places.items()
        },
        calibration=scored.calibration(everything),
        calibration_by_source={key: scored.calibration(rows) for key, rows in places.items()},
        risk_coverage=scored.risk_coverage(),
        baseline=baseline,
        confusion=confusion(table.argmax(axis=1), labels, len(kinds)),
        errors=found.errors,
        predictions=None,
        features=None,
    )


def _with_verdicts(found: SplitOutputs, header: Header) -> pl.DataFrame:
    predicted = found.predictions(header)
    return found.frame.with_columns(
        pl.Series("verdict", [answer.verdict for answer in predicted], pl.String),
        pl.Series("predicted_kind", [answer.kind for answer in predicted]),
        pl.Series("score", [round(answer.score, 6) for answer in predicted]),
    )


def prediction_table(found: SplitOutputs, header: Header) -> pl.DataFrame:
    """Return every prediction: path, source, kind, verdict, predicted_kind, score and p_KIND."""
    probabilities = np.round(softmax(found.logits / header.temperature), 6)
    columns = [
        pl.Series(f"p_{kind}", values)
        for kind, values in zip(header.kinds, probabilities.T, strict=True)
    ]
    return _with_verdicts(found, header).with_columns(columns)


@dataclass(frozen=True)
class _Scored:
    """Every image's probabilities (n, kinds), label, score and side, and the one threshold."""

    probabilities: Floats
    labels: Labels
    scores: Floats
    artificial: Flags
    threshold: float

    def against(self, rows: Labels) -> Labels:
        """Return the rows of one source and those of the other side of real and artificial."""
        return np.union1d(rows, np.flatnonzero(self.artificial != self.artificial[rows[0]]))

    def ranking(self, rows: Labels) -> Ranking:
        return ranking(self.scores[rows], self.artificial[rows], self.threshold)

    def calibration(self, rows: Labels) -> Calibration:
        return calibration(
            *(self.probabilities[rows], self.labels[rows]),
            *(self.scores[rows], self.artificial[rows]),
        )

    def risk_coverage(self) -> RiskCoverage:
        confidence = np.maximum(self.scores, 1 - self.scores)
        return risk_coverage(confidence, (self.scores >= 0.5) != self.artificial)


def _npz(path: Path) -> Path:
    """Return the path that NumPy would write to."""
    return path if path.suffix == ".npz" else path.with_name(f"{path.name}.npz")


def _write_features(found: SplitOutputs, kinds: tuple[str, ...], path: Path) -> None:
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary,
            features=np.asarray(found.features, np.float32),
            logits=found.logits.astype(np.float32),
            classes=np.array(kinds),
            paths=found.frame["path"].to_numpy().astype(str),
            kinds=found.frame["kind"].to_numpy().astype(str),
            sources=found.frame["source"].to_numpy().astype(str),
        )


def metadata_baseline(
    manifest: Path, *, report: Path | None = None, workers: int | None = None
) -> dict[tuple[str, str], Baseline]:
    """Return what metadata alone gets right of each source; nothing where it cannot be asked.

    Args:
        manifest: a manifest.
        report: its audit; None takes, or makes, the ``.audit.json`` next to it.
        workers: decoding threads; None takes one per core.

    Raises:
        UsageError: ``report`` is named, and is no audit of this manifest.
    """
    try:
        kind = metadata_shares(manifest, "kind", report=report, workers=workers)
        side = metadata_shares(manifest, "real or artificial", report=report, workers=workers)
    except FacecheckError:  # too few images of two sides, or none that can be read
        if report is not None:
            raise
        return {}
    return {key: Baseline(kind.get(key), side.get(key)) for key in sorted(kind | side)}


def _parts(
    frame: pl.DataFrame, columns: list[str]
) -> list[tuple[tuple[object, ...], pl.DataFrame]]:
    """Return the parts of a frame by the values of some columns, sorted by those."""
    parts = frame.partition_by(columns, as_dict=True)
    return sorted(parts.items(), key=lambda part: str(part[0]))


def _summaries(
    frame: pl.DataFrame, logits: Floats, labels: Labels, columns: list[str]
) -> dict[tuple[str, ...], Summary]:
    numbered = frame.with_row_index("row")
    return {
        tuple(map(str, values)): summarise(logits[part["row"]], labels[part["row"]])
        for values, part in _parts(numbered, columns)
    }


def _verdicts(frame: pl.DataFrame) -> VerdictSummary:
    wanted = (
        pl.when(pl.col("kind") == Kind.PHOTO)
        .then(pl.lit(Verdict.REAL))
        .otherwise(pl.lit(Verdict.ARTIFICIAL))
    )
    right = frame.filter(pl.col("verdict") == wanted).height
    given = frame.filter(pl.col("verdict").is_in([Verdict.REAL, Verdict.ARTIFICIAL])).height
    return VerdictSummary(
        count=frame.height,
        right=right,
        wrong=given - right,
        uncertain=frame.height - given,
        interval=wilson(right, frame.height),
        coverage=share(given, frame.height),
        accuracy=share(right, given),
    )
