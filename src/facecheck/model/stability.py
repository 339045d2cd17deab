"""Whether a verdict stands when its image is stored a little differently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from facecheck.core.errors import ImageError
from facecheck.core.image import decode
from facecheck.core.parallel import cpu_count, map_ordered
from facecheck.model.perturb import encode, scale
from facecheck.model.predict import ARTIFICIAL, REAL_VERDICT, UNCERTAIN, Predictor, Verdict
from facecheck.model.transforms import Transform, load_input

#: What a variant is drawn from; mild, as any site does it: nothing here hides a face's making.
_FORMATS = ("JPEG", "WEBP")
_QUALITY = (75, 95)
_SCALE = (0.75, 1.0)


@dataclass(frozen=True)
class Stability:
    """The answer for one image, and how it stands in the image's variants.

    Attributes:
        answer: for the image itself.
        scores: of the image itself, then of each variant, 0 to 1.
        spread: largest score less the smallest.
        flips: whether one of them is called real and another artificial.
    """

    answer: Verdict
    scores: tuple[float, ...]
    spread: float
    flips: bool

    @property
    def verdict(self) -> str:
        """The image's verdict, or ``uncertain`` if it flips."""
        return UNCERTAIN if self.flips else self.answer.verdict


def variants(image: Image.Image, count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield ``count`` variants of an RGB image, scaled down a little and encoded anew.

    The scale is 0.75 to 1, the format JPEG or WebP, the quality 75 to 95; what is drawn depends on
    the seed alone, so that every image goes through the same.
    """
    random = np.random.default_rng(seed)
    for _ in range(count):
        factor, quality = (
            random.uniform(*_SCALE),
            int(random.integers(_QUALITY[0], _QUALITY[1] + 1)),
        )
        file_format = _FORMATS[random.integers(len(_FORMATS))]
        yield encode(scale(image, factor), file_format, quality=quality)


def stability(source: Path | bytes, predictor: Predictor, n: int, seed: int = 0) -> Stability:
    """Judge an image and ``n`` variants of it.

    Raises:
        ImageError: the image cannot be decoded.
    """
    return _judge(_inputs(source, predictor.header.transform, n, seed), predictor)


def judge_stably(
    paths: Iterable[Path],
    predictor: Predictor,
    n: int,
    *,
    seed: int = 0,
    workers: int | None = None,
) -> Iterator[Stability | str]:
    """Yield each file's :class:`Stability`, or why it cannot be read, in the order of the paths.

    Files are decoded and varied by threads while the model runs; a file and its variants are one
    batch, so that its scores do not depend on its neighbours.
    """
    transform = predictor.header.transform

    def load(path: Path) -> npt.NDArray[np.uint8] | str:
        try:
            return _inputs(path, transform, n, seed)
        except ImageError as error:
            return str(error)

    threads = workers or cpu_count()
    for inputs in map_ordered(load, paths, workers=threads, ahead=2 * threads):
        yield inputs if isinstance(inputs, str) else _judge(inputs, predictor)


def _inputs(source: Path | bytes, transform: Transform, n: int, seed: int) -> npt.NDArray[np.uint8]:
    """Return the inputs of an image and its variants, the image first."""
    own = load_input(source, transform)
    # Large JPEGs at a reduced scale, as the model itself sees them.
    image = decode(source, short_side=transform.resize).image
    return np.stack([own, *(load_input(data, transform) for data in variants(image, n, seed))])


def _judge(inputs: npt.NDArray[np.uint8], predictor: Predictor) -> Stability:
    answers = predictor.verdicts(inputs)
    scores = tuple(answer.score for answer in answers)
    verdicts = {answer.verdict for answer in answers}
    return Stability(
        answer=answers[0],
        scores=scores,
        spread=max(scores) - min(scores),
        flips={REAL_VERDICT, ARTIFICIAL} <= verdicts,
    )
