from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from facecheck.report.plots import plot_lr_find
from facecheck.training.lr_find import LrFindResult, smooth, suggest


def test_the_curve_and_its_suggestions_are_drawn(tmp_path: Path) -> None:
    rates = np.geomspace(1e-7, 1, 100)
    losses = (1 / (1 + rates / 1e-3) + 0.1 + 1e4 * rates**6).tolist()
    steep, lowest = suggest(rates.tolist(), losses)
    result = LrFindResult(
        arch="resnet10t",
        weights="$random$",
        device="cpu, fp32",
        rates=tuple(rates.tolist()),
        losses=tuple(losses),
        smoothed=tuple(smooth(losses)),
        steep=steep,
        tenth=lowest / 10,
        diverged=True,
        table=None,
    )
    plot_lr_find(result, tmp_path / "curve.png")
    pixels = np.asarray(Image.open(tmp_path / "curve.png").convert("RGB"), np.int16)
    for name, colour in {
        "smoothed": (0x00, 0x72, 0xB2),
        "steep": (0x00, 0x9E, 0x73),
        "tenth": (0xD5, 0x5E, 0x00),
    }.items():
        place = np.argwhere(np.abs(pixels - colour).max(axis=2) < 8)
        assert len(place) > 100, name
        if name == "smoothed":  # the rise that was left out does not press the fall flat
            assert np.ptp(place[:, 0]) > 0.4 * len(pixels)
    assert math.isfinite(steep)
