"""Training images: decoded once, varied in every epoch.

Reproducible: what an epoch makes of an image depends on the seed, the epoch and the image alone,
not on the thread that makes it or on what was made before. So a training can resume in the middle
of an epoch as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from facecheck.core.errors import ImageError
from facecheck.core.isolate import Failed, Isolated, StartedAhead
from facecheck.core.parallel import map_ordered
from facecheck.model.transforms import Transform, load_pixels
from facecheck.training.augment import Pixels, augment
from facecheck.training.decoded import DecodedImages
from facecheck.training.recipe import Recipe
from facecheck.training.training_data import TrainingData, unreadable

#: Pixels, labels, weights and what is to be learned: (N, H, W, 3) uint8, (N,) int64, (N,) float32,
#: and the labels again, or with a teacher the wanted probabilities, (N, kinds) float32.
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]

#: What decodes and scales a file, in this process or in another.
Loader = Callable[[Path], Pixels | Failed]

#: Seconds that one image may take to decode.
TIMEOUT = 60.0
#: A process takes as long to start as it takes to decode so many images.
_IMAGES_A_PROCESS = 64


class TrainingImages:
    """Images with labels and weights; what they decode to is kept while there is room.

    Attributes:
        labels: shape (N,).
        weights: of each image in the loss, shape (N,).
        wanted: the probabilities to be learned, shape (N, kinds), or None for the labels alone.
        loader: decodes and scales a file in this process.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Sequence[int],
        transform: Transform,
        recipe: Recipe,
        *,
        weights: Sequence[float] | None = None,
        wanted: npt.NDArray[np.float32] | None = None,
        decoded: DecodedImages | None = None,
    ) -> None:
        """Take the images; what they decode to is kept in ``decoded``, while it has room."""
        self.paths = paths
        self.labels = np.asarray(labels, dtype=np.int64)
        self.weights = np.asarray(
            np.ones(len(paths)) if weights is None else weights, dtype=np.float32
        )
        self.wanted = wanted
        self.transform = transform
        self.recipe = recipe
        self.loader: Loader = partial(load_pixels, transform=transform)
        self._decoded = decoded

    def __len__(self) -> int:
        return len(self.paths)

    def pixels(self, position: int, loader: Loader | None = None) -> Pixels:
        """Return an image's pixels, shape (height, width, 3), the short side ``resize``.

        Args:
            position: which image.
            loader: what decodes it, unless it is kept; None for this process.

        Raises:
            TrainingError: the file is gone or cannot be decoded.
        """
        kept = self._decoded.get(position) if self._decoded else None
        if kept is not None:
            return kept
        try:
            pixels = (loader or self.loader)(self.paths[position])
        except ImageError as error:
            raise unreadable(self.paths[position], error) from None
        if isinstance(pixels, Failed):
            raise unreadable(self.paths[position], pixels.reason)
        if self._decoded:
            self._decoded.keep(position, pixels)
        return pixels

    def varied(self, position: int, epoch: int, loader: Loader | None = None) -> Pixels:
        """Return what an epoch makes of an image, shape (train_side, train_side, 3)."""
        random = np.random.default_rng([self.recipe.seed, epoch, position])
        return augment(self.pixels(position, loader), self.recipe, random)

    def batch(self, positions: Sequence[int], epoch: int, loader: Loader | None = None) -> Batch:
        """Return an epoch's variations of some images."""
        chosen = np.asarray(positions)
        pixels = np.stack([self.varied(position, epoch, loader) for position in positions])
        labels = torch.from_numpy(self.labels[chosen])
        return (
            torch.from_numpy(pixels),
            labels,
            torch.from_numpy(self.weights[chosen]),
            labels if self.wanted is None else torch.from_numpy(self.wanted[chosen]),
        )


def training_images(
    data: TrainingData,
    transform: Transform,
    recipe: Recipe,
    *,
    taught: npt.NDArray[np.float32] | None = None,
    decoded: DecodedImages | None = None,
) -> TrainingImages:
    """Return the training images of some data.

    Args:
        data: whose training records to take.
        transform: how an image becomes an input.
        recipe: how to train.
        taught: a teacher's probabilities, shape (n, kinds), or None.
        decoded: where what they decode to is kept, if anywhere.
    """
    labels = data.labels(data.train)
    wanted = None
    if taught is not None:
        own = np.eye(len(data.kinds), dtype=np.float32)[labels]
        wanted = recipe.teacher_share * taught + (1 - recipe.teacher_share) * own
    return TrainingImages(
        *(data.train.paths(), labels, transform, recipe),
        weights=data.weights.tolist(),
        wanted=wanted,
        decoded=decoded,
    )


def epoch_batches(
    count: int,
    batch_size: int,
    seed: int,
    epoch: int,
    *,
    groups: npt.NDArray[np.int64] | None = None,
    shares: npt.NDArray[np.float64] | None = None,
) -> list[list[int]]:
    """Return one epoch's batches of positions, shuffled by seed and epoch.

    They are as equal as can be: a short last batch would weigh its images more, and one image alone
    breaks batch normalisation.

    Args:
        count: images; an epoch has as many draws.
        batch_size: images a batch, at most.
        seed: of the training.
        epoch: its number.
        groups: each image's group, shape (count,), numbered from 0: every group is then drawn
            equally often, and within a group every image. None takes every image once.
        shares: how often each group is drawn compared with the others, shape (groups,), above 0;
            None for equally often.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(count) if groups is None else _balanced(groups, shares, random)
    parts = np.array_split(order, -(-count // batch_size))
    return [part.tolist() for part in parts]


def _balanced(
    groups: npt.NDArray[np.int64],
    shares: npt.NDArray[np.float64] | None,
    random: np.random.Generator,
) -> npt.NDArray[np.int64]:
    wanted = np.ones(groups.max() + 1) if shares is None else shares
    # What does not divide evenly goes to groups drawn by lot.
    draws = np.floor(len(groups) * wanted / wanted.sum() + 1e-9).astype(np.int64)
    draws[random.permutation(len(draws))[: len(groups) - draws.sum()]] += 1
    drawn = []
    for group, count in enumerate(draws):
        members = np.flatnonzero(groups == group)
        rounds = [random.permutation(members) for _ in range(-(-count // len(members)))]
        drawn.append(np.concatenate(rounds)[:count] if rounds else members[:0])
    return random.permutation(np.concatenate(drawn))


def started_ahead(count: int, workers: int) -> StartedAhead:
    """Start the processes that :func:`epoch_loader` has so many images decoded by."""
    return StartedAhead(_processes(count, workers), load_pixels.__module__)


def _processes(count: int, workers: int) -> int:
    return min(workers, 1 + count // _IMAGES_A_PROCESS)


def epoch_loader(
    images: TrainingImages,
    batches: Sequence[Sequence[int]],
    epoch: int,
    *,
    workers: int,
    ahead: StartedAhead | None = None,
) -> Iterator[Batch]:
    """Yield an epoch's batches, made ahead of their use.

    Each of ``workers`` threads has what is not kept decoded by a process of its own: a decoder
    that crashes or hangs is then an error that names the file, and no decoding waits for the
    interpreter that feeds the network, nor that one for it. 0 makes them here. Processes ``ahead``
    are running already, and are taken first.

    Raises:
        TrainingError: a file is gone or cannot be decoded.
        FacecheckError: a process cannot be started.
    """
    if workers == 0:
        yield from (images.batch(batch, epoch) for batch in batches)
        return
    workers = _processes(sum(map(len, batches)), workers)
    with Isolated(images.loader, timeout=TIMEOUT, ahead=ahead) as loader:
        yield from map_ordered(
            lambda batch: images.batch(batch, epoch, loader),
            batches,
            workers=workers,
            ahead=workers,
        )
