"""From a manifest to its suspected label errors and outliers, by the features of an encoder."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from facecheck.core.manifest import Manifest
from facecheck.core.parallel import Progress
from facecheck.core.workspace import find_encoder
from facecheck.data.audit import group_folds
from facecheck.data.duplicates.groups import components, duplicates_of
from facecheck.faults.learned import (
    FEW,
    SHOWN,
    FeatureSet,
    Floats,
    Images,
    Ints,
    nearest,
    project,
    suspected,
    unlike,
)
from facecheck.faults.options import FaultOptions
from facecheck.faults.table import table_rows
from facecheck.model.encoder import Encoder
from facecheck.model.transforms import Transform
from facecheck.training.feature_cache import FeatureCache
from facecheck.training.recipe import Recipe

LABEL_ERROR, OUTLIER = LEARNED = ("label error", "outlier")
#: Of a kind of fewer images nothing can be learned.
MIN_IMAGES = 10
#: What shows so little that its label is neither learned from nor doubted.
UNCLEAR = ("dark", "bright", "low information", "blurred", "no face")


@dataclass(frozen=True)
class LearnedRows:
    """What the features say.

    Attributes:
        rows: of the table, a frame for each reason.
        not_checked: reasons that could not be checked, and why.
    """

    rows: Sequence[pl.DataFrame]
    not_checked: Mapping[str, str] = field(default_factory=dict)


def learned_rows(
    manifest: Path,
    records: Manifest,
    readable: pl.DataFrame,
    unclear: Collection[str],
    options: FaultOptions,
    progress: Progress,
) -> LearnedRows:
    """Return the rows of suspected label errors and of outliers.

    Args:
        manifest: where the records are from.
        records: the records that are not excluded.
        readable: the measured ones, with ``path`` and the ``sha256`` that the file has now.
        unclear: paths of the records that have one of the faults :data:`UNCLEAR`.
        options: the encoder, and the thresholds.
        progress: called with features computed and to compute.

    Raises:
        UsageError: the encoder is not there.
        CheckpointError: it cannot be used.
        FacecheckError: another process computes features into the folder, or the disk is full.
    """
    frame = records.frame.drop("sha256").join(
        readable.select("path", "sha256"), on="path", how="inner", maintain_order="left"
    )
    if frame.height < FEW:
        return LearnedRows((), dict.fromkeys(LEARNED, f"under {FEW} images"))
    features = _features(Manifest(frame), options, progress)
    pairs = duplicates_of(manifest)[1]
    bound = components(frame, pairs)
    folds = group_folds(frame, pairs, seed=0)
    names, labels = np.unique(frame["kind"].to_numpy(), return_inverse=True)
    images = Images(features, labels, bound, folds)
    outliers = _outliers(frame, images, options.outlier)
    clear = ~frame["path"].is_in(list(unclear)).to_numpy()
    many = np.bincount(labels[clear], minlength=len(names)) >= MIN_IMAGES
    if many.sum() < 2:
        why = f"it takes two kinds of {MIN_IMAGES} images or more"
        return LearnedRows((outliers,), {LABEL_ERROR: why})
    asked = np.flatnonzero(clear & many[labels])
    errors = _label_errors(frame, images, names, asked, options.label_error)
    return LearnedRows((errors, outliers))


def _features(records: Manifest, options: FaultOptions, progress: Progress) -> Floats:
    encoder = Encoder(find_encoder(options.encoder))
    transform = Transform.for_size(encoder.image_size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    cache = FeatureCache(options.features, encoder, Recipe(), transform)
    cache.compute({0: records}, workers=options.workers, progress=progress)

    def read(places: Ints) -> list[FeatureSet]:
        return [one[:, 0] for one in cache.read(Manifest(records.frame[places]), (0,))]

    return project(read, len(records))


def _outliers(frame: pl.DataFrame, images: Images, threshold: float) -> pl.DataFrame:
    """Return a row for each image that is unlike the rest of its source."""
    names = (frame["kind"] + "/" + frame["source"]).to_numpy()
    ratio = unlike(images.features, names)
    places = np.flatnonzero(ratio >= threshold)
    near = np.full((len(places), SHOWN), -1, np.int64)
    for name in np.unique(names[places]):
        here = names[places] == name
        near[here] = nearest(images, places[here], np.flatnonzero(names == name))
    rows = frame[places].with_columns(
        score=pl.Series(1 - threshold / ratio[places], dtype=pl.Float64),
        value=pl.Series(ratio[places], dtype=pl.Float64),
        neighbours=_paths(frame, near),
    )
    return table_rows(rows, OUTLIER, "times the median distance from the source's middle")


def _label_errors(
    frame: pl.DataFrame,
    images: Images,
    names: npt.NDArray[Any],
    asked: Ints,
    threshold: float,
) -> pl.DataFrame:
    """Return a row for each image whose label is probably wrong.

    Args:
        frame: the records.
        images: what is known of them.
        names: of the kinds.
        asked: places of those that are learned from and doubted.
        threshold: the lowest score that is listed.
    """
    kinds, labels = np.unique(images.labels[asked], return_inverse=True)
    part = Images(images.features[asked], labels, images.components[asked], images.folds[asked])
    found = suspected(part, len(kinds))
    listed = np.flatnonzero((found.suggested >= 0) & (found.score >= threshold))
    rows = frame[asked[listed]].with_columns(
        score=pl.Series(found.score[listed], dtype=pl.Float64),
        value=pl.Series(1 - found.score[listed], dtype=pl.Float64),
        suggested=pl.Series(names[kinds[found.suggested[listed]]].tolist(), dtype=pl.String),
        neighbours=_paths(frame, nearest(images, asked[listed], asked)),
    )
    return table_rows(rows, LABEL_ERROR, "probability of its own kind")


def _paths(frame: pl.DataFrame, places: Ints) -> pl.Series:
    """Return the paths of images at some places, a list for each row; -1 is left out."""
    paths = frame["path"].to_list()
    lists = [[paths[place] for place in row if place >= 0] for row in places]
    return pl.Series("neighbours", lists, dtype=pl.List(pl.String))
