"""DiffAugment: one random change of real and generated images alike, with a gradient through it.

Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training": the discriminator
never sees an image as it is, so a few thousand of them last longer. The policy is theirs: colour,
translation, cutout.
"""

from __future__ import annotations

import torch
from torch.nn import functional

#: Translation by up to so much of the side, and a cutout of half a side.
_SHIFT = 1 / 8
_HOLE = 1 / 2


def diffaugment(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Return each image changed at random: brightness, saturation, contrast, place, a grey hole.

    Args:
        images: shape (N, 3, H, W), -1 to 1.
        random: what draws, a generator on the CPU: every device draws the same.
    """
    count, _, height, width = images.shape

    def draw() -> torch.Tensor:
        return torch.rand(count, generator=random).to(images.device)[:, None, None, None]

    images = images + draw() - 0.5
    grey = images.mean(dim=1, keepdim=True)
    images = torch.lerp(grey, images, 2 * draw())
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    images = torch.lerp(middle, images, draw() + 0.5)
    images = _translated(images, draw(), draw())
    return images * _outside(height, draw(), images.device)[:, None, :, None].logical_or(
        _outside(width, draw(), images.device)[:, None, None, :]
    )


def _translated(images: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Move each image by -1/8 to 1/8 of its sides, black following (0, mid-grey, in fact)."""
    count, _, height, width = images.shape
    reach_y, reach_x = int(height * _SHIFT + 0.5), int(width * _SHIFT + 0.5)
    padded = functional.pad(images, (reach_x, reach_x, reach_y, reach_y))
    rows, columns = (
        (share.flatten() * (2 * reach + 1)).long()[:, None]
        + torch.arange(side, device=images.device)
        for share, reach, side in ((down, reach_y, height), (right, reach_x, width))
    )
    picked = padded.permute(0, 2, 3, 1)[
        torch.arange(count, device=images.device)[:, None, None],
        rows[:, :, None],
        columns[:, None, :],
    ]
    return picked.permute(0, 3, 1, 2)


def _outside(side: int, share: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return which places along a side lie outside the hole, shape (N, side)."""
    hole = int(side * _HOLE + 0.5)
    start = (share.flatten() * (side + (1 - hole % 2))).long() - hole // 2
    place = torch.arange(side, device=device)
    return (place < start[:, None]) | (place >= start[:, None] + hole)
