"""The real images of a manifest that a generator learns from, or is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import psutil

from facecheck.core.errors import TrainingError
from facecheck.core.files import path_text
from facecheck.core.labels import check_kind
from facecheck.core.manifest import Manifest, read_split_manifest
from facecheck.generator.options import ALL
from facecheck.generator.pictures import Pixels
from facecheck.model.transforms import Transform
from facecheck.training.dataset import TrainingImages
from facecheck.training.decoded import DecodedImages
from facecheck.training.recipe import Recipe

#: Fewer images than this neither teach nor prove anything.
_FEWEST = 2
_HALF = (0.5, 0.5, 0.5)


def real_records(
    manifest: Path, splits: Sequence[str], *, kind: str = ALL, sources: Sequence[str] = ()
) -> Manifest:
    """Return the records of these splits, excluded ones left out.

    Args:
        manifest: a manifest by ``split``.
        splits: of ``train``, ``val`` and ``test``.
        kind: only this one, or ``all``.
        sources: only these kinds, sources or ``kind/source`` pairs; empty for all.

    Raises:
        UsageError: the manifest is not there, or a kind or source is unknown.
        ManifestError: it cannot be read, or files of it are gone.
        TrainingError: it has no splits, or fewer than two such records.
    """
    name = path_text(manifest)
    data = read_split_manifest(manifest)
    data = data.of_sources(sources)
    if kind != ALL:
        data.of_sources([check_kind(kind, "--kind")])  # raises where there is none
        data = data.where(pl.col("kind") == kind)
    found = data.where(pl.col("split").is_in(list(splits)) & (pl.col("excluded") == ""))
    if len(found) < _FEWEST:
        raise TrainingError(
            f"{name}: {len(found)} such images in split {' and '.join(splits)}: add more, or "
            "choose another --kind or --sources"
        )
    found.require_files(manifest)
    return found


class RealImages:
    """Records as squares of pixels; what they decode to is kept in up to half of the free memory.

    Attributes:
        kinds: the kinds' numbers, shape (N,).
    """

    def __init__(self, records: Manifest, kinds: Sequence[str], size: int) -> None:
        """Take the records; ``kinds`` gives each kind its number, ``size`` is the squares' side."""
        labels = [kinds.index(kind) for kind in records.frame["kind"]]
        self.kinds: npt.NDArray[np.int64] = np.array(labels)
        self._size = size
        self._images = TrainingImages(
            *(records.paths(), labels, Transform(size, size, _HALF, _HALF), Recipe()),
            decoded=DecodedImages(len(labels), size, psutil.virtual_memory().available // 2),
        )

    def pixels(self, positions: Sequence[int]) -> Pixels:
        """Return the middle squares of some images, scaled; shape (N, size, size, 3).

        Raises:
            TrainingError: a file is gone or cannot be decoded.
        """
        return np.stack([self._square(position) for position in positions])

    def _square(self, position: int) -> Pixels:
        pixels = self._images.pixels(position)
        top, left = ((side - self._size) // 2 for side in pixels.shape[:2])
        return pixels[top : top + self._size, left : left + self._size]
