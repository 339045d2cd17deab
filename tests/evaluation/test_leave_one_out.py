from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.manifest import Manifest, read_manifest, write_manifest
from facecheck.evaluation.calibrate import calibrate
from facecheck.evaluation.leave_one_out import LeaveOneOutResult, best_threshold, leave_one_out
from facecheck.evaluation.options import CalibrateOptions, LeaveOneOutOptions
from facecheck.model.checkpoint import read_header
from facecheck.scanner.checker import Checker
from facecheck.scanner.options import CheckOptions
from facecheck.training.options import TrainOptions
from facecheck.training.recipe import Recipe
from facecheck.training.result import TrainResult
from facecheck.training.train import train
from tests.conftest import SMALL, Outcome

RECIPE = SMALL.changed({"epochs": 1})
PAIRS = ["photo/drawn-photo", "photo/others", "cartoon/drawn-cartoon", "sketch/drawn-sketch"]


@pytest.fixture(scope="module")
def parted(trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn images with the photos in two sources, and few enough to train in a moment."""
    frame = read_manifest(trained[0]).frame
    odd = pl.int_range(pl.len()).over("kind", "split") % 2 == 1
    source = (
        pl.when((pl.col("kind") == "photo") & odd)
        .then(pl.lit("others"))
        .otherwise(pl.col("source"))
    )
    path = tmp_path_factory.mktemp("parted") / "m.csv"
    write_manifest(Manifest(frame.with_columns(source=source)), path, {})
    return path


@pytest.fixture(scope="module")
def result(parted: Path) -> LeaveOneOutResult:
    return leave_one_out(
        parted, RECIPE, parted.parent / "loo", LeaveOneOutOptions(device="cpu", workers=0)
    )


@pytest.mark.slow
def test_each_model_never_saw_its_source(result: LeaveOneOutResult, parted: Path) -> None:
    training = read_manifest(parted).in_split("train").frame
    assert [(row.kind, row.source, row.kind_unseen) for row in result.rows] == [
        ("photo", "drawn-photo", False),
        ("photo", "others", False),
        ("cartoon", "drawn-cartoon", True),
        ("sketch", "drawn-sketch", True),
    ]
    for row in result.rows:
        header = read_header(row.checkpoint)
        assert f"{row.kind}/{row.source}" not in header.recipe["sources"]
        assert len(header.recipe["sources"]) == 3
        assert (row.kind in header.kinds) != row.kind_unseen
        own = training.filter(pl.col("kind") == row.kind, pl.col("source") == row.source)
        assert row.train_images == training.height - own.height


@pytest.mark.slow
def test_a_row_is_what_its_model_says(
    result: LeaveOneOutResult, parted: Path, tmp_path: Path
) -> None:
    test = list(read_manifest(parted).in_split("test").records())
    for row in result.rows[1:3]:
        calibrated = tmp_path / f"{row.source}.safetensors"
        limits = [pair for pair in PAIRS if pair != f"{row.kind}/{row.source}"]
        rest = read_manifest(parted).of_sources(limits)
        write_manifest(rest, tmp_path / "rest.csv", {})
        calibrate(
            row.checkpoint, tmp_path / "rest.csv", CalibrateOptions(out=calibrated, device="cpu")
        )
        checker = Checker(calibrated, CheckOptions(faces="off", device="cpu"))
        is_photo = row.kind == "photo"
        verdicts = [checker.check(r.path) for r in test if r.source == row.source]
        own = [v.score for v in verdicts if v.score is not None]
        assert row.uncertain == np.mean([v.verdict == "uncertain" for v in verdicts])
        wrong_side = "artificial" if is_photo else "real"
        assert row.wrong_verdicts == np.mean([v.verdict == wrong_side for v in verdicts])
        others = [checker.check(r.path) for r in test if (r.kind == "photo") != is_photo]
        other = [v.score for v in others if v.score is not None]
        assert (row.images, row.other_side) == (len(own), len(other))
        artificial = [not is_photo] * len(own) + [is_photo] * len(other)
        assert row.auc == pytest.approx(roc_auc_score(artificial, own + other))
        wrong = sum((score >= row.threshold) == is_photo for score in own)
        assert (row.wrong, row.wrong_share) == (wrong, wrong / len(own))
        assert row.interval[0] <= row.wrong_share <= row.interval[1]
        assert 0 <= row.accuracy <= row.best_accuracy <= 1
        assert row.gap == pytest.approx(row.best_accuracy - row.accuracy)


@pytest.mark.slow
def test_what_is_finished_is_not_trained_again(
    result: LeaveOneOutResult, parted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (result.folder / "results.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 4
    # A run that was killed while it wrote its third line.
    (tmp_path / "results.jsonl").write_text("".join(lines[:2]) + lines[2][:50])
    trained = []

    def counted(manifest: Path, recipe: Recipe, options: TrainOptions, **told: Any) -> TrainResult:
        trained.append(options.name)
        return train(manifest, recipe, options, **told)

    monkeypatch.setattr("facecheck.evaluation.leave_one_out.train", counted)
    again = leave_one_out(parted, RECIPE, tmp_path, LeaveOneOutOptions(device="cpu", workers=0))
    assert trained == ["without-cartoon-drawn-cartoon", "without-sketch-drawn-sketch"]
    assert again.resumed == 2
    assert again.rows[:2] == result.rows[:2]
    trained.clear()
    assert (
        leave_one_out(parted, RECIPE, tmp_path, LeaveOneOutOptions(device="cpu")).rows == again.rows
    )
    assert trained == []
    # Of another recipe, nothing is finished.
    other = RECIPE.changed({"sources": ["photo", "sketch"], "lr": 1e-3})
    limited = leave_one_out(parted, other, tmp_path, LeaveOneOutOptions(device="cpu", workers=0))
    assert len(trained) == len(limited.rows) == 2
    assert limited.skipped == (
        ("sketch/drawn-sketch", "the only artificial source: none would be left to train on"),
    )


def test_thresholds() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.25, 0.6, 0.9])
    artificial = np.array([False, False, False, True, True, True])
    found = best_threshold(scores, artificial)
    assert 0.2 < found <= 0.6
    assert balanced_accuracy_score(artificial, scores >= found) == pytest.approx(5 / 6)
    tried = max(
        balanced_accuracy_score(artificial, scores >= cut) for cut in np.linspace(0, 1.01, 500)
    )
    assert balanced_accuracy_score(artificial, scores >= found) == pytest.approx(tried)
    assert best_threshold(np.array([0.1, 0.9]), np.array([False, True])) == 0.5
    # All upside down: calling everything one thing is the best there is.
    upside_down = best_threshold(np.array([0.9, 0.1]), np.array([False, True]))
    assert balanced_accuracy_score([False, True], np.array([0.9, 0.1]) >= upside_down) == 0.5
    assert best_threshold(np.array([0.9]), np.array([True])) == 0.5


def test_what_cannot_be_left_out_is_told(trained: tuple[Path, Path], tmp_path: Path) -> None:
    two = RECIPE.changed({"sources": ["photo", "sketch"]})
    with pytest.raises(FacecheckError, match=r"no source can be left out: photo/drawn-photo: the"):
        leave_one_out(trained[0], two, tmp_path, LeaveOneOutOptions(device="cpu"))
    with pytest.raises(UsageError, match="--split dev"):
        leave_one_out(trained[0], two, tmp_path, LeaveOneOutOptions(split="dev"))


@pytest.mark.slow
def test_a_source_without_which_too_little_is_left_does_not_stop_the_others(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    # All sketches but one are of one source.
    frame = read_manifest(trained[0]).frame
    first = (pl.int_range(pl.len()).over("kind", "split") == 0) & (pl.col("split") == "train")
    lone = pl.when((pl.col("kind") == "sketch") & first).then(pl.lit("lone"))
    write_manifest(
        Manifest(frame.with_columns(source=lone.otherwise(pl.col("source")))),
        tmp_path / "m.csv",
        {},
    )
    limits = ["photo", "cartoon", "sketch/lone", "sketch/drawn-sketch"]
    recipe = RECIPE.changed({"sources": limits})
    result = leave_one_out(
        tmp_path / "m.csv", recipe, tmp_path / "loo", LeaveOneOutOptions(device="cpu", workers=0)
    )
    skipped = dict(result.skipped)
    assert "holds one image of sketch" in skipped["sketch/drawn-sketch"]
    assert skipped["sketch/lone"] == "no images of it to test on"
    assert [row.source for row in result.rows] == ["drawn-cartoon"]


@pytest.mark.slow
def test_the_command_takes_the_checkpoints_recipe(
    command: Callable[..., Outcome], trained: tuple[Path, Path], parted: Path, tmp_path: Path
) -> None:
    run = ("benchmark-model", trained[1], "--manifest", parted, "--leave-one-out", "source")
    refused = command(*run)
    assert refused.code == 2
    assert "--out" in refused.err
    assert command("benchmark-model", trained[1], "--manifest", parted, "--recipe", "x").code == 2
    (tmp_path / "r.yaml").write_text("".join(
        f"{name}: {json.dumps(value)}\n" for name, value in RECIPE.jsonable().items()
    ))  # fmt: skip
    limits = ("--sources", "photo/others", "--sources", "photo/drawn-photo", "--sources", "sketch")
    done = command(*run, "--recipe", "r.yaml", *limits, "--out", "loo", "--device", "cpu")
    assert done.code == 0, done.err
    assert "without photo/others: epoch 1" in done.err
    assert "2 sources left out" in done.out
    one = command(*run, "--recipe", "r.yaml", *limits, "--left-out", "others", "--out", "loo")
    assert "1 source left out" in one.out
    again = command(*run, "--recipe", "r.yaml", *limits, "--out", "loo", "--json", "--quiet")
    told = json.loads(again.out)
    assert list(told) == ["manifest", "folder", "rows", "resumed", "skipped"]
    assert told["resumed"] == 2
