from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facecheck.core.errors import TrainingError
from facecheck.core.manifest import Manifest, read_manifest
from facecheck.model.encoder import Encoder
from facecheck.model.transforms import Transform, load_input
from facecheck.training.feature_cache import CachePlan, FeatureCache
from facecheck.training.recipe import Recipe
from tests.encoder import SIDE, write_encoder

TRANSFORM = Transform.for_size(SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    encoder = Encoder(write_encoder(tmp_path / "colours.onnx"))
    return FeatureCache(tmp_path / "features", encoder, Recipe(reencode=1.0), TRANSFORM)


@pytest.fixture
def records(trained: tuple[Path, Path]) -> Manifest:
    return Manifest(read_manifest(trained[0]).frame.head(12))


def test_it_keeps_what_the_encoder_gives_for_the_input_of_a_scan(
    cache: FeatureCache, records: Manifest
) -> None:
    cache.compute({0: records})
    colours, roughness = cache.read(records, (0,))
    pixels = np.concatenate([load_input(path, TRANSFORM) for path in records.paths()])
    wanted = cache.encoder.features(pixels)
    assert colours[:, 0] == pytest.approx(wanted[0], rel=1e-3)
    assert roughness[:, 0] == pytest.approx(wanted[1], rel=1e-3, abs=1e-3)


def test_what_is_there_is_not_computed_again(cache: FeatureCache, records: Manifest) -> None:
    plans: list[CachePlan] = []
    cache.compute({0: Manifest(records.frame.head(5))}, on_plan=plans.append)
    cache.compute({0: records, 1: records}, on_plan=plans.append)
    cache.compute({0: records, 1: records}, on_plan=plans.append)
    assert [(plan.present, plan.missing) for plan in plans] == [(0, 5), (5, 19), (24, 0)]
    assert plans[1].bytes == 19 * 6 * 2


def test_views_differ_and_are_the_same_when_made_again(
    cache: FeatureCache, records: Manifest, tmp_path: Path
) -> None:
    cache.compute({0: records, 1: records, 2: records})
    colours, _ = cache.read(records, (0, 1, 2))
    assert len(np.unique(colours[:, :, 0], axis=1)) == len(records)
    assert (colours[:, 1] != colours[:, 2]).any()
    again = FeatureCache(tmp_path / "again", cache.encoder, cache.recipe, TRANSFORM)
    backwards = Manifest(records.frame.reverse())
    again.compute({2: backwards})
    assert again.read(records, (2,))[0][:, 0].tolist() == colours[:, 2].tolist()


@pytest.mark.parametrize("cut", [("rows", 5), ("keys", 30), ("keys", 65)])
def test_what_a_kill_leaves_half_written_is_written_again(
    cache: FeatureCache, records: Manifest, cut: tuple[str, int]
) -> None:
    cache.compute({0: records})
    whole = cache.read(records, (0,))
    file = next(cache.folder.glob(f"*/{cut[0]}"))
    file.write_bytes(file.read_bytes()[: -cut[1]])
    plans: list[CachePlan] = []
    cache.compute({0: records}, on_plan=plans.append)
    assert 1 <= plans[0].missing <= 2
    for before, after in zip(whole, cache.read(records, (0,)), strict=True):
        assert before.tolist() == after.tolist()


def test_other_encoders_and_views_have_their_own_tables(
    cache: FeatureCache, records: Manifest, tmp_path: Path
) -> None:
    cache.compute({0: records})
    other = Encoder(write_encoder(tmp_path / "other.onnx", fault=2.0))
    assert FeatureCache(cache.folder, other, Recipe(), TRANSFORM).plan({0: records}).present == 0
    calm = FeatureCache(cache.folder, cache.encoder, Recipe(), TRANSFORM)
    assert calm.plan({0: records}).present == len(records)
    with pytest.raises(TrainingError, match="features are missing"):
        calm.read(records, (1,))


def test_bad_files_and_numbers_are_named(
    cache: FeatureCache, records: Manifest, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    frame = records.frame.head(1)
    frame[0, "path"] = str(bad)
    with pytest.raises(TrainingError, match=r"bad\.png: .*fix it"):
        cache.compute({0: Manifest(frame)})
    loud = Encoder(write_encoder(tmp_path / "loud.onnx", fault=1e9))
    with pytest.raises(TrainingError, match="not finite numbers in 16 bits"):
        FeatureCache(tmp_path / "loud", loud, Recipe(), TRANSFORM).compute({0: records})
