"""The two networks: a generator of faces of a kind, and the discriminator it learns from.

Residual networks as in SNGAN (Miyato et al. 2018, "Spectral normalization for generative
adversarial networks") and BigGAN (Brock et al. 2019): the generator's batch normalisation is
conditioned on the latent vector and the kind, the discriminator is spectrally normalised and
scores the kind by projection (Miyato and Koyama 2018, "cGANs with projection discriminator").
Unlike theirs, a block convolves once before and once after its change of resolution, and the
discriminator begins with a strided convolution: half the arithmetic, for machines without a GPU.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from facecheck.core.errors import UsageError
from facecheck.generator.options import SIZES

#: Sides in pixels that there are networks for.
#: The generator starts from a map of so many pixels a side.
_START = 4
#: The widest layer has so many times the channels of the narrowest.
_WIDEST = 16


def channels(side: int, size: int, width: int) -> int:
    """Return how many channels a map of ``side`` pixels has, ``width`` being those of ``size``."""
    return width * min(_WIDEST, size // side)


class ConditionalNorm(nn.Module):
    """Batch normalisation whose scale and shift are linear in a condition."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.modulation = nn.Linear(condition, 2 * width)
        nn.init.normal_(self.modulation.weight, std=0.02)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, maps: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Normalise ``maps``, shape (N, width, H, W), by ``condition``, shape (N, condition)."""
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, self.norm(maps), 1 + scale)


class _Up(nn.Module):
    """A residual block that doubles the side."""

    def __init__(self, before: int, after: int, condition: int) -> None:
        super().__init__()
        self.norm1 = ConditionalNorm(before, condition)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.norm2 = ConditionalNorm(after, condition)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, maps: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        inner = _doubled(self.conv1(functional.relu(self.norm1(maps, condition))))
        inner = self.conv2(functional.relu(self.norm2(inner, condition)))
        return _sum(inner, _doubled(self.skip(maps)))


class Generator(nn.Module):
    """Faces from noise and a kind.

    Args:
        kinds: how many.
        size: side of the images in pixels, one of :data:`SIZES`.
        width: channels of the last, narrowest layer.
        latent: length of the noise vector.
    """

    def __init__(self, kinds: int, size: int = 64, width: int = 16, latent: int = 128) -> None:
        super().__init__()
        _check(size)
        self.latent = latent
        self.kind = nn.Embedding(kinds, 32)
        condition = latent + 32
        sides = [_START * 2**step for step in range((size // _START).bit_length())]
        widths = [channels(side, size, width) for side in sides]
        self.start = nn.Linear(condition, widths[0] * _START**2)
        self.blocks = nn.ModuleList(
            _Up(before, after, condition) for before, after in pairwise(widths)
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        self.colour = nn.Conv2d(widths[-1], 3, 3, padding=1)
        self.apply(_initialise)

    def forward(self, noise: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Return images of shape (N, 3, size, size), from -1 (black) to 1.

        Args:
            noise: standard normal, shape (N, latent).
            kinds: the kinds' numbers, shape (N,).
        """
        condition = torch.cat([noise, self.kind(kinds)], dim=1)
        maps = self.start(condition).view(len(noise), -1, _START, _START)
        maps = maps.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            maps = block(maps, condition)
        return torch.tanh(self.colour(functional.relu(self.norm(maps))))


class _Down(nn.Module):
    """A residual block that halves the side."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = spectral_norm(nn.Conv2d(before, before, 3, padding=1))
        self.conv2 = spectral_norm(nn.Conv2d(before, after, 3, padding=1))
        self.skip = spectral_norm(nn.Conv2d(before, after, 1))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        inner = functional.avg_pool2d(self.conv1(functional.leaky_relu(maps, 0.2)), 2)
        inner = self.conv2(functional.leaky_relu(inner, 0.2))
        return _sum(inner, self.skip(functional.avg_pool2d(maps, 2)))


class Discriminator(nn.Module):
    """How real an image looks for its kind; arguments as :class:`Generator` takes them."""

    def __init__(self, kinds: int, size: int = 64, width: int = 16) -> None:
        super().__init__()
        _check(size)
        sides = [size // 2**step for step in range(1, (size // _START).bit_length())]
        widths = [channels(side, size, width) for side in sides]
        self.stem = spectral_norm(nn.Conv2d(3, widths[0], 4, stride=2, padding=1))
        self.blocks = nn.Sequential(*(_Down(before, after) for before, after in pairwise(widths)))
        self.last = spectral_norm(nn.Conv2d(widths[-1], widths[-1], 3, padding=1))
        self.score = spectral_norm(nn.Linear(widths[-1], 1))
        self.kind = spectral_norm(nn.Embedding(kinds, widths[-1]))

    def forward(self, images: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Return a score for each image, shape (N,), above 0 for real.

        Args:
            images: shape (N, 3, size, size), -1 to 1.
            kinds: the kinds' numbers, shape (N,).
        """
        maps = self.blocks(self.stem(images))
        maps = self.last(functional.leaky_relu(maps, 0.2))
        features = functional.leaky_relu(maps, 0.2).sum(dim=(2, 3))
        return _sum(self.score(features).squeeze(1), (self.kind(kinds) * features).sum(dim=1))


def _sum(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return one + other


def _doubled(maps: torch.Tensor) -> torch.Tensor:
    # Not by nearest neighbours: a short training leaves their edges in the image.
    return functional.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


def _check(size: int) -> None:
    if size not in SIZES:
        raise UsageError(f"size {size}: there are networks for {' and '.join(map(str, SIZES))}")


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.orthogonal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
