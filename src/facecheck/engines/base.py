"""What all exports share: the graph that is exported, the header in the file, the way to write it.

Each format has a module of its own next to this one, which writes a network and runs what it wrote.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from facecheck.core.errors import CheckpointError, UsageError, reason
from facecheck.core.files import atomic_path, path_text
from facecheck.core.parallel import cpu_count
from facecheck.core.scratch import scratch_folder
from facecheck.engines.options import Format
from facecheck.model.checkpoint import Header, header_text, parse_header
from facecheck.model.metrics import Floats
from facecheck.model.predict import Finish, Pixels, Predictor
from facecheck.model.torch_predictor import seen_by_head
from facecheck.model.transforms import normalise

if TYPE_CHECKING:
    import torch

#: Pixels to calibrate a quantisation on, each of shape (N, image_size, image_size, 3), uint8.
Batches = Sequence[npt.NDArray[np.uint8]]

#: The suffix of each format's file.
SUFFIXES: dict[Format, str] = {
    "onnx": ".onnx",
    "torchscript": ".ts",
    "openvino": ".xml",
    "litert": ".tflite",
}
#: A graph's outputs in their order.
LOGITS, FEATURES = "logits", "features"


class ExportedPredictor(Predictor):
    """An export on its format's engine.

    Args:
        path: the export.
        device: ``auto`` or ``cpu``.
        features: give the features too, even where no out-of-distribution detector needs them.
        threads: how many compute; None: one per core.

    Raises:
        UsageError: it does not run on ``device``.
        CheckpointError: the file cannot be used, or its engine is missing.
    """

    def __init__(
        self,
        path: Path,
        device: str = "auto",
        *,
        features: bool = False,
        threads: int | None = None,
    ) -> None:
        if device not in {"auto", "cpu"}:
            raise UsageError(
                f"device {device!r}: an export ({path.suffix}) runs on the cpu: pass --device cpu, "
                "or the checkpoint it was made from"
            )
        self.device = "cpu"
        self._path, self._threads = path, threads or cpu_count()
        text = self._load(path)
        if text is None:
            raise CheckpointError(
                f"{path_text(path)}: holds a network but no facecheck header: make one with "
                "`facecheck export`"
            )
        self.header = parse_header(text, path_text(path))
        self.gives_features = features or self.header.guard is not None

    def save(self, header: Header, path: Path) -> None:
        """Write the same graph with another header to ``path``; raises as its protocol says."""
        with draft(path) as temporary:
            self._save(header_text(header), temporary)

    def begin_crops(self, pixels: Pixels) -> Finish:
        """Run the crops at once; an engine that computes in the background has its own."""
        found = self._answer(pixels)
        return lambda: found

    def _answer(self, pixels: Pixels) -> tuple[Floats, Floats | None]:
        """Return what the graph answers, which a stranger may have made.

        Raises:
            CheckpointError: it fails, or answers something of another shape.
        """
        name = path_text(self._path)
        try:
            logits, features = self._run(pixels)
        # Engines raise classes of their own, which have no common parent but Exception.
        except Exception as error:
            raise CheckpointError(f"{name}: fails while it runs ({reason(error)})") from None
        wanted = (len(pixels), len(self.header.kinds))
        if logits.shape != wanted:
            raise CheckpointError(
                f"{name}: answers numbers of shape {logits.shape}, not {wanted}: export it again"
            )
        if features is not None and (features.ndim != 2 or len(features) != len(pixels)):
            raise CheckpointError(
                f"{name}: gives features of shape {features.shape}, not ({len(pixels)}, width): "
                "export it again"
            )
        return logits, features

    def _run(self, pixels: Pixels) -> tuple[Floats, Floats | None]:
        """Return logits and features of crops."""
        raise NotImplementedError

    def _load(self, path: Path) -> str | None:
        """Load the file; return its header's text, or None if it has none."""
        raise NotImplementedError

    def _save(self, text: str, path: Path) -> None:
        """Write what was loaded to ``path`` with ``text`` for its header."""
        raise NotImplementedError


def read_bytes(path: Path) -> bytes:
    """Return a model's bytes.

    Raises:
        CheckpointError: it is not there, or cannot be read.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path_text(path)}: check the path")
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path_text(path)}: cannot be read ({reason(error)})") from None


def damaged(path: Path, what: str, error: Exception) -> CheckpointError:
    """Return the error of a file that an engine refuses, with its reason on one line."""
    return CheckpointError(f"{path_text(path)}: not a whole {what} file ({reason(error)})")


def has_loop(path: Path, operation: str) -> CheckpointError:
    """Return the error of a file whose graph need not come to an end."""
    return CheckpointError(
        f"{path_text(path)}: its graph has the operation {operation}, which may run for ever and "
        "no export of `facecheck export` has: it is not run"
    )


@contextlib.contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Yield a path to write to; what lies there when the block ends well replaces ``path``.

    A format of several files writes them next to each other, under one name with several suffixes.

    Raises:
        CheckpointError: a file cannot be written.
    """
    try:
        with scratch_folder() as scratch:
            temporary = scratch / f"export{path.suffix}"
            yield temporary
            for written in sorted(temporary.parent.iterdir()):
                with atomic_path(path.with_suffix(written.suffix)) as target:
                    shutil.copyfile(written, target)
    except OSError as error:
        raise CheckpointError(f"{path_text(path)}: cannot be written ({error})") from None


def from_pixels(model: torch.nn.Module, header: Header) -> torch.nn.Module:
    """Return the network with the normalisation before it, in evaluation mode.

    It takes one crop an image, shape (N, image_size, image_size, 3), uint8, and returns the logits,
    shape (N, kinds), and what the head sees, shape (N, width).
    """
    import torch

    class FromPixels(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = model

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            with seen_by_head(self.network) as seen:
                logits: torch.Tensor = self.network(normalise(pixels, header.transform))
            return logits, seen[0].flatten(1)

    return FromPixels().eval()


def example(header: Header, images: int) -> torch.Tensor:
    """Return black pixels as :func:`from_pixels` takes them, to trace a graph with."""
    import torch

    side = header.transform.image_size
    return torch.zeros(images, side, side, 3, dtype=torch.uint8)
