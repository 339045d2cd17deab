"""The one forward path: from files to probabilities, for validation, evaluate and scan alike."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from facecheck.core.errors import CheckpointError, ImageError
from facecheck.core.labels import Kind, Verdict
from facecheck.core.parallel import chunked, cpu_count, map_ordered
from facecheck.model.checkpoint import Header
from facecheck.model.metrics import Floats, softmax
from facecheck.model.transforms import Transform, load_input

Pixels = npt.NDArray[np.uint8]
#: Waits for a batch that an engine has begun with; gives its logits, and its features or None.
Finish = Callable[[], tuple[Floats, Floats | None]]


#: Why there is no answer for an image that could be read.
NOT_FINITE = "the model's answer is not a finite number"


class NotFiniteError(CheckpointError):
    """A model gives NaN or infinity: its weights are damaged, or overflow in its precision."""


@dataclass(frozen=True)
class FileOutput:
    """What a model gives for one file.

    Attributes:
        path: the file.
        logits: shape (kinds,), in the checkpoint's order; None if the file cannot be read, or the
            model has no finite answer.
        message: why the file cannot be read, or empty.
        features: shape (width,), the input of the head; None if the file cannot be read, or if
            nobody needs them.
    """

    path: Path
    logits: Floats | None
    message: str = ""
    features: Floats | None = None


class Predictor(Protocol):
    """A model on an engine: what every caller may rely on, whatever runs the network.

    An engine gives the attributes, :meth:`begin_crops` and :meth:`save`; the other methods are made
    of these, so that all engines take the same road from an image to a prediction.

    Attributes:
        header: what the model's file holds apart from its weights.
        device: where the engine computes, such as ``cpu`` or ``cuda:0``.
        gives_features: whether :meth:`outputs` gives the features too.
    """

    header: Header
    device: str
    gives_features: bool

    @abstractmethod
    def begin_crops(self, pixels: Pixels) -> Finish:
        """Begin with crops, shape (M, image_size, image_size, 3), RGB, 0 to 255.

        Returns:
            what waits for each crop's logits, shape (M, kinds), and features, shape (M, width).
        """

    @abstractmethod
    def save(self, header: Header, path: Path) -> None:
        """Write the same network with another header to ``path``.

        Raises:
            CheckpointError: the file cannot be written, or the extra that writes it is missing.
        """

    def begin(self, batch: Pixels) -> Finish:
        """Begin with a batch, and return what waits for its :meth:`outputs`.

        Who begins with the next batch before waiting keeps the device busy.
        """
        finish = self.begin_crops(batch.reshape(-1, *batch.shape[2:]))

        def outputs() -> tuple[Floats, Floats | None]:
            logits, features = finish()
            seen = None if features is None else _over_crops(features, len(batch))
            return _over_crops(logits, len(batch)), seen

        return outputs

    def outputs(self, batch: Pixels) -> tuple[Floats, Floats | None]:
        """Return logits, shape (N, kinds), and features, shape (N, width), of a batch.

        Both are the mean over each image's crops. The features, which are the input of the head,
        are None unless :attr:`gives_features`.

        Args:
            batch: shape (N, crops, image_size, image_size, 3), RGB, 0 to 255.
        """
        return self.begin(batch)()

    def predictions(self, batch: Pixels) -> list[Prediction]:
        """Return each image's prediction, for a batch as :meth:`outputs` takes it.

        Raises:
            NotFiniteError: the model has no answer for one of them.
        """
        return decide_all(*self.outputs(batch), self.header)

    def all_predictions(self, batches: Iterable[Pixels]) -> Iterator[Prediction | None]:
        """Yield each image's prediction over several batches, one begun ahead.

        It is None where the model's answer is not a finite number.
        """
        begun: deque[Finish] = deque()
        for batch in batches:
            begun.append(self.begin(batch))
            if len(begun) > 1:
                yield from _decide_each(*begun.popleft()(), self.header)
        for finish in begun:
            yield from _decide_each(*finish(), self.header)

    def file_outputs(
        self, paths: Iterable[Path], *, batch_size: int = 32, workers: int | None = None
    ) -> Iterator[FileOutput]:
        """Yield the output for each path, in order; a bad file has a message instead of logits.

        Files are decoded by threads while the model runs; memory holds a few batches at most.
        """
        transform = self.header.transform
        loaded = map_ordered(
            lambda path: _load(path, transform),
            paths,
            workers=workers or cpu_count(),
            ahead=2 * batch_size,
        )
        for batch in chunked(loaded, batch_size):
            yield from _batch_outputs(self, batch)


def _batch_outputs(predictor: Predictor, batch: tuple[_Loaded, ...]) -> Iterator[FileOutput]:
    pixels = [item.pixels for item in batch if item.pixels is not None]
    logits, features = predictor.outputs(np.stack(pixels)) if pixels else ((), None)
    rows = iter(range(len(logits)))
    for item in batch:
        if item.pixels is None:
            yield FileOutput(item.path, None, item.message)
        else:
            row = next(rows)
            seen = None if features is None else features[row]
            if _finite(logits[row], seen):
                yield FileOutput(item.path, logits[row], features=seen)
            else:
                yield FileOutput(item.path, None, NOT_FINITE)


def _over_crops(rows: Floats, images: int) -> Floats:
    """Return the mean over each image's crops, shape (images, width), of a row for each crop."""
    return np.asarray(rows.reshape(images, -1, rows.shape[1]).mean(axis=1))


@dataclass(frozen=True)
class _Loaded:
    path: Path
    pixels: Pixels | None
    message: str = ""


def _load(path: Path, transform: Transform) -> _Loaded:
    try:
        return _Loaded(path, load_input(path, transform))
    except ImageError as error:
        return _Loaded(path, None, str(error))


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for one image.

    Attributes:
        verdict: the decision, by score, thresholds and the out-of-distribution detector.
        kind: the most probable kind.
        score: calibrated probability, 0 to 1, that the face is artificial.
        probabilities: of each kind that the checkpoint knows, summing to 1.
        spread: how far the score moves over the image's variants, 0 to 1; None without any.
        reason: why the verdict is ``uncertain``; empty for another.
    """

    verdict: Verdict
    kind: str
    score: float
    probabilities: dict[str, float]
    spread: float | None = None
    reason: str = ""


def decide(logits: Floats, header: Header, features: Floats | None = None) -> Prediction:
    """Turn one image's logits into a prediction by temperature, thresholds and OOD detector.

    Args:
        logits: shape (kinds,).
        header: of the checkpoint that gave them.
        features: shape (width,); needed where the checkpoint has an OOD detector.

    Raises:
        NotFiniteError: a number is NaN or infinite: the model has no answer, and a comparison,
            which is false for NaN, must not give one.
        ValueError: there is an OOD detector, and no features for it.
    """
    if not _finite(logits, features):
        raise NotFiniteError(f"{NOT_FINITE}: train or export it again, or use another precision")
    probabilities = softmax(logits / header.temperature)
    score = float(1 - probabilities[header.kinds.index(Kind.PHOTO)])
    low, high = header.thresholds
    by_kind = {kind: float(p) for kind, p in zip(header.kinds, probabilities, strict=True)}
    verdict, reason = Verdict.UNCERTAIN, ""
    if low < score < high:
        reason = f"score {score:.3f} lies between {low:.3f} (real) and {high:.3f} (artificial)"
    elif _is_ood(features, header):
        reason = "unlike the images that the model was trained on"
    else:
        verdict = Verdict.ARTIFICIAL if score >= high else Verdict.REAL
    kind = max(by_kind, key=lambda kind: by_kind[kind])
    return Prediction(verdict, kind, score, by_kind, reason=reason)


def decide_all(logits: Floats, features: Floats | None, header: Header) -> list[Prediction]:
    """Return :func:`decide`'s prediction for each of n images.

    Args:
        logits: shape (n, kinds).
        features: shape (n, width), or None.
        header: of the checkpoint that gave them.
    """
    seen = [None] * len(logits) if features is None else features
    return [decide(row, header, one) for row, one in zip(logits, seen, strict=True)]


def _decide_each(
    logits: Floats, features: Floats | None, header: Header
) -> Iterator[Prediction | None]:
    for row in range(len(logits)):
        seen = None if features is None else features[row]
        yield decide(logits[row], header, seen) if _finite(logits[row], seen) else None


def _finite(logits: Floats, features: Floats | None) -> bool:
    return bool(np.isfinite(logits).all() and (features is None or np.isfinite(features).all()))


def _is_ood(features: Floats | None, header: Header) -> bool:
    if header.guard is None:
        return False
    if features is None:
        raise ValueError("the out-of-distribution detector needs features")
    return header.guard.is_ood(features)
