"""STAND-IN until the precision branch is merged."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Precision:
    """Stand-in."""

    name: str = "fp32"
    reason: str = "stand-in"
    needs_scaler: bool = False

    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        """Stand-in."""
        return nullcontext()


def choose_precision(device: torch.device, wanted: str = "auto") -> Precision:
    """Stand-in."""
    return Precision()


def compile_if_faster(
    model: nn.Module, sample: torch.Tensor, *, wanted: str, precision: Precision
) -> nn.Module:
    """Stand-in."""
    return model
