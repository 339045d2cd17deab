from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from facecheck.core.errors import TrainingError, UsageError
from facecheck.training import lr_find as module
from facecheck.training.lr_find import LrFindResult, lr_find, smooth, suggest, sweep
from facecheck.training.options import LrFindOptions
from tests.conftest import SMALL

RATES = np.geomspace(1e-6, 1, 100).tolist()


@pytest.fixture(scope="module")
def found(
    trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[LrFindResult, list[int]]:
    """A search on the drawn images, and the counts its progress was told."""
    told: list[int] = []
    table = tmp_path_factory.mktemp("lr") / "curve.csv"
    result = lr_find(
        trained[0],
        SMALL,
        LrFindOptions(lowest=1e-6, steps=30, device="cpu", workers=0),
        table=table,
        progress=lambda done, _: told.append(done),
    )
    return result, told


@pytest.mark.slow
def test_drawn_images_give_a_curve_that_falls(found: tuple[LrFindResult, list[int]]) -> None:
    result, told = found
    assert result.rates[0] == pytest.approx(1e-6)
    assert np.diff(np.log(result.rates)) == pytest.approx(math.log(1e6) / 29)
    assert told == list(range(1, len(result.losses) + 1))
    assert result.smoothed == pytest.approx(smooth(result.losses))
    assert min(result.smoothed) < 0.8 * result.smoothed[0]
    assert 1e-5 < result.steep < 1e-1
    assert 1e-5 < result.tenth < 1e-1
    assert result.weights == "random"
    assert result.device == "cpu, fp32"


@pytest.mark.slow
def test_the_table_holds_the_curve(
    found: tuple[LrFindResult, list[int]], trained: tuple[Path, Path]
) -> None:
    result, _ = found
    assert result.table is not None
    table = pl.read_csv(result.table)
    assert table.columns == ["rate", "loss", "smoothed"]
    assert table["rate"].to_list() == pytest.approx(result.rates)
    assert table["loss"].to_list() == pytest.approx(result.losses)
    with pytest.raises(UsageError, match="--overwrite"):
        lr_find(trained[0], SMALL, table=result.table)


@pytest.mark.slow
def test_the_network_and_the_optimiser_are_what_they_were(
    trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[dict[str, Any], ...]] = []
    real = module.sweep

    def watched(
        model: nn.Module, optimiser: torch.optim.Optimizer, *rest: Any, **more: Any
    ) -> list[float]:
        before = copy.deepcopy((model.state_dict(), optimiser.state_dict()))
        losses = real(model, optimiser, *rest, **more)
        assert len(set(losses)) > 1
        seen.append((*before, model.state_dict(), optimiser.state_dict()))
        return losses

    monkeypatch.setattr(module, "sweep", watched)
    monkeypatch.setattr(module, "suggest", lambda *_: (1.0, 1.0))
    lr_find(
        trained[0],
        replace(SMALL, momentum=0.5),
        LrFindOptions(lowest=1e-3, steps=20, device="cpu", workers=0),
    )
    weights, settings, weights_after, settings_after = seen[0]
    assert all(torch.equal(tensor, weights_after[name]) for name, tensor in weights.items())
    assert settings == settings_after


def quadratic(
    factors: list[float], curvature: float = 2.0
) -> tuple[list[float], list[float], nn.Linear]:
    """Sweep plain gradient descent over w² c/2, from w = 1; return losses, rates, the layer."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    optimiser = torch.optim.SGD([{"params": layer.parameters(), "lr": 0.5, "peak": 0.5}])
    used: list[float] = []

    def step() -> float:
        loss: torch.Tensor = curvature / 2 * layer.weight.square().sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        used.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        return float(loss.detach())

    losses = sweep(layer, optimiser, step, factors)
    assert optimiser.param_groups[0]["lr"] == 0.5
    assert not optimiser.state
    return losses, used, layer


def test_a_quadratic_falls_as_its_formula_says_until_it_diverges() -> None:
    """Each step multiplies w by (1 - rate c), which grows beyond rate 2 / c."""
    factors = np.geomspace(1e-3, 1e3, 200).tolist()
    losses, used, layer = quadratic(factors)
    assert used == pytest.approx([0.5 * factor for factor in factors[: len(used)]])
    weight, expected = 1.0, []
    for rate in used:
        expected.append(weight**2)
        weight *= 1 - 2 * rate
    assert losses == pytest.approx(expected, rel=1e-3, abs=1e-9)
    assert len(losses) < 200
    assert used[-1] > 2 / 2
    smoothed = smooth(losses)
    assert smoothed[-1] > 4 * min(smoothed)
    assert all(late <= 4 * min(smoothed[:place]) for place, late in enumerate(smoothed[1:-1], 1))
    assert layer.weight.item() == 1


def test_a_loss_that_is_not_finite_ends_the_sweep_and_an_error_restores_too() -> None:
    layer = nn.Linear(1, 1)
    before = copy.deepcopy(layer.state_dict())
    optimiser = torch.optim.SGD([{"params": layer.parameters(), "lr": 1.0, "peak": 1.0}])
    losses = iter([1.0, 0.9, math.nan, 0.8])
    assert sweep(layer, optimiser, lambda: next(losses), [1.0] * 4) == [1.0, 0.9]

    def broken() -> float:
        nn.init.zeros_(layer.weight)
        raise TrainingError("a file turned bad")

    with pytest.raises(TrainingError, match="turned bad"):
        sweep(layer, optimiser, broken, [1.0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())


def test_smoothing_is_a_weighted_mean_of_what_came_before() -> None:
    assert smooth([3.0] * 5) == pytest.approx([3.0] * 5)
    assert smooth([1.0, 2.0])[1] == pytest.approx((0.9 * 1 + 2) / 1.9)


@pytest.mark.parametrize("centre", [1e-4, 1e-3, 1e-2])
def test_the_steepest_point_of_a_known_curve(centre: float) -> None:
    """A logistic fall in log rate is steepest at its centre; a rise follows at 0.2."""
    log = np.log(RATES)
    noise = np.random.default_rng(0).normal(0, 0.01, 100)
    losses = 1 / (1 + np.exp((log - math.log(centre)) * 1.5)) + 0.1 + noise
    losses += np.exp(3 * (log - math.log(0.2)))
    steep, lowest = suggest(RATES, losses.tolist())
    assert abs(math.log10(steep / centre)) < 0.25
    assert centre < lowest < 0.3


@pytest.mark.parametrize(
    "losses",
    [
        np.random.default_rng(1).normal(1.4, 0.05, 100),  # learns nothing
        np.linspace(1.4, 5, 60),  # only rises
        np.asarray([2.0, 9.0, 30.0]),  # diverges at once
        np.asarray([]),  # was never finite
    ],
)
def test_a_curve_that_never_falls_is_refused(losses: np.ndarray) -> None:
    with pytest.raises(TrainingError, match="the loss never fell") as told:
        suggest(RATES[: len(losses)], losses.tolist())
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lowest": 0.0}, "above 0 and rising"),
        ({"lowest": 1e-3, "highest": 1e-4}, "above 0 and rising"),
        ({"steps": 5}, "20 or more"),
    ],
)
def test_ranges_that_draw_no_curve_are_refused(change: dict[str, float], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        LrFindOptions(**change)  # type: ignore[arg-type]
