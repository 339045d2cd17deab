"""What training minimises."""

from __future__ import annotations

import torch
from torch.nn import functional

from facecheck.training.recipe import Recipe


def losses(logits: torch.Tensor, labels: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Return each image's loss, shape (N,), float32.

    ``cross-entropy`` is in nats. ``mse`` is the sum over the kinds of the squared difference
    between probability and target, 0 to 2 (Brier 1950). Smoothing spreads a share of the target
    over all kinds (Szegedy et al. 2016, "Rethinking the Inception architecture").

    Args:
        logits: shape (N, kinds).
        labels: shape (N,), int64; or the wanted probabilities, shape (N, kinds), float32.
        recipe: which loss, and how much smoothing.
    """
    logits = logits.float()
    if recipe.loss == "cross-entropy":
        return functional.cross_entropy(
            logits, labels, reduction="none", label_smoothing=recipe.label_smoothing
        )
    kinds = logits.shape[1]
    target = labels if labels.ndim == 2 else functional.one_hot(labels, kinds).to(logits.dtype)
    target = target * (1 - recipe.label_smoothing) + recipe.label_smoothing / kinds
    return (logits.softmax(dim=1) - target).square().sum(dim=1)
