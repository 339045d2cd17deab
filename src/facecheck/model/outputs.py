"""What a checkpoint says of every image of a split, for calibrate and evaluate alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import path_text
from facecheck.core.manifest import SPLITS, Manifest, read_manifest
from facecheck.core.parallel import Progress
from facecheck.model.checkpoint import Header
from facecheck.model.metrics import Floats, Labels
from facecheck.model.predict import Prediction, Predictor, decide_all


@dataclass(frozen=True)
class SplitOutputs:
    """The outputs for the n images of a split that could be read, in the manifest's order.

    Attributes:
        frame: columns ``path``, ``source`` and ``kind``.
        labels: shape (n,), the true kinds as places among the checkpoint's.
        logits: shape (n, kinds).
        features: shape (n, width), or None where the predictor gives none.
        errors: (path, reason) of files that could not be read.
    """

    frame: pl.DataFrame
    labels: Labels
    logits: Floats
    features: Floats | None
    errors: tuple[tuple[str, str], ...]

    def predictions(self, header: Header) -> list[Prediction]:
        """Return every image's prediction by this header."""
        return decide_all(self.logits, self.features, header)


def split_records(manifest: Path, split: str, sources: Sequence[str]) -> Manifest:
    """Return the records of a split, of these kinds, sources or ``kind/source`` pairs if any.

    Raises:
        UsageError: there is no such split, source or manifest.
        ManifestError: the manifest cannot be read.
        FacecheckError: no records are in it.
    """
    if split not in SPLITS:
        raise UsageError(f"--split {split}: must be one of {', '.join(SPLITS)}")
    records = read_manifest(manifest).of_sources(sources).in_split(split)
    if not len(records):
        raise UsageError(
            f"{path_text(manifest)}: no records in split {split!r}: run `facecheck split` first, "
            "or name another with --split"
        )
    return records


def predict_split(
    predictor: Predictor,
    checkpoint: Path,
    manifest: Path,
    split: str,
    sources: Sequence[str],
    *,
    batch_size: int,
    workers: int | None,
    progress: Progress,
    per_source: int = 0,
) -> SplitOutputs:
    """Apply a model to one split of a manifest, or to ``per_source`` images of each source.

    Raises:
        UsageError: there is no such split, source or manifest.
        ManifestError: the manifest cannot be read.
        FacecheckError: the split has no images, holds a kind the checkpoint does not know, or
            not one of its files can be read.
    """
    records = split_records(manifest, split, sources)
    if per_source:
        records = records.sampled(per_source)
    kinds = predictor.header.kinds
    unknown = sorted(set(records.frame["kind"]) - set(kinds))
    if unknown:
        raise UsageError(
            f"{path_text(checkpoint)} knows {', '.join(kinds)}, but the split holds "
            f"{', '.join(unknown)}: leave them out with --sources, such as --sources {kinds[0]}, "
            "or train with them"
        )
    found = []
    stream = predictor.file_outputs(records.paths(), batch_size=batch_size, workers=workers)
    for prediction in stream:
        found.append(prediction)
        progress(len(found), len(records))
    errors = tuple((path_text(row.path), row.message) for row in found if row.logits is None)
    logits = [row.logits for row in found if row.logits is not None]
    if not logits:
        raise FacecheckError(
            f"not one of {len(found):,} images could be read, the first: {errors[0]}"
        )
    features = [row.features for row in found if row.features is not None]
    read = pl.Series([row.logits is not None for row in found])
    frame = records.frame.select("path", "source", "kind").filter(read)
    return SplitOutputs(
        frame=frame,
        labels=np.array([kinds.index(kind) for kind in frame["kind"]]),
        logits=np.stack(logits),
        features=np.stack(features) if features else None,
        errors=errors,
    )
