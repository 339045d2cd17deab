"""From which score a file that shows several faces is artificial.

A file is as artificial as its most artificial face, whose score is the largest of n: with the
threshold for one face, n real faces have n chances to reach it. So that as few files are wrong as
single faces, each of n faces may be wrong 1/n as often (Bonferroni 1936, "Teoria statistica delle
classi e calcolo delle probabilità"); how far up that is depends on how fast scores of real faces
become rare. docs/several-faces.md has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from facecheck.core.errors import CheckpointError
from facecheck.model.checkpoint import Header
from facecheck.model.metrics import Floats

#: Where a header's calibration keeps the :class:`Tail`.
SEVERAL_FACES = "several_faces"
#: The numbers of faces for which results say the threshold.
SHOWN = (1, 4, 16, 64)
#: The share of real images whose scores are the tail, the highest ones, and the fewest of them.
_SHARE, _FEWEST = 0.1, 10


@dataclass(frozen=True)
class Tail:
    """How fast high scores of real faces become rare.

    Attributes:
        rise: by how much the log-odds of the score rise as scores get e times rarer; 0 or more.
        images: on how many images that was measured; 1 or more.
    """

    rise: float
    images: int

    def above(self, faces: int) -> float:
        """Return how far the log-odds rise until scores are ``faces`` times rarer.

        That would be ``rise * log(faces)`` if ``rise`` were known for certain. As the mean of
        ``images`` exponential values it is not, and on average over such samples the new face
        exceeds this with the probability wanted (the predictive distribution, of Lomax 1954).
        """
        more: float = faces ** (1 / self.images)
        return self.rise * self.images * (more - 1)


@dataclass(frozen=True)
class FileThreshold:
    """The score from which a file is artificial, by how many of its faces were classified.

    Attributes:
        high: from which a single face is artificial, 0 to 1.
        tail: None where it is not known, and every file is held against ``high``.
        low: up to which a face is real, 0 to ``high``, whatever else is in the file.
    """

    high: float = 0.0
    tail: Tail | None = None
    low: float = 0.0

    def of(self, faces: int) -> float:
        """Return the threshold, 0 to 1, for a file of so many faces, 1 or more."""
        if self.tail is None or faces == 1 or not 0 < self.high < 1:
            return self.high
        odds = math.log(self.high / (1 - self.high)) + self.tail.above(faces)
        return max(self.high, (1 + math.tanh(odds / 2)) / 2)  # the logistic function

    def table(self) -> dict[str, float] | None:
        """Return the threshold by number of faces, for :data:`SHOWN`; None where not known."""
        return None if self.tail is None else {str(faces): self.of(faces) for faces in SHOWN}


def file_threshold(header: Header) -> FileThreshold:
    """Return the threshold for files, by a header's own for single faces.

    Raises:
        CheckpointError: what the header says of the tail is not a :class:`Tail`.
    """
    stored = header.calibration.get(SEVERAL_FACES)
    low, high = header.thresholds
    return FileThreshold(high, None if stored is None else _tail(stored), low)


def _tail(stored: Mapping[str, Any]) -> Tail:
    try:
        tail = Tail(float(stored["rise"]), int(stored["images"]))
        if 0 <= tail.rise < math.inf and tail.images >= 1:
            return tail
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    raise CheckpointError(
        f"checkpoint field 'calibration' cannot have {SEVERAL_FACES} {stored!r}: calibrate it again"
    )


def fit_tail(real: Floats) -> Tail | None:
    """Return the tail of real images' scores: an exponential one, by maximum likelihood.

    It is of the highest tenth of the scores, in log-odds, where real tails measured are no longer
    than exponential (docs/several-faces.md).

    Args:
        real: scores of real images, shape (n,), 0 to 1.

    Returns:
        None with fewer than 20 images, too few to know a tail by.
    """
    if len(real) < 2 * _FEWEST:
        return None
    scores = np.sort(np.clip(real, 1e-15, 1 - 1e-15))[::-1]
    odds = np.log(scores / (1 - scores))
    count = max(_FEWEST, round(_SHARE * len(odds)))
    return Tail(round(float((odds[:count] - odds[count]).mean()), 6), count)


def precise(score: float) -> str:
    """Return a threshold with the digits that distinguish it from 1: ``0.961``, ``0.99997``."""
    digits = 3 if score >= 1 else max(3, 1 - math.floor(math.log10(1 - score)))
    return f"{score:.{digits}f}"
