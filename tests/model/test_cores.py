"""A score does not depend on how many cores a machine has, on any engine of torch's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facecheck.engines.export import export_checkpoint
from facecheck.engines.load import load_predictor
from facecheck.model.cores import RUN


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".safetensors", ".ts", ".onnx"])
def test_the_number_of_threads_moves_no_digit(
    trained: tuple[Path, Path], tmp_path: Path, suffix: str
) -> None:
    manifest, model = trained
    if suffix != ".safetensors":
        exported = tmp_path / f"model{suffix}"
        export_checkpoint(model, exported, manifest=manifest)
        model = exported
    side = load_predictor(model, "cpu").header.transform.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (3 * RUN + 1, 1, side, side, 3), np.uint8)
    before = torch.get_num_threads()
    found = [
        load_predictor(model, "cpu", features=True, threads=threads).outputs(pixels)
        for threads in (1, 2, 7, None)
    ]
    logits, features = found[0]
    assert features is not None
    assert (len(logits), len(features)) == (len(pixels), len(pixels))
    for others in found[1:]:
        assert np.array_equal(others[0], logits)
        assert np.array_equal(others[1], features)  # type: ignore[arg-type]
    assert torch.get_num_threads() == before


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_a_crop_has_its_own_numbers_whatever_surrounds_it(
    trained: tuple[Path, Path], tmp_path: Path, suffix: str
) -> None:
    manifest, model = trained
    if suffix != ".safetensors":
        exported = tmp_path / f"model{suffix}"
        export_checkpoint(model, exported, manifest=manifest)
        model = exported
    predictor = load_predictor(model, "cpu", features=True, threads=4)
    side = predictor.header.transform.image_size
    pixels = np.random.default_rng(1).integers(0, 256, (20 * RUN + 3, 1, side, side, 3), np.uint8)
    logits, features = predictor.outputs(pixels)
    assert features is not None
    for start, end in ((0, 1), (5, 12), (7, 9), (len(pixels) - 1, len(pixels))):
        alone = predictor.outputs(pixels[start:end])
        assert np.array_equal(alone[0], logits[start:end])
        assert np.array_equal(alone[1], features[start:end])  # type: ignore[arg-type]
