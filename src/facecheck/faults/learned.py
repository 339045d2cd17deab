"""What a frozen encoder's features say: labels that are probably wrong, and images unlike the rest.

Suspected label errors are found in the manner of confident learning (C. Northcutt, L. Jiang, I.
Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, 2021): a classifier
that has not seen an image gives each kind a probability; each kind has a threshold of its own, the
mean that images labelled so have; an image is suspected where another kind is further beyond its
threshold, and ranked by the probability of its own kind (self-confidence).

The trap: nearly always a source has one kind, so that a classifier which knows the source finds
its labels right. An image that came from elsewhere is found all the same; a source that is wrong as
a whole is not. Models that have seen nothing of the source would find it, but cannot be asked: of
24 wrong labels among 627 images they found 16, and doubted 218 others (docs/curation.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

#: Principal components of the features that are kept.
COMPONENTS = 256
#: Images that the components are computed from, and the nearest ones are searched among.
SAMPLE = 8192
#: Inverse strength of the classifier's regularisation.
_C = 1.0
#: Neighbours that an image is shown with.
SHOWN = 5
#: A source of fewer images has no usual image.
FEW = 20
#: Rows that are compared at a time: a bound on memory.
_CHUNK = 1024
_READ = 16_384


FeatureSet = npt.NDArray[np.floating[Any]]
#: Returns features of some images, by their places, as sets of shape (m, width).
Read = Callable[[Ints], Sequence[FeatureSet]]


@dataclass(frozen=True)
class Images:
    """What is known of n images.

    Attributes:
        features: shape (n, k), of :func:`project`.
        labels: shape (n,), places among the kinds.
        components: shape (n,), equal for images that must stay together.
        folds: shape (n,), which keep these together.
    """

    features: Floats
    labels: Ints
    components: Ints
    folds: Ints


@dataclass(frozen=True)
class Suspected:
    """Suspected label errors among n images.

    Attributes:
        suggested: shape (n,), the place of the kind that is confident instead, or -1.
        score: shape (n,), 1 - the probability of the image's own kind.
    """

    suggested: Ints
    score: npt.NDArray[np.float64]


def project(read: Read, count: int) -> Floats:
    """Return features centred, scaled and projected on their principal components, (n, k).

    Every set counts alike, however wide it is.

    Args:
        read: gives the features of images.
        count: n.
    """
    from sklearn.decomposition import PCA

    drawn = read(np.sort(np.random.default_rng(0).permutation(count)[:SAMPLE]))
    scales = [_scale(one) for one in drawn]

    def scaled(sets: Sequence[FeatureSet]) -> Floats:
        parts = zip(sets, scales, strict=True)
        return np.concatenate([(one - centre) / spread for one, (centre, spread) in parts], axis=1)

    values = scaled(drawn)
    kept = min(COMPONENTS, *(side - 1 for side in values.shape))
    basis = PCA(kept, svd_solver="randomized", random_state=0).fit(values).components_.T
    starts = range(0, count, _READ)
    rows = (np.arange(start, min(start + _READ, count)) for start in starts)
    return np.concatenate([scaled(read(part)) @ basis for part in rows])


def _scale(features: FeatureSet) -> tuple[Floats, Floats]:
    """Return the mean of each feature, and what to divide by for the set's variance to be 1."""
    values = features.astype(np.float32)
    spread: Floats = (values.std(axis=0) + 1e-6) * np.sqrt(values.shape[1])
    return values.mean(axis=0), spread


def suspected(images: Images, kinds: int) -> Suspected:
    """Return the images whose labels are probably wrong.

    Args:
        images: of two kinds or more, each of several folds.
        kinds: how many there are.
    """
    answers = np.zeros((len(images.labels), kinds))
    for fold in np.unique(images.folds):
        asked = images.folds == fold
        model = _classifier().fit(images.features[~asked], images.labels[~asked])
        answers[np.ix_(asked, model.classes_)] = model.predict_proba(images.features[asked])
    own = answers[np.arange(len(answers)), images.labels]
    usual = np.array([own[images.labels == kind].mean() for kind in range(kinds)])
    best = (answers - usual).argmax(axis=1)
    return Suspected(np.where(best == images.labels, -1, best), 1 - own)


def _classifier() -> LogisticRegression:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=_C, class_weight="balanced", max_iter=300)


def unlike(features: Floats, names: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return how unlike the rest of its source each image is, shape (n,).

    It is the distance to the median of the source, over the median of these distances: strange
    images that resemble each other do not hide each other, as they would from their neighbours.
    A source of fewer than :data:`FEW` images gives 0.

    Args:
        features: shape (n, k).
        names: shape (n,), the kind and source of each.
    """
    ratio = np.zeros(len(names))
    for name in np.unique(names):
        own = np.flatnonzero(names == name)
        if len(own) >= FEW:
            apart = np.linalg.norm(features[own] - np.median(features[own], axis=0), axis=1)
            ratio[own] = apart / max(float(np.median(apart)), 1e-9)
    return ratio


def nearest(images: Images, asked: Ints, among: Ints) -> Ints:
    """Return the places of the images most like some, shape (m, 5); -1 where there are fewer.

    Args:
        images: all of them.
        asked: places of m images.
        among: places of those to choose from; of many, :data:`SAMPLE` are compared. What belongs
            together with an image is no neighbour of it.
    """
    if len(among) > SAMPLE:
        among = np.sort(np.random.default_rng(0).permutation(among)[:SAMPLE])
    found = np.full((len(asked), SHOWN), -1, np.int64)
    for start in range(0, len(asked), _CHUNK):
        rows = asked[start : start + _CHUNK]
        apart = -_directions(images.features[rows]) @ _directions(images.features[among]).T
        apart[images.components[rows][:, None] == images.components[among]] = np.inf
        near = np.argsort(apart, axis=1, kind="stable")[:, :SHOWN]
        there = np.isfinite(np.take_along_axis(apart, near, axis=1))
        found[start : start + _CHUNK, : near.shape[1]] = np.where(there, among[near], -1)
    return found


def _directions(features: Floats) -> Floats:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    found: Floats = features / np.maximum(length, 1e-9)
    return found
