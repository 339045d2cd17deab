from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from facecheck.core.errors import UsageError
from facecheck.model import precision
from facecheck.model.precision import (
    Precision,
    _Probe,
    _worthwhile,
    choose_precision,
    compile_if_faster,
)

CPU = torch.device("cpu")
EXACT = torch.ones(4)
FP32 = Precision("fp32", None, "")
BATCH = torch.ones(4, 3, 8, 8)


def _network() -> nn.Module:
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(144, 3)).train()


def test_the_device_is_timed_and_the_random_state_left_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    chosen = choose_precision(CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert chosen.name == "fp32" or (chosen.ratio or 0) >= 1.2
    assert "bf16" in chosen.reason
    assert "fp16" not in chosen.reason  # a busy machine could make it look fast


@pytest.mark.parametrize(
    ("bf16", "fp16", "expected"),
    [
        (0.9, 0.9, "fp32"),  # not worth it
        (0.5, 0.48, "bf16"),  # a tie
        (0.5, 0.3, "fp16"),
        (15.0, 0.5, "fp16"),
        (0.5, 15.0, "bf16"),
    ],
)
def test_the_fastest_wins_if_it_is_worth_it(bf16: float, fp16: float, expected: str) -> None:
    chosen = _worthwhile(
        _Probe(1.0, EXACT), {"bf16": _Probe(bf16, EXACT), "fp16": _Probe(fp16, EXACT)}
    )
    assert chosen.name == expected
    if expected != "fp32":
        assert chosen.ratio == pytest.approx(1 / {"bf16": bf16, "fp16": fp16}[expected])


@pytest.mark.parametrize(
    ("probe", "told"),
    [
        (_Probe(0.1, EXACT * math.inf), "bf16 is not finite"),
        (_Probe(0.1, EXACT * 1.5), "bf16 is 50% off"),
        (_Probe(math.inf, None, "no such kernel"), "bf16 no such kernel"),
    ],
)
def test_fast_and_wrong_is_not_taken(probe: _Probe, told: str) -> None:
    chosen = _worthwhile(_Probe(1.0, EXACT), {"bf16": probe})
    assert chosen.name == "fp32"
    assert told in chosen.reason


def test_what_is_asked_for_is_taken_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_precision(CPU, "fp32").dtype is None
    half = choose_precision(CPU, "fp16")
    assert (half.name, half.dtype, half.needs_scaler) == ("fp16", torch.float16, True)
    assert not choose_precision(CPU, "bf16").needs_scaler

    def refuse(*_: object) -> None:
        raise RuntimeError("not implemented for 'BFloat16'\nand more")

    monkeypatch.setattr(precision, "_small_step", refuse)
    with pytest.raises(UsageError, match=r"^precision bf16: .*BFloat16' and more\).*auto$"):
        choose_precision(CPU, "bf16")


def test_autocast_computes_in_the_precision() -> None:
    layer, inputs = nn.Linear(4, 4), torch.ones(2, 4)
    dtypes = {}
    for name in ("fp32", "bf16"):
        with choose_precision(CPU, name).autocast(CPU):
            dtypes[name] = layer(inputs).dtype
    assert dtypes == {"fp32": torch.float32, "bf16": torch.bfloat16}


@pytest.mark.parametrize(
    ("wanted", "steps", "why"), [("no", 10**6, "not asked for"), ("auto", 10**6, "only on CUDA")]
)
def test_nothing_is_compiled_where_it_cannot_pay(
    wanted: str, steps: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", None)
    model = _network()
    found = compile_if_faster(
        model,
        BATCH,
        steps=steps,
        precision=FP32,
        wanted=wanted,  # type: ignore[arg-type]
    )
    assert found.forward is model
    assert why in found.reason


@pytest.mark.parametrize(("seconds", "ratio"), [([2.0, 1.0], 2.0), ([1.0, 1.0], 1.0)])
def test_the_faster_is_kept(
    seconds: list[float], ratio: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _network()

    def faster(inputs: torch.Tensor) -> torch.Tensor:
        return inputs

    monkeypatch.setattr(torch, "compile", lambda *_, **__: faster)
    monkeypatch.setattr(precision, "_step_seconds", lambda *_: seconds)
    found = compile_if_faster(model, BATCH, steps=1, precision=FP32, wanted="yes")
    assert found.ratio == ratio
    assert found.forward is (faster if ratio > 1 else model)


def test_timing_leaves_the_model_and_the_random_state_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = _network()
    calls: list[int] = []

    def stand_in(inputs: torch.Tensor) -> torch.Tensor:
        calls.append(len(inputs))
        logits: torch.Tensor = model(inputs)
        return logits

    monkeypatch.setattr(torch, "compile", lambda *_, **__: stand_in)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    found = compile_if_faster(model, BATCH, steps=1, precision=FP32, wanted="yes")
    assert set(calls) == {len(BATCH)}
    assert found.ratio
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_a_compiler_that_fails_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("No working C++ compiler found\nat length")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    model = _network()
    found = compile_if_faster(model, BATCH, steps=1, precision=FP32, wanted="yes")
    assert found.forward is model
    assert found.reason == "not compiled: RuntimeError: No working C++ compiler found at length"
