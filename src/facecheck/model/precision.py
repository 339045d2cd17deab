"""What arithmetic costs on this device: lower precision and compiled networks, where they pay.

Both are measured, never assumed: bf16 is twice as fast as fp32 on one processor and fifteen times
slower on another.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from facecheck.core.errors import UsageError, reason

Name = Literal["fp32", "fp16", "bf16"]

#: In the order of preference where they are equally fast: bf16 has the range of fp32.
_LOWER: Mapping[Name, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}

#: How much faster than fp32 a precision must be to be worth its rounding.
_WORTH = 1.2

#: Speeds that differ by less are a tie.
_TIE = 1.1

#: How far a probe's result may be from fp32's, as a share of its norm: bf16 keeps 8 bits.
_CLOSE = 0.05


@dataclass(frozen=True)
class Precision:
    """In what arithmetic a network computes.

    Attributes:
        name: ``fp32``, ``fp16`` or ``bf16``.
        ratio: how many times as fast as fp32 the probe was; None if it was not timed.
        reason: why this one, in words, for the log.
    """

    name: Name
    ratio: float | None
    reason: str

    @property
    def dtype(self) -> torch.dtype | None:
        """What autocast computes in; None for fp32, which needs no autocast."""
        return _LOWER.get(self.name)

    @property
    def needs_scaler(self) -> bool:
        """Whether gradients need a ``torch.amp.GradScaler``, as those of fp16 underflow."""
        return self.name == "fp16"

    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        """Return a context in which a forward pass is computed in this precision."""
        return _autocast(device, self.dtype)


def choose_precision(
    device: torch.device, wanted: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
) -> Precision:
    """Return the wanted precision; for ``auto``, the one that pays on this device.

    ``auto`` times a small convolution and matrix product, forward and backward, and takes less
    than fp32 only where that is at least 1.2 times as fast and gives nearly the same gradients.
    The random state is left alone.

    Raises:
        UsageError: the device cannot compute in the wanted precision.
    """
    if wanted == "fp32":
        return Precision("fp32", None, "as asked")
    if wanted != "auto":
        found = _probe(device, _LOWER[wanted])
        if found.failure:
            raise UsageError(
                f"precision {wanted}: {device} cannot compute in it ({found.failure}): pass "
                "--precision auto"
            )
        return Precision(wanted, None, "as asked")
    # No processor trains faster in fp16, and a busy one can make its probe look so.
    names = [name for name in _LOWER if not (device.type == "cpu" and name == "fp16")]
    full = _probe(device, None)
    return _worthwhile(
        full,
        {name: _probe(device, _LOWER[name], patience=2 * full.seconds) for name in names},
    )


@cache
def choose_inference_precision(device: torch.device) -> Precision:
    """Return fp16 where it pays, on an accelerator, and else fp32.

    Not bf16, whose 8 bits would move scores by a hundredth where fp16's 11 move them by a
    thousandth. Timed as in :func:`choose_precision`, once for each device and process.
    """
    if device.type == "cpu":
        return Precision("fp32", None, "a CPU has no faster arithmetic of enough bits")
    full = _probe(device, None)
    return _worthwhile(full, {"fp16": _probe(device, torch.float16, patience=2 * full.seconds)})


@dataclass(frozen=True)
class _Probe:
    """How long the probe's step took, and the gradient it gave, or why there is none."""

    seconds: float
    gradient: torch.Tensor | None
    failure: str = ""


def _worthwhile(full: _Probe, lower: Mapping[Name, _Probe]) -> Precision:
    """Return the fastest precision that may be used; among ties the first."""
    timings, chosen, best = [], None, _WORTH
    for name, probe in lower.items():
        ratio = full.seconds / probe.seconds
        if fault := probe.failure or _fault(probe.gradient, full.gradient):
            timings.append(f"{name} {fault}")
            continue
        timings.append(f"{name} {ratio:.2g} times as fast")
        if ratio >= best:
            chosen, best = Precision(name, ratio, ""), ratio * _TIE
    reason = f"timed on this device, fp32 being 1: {', '.join(timings)}"
    return Precision(chosen.name, chosen.ratio, reason) if chosen else Precision("fp32", 1, reason)


def _fault(gradient: torch.Tensor | None, exact: torch.Tensor | None) -> str:
    if gradient is None or exact is None or not bool(gradient.isfinite().all()):
        return "is not finite"
    distance = float((gradient - exact).norm() / exact.norm())
    return f"is {distance:.0%} off" if distance > _CLOSE else ""


def _probe(device: torch.device, dtype: torch.dtype | None, *, patience: float = 60) -> _Probe:
    """Time one small step; after a slow one, of more than ``patience`` seconds, no more."""
    try:
        step = _small_step(device, dtype)
        gradient = step()  # warms up
        seconds: list[float] = []
        while len(seconds) < 5:
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
            if seconds[-1] > patience:
                break
    # Each backend has its own way to say that it lacks an operation.
    except (RuntimeError, NotImplementedError, TypeError, AssertionError) as error:
        return _Probe(float("inf"), None, reason(error))
    # The fastest: what else runs on the machine only ever adds.
    return _Probe(min(seconds), gradient)


def _small_step(device: torch.device, dtype: torch.dtype | None) -> Callable[[], torch.Tensor]:
    """Return a function that convolves, multiplies, and returns the weights' gradient (CPU).

    On an accelerator it is large enough to keep it busy; on a processor small enough to end soon
    where the precision is emulated. Copying the gradient to the CPU waits for the device.
    """
    count, channels, side = (4, 16, 32) if device.type == "cpu" else (64, 128, 56)
    random = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=random).to(device)

    inputs = drawn(count, channels, side, side).to(memory_format=torch.channels_last)
    kernel = (drawn(channels, channels, 3, 3) / (9 * channels) ** 0.5).requires_grad_()
    matrix = drawn(channels, channels) / channels**0.5

    def step() -> torch.Tensor:
        with _autocast(device, dtype):
            features = functional.relu(functional.conv2d(inputs, kernel, padding=1))
            products = functional.linear(features.permute(0, 2, 3, 1), matrix)
        (gradient,) = torch.autograd.grad(products.float().square().mean(), kernel)
        result: torch.Tensor = gradient.cpu()
        return result

    return step


def _autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[None]:
    return torch.autocast(device.type, dtype) if dtype else nullcontext()


@dataclass(frozen=True)
class Compiled:
    """A network's forward pass, compiled or not.

    Attributes:
        forward: what to call in place of the model. It shares the model's weights and mode, so
            that the model itself stays what is saved and evaluated.
        ratio: how many times as fast as eager its training step was; None if it was not timed.
        reason: why it is, or is not, compiled, in words, for the log.
    """

    forward: Callable[[torch.Tensor], torch.Tensor]
    ratio: float | None
    reason: str


def compile_if_faster(
    model: nn.Module,
    inputs: torch.Tensor,
    *,
    steps: int,
    precision: Precision,
    wanted: Literal["auto", "yes", "no"] = "auto",
) -> Compiled:
    """Compile a model (``torch.compile``) and keep that if its training steps are faster.

    Both are timed on the batch given, alternating, after warming up. The weights, the statistics
    of normalisation, the gradients (none) and the random state are afterwards what they were.
    A batch of another size, such as an epoch's last, is compiled for once more.

    Args:
        model: in training mode, on its device.
        inputs: one real batch, shape (N, 3, H, W), on the same device.
        steps: still to come. Compiling takes up to a minute or two, which few steps do not earn.
        precision: what the training computes in.
        wanted: ``auto`` tries on CUDA with 3,000 steps to come or more, ``yes`` everywhere.
    """
    if wanted == "no":
        return Compiled(model, None, "not compiled: not asked for")
    if wanted == "auto" and (inputs.device.type != "cuda" or steps < 3000):
        return Compiled(model, None, "not compiled: pays only on CUDA over 3,000 steps or more")
    # Sizes are few, and each gets its own code: code for any size is slower.
    faster: Callable[[torch.Tensor], torch.Tensor] = torch.compile(model, dynamic=False)
    try:
        with _unchanged(model, inputs.device):
            eager, compiled = _step_seconds((model, faster), inputs, precision)
    # Compilers raise whatever their backends do: no C++ compiler, an operation they do not know.
    except Exception as error:
        return Compiled(model, None, f"not compiled: {type(error).__name__}: {reason(error)}")
    ratio = eager / compiled
    timing = f"a compiled step is {ratio:.2f} times as fast as eager"
    if ratio < 1.05:
        return Compiled(model, ratio, f"not compiled: {timing}")
    return Compiled(faster, ratio, f"compiled: {timing}")


def _step_seconds(
    forwards: tuple[Callable[[torch.Tensor], torch.Tensor], ...],
    inputs: torch.Tensor,
    precision: Precision,
) -> list[float]:
    """Return the median seconds of a forward and backward pass by each."""
    taken: list[list[float]] = [[] for _ in forwards]
    for turn in range(10):
        for forward, seconds in zip(forwards, taken, strict=True):
            start = time.perf_counter()
            with precision.autocast(inputs.device):
                logits = forward(inputs)
            logits.float().logsumexp(dim=1).mean().backward()  # type: ignore[no-untyped-call]
            if inputs.device.type != "cpu":
                torch.accelerator.synchronize(inputs.device)
            if turn >= 3:  # the first ones compile and choose algorithms
                seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in taken]


@contextmanager
def _unchanged(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Undo what training steps without an optimiser do to a model, and to the random state."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(before[name])
        model.zero_grad(set_to_none=True)
