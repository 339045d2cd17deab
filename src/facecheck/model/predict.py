"""The one forward path: from files to probabilities, for validation, evaluate and scan alike."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from facecheck.core.errors import ImageError
from facecheck.core.labels import Kind, Verdict
from facecheck.core.parallel import chunked, cpu_count, map_ordered
from facecheck.model.checkpoint import Checkpoint, Header, normalise
from facecheck.model.metrics import Floats, softmax
from facecheck.model.transforms import Transform, load_input

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class FileOutput:
    """What a model gives for one file.

    Attributes:
        path: the file.
        logits: shape (kinds,), in the checkpoint's order; None if the file cannot be read.
        message: why the file cannot be read, or empty.
        features: shape (width,), the input of the head; None if the file cannot be read, or if
            nobody needs them.
    """

    path: Path
    logits: Floats | None
    message: str = ""
    features: Floats | None = None


class Predictor:
    """A model on a device, applied to files.

    Args:
        checkpoint: the model.
        device: where it computes.
        features: give the features too, even where the checkpoint has no guard that needs them.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: torch.device, *, features: bool = False
    ) -> None:
        import torch

        from facecheck.model.precision import choose_inference_precision

        self.header: Header = checkpoint.header
        self.device: Any = device  # a torch.device; another engine's own word for it
        self._precision = choose_inference_precision(device)
        self.model = checkpoint.model.to(device).to(memory_format=torch.channels_last).eval()
        self.gives_features = features or self.header.guard is not None

    def outputs(self, batch: npt.NDArray[np.uint8]) -> tuple[Floats, Floats | None]:
        """Return logits, shape (N, kinds), and features, shape (N, width), of a batch.

        Both are the mean over each image's crops. The features are None unless they were asked
        for, or the checkpoint has a guard.

        Args:
            batch: shape (N, crops, image_size, image_size, 3).
        """
        return self.begin(batch)()

    def begin(self, batch: npt.NDArray[np.uint8]) -> Callable[[], tuple[Floats, Floats | None]]:
        """Begin with a batch, and return what waits for its :meth:`outputs`.

        Who begins with the next batch before waiting keeps the device busy.
        """
        finish = self._begin(batch.reshape(-1, *batch.shape[2:]))

        def outputs() -> tuple[Floats, Floats | None]:
            logits, features = finish()
            seen = None if features is None else _over_crops(features, len(batch))
            return _over_crops(logits, len(batch)), seen

        return outputs

    def predictions(self, batch: npt.NDArray[np.uint8]) -> list[Prediction]:
        """Return each image's prediction, for a batch as :meth:`outputs` takes it."""
        return decide_all(*self.outputs(batch), self.header)

    def all_predictions(self, batches: Iterable[npt.NDArray[np.uint8]]) -> Iterator[Prediction]:
        """Yield each image's prediction over several batches, one begun ahead."""
        begun: deque[Callable[[], tuple[Floats, Floats | None]]] = deque()
        for batch in batches:
            begun.append(self.begin(batch))
            if len(begun) > 1:
                yield from decide_all(*begun.popleft()(), self.header)
        for finish in begun:
            yield from decide_all(*finish(), self.header)

    def save(self, header: Header, path: Path) -> None:
        """Write the same weights with another header to ``path``.

        Raises:
            CheckpointError: the file cannot be written.
        """
        from facecheck.model.checkpoint import save_checkpoint

        save_checkpoint(self.model, header, path)

    def _begin(self, pixels: npt.NDArray[np.uint8]) -> Callable[[], tuple[Floats, Floats | None]]:
        """Begin with crops, pixels of shape (M, image_size, image_size, 3).

        What an engine does its own way: return what waits for each crop's logits and features.
        """
        import torch

        watched: AbstractContextManager[list[torch.Tensor]] = (
            seen_by_head(self.model) if self.gives_features else nullcontext([])
        )
        inputs = torch.from_numpy(pixels)
        if self.device.type == "cuda":
            inputs = inputs.pin_memory()  # else the copy would wait for the batch before
        with torch.inference_mode(), self._precision.autocast(self.device), watched as seen:
            output = self.model(
                normalise(inputs.to(self.device, non_blocking=True), self.header.transform)
            )
        features = seen[0].flatten(1) if seen else None
        return lambda: (_numbers(output), None if features is None else _numbers(features))

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
            yield from self._predict_batch(batch)

    def _predict_batch(self, batch: tuple[_Loaded, ...]) -> Iterator[FileOutput]:
        pixels = [item.pixels for item in batch if item.pixels is not None]
        logits, features = self.outputs(np.stack(pixels)) if pixels else ((), None)
        rows = iter(range(len(logits)))
        for item in batch:
            if item.pixels is None:
                yield FileOutput(item.path, None, item.message)
            else:
                row = next(rows)
                seen = None if features is None else features[row]
                yield FileOutput(item.path, logits[row], features=seen)


@contextmanager
def seen_by_head(model: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Yield a list that receives what the head sees, the same in every architecture."""
    seen: list[torch.Tensor] = []
    head = model.get_classifier()  # type: ignore[operator]
    head = head[0] if isinstance(head, tuple) else head
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        hook.remove()


def _over_crops(rows: Floats, images: int) -> Floats:
    """Return the mean over each image's crops, shape (images, width), of a row for each crop."""
    return np.asarray(rows.reshape(images, -1, rows.shape[1]).mean(axis=1))


def _numbers(tensor: torch.Tensor) -> Floats:
    return np.asarray(tensor.float().cpu().numpy(), dtype=np.float64)


@dataclass(frozen=True)
class _Loaded:
    path: Path
    pixels: npt.NDArray[np.uint8] | None
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
    """

    verdict: Verdict
    kind: str
    score: float
    probabilities: dict[str, float]
    spread: float | None = None


def decide(logits: Floats, header: Header, features: Floats | None = None) -> Prediction:
    """Turn one image's logits into a prediction by temperature, thresholds and guard.

    Args:
        logits: shape (kinds,).
        header: of the checkpoint that gave them.
        features: shape (width,); needed where the checkpoint has a guard.

    Raises:
        ValueError: there is a guard, and no features for it.
    """
    probabilities = softmax(logits / header.temperature)
    score = float(1 - probabilities[header.kinds.index(Kind.PHOTO)])
    low, high = header.thresholds
    sure = Verdict.ARTIFICIAL if score >= high else Verdict.REAL
    by_kind = {kind: float(p) for kind, p in zip(header.kinds, probabilities, strict=True)}
    verdict = Verdict.UNCERTAIN if low < score < high or _refused(features, header) else sure
    return Prediction(verdict, max(by_kind, key=lambda kind: by_kind[kind]), score, by_kind)


def decide_all(logits: Floats, features: Floats | None, header: Header) -> list[Prediction]:
    """Return :func:`decide`'s prediction for each of n images.

    Args:
        logits: shape (n, kinds).
        features: shape (n, width), or None.
        header: of the checkpoint that gave them.
    """
    seen = [None] * len(logits) if features is None else features
    return [decide(row, header, one) for row, one in zip(logits, seen, strict=True)]


def _refused(features: Floats | None, header: Header) -> bool:
    if header.guard is None:
        return False
    if features is None:
        raise ValueError("the checkpoint's guard needs features")
    return header.guard.refuses(features)
