"""lr_find: how the loss answers to a learning rate that rises at every step.

Smith 2017, "Cyclical learning rates for training neural networks"
(https://arxiv.org/abs/1506.01186), with the smoothing and the stop of fastai's ``lr_find``.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from scipy.ndimage import gaussian_filter1d
from torch import nn

from facecheck.core.errors import TrainingError, UsageError
from facecheck.core.files import atomic_path, refuse_to_overwrite, to_path
from facecheck.core.parallel import Progress, cpu_count, silent
from facecheck.core.workspace import find_manifest
from facecheck.model.backbones import check_arch
from facecheck.model.device import choose_device
from facecheck.model.transforms import Transform
from facecheck.training.dataset import Batch, epoch_batches, epoch_loader, training_images
from facecheck.training.distributed import Ranks
from facecheck.training.optim import set_rate
from facecheck.training.options import LrFindOptions
from facecheck.training.recipe import Recipe, as_recipe
from facecheck.training.step import first_state, learn, make_setup
from facecheck.training.training_data import TrainingData, training_data

#: Weight of the past in the average that the stop and the minimum are read from.
SMOOTHING = 0.9
#: The loss has diverged when its average is so many times the lowest.
DIVERGED = 4.0


@dataclass(frozen=True)
class LrFindResult:
    """A curve of the loss over the learning rate, and what can be read from it.

    Attributes:
        arch: the network.
        weights: where it began from, in words.
        device: what it was computed on, and in what precision.
        rates: the learning rate of each step, rising evenly on a logarithmic scale.
        losses: of each step's batch, before it was learned from.
        smoothed: their exponential average, corrected for its start.
        steep: the rate at which the loss fell fastest.
        tenth: a tenth of the rate at the lowest ``smoothed``.
        diverged: whether it ended before the last rate, since the loss had risen beyond four times
            its lowest, or was not finite.
        table: the curve as CSV, if it was asked for: columns ``rate``, ``loss``, ``smoothed``.
    """

    arch: str
    weights: str
    device: str
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    steep: float
    tenth: float
    diverged: bool
    table: Path | None


def lr_find(
    manifest: Path | str | None = None,
    recipe: Recipe | Path | str = Recipe(),
    options: LrFindOptions = LrFindOptions(),
    *,
    table: Path | str | None = None,
    progress: Progress = silent,
) -> LrFindResult:
    """Try learning rates on a manifest's ``train`` split, one a step, by a recipe's training.

    Images, augmentation, loss, optimiser and precision are the training's own; with
    ``layer_decay``, a rate is the head's. The recipe's ``lr``, ``schedule`` and ``epochs`` play no
    part. Nothing that was learned is kept.

    Args:
        manifest: a manifest by ``split``.
        recipe: how to train.
        options: which rates, and on what.
        table: write the curve here, as CSV.
        progress: called with steps done, and to do.

    Raises:
        UsageError: ``table`` exists, or what ``train`` raises.
        ManifestError: as ``train``.
        CheckpointError: as ``train``.
        TrainingError: as ``train``, or the loss never fell.
    """
    manifest, recipe = find_manifest(manifest), as_recipe(recipe)
    table = None if table is None else to_path(table, "table")
    if table is not None:
        refuse_to_overwrite(table, overwrite=options.overwrite)
    if recipe.encoder is not None or recipe.freeze:
        raise UsageError(
            "--encoder, --freeze: lr-find is for whole networks; a head is trained in seconds: "
            "try rates with `facecheck train --lr`"
        )
    check_arch(recipe.arch)
    target = choose_device(options.device)
    data = training_data(manifest, recipe)
    setup = make_setup(recipe, data.kinds, target, Ranks())
    recipe, network, transform = setup.recipe, setup.network, setup.transform
    state = first_state(setup)
    network.train()
    workers = cpu_count() if options.workers is None else options.workers
    batches = _endless(data, recipe, transform, workers)

    def step() -> float:
        batch = next(batches)
        return float(learn(network, state, batch, float(batch[2].sum()), setup))

    rates = np.geomspace(options.lowest, options.highest, options.steps).tolist()
    losses = sweep(
        network,
        state.optimiser,
        step,
        [rate / recipe.lr for rate in rates],
        progress=progress,
    )
    rates = rates[: len(losses)]
    smoothed = smooth(losses)
    steep, at_lowest = suggest(rates, losses)
    if table is not None:
        curve = pl.DataFrame({"rate": rates, "loss": losses, "smoothed": smoothed})
        with atomic_path(table) as temporary:
            curve.write_csv(temporary)
    return LrFindResult(
        arch=recipe.arch,
        weights=setup.weights,
        device=f"{target}, {setup.precision.name}",
        rates=tuple(rates),
        losses=tuple(losses),
        smoothed=tuple(smoothed),
        steep=steep,
        tenth=at_lowest / 10,
        diverged=len(rates) < options.steps,
        table=table,
    )


def _endless(
    data: TrainingData, recipe: Recipe, transform: Transform, workers: int
) -> Iterator[Batch]:
    """Yield the batches of one epoch after another."""
    images = training_images(data, transform, recipe)
    for epoch in itertools.count(1):
        batches = epoch_batches(
            *(len(images), int(recipe.batch_size), recipe.seed, epoch),
            groups=data.groups,
            shares=data.shares,
        )
        yield from epoch_loader(images, batches, epoch, workers=workers)


def sweep(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: Callable[[], float],
    factors: Sequence[float],
    *,
    progress: Progress = silent,
) -> list[float]:
    """Take one step at each rate and return its loss; then put model and optimiser back.

    It ends early when a loss is not finite (which is left out) or their average has diverged.

    Args:
        model: what ``step`` trains.
        optimiser: whose groups hold ``peak``.
        step: learns from the next batch; returns its loss before that.
        factors: each step's rate as a share of ``peak``.
        progress: called with steps done, and to do.
    """
    before = copy.deepcopy((model.state_dict(), optimiser.state_dict()))
    losses: list[float] = []
    try:
        for factor in factors:
            set_rate(optimiser, factor)
            loss = step()
            if not math.isfinite(loss):
                break
            losses.append(loss)
            progress(len(losses), len(factors))
            smoothed = smooth(losses)
            if smoothed[-1] > DIVERGED * min(smoothed):
                break
    finally:
        model.load_state_dict(before[0])
        optimiser.load_state_dict(before[1])
    return losses


def smooth(losses: Sequence[float]) -> list[float]:
    """Return the exponential average up to each loss, corrected for its start (Kingma & Ba)."""
    average, smoothed = 0.0, []
    for count, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - SMOOTHING**count))
    return smoothed


def suggest(rates: Sequence[float], losses: Sequence[float]) -> tuple[float, float]:
    """Return the rate at which the loss falls fastest, and that at which it is lowest.

    The lowest is read from the exponential average. The slope is taken under a Gaussian whose
    width is a twentieth of the curve, since that average would show it late.

    Args:
        rates: rising evenly on a logarithmic scale.
        losses: of as many steps.

    Raises:
        TrainingError: the loss never falls by more than it varies before anything is learned.
    """
    smoothed = np.asarray(smooth(losses))
    start = np.asarray(losses[: max(5, len(losses) // 10)])
    # A lowest loss among the first is one of the weights it began from.
    lowest = int(smoothed.argmin()) if len(losses) else 0
    if not losses or lowest < len(start) or smoothed[lowest] >= start.mean() - start.std():
        raise TrainingError(
            f"the loss never fell from where it began in {len(losses)} steps: lower the first "
            "rate, take more steps or larger batches, or check that the images show what their "
            "kinds say"
        )
    falling = np.asarray(losses[: lowest + 1])
    slope = gaussian_filter1d(falling, len(losses) / 20, order=1, mode="nearest")
    return rates[int(slope.argmin())], rates[lowest]
