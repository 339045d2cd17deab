"""The generator and the discriminator."""

from __future__ import annotations

import pytest
import torch

from facecheck.core.errors import UsageError
from facecheck.generator.networks import Discriminator, Generator, channels


@pytest.mark.parametrize("size", [64, 128])
def test_shapes_and_range(size: int) -> None:
    kinds = torch.tensor([0, 1, 2])
    images = Generator(3, size, width=1, latent=8)(torch.randn(3, 8), kinds)
    assert images.shape == (3, 3, size, size)
    assert -1 <= images.min() < images.max() <= 1
    assert Discriminator(3, size, width=1)(images, kinds).shape == (3,)


def test_no_other_size() -> None:
    with pytest.raises(UsageError, match="size 96: there are networks for 64 and 128"):
        Generator(2, 96)


def test_channels_double_until_the_widest() -> None:
    assert [channels(side, 128, 2) for side in (128, 64, 32, 16, 8, 4)] == [2, 4, 8, 16, 32, 32]


def test_the_kind_counts_in_both() -> None:
    torch.manual_seed(0)
    generator, judge = Generator(2, width=1, latent=8).eval(), Discriminator(2, width=1).eval()
    noise = torch.randn(1, 8)
    first, second = (generator(noise, torch.tensor([kind])) for kind in (0, 1))
    assert not torch.equal(first, second)
    assert judge(first, torch.tensor([0])) != judge(first, torch.tensor([1]))


def test_every_layer_of_the_discriminator_is_of_spectral_norm_1() -> None:
    torch.manual_seed(0)
    judge = Discriminator(2, width=2).train()
    for _ in range(30):  # the power iteration gets nearer with every step
        judge(torch.randn(2, 3, 64, 64), torch.tensor([0, 1]))
    layers = [module for module in judge.modules() if hasattr(module, "parametrizations")]
    assert len(layers) == 1 + 3 * 3 + 3
    for layer in layers:
        weight: torch.Tensor = layer.weight  # type: ignore[assignment]
        assert float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2)) == pytest.approx(
            1, abs=0.02
        )
