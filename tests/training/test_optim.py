from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import timm
import torch

from facecheck.training.loss import losses
from facecheck.training.optim import make_optimiser, rate_factor, set_rate
from facecheck.training.recipe import Recipe


def network(arch: str) -> Any:
    return timm.create_model(arch, num_classes=3)


RECIPE = Recipe(lr=0.1, layer_decay=0.5, weight_decay=0.01)


@pytest.mark.parametrize("arch", ["resnet10t", "tf_efficientnet_lite0", "test_vit", "seresnet50"])
def test_every_parameter_is_in_one_group_and_rates_fall_towards_the_input(arch: str) -> None:
    model = network(arch)
    optimiser = make_optimiser(model, RECIPE)
    grouped = [id(item) for group in optimiser.param_groups for item in group["params"]]
    assert sorted(grouped) == sorted(id(item) for item in model.parameters())
    peak_of = {
        id(item): group["peak"] for group in optimiser.param_groups for item in group["params"]
    }
    first, *_, last = model.parameters()
    assert peak_of[id(last)] == 0.1
    assert peak_of[id(first)] <= 0.1 * 0.5**3
    set_rate(optimiser, 0.5)
    assert all(group["lr"] == group["peak"] / 2 for group in optimiser.param_groups)


def test_biases_and_normalisation_have_no_penalty() -> None:
    model = network("resnet10t")
    for group in make_optimiser(model, RECIPE).param_groups:
        flat = {item.ndim <= 1 for item in group["params"]}
        assert flat == {group["weight_decay"] == 0}


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_each_optimiser_is_torchs_and_steps(name: str) -> None:
    model = network("resnet10t")
    before = model.fc.weight.detach().clone()
    optimiser = make_optimiser(model, Recipe().changed({"optimiser": name}))
    assert type(optimiser).__name__.lower() == name
    model(torch.randn(2, 3, 32, 32)).square().mean().backward()
    optimiser.step()
    assert not torch.equal(model.fc.weight, before)


def test_the_rate_rises_and_falls_as_named() -> None:
    one = [rate_factor("onecycle", step, 100) for step in range(100)]
    assert one[0] < 0.06
    assert max(one) == pytest.approx(1, abs=1e-3)
    assert 28 <= one.index(max(one)) <= 31
    assert one[-1] < 0.001
    cosine = [rate_factor("cosine", step, 100) for step in range(100)]
    assert 4 <= cosine.index(max(cosine)) <= 5
    assert cosine[52] == pytest.approx(0.5, abs=0.02)
    assert {rate_factor("constant", step, 100) for step in range(100)} == {1.0}
    assert 0 <= rate_factor("onecycle", 0, 1) <= 1


def test_losses_are_torchs_and_the_brier_score() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])
    labels = torch.tensor([0, 2])
    theirs = torch.nn.functional.cross_entropy(
        logits, labels, reduction="none", label_smoothing=0.1
    )
    assert torch.allclose(losses(logits, labels, Recipe(label_smoothing=0.1)), theirs)
    probabilities = logits.softmax(1)
    target = torch.tensor([[1.0, 0, 0], [0, 0, 1]])
    brier = ((probabilities - target) ** 2).sum(1)
    assert torch.allclose(losses(logits, labels, Recipe(loss="mse")), brier)
    smoothed = losses(logits, labels, replace(Recipe(loss="mse"), label_smoothing=0.3))
    assert torch.allclose(smoothed, ((probabilities - (target * 0.7 + 0.1)) ** 2).sum(1))
