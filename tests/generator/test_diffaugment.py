"""Changes that real and generated images share, with a gradient through them."""

from __future__ import annotations

import torch

from facecheck.generator.diffaugment import diffaugment
from facecheck.generator.rng import rng_for


def images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 3, 64, 48, generator=rng_for(1)) * 2 - 1


def test_it_is_a_function_of_chance() -> None:
    first, again, other = (diffaugment(images(), rng_for(seed)) for seed in (5, 5, 6))
    assert first.shape == images().shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_each_image_is_changed_by_itself() -> None:
    same = images(1).expand(6, -1, -1, -1)
    changed = diffaugment(same, rng_for(2))
    assert len({tuple(image.flatten()[:50].tolist()) for image in changed}) == 6


def test_half_a_side_is_cut_out() -> None:
    changed = diffaugment(images(64), rng_for(3))
    holes = (changed == 0).all(dim=1).sum(dim=(1, 2))
    # A hole of 32 x 24 may lie half outside; a shift leaves up to 8 rows and 6 columns as well.
    assert holes.max() <= 32 * 24 + 64 * 48 - 56 * 42
    assert holes.min() >= 16 * 12


def test_the_gradient_reaches_what_is_seen_and_nothing_else() -> None:
    before = images().requires_grad_()
    torch.autograd.backward(diffaugment(before, rng_for(4)).sum())
    assert before.grad is not None
    assert before.grad.isfinite().all()
    assert (before.grad != 0).any(dim=1).float().mean() > 0.3


def test_colour_and_contrast_move_the_mean_both_ways() -> None:
    grey = torch.zeros(200, 3, 64, 64)
    means = diffaugment(grey, rng_for(7)).sum(dim=(1, 2, 3)).sign()
    assert (means > 0).any()
    assert (means < 0).any()
