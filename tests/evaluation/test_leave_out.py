from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from facecheck.core.errors import UsageError
from facecheck.core.files import sha256_file
from facecheck.core.manifest import Manifest, read_manifest, write_manifest
from facecheck.core.tables import read_table
from facecheck.evaluation.calibrate import calibrate
from facecheck.evaluation.leave_out import SCORES, LeaveOutResult, alike_quantile, leave_out
from facecheck.evaluation.options import CalibrateOptions, LeaveOutOptions
from facecheck.model.checkpoint import read_header
from facecheck.model.metrics import auc_of
from facecheck.training.options import TrainOptions
from facecheck.training.recipe import Recipe
from facecheck.training.train import train
from tests.encoder import write_encoder


@pytest.fixture(scope="module")
def parted(trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn images with the photos in two sources."""
    frame = read_manifest(trained[0]).frame
    odd = pl.int_range(pl.len()).over("kind", "split") % 2 == 1
    is_other = (pl.col("kind") == "photo") & odd
    source = pl.when(is_other).then(pl.lit("others")).otherwise(pl.col("source"))
    path = tmp_path_factory.mktemp("parted") / "m.csv"
    write_manifest(Manifest(frame.with_columns(source=source)), path, {})
    return path


@pytest.fixture(scope="module")
def recipe(parted: Path) -> Recipe:
    encoder = write_encoder(parted.parent / "colours.onnx")
    return Recipe(encoder=encoder, epochs=3, hidden=8, batch_size=8, lr=1e-2)


def options(folder: Path, *together: str) -> LeaveOutOptions:
    return LeaveOutOptions(out=folder / "left", features=folder / "features", together=together)


def odds_of(scores: Path, condition: pl.Expr) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return read_table(scores).filter(condition)["log_odds"].cast(pl.Float64).to_numpy()


@pytest.fixture(scope="module")
def result(parted: Path, recipe: Recipe) -> LeaveOutResult:
    return leave_out(parted, recipe, options(parted.parent, "others:drawn-cartoon"))


def test_every_image_but_those_of_test_is_scored_once(result: LeaveOutResult, parted: Path) -> None:
    scores = read_table(result.scores)
    frame = read_manifest(parted).frame.filter(pl.col("split") != "test")
    assert sorted(scores["path"]) == sorted(frame["path"])
    assert set(scores["split"]) == {"train", "val"}
    assert result.folds == 3


def test_each_model_was_trained_without_its_fold(result: LeaveOutResult, parted: Path) -> None:
    runs = {run.name: run for run in (parted.parent / "left" / "runs").iterdir()}
    assert set(runs) == {
        "without-others+drawn-cartoon", "without-drawn-photo", "without-drawn-sketch",
    }  # fmt: skip
    header = read_header(runs["without-others+drawn-cartoon"] / "best.safetensors")
    assert header.kinds == ("photo", "sketch")
    assert header.recipe["sources"] == ["photo/drawn-photo", "sketch/drawn-sketch"]


def test_the_figures_are_those_of_the_scores(result: LeaveOutResult) -> None:
    rows = {row.source: row for row in result.rows}
    own, *photos = (
        odds_of(result.scores, pl.col("source") == name)
        for name in ("drawn-sketch", "drawn-photo", "others")
    )
    wanted = [
        roc_auc_score([1] * len(own) + [0] * len(one), np.concatenate([own, one])) for one in photos
    ]
    assert rows["drawn-sketch"].auc == pytest.approx(np.mean(wanted))
    assert rows["drawn-sketch"].alarms is None
    assert rows["others"].recall is None
    assert [row.kind for row in result.rows] == ["cartoon", "sketch", "photo", "photo"]


def test_finished_folds_are_kept(result: LeaveOutResult, parted: Path, recipe: Recipe) -> None:
    before = result.scores.read_bytes()
    again = leave_out(parted, recipe, options(parted.parent, "others:drawn-cartoon"))
    assert again.resumed == again.folds == 3
    assert (parted.parent / "left" / SCORES).read_bytes() == before


def test_no_other_source_is_left_out_where_that_is_asked(
    parted: Path, recipe: Recipe, tmp_path: Path
) -> None:
    wanted = replace(options(tmp_path, "others:drawn-cartoon"), only_together=True)
    found = leave_out(parted, recipe, wanted)
    assert found.folds == 1
    assert {row.source for row in found.rows} == {"others", "drawn-cartoon"}
    with pytest.raises(UsageError, match="needs --together"):
        replace(wanted, together=())


def test_so_many_images_of_each_source_are_trained_on_and_scored(
    parted: Path, recipe: Recipe, tmp_path: Path
) -> None:
    wanted = replace(options(tmp_path, "others:drawn-cartoon"), only_together=True, per_source=10)
    found = leave_out(parted, recipe, wanted)
    sample = read_manifest(wanted.out / "sample.csv")
    assert sorted(sample.frame["path"]) == sorted(read_manifest(parted).sampled(10).frame["path"])
    assert len(sample) < len(read_manifest(parted))
    scored = sample.of_sources(["others", "drawn-cartoon"]).frame.filter(pl.col("split") != "test")
    assert sorted(read_table(found.scores)["path"]) == sorted(scored["path"])
    header = read_header(next((wanted.out / "runs").iterdir()) / "best.safetensors")
    assert header.manifest_sha256 == sha256_file(wanted.out / "sample.csv")


@pytest.mark.parametrize("together", [("others:nothing",), ("others", "others:drawn-photo")])
def test_wrong_folds_are_refused(
    parted: Path, recipe: Recipe, together: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="--together"):
        leave_out(parted, recipe, options(tmp_path, *together))


def test_calibrate_takes_the_scores(
    result: LeaveOutResult, parted: Path, recipe: Recipe, tmp_path: Path
) -> None:
    run = train(parted, recipe, TrainOptions(runs=tmp_path, features=parted.parent / "features"))
    calibrate(run.best, parted, CalibrateOptions(left_out=result.scores, budget=0.1, uncertain=0.3))
    header = read_header(run.best)
    odds = odds_of(result.scores, pl.col("kind") == "photo")
    scores = 1 / (1 + np.exp(-odds / header.temperature))
    low, high = header.thresholds
    assert (scores >= high).mean() <= 0.15
    assert ((scores > low) & (scores < high)).mean() <= 0.4
    assert header.calibration["left_out"]


def test_auc_and_quantiles_of_parts() -> None:
    positive, negative = np.array([1.0, 2.0, 2.0]), np.array([0.0, 2.0])
    assert auc_of(positive, negative) == pytest.approx(
        roc_auc_score([1, 1, 1, 0, 0], [*positive, *negative])
    )
    few, many = np.array([10.0]), np.arange(9.0)
    assert alike_quantile([few, many], 0.5) == 8.0
    assert alike_quantile([few, many], 0.51) == 10.0
