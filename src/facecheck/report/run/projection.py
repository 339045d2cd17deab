"""Maps of the representations: many numbers of each image laid out on a plane."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facecheck.model.metrics import Floats

Plane = npt.NDArray[np.float32]

#: With fewer images a map of neighbours says nothing.
FEWEST = 10
#: t-SNE uses this many principal components, as its authors do.
_COMPONENTS = 50


def project(features: Floats) -> tuple[dict[str, Plane], float]:
    """Return maps of the images by name, and the share of the variance that PCA's two axes hold.

    PCA (Pearson 1901), and t-SNE (van der Maaten & Hinton 2008) begun from it, which keeps
    neighbours together and says nothing of distances between groups. The same features give the
    same maps.

    Args:
        features: shape (n, width), n of 3 or more.

    Returns:
        maps of shape (n, 2), each axis scaled to -1 to 1; t-SNE only with ten images or more.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    count = len(features)
    reduced = PCA(min(_COMPONENTS, count, features.shape[1]), random_state=0)
    components = reduced.fit_transform(features)
    maps = {"PCA": _scaled(components[:, :2])}
    if count >= FEWEST:
        tsne = TSNE(2, perplexity=min(30, (count - 1) / 3), init="pca", random_state=0)
        maps["t-SNE"] = _scaled(tsne.fit_transform(components))
    held = reduced.explained_variance_ratio_
    return maps, float(np.nan_to_num(held[:2]).sum())


def _scaled(points: Floats) -> Plane:
    """Return points with each axis from -1 to 1, as wide as it is, or all 0."""
    wide = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    middle = (wide.max(axis=0) + wide.min(axis=0)) / 2
    reach = np.ptp(wide, axis=0) / 2
    return np.asarray((wide - middle) / np.where(reach > 0, reach, 1), np.float32)
