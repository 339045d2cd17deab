"""Whether a verdict holds when its image is stored a little differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from facecheck.core.labels import Verdict
from facecheck.model.perturb import encode, scale
from facecheck.model.predict import Prediction

#: What a variant is drawn from; mild, as any site does it: it hides nothing of how a face was made.
_FORMATS = ("JPEG", "WEBP")
_QUALITY = (75, 95)
_SCALE = (0.75, 1.0)


def variants(image: Image.Image, count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield ``count`` variants of an RGB image, scaled down a little and re-encoded.

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


def flag_unstable(answers: Sequence[Prediction]) -> Prediction:
    """Return the prediction for an image, made uncertain if those for its variants contradict it.

    Its ``spread`` is the largest score less the smallest. If one of them is real and another is
    not, the verdict becomes ``uncertain``: what is called real must be so however it is stored.

    Args:
        answers: for the image, then for each variant; an image without variants stays as it is.
    """
    own = answers[0]
    if len(answers) == 1:
        return own
    scores = [answer.score for answer in answers]
    verdicts = {answer.verdict for answer in answers}
    own = replace(own, spread=max(scores) - min(scores))
    if own.verdict == Verdict.UNCERTAIN or Verdict.REAL not in verdicts or len(verdicts) == 1:
        return own
    reason = f"{own.verdict} as it is, but not when scaled or re-encoded"
    return replace(own, verdict=Verdict.UNCERTAIN, reason=reason)
