"""Out-of-distribution detection: is an image like anything the model was calibrated on?

Imports no torch, so that any engine can use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from facecheck.model.metrics import Floats, Labels


@dataclass(frozen=True)
class OODDetector:
    """The mean of each kind's features, and the distance from all of them that is too far.

    Attributes:
        centres: a unit vector for each kind; shape (kinds, width).
        limit: the cosine distance, 0 to 2, from the nearest centre above which an image is like
            no kind.
    """

    centres: tuple[tuple[float, ...], ...]
    limit: float

    def is_ood(self, features: npt.ArrayLike) -> bool:
        """Return whether one image's features, shape (width,), are like no kind."""
        found = np.asarray(features, dtype=np.float64)[None]
        return float(distances(found, self._centres)[0]) > self.limit

    @cached_property
    def _centres(self) -> Floats:
        return np.array(self.centres)


def distances(features: Floats, centres: Floats) -> Floats:
    """Return each image's cosine distance from the nearest centre, 0 to 2, shape (n,).

    Args:
        features: shape (n, width); what has no length is at distance 1 from everything.
        centres: unit vectors, shape (kinds, width).
    """
    return np.asarray(1 - (_unit(features) @ centres.T).max(axis=1))


def fit_ood_detector(features: Floats, labels: Labels, percentile: float) -> OODDetector:
    """Return the detector that accepts ``percentile`` % of these images, or a few more.

    A nearest-mean classifier (Mensink et al. 2013) on features of unit length, whose length says
    little (Sun et al. 2022, "Out-of-distribution detection with deep nearest neighbors").

    Args:
        features: shape (n, width), n of 1 or more.
        labels: shape (n,), the kinds.
        percentile: 0 to 100.
    """
    units = _unit(features)
    means = np.stack([units[labels == kind].mean(axis=0) for kind in np.unique(labels)])
    centres = np.round(_unit(means), 6)
    limit = float(np.percentile(distances(features, centres), percentile, method="higher"))
    return OODDetector(tuple(tuple(map(float, row)) for row in centres), round(limit + 1e-6, 6))


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1))
