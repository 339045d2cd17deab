from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facecheck.core.manifest import read_manifest
from facecheck.model.backbones import build
from facecheck.model.checkpoint import Checkpoint, Header
from facecheck.model.inspection import channel_gates, first_filters
from facecheck.model.torch_predictor import TorchPredictor
from facecheck.model.transforms import Transform, load_input, normalise

KINDS = ("photo", "cartoon", "sketch")


def predictor(arch: str) -> TorchPredictor:
    torch.manual_seed(0)
    built = build(arch, len(KINDS), pretrained=False)
    for module in built.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)  # the last of a residual block begins at nought
    transform = Transform.for_size(32, built.mean, built.std)
    checkpoint = Checkpoint(built.model.eval(), Header(arch, KINDS, transform))
    return TorchPredictor(checkpoint, torch.device("cpu"))


def test_filters_are_the_first_kernels() -> None:
    model = predictor("resnet10t").model
    filters = first_filters(model)
    assert filters is not None
    weight = model.get_parameter("conv1.0.weight").detach().numpy()
    assert filters.shape == (weight.shape[0], 3, 3, 3)
    assert filters[1, 2, 0, 1] == pytest.approx(weight[1, 1, 2, 0])
    assert first_filters(torch.nn.Sequential(torch.nn.Linear(3, 3))) is None


@pytest.mark.parametrize(
    "arch", ["seresnext26t_32x4d", "mobilenetv3_small_050", "legacy_seresnet18"]
)
def test_gates_are_what_each_block_multiplies_by(arch: str, trained: tuple[Path, Path]) -> None:
    """Each family of timm names its blocks its own way."""
    model = predictor(arch)
    frame = read_manifest(trained[0]).frame
    images = {
        kind: [Path(path) for path in frame.filter(kind=kind)["path"][:2]] for kind in KINDS[:2]
    }
    gates = channel_gates(model, {**images, "sketch": [Path("gone.png")]})
    assert len(gates) == {"seresnext26t_32x4d": 8, "legacy_seresnet18": 8}.get(arch, 9)
    for block in gates:
        assert set(block.by_kind) == {"photo", "cartoon"}
        for values in block.by_kind.values():
            assert ((values >= 0) & (values <= 1)).all()
    block = gates[-1]
    module = model.model.get_submodule(block.block)
    ratios = []
    hook = module.register_forward_hook(
        lambda _module, inputs, output: ratios.append(output.sum((2, 3)) / inputs[0].sum((2, 3)))
    )
    pixels = np.concatenate([load_input(path, model.header.transform) for path in images["photo"]])
    with torch.inference_mode():
        model.model(normalise(torch.from_numpy(pixels), model.header.transform))
    hook.remove()
    wanted = ratios[0].mean(0).numpy()
    known = np.isfinite(wanted)
    assert known.any()
    assert block.by_kind["photo"][known] == pytest.approx(wanted[known], abs=1e-3)
    assert not any(part._forward_hooks for part in model.model.modules())


def test_a_network_without_such_blocks_has_no_gates(trained: tuple[Path, Path]) -> None:
    path = Path(read_manifest(trained[0]).frame["path"][0])
    assert channel_gates(predictor("resnet10t"), {"photo": [path]}) == ()
