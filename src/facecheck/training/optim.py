"""The optimiser, and the learning rate of each part of a network at each step."""

from __future__ import annotations

import math
from typing import Any

import torch
from timm.models import group_parameters
from torch import nn

from facecheck.training.recipe import Recipe

#: The rate at the start of a rise, as a share of the peak (OneCycleLR's default).
START = 1 / 25


def make_optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimiser for a timm model.

    Each of its groups holds under ``peak`` its highest rate: the recipe's, times ``layer_decay``
    for every stage between it and the head (Howard & Ruder 2018, "Universal language model
    fine-tuning", discriminative rates). Biases and normalisation (all that has one dimension) are
    spared the penalty.
    """
    stages = group_parameters(model, model.group_matcher(coarse=True))  # type: ignore[operator]
    named = dict(model.named_parameters())
    groups: list[dict[str, Any]] = []
    for depth, names in enumerate(reversed(list(stages.values()))):
        peak = recipe.lr * recipe.layer_decay**depth
        for is_flat, decay in ((True, 0.0), (False, recipe.weight_decay)):
            params = [named[name] for name in names if (named[name].ndim <= 1) == is_flat]
            if params:
                groups.append({"params": params, "lr": peak, "peak": peak, "weight_decay": decay})
    match recipe.optimiser:
        case "sgd":
            return torch.optim.SGD(
                groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0
            )
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr=recipe.lr, momentum=recipe.momentum)
        case "adamw":
            return torch.optim.AdamW(groups, lr=recipe.lr)
        case _:
            return torch.optim.Adam(groups, lr=recipe.lr)


def set_rate(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to ``factor`` of its peak."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * factor


def rate_factor(schedule: str, step: int, steps: int) -> float:
    """Return the rate of a step as a share of the peak.

    A function of the step alone, so that a resumed training needs no memory of it. ``onecycle``
    rises along a cosine for 30 % of the steps (Smith & Topin 2018, "Super-convergence"); ``cosine``
    rises straight for 5 %; both fall to nearly 0 along a cosine (Loshchilov & Hutter 2017, "SGDR").

    Args:
        schedule: ``onecycle``, ``cosine`` or ``constant``.
        step: 0 for the first.
        steps: in all, 1 or more.
    """
    if schedule == "constant":
        return 1.0
    rise = (0.3 if schedule == "onecycle" else 0.05) * steps
    if step < rise:
        share = (step + 1) / (rise + 1)
        share = (1 - math.cos(math.pi * share)) / 2 if schedule == "onecycle" else share
        return START + (1 - START) * share
    return (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise))) / 2
