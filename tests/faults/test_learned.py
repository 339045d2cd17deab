"""Label errors and outliers, planted in points and in drawn images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import facecheck
from facecheck.core.errors import UsageError
from facecheck.core.tables import read_table
from facecheck.faults import learned
from facecheck.faults.check import check
from facecheck.faults.learned import Images, nearest, project, suspected, unlike
from facecheck.faults.options import FaultOptions
from tests.encoder import write_encoder

pytest.importorskip("sklearn")
EACH = 40


def clouds(seed: int = 0) -> Images:
    """Two kinds of two sources each, which lie apart by kind (first axis) and source (second)."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 0, 1, 1], EACH)
    offset = np.repeat([0.0, 2.0, 0.0, 2.0], EACH)
    points = np.stack([4.0 * labels, offset, np.full(len(labels), 3.0)], axis=1)
    features = (points + rng.normal(0, 0.4, points.shape)).astype(np.float32)
    count = len(labels)
    return Images(features, labels, np.arange(count), np.arange(count) % 5)


SOURCES = np.repeat(["a", "b", "c", "d"], EACH)


def test_labels_that_were_changed_are_suspected_and_the_right_kind_is_named() -> None:
    images = clouds()
    wrong = [3, 50, 90, 140]
    labels = images.labels.copy()
    labels[wrong] = 1 - labels[wrong]
    found = suspected(replace(images, labels=labels), 2)
    assert np.flatnonzero(found.suggested >= 0).tolist() == wrong
    assert found.suggested[wrong].tolist() == images.labels[wrong].tolist()
    assert set(np.argsort(-found.score)[:4]) == set(wrong)


def test_right_labels_are_not_suspected() -> None:
    assert (suspected(clouds(), 2).suggested == -1).all()


def test_an_image_is_classified_by_a_model_that_has_not_seen_its_fold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model that knows all it has seen by heart would find every label right."""

    class ByHeart:
        def fit(self, features: np.ndarray, labels: np.ndarray) -> ByHeart:
            self.seen = {row.tobytes(): label for row, label in zip(features, labels, strict=True)}
            self.classes_ = np.unique(labels)
            return self

        def predict_proba(self, features: np.ndarray) -> np.ndarray:
            assert not any(row.tobytes() in self.seen for row in features)
            return np.full((len(features), 2), 0.5)

    monkeypatch.setattr(learned, "_classifier", ByHeart)
    assert suspected(clouds(), 2).score == pytest.approx(0.5)


def test_what_lies_apart_from_its_source_is_unlike_it_even_if_it_is_not_alone() -> None:
    features = clouds().features
    features[[7, 8, 9]] = (-3, 5, -4)
    ratio = unlike(features, SOURCES)
    assert set(np.argsort(-ratio)[:3]) == {7, 8, 9}
    assert ratio[7] > 3
    assert np.median(ratio) == pytest.approx(1, abs=0.1)


def test_what_belongs_together_is_no_neighbour_and_few_images_are_no_source() -> None:
    images = clouds()
    images.features[1] = images.features[0]
    images.components[1] = images.components[0]
    everyone = np.arange(4 * EACH)
    near = nearest(images, np.array([0, 9]), everyone)
    assert not {0, 1} & set(near[0])
    assert 9 not in near[1]
    assert set(SOURCES[near[1]]) == {"a"}
    assert nearest(images, np.array([0]), np.array([0, 1, 5]))[0].tolist() == [5, -1, -1, -1, -1]
    few = unlike(images.features, np.array(["few"] * 19 + ["many"] * (4 * EACH - 19)))
    assert not few[:19].any()


def test_parts_give_the_features_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = [np.random.default_rng(n).normal(size=(50, 9)).astype(np.float16) for n in (0, 1)]
    whole = project(lambda rows: [one[rows] for one in sets], 50)
    monkeypatch.setattr(learned, "_READ", 7)
    parts = project(lambda rows: [one[rows] for one in sets], 50)
    assert whole.shape == (50, 17)
    assert parts == pytest.approx(whole, abs=1e-5)


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    """Reds are photographs and blues are paintings; one lies wrong, and one is like no other."""
    rng = np.random.default_rng(0)
    for kind, source, colour in (
        ("photo", "one", (200, 40, 40)),
        ("photo", "two", (220, 70, 50)),
        ("painting", "three", (40, 40, 200)),
        ("painting", "four", (60, 60, 220)),
    ):
        (tmp_path / "d" / kind / source).mkdir(parents=True)
        for number in range(24):
            own = (40, 45, 205) if (source, number) == ("one", 5) else colour
            own = (60, 230, 60) if (source, number) == ("four", 6) else own
            pixels = np.clip(rng.normal(own, (8, 8, 8), (48, 48, 3)) + rng.normal(0, 9, 3), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(
                tmp_path / "d" / kind / source / f"{number}.png"
            )
    facecheck.index([tmp_path / "d"], tmp_path / "m.csv")
    return tmp_path / "m.csv"


def test_a_misplaced_image_is_a_label_error_and_a_strange_one_an_outlier(coloured: Path) -> None:
    options = FaultOptions(
        faces=False, dark=0, encoder=write_encoder(coloured.with_name("e.onnx")),
        features=coloured.with_name("features"), outlier=3, workers=1,
    )  # fmt: skip
    result = check(coloured, options)
    rows = read_table(result.table).filter(pl.col("reason").is_in(["label error", "outlier"]))
    by_path = {(row["reason"], row["path"]): row for row in rows.to_dicts()}
    error = by_path["label error", "d/photo/one/5.png"]
    assert error["suggested"] == "painting"
    assert float(error["score"]) > 0.5
    near = json.loads(error["neighbours"])
    assert len(near) == 5
    assert all(path.startswith("d/painting/") for path in near)
    strange = by_path["outlier", "d/painting/four/6.png"]
    assert float(strange["value"]) > 3
    assert all(path.startswith("d/painting/four/") for path in json.loads(strange["neighbours"]))
    kept = {path: path.stat().st_mtime_ns for path in coloured.with_name("features").rglob("rows")}
    table = result.table.read_bytes()

    assert check(coloured, options).table.read_bytes() == table
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_without_features_or_with_too_few_images_it_is_said(coloured: Path) -> None:
    result = check(coloured, FaultOptions(faces=False, learn=False))
    assert result.not_checked["outlier"] == result.not_checked["label error"] == "--no-features"
    with pytest.raises(UsageError, match="no encoder at"):
        check(coloured, FaultOptions(faces=False, encoder=Path("missing.onnx")))
    manifest = facecheck.read_manifest(coloured)
    few = manifest.where(pl.col("kind") == "photo")
    facecheck.write_manifest(few, coloured, {})
    options = FaultOptions(
        faces=False, dark=0, encoder=write_encoder(coloured.with_name("e.onnx")),
        features=coloured.with_name("features"),
    )  # fmt: skip
    result = check(coloured, options)
    assert result.not_checked["label error"] == "it takes two kinds of 10 images or more"
    assert "outlier" in result.counts
    facecheck.write_manifest(facecheck.Manifest(few.frame.head(9)), coloured, {})
    assert check(coloured, options).not_checked["outlier"] == "under 20 images"
