"""All randomness of a generator: a function of a seed and of numbers, such as a step's."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch


def rng_for(*parts: int) -> torch.Generator:
    """Return what draws for these numbers, each 0 or above; the same for every device."""
    seed = np.random.SeedSequence(parts).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed) >> 1)


def noise_for(seed: int, numbers: Iterable[int], latent: int) -> torch.Tensor:
    """Return the noise of the images of these numbers, shape (N, latent), on the CPU.

    An image's noise depends on the seed and its own number alone.
    """
    return torch.stack([torch.randn(latent, generator=rng_for(seed, number)) for number in numbers])
