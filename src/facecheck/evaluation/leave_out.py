"""leave-out: what a recipe is worth on strangers' images, by models that never saw their source.

The sources are left out in folds. Those that share their processing (a generator and the
photographs it was trained on, the originals and edits of one data set) belong into one fold, since
what is left of them would teach that this processing is artificial, or real.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from scipy.special import logsumexp

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import sha256_file
from facecheck.core.labels import KINDS, Kind
from facecheck.core.manifest import Manifest, made_from, read_split_manifest, write_manifest
from facecheck.core.parallel import Progress, silent
from facecheck.core.tables import read_table, write_table
from facecheck.evaluation.options import LeaveOutOptions
from facecheck.model.device import choose_device
from facecheck.model.metrics import Floats, auc_of, wilson
from facecheck.training.options import TrainOptions
from facecheck.training.recipe import Recipe
from facecheck.training.state import Epoch
from facecheck.training.teacher import checkpoint_logits
from facecheck.training.train import train

#: The table of scores in the folder.
SCORES = "scores.csv"
#: With ``per_source`` the manifest of the images that were drawn, next to it.
SAMPLE = "sample.csv"
#: Its columns: the log-odds of an artificial face, by a model that never saw the source.
COLUMNS = ("path", "kind", "source", "split", "log_odds")


@dataclass(frozen=True)
class StrangerSource:
    """One source, by the scores of a model that never saw it.

    Attributes:
        kind: of the source.
        source: its name.
        images: scored.
        auc: of an artificial source against each photo source, unseen as well, averaged over these;
            of a photo source against each artificial one. 0.5 is that of a random score.
        recall: of an artificial source, the share above the threshold that 1 % of all left-out
            photographs reach, their sources counted alike; None for photographs.
        interval: 95 % Wilson interval of ``recall``, or of ``alarms``.
        alarms: of a photo source, the share above the threshold that 1 % of the photographs of the
            other photo sources reach; None for artificial ones.
    """

    kind: str
    source: str
    images: int
    auc: float
    recall: float | None
    alarms: float | None
    interval: tuple[float, float]


@dataclass(frozen=True)
class LeaveOutResult:
    """What ``leave_out`` found.

    Attributes:
        manifest: the manifest.
        scores: the table of scores.
        folds: how many trainings there were, those resumed included.
        resumed: folds that an earlier run had finished.
        rows: one for each source.
    """

    manifest: Path
    scores: Path
    folds: int
    resumed: int
    rows: tuple[StrangerSource, ...]


def leave_out(
    manifest: Path,
    recipe: Recipe,
    options: LeaveOutOptions,
    *,
    progress: Progress = silent,
    on_epoch: Callable[[str, Epoch], None] = silent,
) -> LeaveOutResult:
    """Train once without each fold of sources, and score the images of the sources left out.

    Training takes the train split of the other sources; scored are the ``train`` and ``val`` images
    of those left out, which that model never saw, and never ``test``. ``facecheck calibrate
    --left-out`` takes the scores. A finished fold is kept, and the same command resumes.

    Args:
        manifest: a manifest by ``split``.
        recipe: how to train.
        options: which sources belong together, and where scores and runs go.
        progress: of one training.
        on_epoch: called with the fold's name, and each finished epoch.

    Raises:
        UsageError: the manifest is not there, or a source of a fold is unknown, or named twice.
        FacecheckError: there are no photographs or no artificial images; or as
            :func:`~facecheck.training.train.train`.
    """
    data = read_split_manifest(manifest).of_sources(recipe.sources)
    pairs = sorted(
        data.in_split("train").frame.select("kind", "source").unique().rows(),
        key=lambda pair: (KINDS.index(pair[0]), pair[1]),
    )
    folds = _folds(pairs, options)
    options.out.mkdir(parents=True, exist_ok=True)
    used = manifest
    if options.per_source:
        data, used = _sample(data, manifest, options)
    tables, resumed = [], 0
    for fold in folds:
        name = "+".join(source for _, source in fold)
        path = options.out / f"fold-{_key(used, recipe, fold)}.csv"
        if path.is_file():
            resumed += 1
        else:
            left = [f"{kind}/{source}" for kind, source in pairs if (kind, source) not in fold]
            trained = train(
                used,
                recipe.changed({"sources": left}),
                TrainOptions(
                    name=f"without-{name}"[:100],
                    runs=options.out / "runs",
                    device=options.device,
                    workers=options.workers,
                    features=options.features,
                ),
                progress=progress,
                on_epoch=partial(on_epoch, name),
            )
            write_table(_scored(trained.best, data, fold, options), path)
        tables.append(read_table(path))
    scores = pl.concat([_typed(table) for table in tables])
    write_table(scores, options.out / SCORES)
    return LeaveOutResult(
        manifest, options.out / SCORES, len(folds), resumed, tuple(by_source(scores))
    )


def _sample(data: Manifest, manifest: Path, options: LeaveOutOptions) -> tuple[Manifest, Path]:
    """Return some images of each source, and the manifest of these in the folder of scores.

    Of all splits, so that each has its share; those of ``test`` are not scored even so.
    """
    sample = data.sampled(options.per_source)
    path = options.out / SAMPLE
    made_by = made_from(manifest, path, "leave-out", {"per_source": options.per_source})
    write_manifest(sample, path, made_by)
    return sample, path


def _folds(
    pairs: Sequence[tuple[str, str]], options: LeaveOutOptions
) -> list[list[tuple[str, str]]]:
    """Return the folds: the sets that are named, then each other source alone."""
    folds: list[list[tuple[str, str]]] = []
    named: set[tuple[str, str]] = set()
    for text in options.together:
        fold = []
        for source in text.split(":"):
            found = [pair for pair in pairs if source in {pair[1], f"{pair[0]}/{pair[1]}"}]
            if not found or named & set(found):
                why = "named twice" if found else "not a source of the manifest"
                raise UsageError(f"--together {text!r}: {source} is {why}")
            named.update(found)
            fold += found
        folds.append(fold)
    if options.only_together:
        return folds
    return [*folds, *([pair] for pair in pairs if pair not in named)]


def _scored(
    checkpoint: Path, data: Manifest, fold: Sequence[tuple[str, str]], options: LeaveOutOptions
) -> pl.DataFrame:
    records = data.of_sources([f"{kind}/{source}" for kind, source in fold])
    records = records.in_split("train").joined(records.in_split("val"))
    header, logits = checkpoint_logits(
        *(checkpoint, records, options.features),
        device=choose_device(options.device),
        workers=options.workers,
    )
    found = log_odds(logits, header.kinds.index(Kind.PHOTO))
    return records.frame.select(COLUMNS[:-1]).with_columns(pl.Series(COLUMNS[-1], found.round(6)))


def _typed(table: pl.DataFrame) -> pl.DataFrame:
    return table.select(COLUMNS).with_columns(pl.col(COLUMNS[-1]).cast(pl.Float64))


def log_odds(logits: Floats, photo: int) -> Floats:
    """Return the log-odds of an artificial face, shape (n,), of logits, (n, kinds).

    Args:
        logits: of all kinds.
        photo: the place of ``photo`` among them.
    """
    rest = np.delete(logits, photo, axis=1)
    return np.asarray(logsumexp(rest, axis=1) - logits[:, photo])


def by_source(scores: pl.DataFrame) -> list[StrangerSource]:
    """Return each source's figures, artificial sources first by kind, then photographs.

    Raises:
        FacecheckError: there are no photographs, or no artificial images.
    """
    tables = {
        key: part["log_odds"].to_numpy()
        for key, part in scores.partition_by("kind", "source", as_dict=True).items()
    }
    photos = {key: one for key, one in tables.items() if key[0] == Kind.PHOTO}
    others = {key: one for key, one in tables.items() if key[0] != Kind.PHOTO}
    if not photos or not others:
        raise FacecheckError(
            f"no {'photographs' if not photos else 'artificial images'} to compare"
        )
    rows = []
    limit = alike_quantile(list(photos.values()), 0.99)
    for (kind, source), own in others.items():
        found = int((own >= limit).sum())
        auc = float(np.mean([auc_of(own, one) for one in photos.values()]))
        rows.append(
            StrangerSource(
                *(str(kind), str(source), len(own), auc, found / len(own), None),
                interval=wilson(found, len(own)),
            )
        )
    for key, own in photos.items():
        rest = [one for other, one in photos.items() if other != key] or [own]
        found = int((own >= alike_quantile(rest, 0.99)).sum())
        auc = float(np.mean([auc_of(one, own) for one in others.values()]))
        rows.append(
            StrangerSource(
                *(str(key[0]), str(key[1]), len(own), auc, None, found / len(own)),
                interval=wilson(found, len(own)),
            )
        )
    order = [*KINDS[1:], Kind.PHOTO]
    return sorted(rows, key=lambda row: (order.index(row.kind), row.source))


def alike_quantile(parts: Sequence[Floats], share: float) -> float:
    """Return the least value that ``share`` of all do not exceed, each part counted alike.

    Args:
        parts: the values of each source, shape (n,), n of 1 or more.
        share: above 0 and at most 1.
    """
    values = np.concatenate(parts)
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in parts])
    order = values.argsort()
    reached = weights[order].cumsum() / weights.sum()
    place = min(int(np.searchsorted(reached, share - 1e-12)), len(values) - 1)
    return float(values[order][place])


def _key(manifest: Path, recipe: Recipe, fold: Sequence[tuple[str, str]]) -> str:
    """Return what a fold's scores depend on, as one hash."""
    made_from = [sha256_file(manifest), recipe.jsonable(), list(fold)]
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]
