"""The one forward path: from files to probabilities, for validation, evaluate and scan alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from facecheck.core.errors import ImageError
from facecheck.core.kinds import REAL
from facecheck.core.parallel import chunked, cpu_count, map_ordered
from facecheck.model.checkpoint import Checkpoint, Header, normalise
from facecheck.model.metrics import Floats, softmax
from facecheck.model.transforms import Transform, load_input

if TYPE_CHECKING:
    import torch

OK = "ok"
ERROR = "error"
REAL_VERDICT = "real"
ARTIFICIAL = "artificial"
UNCERTAIN = "uncertain"


@dataclass(frozen=True)
class Prediction:
    """What a model says of one file.

    Attributes:
        path: the file.
        status: ``ok`` or ``error``.
        logits: shape (kinds,), in the checkpoint's order; None on error.
        message: why there is an error, or empty.
    """

    path: Path
    status: str
    logits: Floats | None
    message: str = ""


class Predictor:
    """A model on a device, applied to files."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device) -> None:
        import torch

        self.header: Header = checkpoint.header
        self.device: torch.device | str = device
        self.model = checkpoint.model.to(device).to(memory_format=torch.channels_last).eval()

    def logits(self, batch: npt.NDArray[np.uint8]) -> Floats:
        """Return logits, shape (N, kinds), of a batch, shape (N, image_size, image_size, 3)."""
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(batch).to(self.device, non_blocking=True)
            output = self.model(normalise(pixels, self.header.transform))
            return np.asarray(output.float().cpu().numpy(), dtype=np.float64)

    def predict(
        self, paths: Iterable[Path], *, batch_size: int = 32, workers: int | None = None
    ) -> Iterator[Prediction]:
        """Yield one prediction for each path, in order; a bad file is an ``error``, never a gap.

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

    def _predict_batch(self, batch: tuple[_Loaded, ...]) -> Iterator[Prediction]:
        pixels = [item.pixels for item in batch if item.pixels is not None]
        rows = iter(self.logits(np.stack(pixels)) if pixels else ())
        for item in batch:
            if item.pixels is None:
                yield Prediction(item.path, ERROR, None, item.message)
            else:
                yield Prediction(item.path, OK, next(rows))


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
class Verdict:
    """The answer for one image.

    Attributes:
        verdict: ``real``, ``artificial`` or ``uncertain``.
        kind: the most probable kind.
        score: calibrated probability, 0 to 1, that the face is artificial.
        probabilities: of each kind that the checkpoint knows, summing to 1.
    """

    verdict: str
    kind: str
    score: float
    probabilities: dict[str, float]


def judge(logits: Floats, header: Header) -> Verdict:
    """Turn one file's logits into a verdict by the checkpoint's temperature and thresholds."""
    probabilities = softmax(logits / header.temperature)
    score = float(1 - probabilities[header.kinds.index(REAL)])
    low, high = header.thresholds
    sure = ARTIFICIAL if score >= high else REAL_VERDICT
    by_kind = {kind: float(p) for kind, p in zip(header.kinds, probabilities, strict=True)}
    verdict = UNCERTAIN if low < score < high else sure
    return Verdict(verdict, max(by_kind, key=lambda kind: by_kind[kind]), score, by_kind)
