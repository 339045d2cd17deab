"""evaluate: a checkpoint and a split to results by kind and source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import path_text, refuse_to_overwrite
from facecheck.core.kinds import REAL
from facecheck.core.manifest import SPLITS, check_table_suffix, read_manifest, write_table
from facecheck.core.parallel import Progress, silent
from facecheck.model.engine import load_predictor
from facecheck.model.metrics import Floats, Labels, Summary, confusion, softmax, summarise, wilson
from facecheck.model.predict import ARTIFICIAL, ERROR, REAL_VERDICT, judge


@dataclass(frozen=True)
class VerdictSummary:
    """How the verdicts of some images fit.

    Attributes:
        count: images.
        right: verdicts that are right.
        wrong: verdicts that are wrong.
        uncertain: images without a verdict either way.
        interval: 95 % Wilson interval of the share that is right.
    """

    count: int
    right: int
    wrong: int
    uncertain: int
    interval: tuple[float, float]


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
        confusion: counts by true kind (rows) and predicted kind (columns).
        errors: (path, reason) of files that could not be decoded; they count nowhere above.
        predictions: where the table of every prediction was written, if asked for.
    """

    checkpoint: Path
    manifest: Path
    split: str
    kinds: tuple[str, ...]
    overall: Summary
    balanced_accuracy: float
    by_kind: Mapping[str, Summary]
    by_source: Mapping[tuple[str, str], Summary]
    verdicts: VerdictSummary
    verdicts_by_source: Mapping[tuple[str, str], VerdictSummary]
    confusion: tuple[tuple[int, ...], ...]
    errors: tuple[tuple[str, str], ...]
    predictions: Path | None


def evaluate(
    checkpoint: Path,
    manifest: Path,
    *,
    split: str = "test",
    sources: Sequence[str] = (),
    predictions: Path | None = None,
    overwrite: bool = False,
    device: str = "auto",
    batch_size: int = 32,
    workers: int | None = None,
    progress: Progress = silent,
) -> EvaluateResult:
    """Judge a checkpoint on one split of a manifest.

    Args:
        checkpoint: a checkpoint by ``train``.
        manifest: a manifest by ``split``.
        split: ``train``, ``val`` or ``test``.
        sources: judge only these kinds, sources or ``kind/source`` pairs.
        predictions: write a table of every prediction here, ``.csv`` or ``.parquet``.
        overwrite: replace an existing ``predictions``.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        batch_size: images a step, 1 or more.
        workers: decoding threads; None takes one per core.
        progress: told images done and images in all.

    Raises:
        UsageError: an argument cannot be, or a file is not there.
        CheckpointError: the checkpoint cannot be used.
        ManifestError: the manifest cannot be read.
        FacecheckError: the split has no images, holds a kind the checkpoint does not know, or
            none of its files can be read.
    """
    if split not in SPLITS:
        raise UsageError(f"--split {split}: must be one of {', '.join(SPLITS)}")
    if predictions is not None:
        check_table_suffix(predictions)
        refuse_to_overwrite(predictions, overwrite=overwrite)
    records = read_manifest(manifest).of_sources(sources).in_split(split)
    if not len(records):
        raise FacecheckError(
            f"{path_text(manifest)}: no records in split {split!r}: run `facecheck split` first"
        )
    predictor = load_predictor(checkpoint, device)
    kinds = predictor.header.kinds
    unknown = sorted(set(records.frame["kind"]) - set(kinds))
    if unknown:
        raise FacecheckError(
            f"{path_text(checkpoint)} knows {', '.join(kinds)}, but the split holds "
            f"{', '.join(unknown)}: evaluate on a manifest without it, or train with it"
        )
    found = []
    stream = predictor.predict(records.paths(), batch_size=batch_size, workers=workers)
    for prediction in stream:
        found.append(prediction)
        progress(len(found), len(records))
    errors = tuple((path_text(row.path), row.message) for row in found if row.status == ERROR)
    frame = records.frame.select("path", "source", "kind").with_columns(
        pl.Series("ok", [row.status != ERROR for row in found])
    )
    frame = frame.filter("ok").drop("ok")
    logits = [row.logits for row in found if row.logits is not None]
    if not logits:
        raise FacecheckError(f"none of {len(found):,} images could be read, the first: {errors[0]}")
    table = np.stack(logits)
    labels = np.array([kinds.index(kind) for kind in frame["kind"]])
    judged = [judge(row, predictor.header) for row in table]
    frame = frame.with_columns(
        pl.Series("verdict", [answer.verdict for answer in judged]),
        pl.Series("predicted_kind", [answer.kind for answer in judged]),
        pl.Series("score", [round(answer.score, 6) for answer in judged]),
    )
    if predictions is not None:
        _write_predictions(frame, table / predictor.header.temperature, kinds, predictions)
    by_kind = _summaries(frame, table, labels, ["kind"])
    return EvaluateResult(
        checkpoint=checkpoint,
        manifest=manifest,
        split=split,
        kinds=kinds,
        overall=summarise(table, labels),
        balanced_accuracy=float(np.mean([part.top1 for part in by_kind.values()])),
        by_kind={kind: by_kind[kind,] for kind in kinds if (kind,) in by_kind},
        by_source={
            (kind, source): part
            for (kind, source), part in _summaries(frame, table, labels, ["kind", "source"]).items()
        },
        verdicts=_verdicts(frame),
        verdicts_by_source={
            (str(kind), str(source)): _verdicts(part)
            for (kind, source), part in _parts(frame, ["kind", "source"])
        },
        confusion=confusion(table.argmax(axis=1), labels, len(kinds)),
        errors=errors,
        predictions=predictions,
    )


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
        pl.when(pl.col("kind") == REAL).then(pl.lit(REAL_VERDICT)).otherwise(pl.lit(ARTIFICIAL))
    )
    right = frame.filter(pl.col("verdict") == wanted).height
    given = frame.filter(pl.col("verdict").is_in([REAL_VERDICT, ARTIFICIAL])).height
    return VerdictSummary(
        count=frame.height,
        right=right,
        wrong=given - right,
        uncertain=frame.height - given,
        interval=wilson(right, frame.height),
    )


def _write_predictions(
    frame: pl.DataFrame, scaled: Floats, kinds: tuple[str, ...], path: Path
) -> None:
    columns = [
        pl.Series(f"p_{kind}", np.round(values, 6))
        for kind, values in zip(kinds, softmax(scaled).T, strict=True)
    ]
    write_table(frame.with_columns(columns), path)
