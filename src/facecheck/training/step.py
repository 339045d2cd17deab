"""One step of training, and its set-up: a network on its device, and how it computes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from facecheck.core.errors import TrainingError
from facecheck.model.backbones import Backbone, build
from facecheck.model.checkpoint import kinds_of_weights
from facecheck.model.precision import Compiled, Name, Precision, choose_precision, compile_if_faster
from facecheck.model.transforms import Transform, normalise
from facecheck.training.dataset import Batch
from facecheck.training.distributed import Ranks
from facecheck.training.loss import losses
from facecheck.training.optim import make_optimiser
from facecheck.training.recipe import Recipe
from facecheck.training.state import TrainingState

#: A network as it computes logits of inputs: itself, compiled, or shared by processes.
Forward = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class TrainSetup:
    """A network on its device, and what it computes by.

    Attributes:
        recipe: with the batch size that was found, where it was left open.
        network: in float32, channels last.
        weights: where its weights came from, in words.
        transform: how an image becomes its input.
        precision: of the arithmetic.
        device: where it is.
    """

    recipe: Recipe
    network: nn.Module
    weights: str
    transform: Transform
    precision: Precision
    device: torch.device


def make_setup(
    recipe: Recipe,
    kinds: tuple[str, ...],
    device: torch.device,
    ranks: Ranks,
    *,
    precision_of_run: Name | None = None,
) -> TrainSetup:
    """Build a recipe's network, from its seed, and choose what the recipe leaves open.

    Args:
        recipe: what to build.
        kinds: the head's outputs, in order.
        device: where it computes.
        ranks: the processes that train together.
        precision_of_run: what was chosen for a run that is resumed: timed again, another might
            win.

    Raises:
        UsageError: the device cannot compute in the recipe's precision.
        CheckpointError: initial weights cannot be had.
        TrainingError: the network cannot learn from one image at a time.
    """
    torch.manual_seed(recipe.seed)
    backbone = _build(recipe, kinds)
    transform = Transform.for_size(
        recipe.image_size,
        backbone.mean,
        backbone.std,
        crops=5 if recipe.crop == "five" else 1,
    )
    network = backbone.model.to(device).to(memory_format=torch.channels_last)
    precision = choose_precision(device, precision_of_run or recipe.precision)
    if recipe.batch_size == "auto":
        size = ranks.share(_largest_batch(network, transform, recipe, precision, device))
        recipe = recipe.changed({"batch_size": size * ranks.world})
    if recipe.batch_size == 1:
        _check_single(network, recipe, device)
    return TrainSetup(recipe, network, backbone.weights, transform, precision, device)


def _check_single(network: nn.Module, recipe: Recipe, device: torch.device) -> None:
    """Raise :class:`TrainingError` if batch norm has one value a channel of one image."""
    trial = copy.deepcopy(network)  # a pass in training changes running means
    trial.train()
    image = torch.zeros(1, 3, recipe.image_size, recipe.image_size, device=device)
    try:
        with torch.random.fork_rng(), torch.no_grad():
            trial(image)
    except ValueError:
        raise TrainingError(
            f"{recipe.arch} cannot learn from one image of {recipe.image_size} pixels at a time: "
            "pass --batch-size 2 or more, or a larger --image-size: batch norm needs more values"
        ) from None


def _build(recipe: Recipe, kinds: tuple[str, ...]) -> Backbone:
    """Build the recipe's network."""
    # A head of as many outputs for other kinds would be taken for ours.
    same_kinds = recipe.weights is None or kinds_of_weights(recipe.weights) in {None, kinds}
    return build(
        recipe.arch,
        len(kinds),
        pretrained=recipe.pretrained,
        weights=recipe.weights,
        keep_head=same_kinds,
    )


def first_state(setup: TrainSetup) -> TrainingState:
    """Return the state that a training starts in: nothing learned yet."""
    recipe, network = setup.recipe, setup.network
    return TrainingState(
        network,
        make_optimiser(network, recipe),
        ema=ModelEmaV3(network, decay=recipe.ema, use_warmup=True) if recipe.ema else None,
        scaler=torch.amp.GradScaler(setup.device.type) if setup.precision.needs_scaler else None,
    )


def _largest_batch(
    network: nn.Module,
    transform: Transform,
    recipe: Recipe,
    precision: Precision,
    device: torch.device,
) -> int:
    """Return the largest power of 2 up to 512 that a step has memory for; 32 without a GPU."""
    if device.type != "cuda":
        return 32
    size, fits = 8, 4
    while size <= 512:
        try:
            side = recipe.train_side
            pixels = torch.zeros(size, side, side, 3, dtype=torch.uint8).to(device)
            with precision.autocast(device):
                logits = network(normalise(pixels, transform))
            losses(
                logits, torch.zeros(size, dtype=torch.int64, device=device), recipe
            ).mean().backward()  # type: ignore[no-untyped-call]
        except torch.OutOfMemoryError:
            break
        finally:
            network.zero_grad(set_to_none=True)
        size, fits = 2 * size, size
    torch.cuda.empty_cache()
    # Optimiser, average and fragmentation take their part as well.
    return max(1, fits // 2)


def for_computing(
    setup: TrainSetup, ranks: Ranks, compile_model: Literal["auto", "yes", "no"], steps: int
) -> Compiled:
    """Return the network as it computes: compiled where that pays, shared where there are ranks.

    Args:
        setup: the network.
        ranks: the processes that train it together.
        compile_model: whether to try compiling.
        steps: of the whole training.
    """
    if ranks.world == 1:
        setup.network.train()
        side = setup.recipe.train_side
        sample = torch.zeros(int(setup.recipe.batch_size), 3, side, side, device=setup.device)
        return compile_if_faster(
            setup.network,
            sample.to(memory_format=torch.channels_last),
            steps=steps,
            precision=setup.precision,
            wanted=compile_model,
        )
    network, devices = setup.network, None
    if setup.device.type == "cuda":
        # One process with the whole batch would normalise over all of it.
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        devices = [setup.device.index]
    shared = DistributedDataParallel(network, device_ids=devices)
    return Compiled(shared, None, "not compiled: shared by several processes")


def learn(
    model: Forward,
    state: TrainingState,
    batch: Batch,
    total_weight: float,
    setup: TrainSetup,
) -> torch.Tensor:
    """Take one step; return its mean loss, a scalar on the device.

    Raises:
        TrainingError: the batch does not fit the device's memory; the message says what would.

    Args:
        model: the network as it computes.
        state: whose weights are changed and whose tally is added to.
        batch: this process's part of the step's images.
        total_weight: of the whole step's images, over the number of processes (whose gradients
            are averaged).
        setup: the recipe, and what it computes by.
    """
    try:
        return _learn(model, state, batch, total_weight, setup)
    except torch.OutOfMemoryError:
        raise TrainingError(_too_large(setup)) from None


def _learn(
    model: Forward, state: TrainingState, batch: Batch, total_weight: float, setup: TrainSetup
) -> torch.Tensor:
    recipe, device = setup.recipe, setup.device
    pixels, labels, weights, wanted = (_to_device(part, device) for part in batch)
    count = len(labels)
    parts = max(1, min(recipe.accumulate, count // 2))  # one image alone breaks normalisation
    total = torch.zeros((), device=device)
    state.optimiser.zero_grad(set_to_none=True)
    for number, chosen in enumerate(torch.arange(count).tensor_split(parts), 1):
        part = slice(int(chosen[0]), int(chosen[-1]) + 1)
        with _no_sync(model, is_last=number == parts):
            with setup.precision.autocast(device):
                logits = model(normalise(pixels[part], setup.transform))
            loss = (losses(logits, wanted[part], recipe) * weights[part]).sum() / total_weight
            scaled = state.scaler.scale(loss) if state.scaler else loss
            scaled.backward()  # type: ignore[no-untyped-call]
        state.seen.add(logits, labels[part])
        total += loss.detach()
    if recipe.clip:
        if state.scaler:
            state.scaler.unscale_(state.optimiser)
        nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip)
    if state.scaler:
        state.scaler.step(state.optimiser)
        state.scaler.update()
    # The caller reports a loss that is not finite; the weights stay as they were.
    elif device.type != "cpu" or math.isfinite(float(total)):
        state.optimiser.step()
    if state.ema:
        state.ema.update(state.model, state.updates)
    return total


def _to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _no_sync(model: Forward, *, is_last: bool) -> AbstractContextManager[None]:
    """Let processes exchange gradients once a step, with the last part of its batch."""
    if is_last or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    context: AbstractContextManager[None] = model.no_sync()
    return context


def _too_large(setup: TrainSetup) -> str:
    """Say that a batch does not fit the device's memory, and what would."""
    size = int(setup.recipe.batch_size)
    return (
        f"a batch of {size} images of {setup.recipe.train_side} px does not fit the memory of "
        f"{setup.device}: try --batch-size {max(1, size // 2)}, or --accumulate "
        f"{2 * setup.recipe.accumulate} for the same result, or --batch-size auto"
    )
