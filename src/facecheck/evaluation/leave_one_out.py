"""leave-one-out: what a recipe is worth on a source that it never saw."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from facecheck.core.errors import FacecheckError, TrainingError
from facecheck.core.files import path_text, sha256_file
from facecheck.core.journal import Journal
from facecheck.core.labels import KINDS, Kind, Verdict
from facecheck.core.manifest import Manifest, read_manifest
from facecheck.core.parallel import Progress, silent
from facecheck.engines.load import load_predictor
from facecheck.evaluation.calibrate import fitted_header
from facecheck.evaluation.options import LeaveOneOutOptions
from facecheck.model.metrics import Flags, Floats, ranking, wilson
from facecheck.model.outputs import predict_split, split_records
from facecheck.model.predict import Prediction, Predictor, decide
from facecheck.training.options import TrainOptions
from facecheck.training.recipe import Recipe
from facecheck.training.state import Epoch
from facecheck.training.train import train
from facecheck.training.training_data import training_data

#: The finished sources in a leave-one-out's folder, a line each, and its runs.
RESULTS, RUNS_FOLDER = "results.jsonl", "runs"


@dataclass(frozen=True)
class LeftOut:
    """A model trained without one source, tested on that source and on the opposite class.

    The other side of an artificial source is all photos, and of a photo source all artificial
    faces; its sources were trained on, its images were not.

    Attributes:
        kind: of the source.
        source: the one left out of training and validation.
        kind_unseen: whether no other source is of its kind, so that the model never saw the kind.
        train_images: images trained on.
        images: images of the source tested.
        other_side: images of the opposite class (real or artificial) tested.
        uncertain: share of the source's images whose verdict is ``uncertain``, once the model is
            calibrated on the validation images of the sources that are left.
        wrong_verdicts: share of them whose verdict is the wrong one, likewise.
        auc: area under the ROC curve of the score, source against the opposite class; 0.5 is that
            of a random score.
        threshold: the score with the best balanced accuracy on the validation images of the
            sources that are left.
        accuracy: balanced accuracy of source and other side at that threshold.
        best_accuracy: at the best threshold for these very images, which nobody can know before.
        gap: the difference of both, 0 or more.
        wrong: images of the source on the wrong side of ``threshold``: false alarms if it holds
            photos, else artificial faces missed.
        wrong_share: of ``images``.
        interval: 95 % Wilson interval of ``wrong_share``.
        checkpoint: the model.
    """

    kind: str
    source: str
    kind_unseen: bool
    train_images: int
    images: int
    other_side: int
    uncertain: float
    wrong_verdicts: float
    auc: float
    threshold: float
    accuracy: float
    best_accuracy: float
    gap: float
    wrong: int
    wrong_share: float
    interval: tuple[float, float]
    checkpoint: Path


@dataclass(frozen=True)
class LeaveOneOutResult:
    """What ``leave_one_out`` found.

    Attributes:
        manifest: the manifest.
        folder: holds ``results.jsonl`` and the runs.
        rows: one for each source left out.
        resumed: rows that an earlier run had finished.
        skipped: (source, why) of sources that cannot be left out.
    """

    manifest: Path
    folder: Path
    rows: tuple[LeftOut, ...]
    resumed: int
    skipped: tuple[tuple[str, str], ...]


def leave_one_out(
    manifest: Path,
    recipe: Recipe,
    folder: Path,
    options: LeaveOneOutOptions = LeaveOneOutOptions(),
    *,
    progress: Progress = silent,
    on_epoch: Callable[[str, Epoch], None] = silent,
) -> LeaveOneOutResult:
    """Train once without each source, and test each model on the source it never saw.

    A finished source is a line of ``folder/results.jsonl``; run again with the same manifest,
    recipe and arguments, it is not trained again. Lines made otherwise are left alone.

    Args:
        manifest: a manifest by ``split``.
        recipe: how to train; its ``sources`` limit what is trained on and left out.
        folder: where results and runs go.
        options: which sources, each by itself, and the images to evaluate on: ``val`` while
            choosing a recipe. Training takes all images.
        progress: called with images trained on and to train on, over the epochs of one training.
        on_epoch: called with the source left out, and each finished epoch.

    Raises:
        UsageError: the manifest is not there, or a source or split is unknown.
        FacecheckError: no source can be left out; or as :func:`~facecheck.training.train.train`.
    """
    data = read_manifest(manifest).of_sources(recipe.sources)
    tested = split_records(manifest, options.split, recipe.sources).sampled(options.per_source)
    key = _key(manifest, recipe, options.split, options.per_source)
    results = Journal(folder / RESULTS, _finished_row)
    stored = (row for made_from, row in results.values() if made_from == key)
    finished = {f"{row.kind}/{row.source}": row for row in stored}
    sources = _sources(data)
    chosen = _sources(data.of_sources(options.left_out))
    rows, skipped, resumed = [], [], 0
    for kind, source in chosen:
        name = f"{kind}/{source}"
        if name in finished:
            rows.append(finished[name])
            resumed += 1
            continue
        left = [pair for pair in sources if pair != (kind, source)]
        without = recipe.changed({"sources": [f"{a}/{b}" for a, b in left]})
        why = _why_not(kind, source, left, tested) or _too_little(manifest, without)
        if why:
            skipped.append((name, why))
        else:
            trained = train(
                manifest,
                without,
                TrainOptions(
                    name=f"without-{kind}-{source}",
                    runs=folder / RUNS_FOLDER,
                    device=options.device,
                    workers=options.workers,
                ),
                progress=progress,
                on_epoch=partial(on_epoch, name),
            )
            row = _evaluate(
                trained.best,
                trained.train_images,
                (kind, source),
                left,
                manifest,
                tested,
                options.device,
            )
            with results:
                line = {**asdict(row), "checkpoint": str(row.checkpoint)}
                results.append({"made_from": key, **line}, sync=True)
            rows.append(row)
    if not rows:
        reasons = "; ".join(f"{name}: {why}" for name, why in skipped)
        raise FacecheckError(f"{path_text(manifest)}: no source can be left out: {reasons}")
    return LeaveOneOutResult(manifest, folder, tuple(rows), resumed, tuple(skipped))


def _is(kind: str, source: str) -> pl.Expr:
    return (pl.col("kind") == kind) & (pl.col("source") == source)


def _sources(data: Manifest) -> list[tuple[str, str]]:
    """Return the sources that have training images, in the order of kinds."""
    pairs = data.in_split("train").frame.select("kind", "source").unique().rows()
    return sorted(pairs, key=lambda pair: (KINDS.index(pair[0]), pair[1]))


def _why_not(
    kind: str, source: str, left: Sequence[tuple[str, str]], tested: Manifest
) -> str | None:
    kinds = {other for other, _ in left}
    if kind == Kind.PHOTO and Kind.PHOTO not in kinds:
        return "the only source of photos: none would be left to train on"
    if kinds <= {Kind.PHOTO}:
        return "the only artificial source: none would be left to train on"
    if not len(tested.where(_is(kind, source))):
        return "no images of it to test on"
    if not len(tested.where((pl.col("kind") == Kind.PHOTO) != (kind == Kind.PHOTO))):
        return "no images of the opposite class to test on"
    return None


def _too_little(manifest: Path, recipe: Recipe) -> str | None:
    try:
        training_data(manifest, recipe)
    except TrainingError as error:
        return str(error).removeprefix(f"{path_text(manifest)}: ")
    return None


def _evaluate(
    checkpoint: Path,
    train_images: int,
    left_out: tuple[str, str],
    left: Sequence[tuple[str, str]],
    manifest: Path,
    tested: Manifest,
    device: str,
) -> LeftOut:
    kind, source = left_out
    is_photo = kind == Kind.PHOTO
    own = tested.where(_is(kind, source))
    other = tested.where((pl.col("kind") == Kind.PHOTO) != is_photo)
    predictor = load_predictor(checkpoint, device, features=True)
    validation = predict_split(
        *(predictor, checkpoint, manifest, "val", [f"{a}/{b}" for a, b in left]),
        batch_size=32,
        workers=None,
        progress=silent,
    )
    photos = validation.labels == predictor.header.kinds.index(Kind.PHOTO)
    if photos.any() and not photos.all():
        predictor.header = fitted_header(predictor.header, validation)
    own_answers = _answers(predictor, own)
    own_scores = np.array([answer.score for answer in own_answers])
    other_scores = np.array([answer.score for answer in _answers(predictor, other)])
    scores = np.concatenate([own_scores, other_scores])
    artificial = np.repeat([not is_photo, is_photo], [len(own_scores), len(other_scores)])
    val_answers = validation.predictions(predictor.header)
    threshold = best_threshold(np.array([answer.score for answer in val_answers]), ~photos)
    ranked = ranking(scores, artificial, threshold)
    # There are real and artificial images, so the figures are defined.
    auc, accuracy, best = (
        float(figure.value or 0) for figure in (ranked.auc, ranked.accuracy, ranked.best_accuracy)
    )
    wrong = int(((own_scores >= threshold) == is_photo).sum())
    return LeftOut(
        kind=kind,
        source=source,
        kind_unseen=kind not in {other for other, _ in left},
        train_images=train_images,
        images=len(own_scores),
        other_side=len(other_scores),
        uncertain=_share(own_answers, Verdict.UNCERTAIN),
        wrong_verdicts=_share(own_answers, Verdict.ARTIFICIAL if is_photo else Verdict.REAL),
        auc=auc,
        threshold=threshold,
        accuracy=accuracy,
        best_accuracy=best,
        gap=best - accuracy,
        wrong=wrong,
        wrong_share=wrong / len(own_scores),
        interval=wilson(wrong, len(own_scores)),
        checkpoint=checkpoint,
    )


def _share(answers: Sequence[Prediction], verdict: str) -> float:
    return sum(answer.verdict == verdict for answer in answers) / len(answers)


def _answers(predictor: Predictor, records: Manifest) -> list[Prediction]:
    answers = []
    for prediction in predictor.file_outputs(records.paths()):
        if prediction.logits is None:
            raise FacecheckError(
                f"{path_text(prediction.path)}: {prediction.message}: fix it, or run `facecheck "
                "index` again"
            )
        answers.append(decide(prediction.logits, predictor.header, prediction.features))
    return answers


def best_threshold(scores: Floats, artificial: Flags) -> float:
    """Return the threshold of the best balanced accuracy, the nearest to 0.5 among the best.

    Candidates are 0.5, what lies halfway between neighbouring scores, and beyond the last; without
    two sides it is 0.5.
    """
    if artificial.all() or not artificial.any():
        return 0.5
    levels = np.unique(scores)
    candidates = np.unique([0.5, 0.0, *(levels[1:] + levels[:-1]) / 2, np.nextafter(levels[-1], 2)])
    real, fake = np.sort(scores[~artificial]), np.sort(scores[artificial])
    specificity = np.searchsorted(real, candidates) / len(real)
    recall = 1 - np.searchsorted(fake, candidates) / len(fake)
    quality = (specificity + recall).round(12)
    best = candidates[quality == quality.max()]
    return float(best[np.abs(best - 0.5).argmin()])


def _key(manifest: Path, recipe: Recipe, split: str, per_source: int) -> str:
    """Return what a row depends on, as one hash."""
    made_from = [sha256_file(manifest), recipe.jsonable(), split, per_source]
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def _finished_row(stored: Any) -> tuple[str, LeftOut]:
    """Return what a line of ``results.jsonl`` was made from, and its row."""
    made_from = stored.pop("made_from")
    low, high = stored["interval"]
    row = {**stored, "interval": (low, high), "checkpoint": Path(stored["checkpoint"])}
    return made_from, LeftOut(**row)
