from __future__ import annotations

import numpy as np
import pytest
from torch import nn, tensor

from facecheck.core.errors import CheckpointError
from facecheck.model.head import Branch, Head


def branch(width: int, components: int, units: int, kinds: int, seed: int) -> Branch:
    rng = np.random.default_rng(seed)
    shapes = {
        "mean": (width,),
        "projection": (width, components),
        "hidden": (components, units),
        "hidden_bias": (units,),
        "output": (units, kinds),
        "skip": (components, kinds),
        "bias": (kinds,),
    }
    return Branch(**{name: rng.normal(size=shape) for name, shape in shapes.items()})


def test_it_computes_what_torch_does() -> None:
    one = branch(6, 4, 5, 3, 0)
    features = np.random.default_rng(1).normal(size=(7, 6))
    seen = tensor((features - one.mean) @ one.projection)
    units = nn.functional.relu(seen @ tensor(one.hidden) + tensor(one.hidden_bias))
    wanted = units @ tensor(one.output) + seen @ tensor(one.skip) + tensor(one.bias)
    logits, shown = Head((one,), (1.0,)).answer([features])
    assert logits == pytest.approx(wanted.numpy())
    assert shown == pytest.approx(seen.numpy())


def test_branches_are_averaged_by_share() -> None:
    one, two = branch(6, 4, 5, 3, 0), branch(2, 2, 0, 3, 1)
    features = [np.ones((1, 6)), np.ones((1, 2))]
    alone = [Head((one,), (1.0,)).answer(features[:1])[0]]
    alone += [Head((two,), (1.0,)).answer(features[1:])[0]]
    logits, shown = Head((one, two), (0.75, 0.25)).answer(features)
    assert logits == pytest.approx(0.75 * alone[0] + 0.25 * alone[1])
    assert shown.shape == (1, 6)


def test_a_file_keeps_it_to_16_bits() -> None:
    head = Head((branch(6, 4, 5, 3, 0),), (1.0,))
    again = Head.from_tensors(head.tensors(), head.shares)
    features = [np.random.default_rng(1).normal(size=(7, 6))]
    assert again.answer(features)[0] == pytest.approx(head.answer(features)[0], abs=0.05)
    assert Head.from_tensors(again.tensors(), again.shares).answer(features)[0].tolist() == (
        again.answer(features)[0].tolist()
    )


@pytest.mark.parametrize("fault", ["missing", "more", "shape", "shares"])
def test_tensors_of_something_else_are_refused(fault: str) -> None:
    head = Head((branch(6, 4, 5, 3, 0),), (1.0,))
    tensors, shares = head.tensors(), (1.0,)
    match fault:
        case "missing":
            tensors.pop("branches.0.skip")
        case "more":
            tensors["branches.1.skip"] = np.zeros((4, 3))
        case "shape":
            tensors["branches.0.skip"] = np.zeros((5, 3))
        case "shares":
            shares = (0.5, 0.5)  # type: ignore[assignment]
    with pytest.raises(CheckpointError):
        Head.from_tensors(tensors, shares)
