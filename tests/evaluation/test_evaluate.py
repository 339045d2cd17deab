from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.manifest import Manifest, read_manifest, write_manifest
from facecheck.evaluation.evaluate import evaluate
from facecheck.evaluation.options import EvaluateOptions


def test_the_parts_add_up_to_the_whole(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, best = trained
    result = evaluate(best, manifest, EvaluateOptions(predictions=tmp_path / "p.csv", device="cpu"))
    count = len(read_manifest(manifest).in_split("test"))
    assert result.overall.count == count
    assert sum(part.count for part in result.by_kind.values()) == count
    assert sum(part.count for part in result.by_source.values()) == count
    assert sum(map(sum, result.confusion)) == count
    right = sum(result.confusion[place][place] for place in range(len(result.kinds)))
    assert result.overall.top1 == pytest.approx(right / count)
    weighted = sum(part.loss * part.count for part in result.by_source.values())
    assert result.overall.loss == pytest.approx(weighted / count)
    verdicts = result.verdicts
    assert verdicts.right + verdicts.wrong + verdicts.uncertain == count
    table = pl.read_csv(tmp_path / "p.csv")
    assert table.height == count
    assert (table["predicted_kind"] == table["kind"]).sum() == right
    shares = table.select(pl.sum_horizontal("p_photo", "p_cartoon", "p_sketch")).to_series()
    assert shares.to_list() == pytest.approx([1.0] * count, abs=1e-5)
    assert table["score"].to_list() == pytest.approx((1 - table["p_photo"]).to_list(), abs=1e-5)


def test_the_size_of_a_batch_changes_nothing(trained: tuple[Path, Path]) -> None:
    manifest, best = trained
    losses = [
        evaluate(best, manifest, EvaluateOptions(device="cpu", batch_size=size)).overall.loss
        for size in (1, 5)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_vanished_files_are_listed_and_the_rest_is_judged(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    manifest, best = trained
    data = read_manifest(manifest).in_split("test")
    paths = []
    for number, path in enumerate(data.paths()):
        paths.append(str(shutil.copy(path, tmp_path / f"{number}.png")))
    write_manifest(data.with_columns(path=paths), tmp_path / "m.csv", {})
    Path(paths[0]).unlink()
    result = evaluate(best, tmp_path / "m.csv", EvaluateOptions(device="cpu"))
    assert result.errors == ((paths[0], "the file is not there"),)
    assert result.overall.count == len(paths) - 1


def test_what_cannot_be_evaluated_is_told(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, best = trained
    with pytest.raises(UsageError, match="--split dev"):
        evaluate(best, manifest, EvaluateOptions(split="dev"))
    data = read_manifest(manifest)
    write_manifest(data.with_columns(split=[""] * len(data)), tmp_path / "m.csv", {})
    with pytest.raises(FacecheckError, match="no records in split 'test'"):
        evaluate(best, tmp_path / "m.csv")
    unknown = Manifest(data.frame.with_columns(pl.lit("painting").alias("kind")))
    write_manifest(unknown, tmp_path / "m.csv", {})
    with pytest.raises(FacecheckError, match="the split holds painting"):
        evaluate(best, tmp_path / "m.csv")
    (tmp_path / "p.csv").touch()
    with pytest.raises(UsageError, match="--overwrite"):
        evaluate(best, manifest, EvaluateOptions(predictions=tmp_path / "p.csv"))


def test_figures_of_merit_are_those_of_the_predictions(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    manifest, best = trained
    result = evaluate(best, manifest, EvaluateOptions(predictions=tmp_path / "p.csv", device="cpu"))
    table = pl.read_csv(tmp_path / "p.csv")
    artificial = table["kind"] != "photo"
    wanted = roc_auc_score(artificial.to_numpy(), table["score"].to_numpy())
    assert result.ranking.auc.value == pytest.approx(wanted)
    assert result.ranking.artificial == artificial.sum()
    for (kind, source), part in result.ranking_by_source.items():
        own = (table["kind"] == kind) & (table["source"] == source)
        against = table.filter(own | (artificial if kind == "photo" else ~artificial))
        assert part.real + part.artificial == against.height
        wanted = roc_auc_score((against["kind"] != "photo").to_numpy(), against["score"].to_numpy())
        assert part.auc.value == pytest.approx(wanted)
        squared = (table["score"] - artificial.cast(pl.Float64)).filter(own) ** 2
        brier = result.calibration_by_source[kind, source].brier.value
        assert brier == pytest.approx(squared.mean(), abs=1e-5)
    verdicts = result.verdicts
    assert verdicts.coverage.value == pytest.approx(1 - verdicts.uncertain / verdicts.count)
    assert verdicts.accuracy.value == verdicts.right / (verdicts.right + verdicts.wrong)
    assert result.risk_coverage.points[-1][1] == pytest.approx(
        ((table["score"] >= 0.5) != artificial).mean()
    )
    tops = [part.top1 for part in result.by_kind.values()]
    assert result.balanced_accuracy.value == pytest.approx(np.mean(tops))
    assert result.baseline == {}  # twelve images of a kind are too few for an audit


def test_one_side_alone_can_be_evaluated(trained: tuple[Path, Path]) -> None:
    result = evaluate(
        trained[1], trained[0], EvaluateOptions(sources=("photo",), device="cpu", baseline=False)
    )
    assert result.ranking.auc.value is None
    assert result.ranking.artificial == 0
    assert result.calibration.brier.value is not None
    assert result.verdicts.count == result.ranking.real


def test_features_are_what_the_head_sees(trained: tuple[Path, Path], tmp_path: Path) -> None:
    from facecheck.model.checkpoint import load_checkpoint

    manifest, best = trained
    result = evaluate(
        best, manifest, EvaluateOptions(features=tmp_path / "f", device="cpu", baseline=False)
    )
    assert result.features == tmp_path / "f.npz"
    saved = np.load(tmp_path / "f.npz")
    records = read_manifest(manifest).in_split("test")
    assert saved["paths"].tolist() == records.frame["path"].to_list()
    assert saved["kinds"].tolist() == records.frame["kind"].to_list()
    assert saved["sources"].tolist() == records.frame["source"].to_list()
    assert tuple(saved["classes"]) == result.kinds
    head = load_checkpoint(best).model.get_classifier()  # type: ignore[operator]
    weight, bias = (tensor.detach().numpy() for tensor in (head.weight, head.bias))
    assert saved["features"] @ weight.T + bias == pytest.approx(saved["logits"], abs=1e-4)
    with pytest.raises(UsageError, match="--overwrite"):
        evaluate(best, manifest, EvaluateOptions(features=tmp_path / "f.npz", baseline=False))


@pytest.mark.slow
def test_metadata_alone_stands_beside_each_source(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos as JPEG, cartoons as PNG: the header tells all; sketches are like the photos."""
    monkeypatch.setattr("facecheck.data.audit._TREES", 8)
    rows: list[dict[str, str]] = []
    for kind, suffix in (("photo", "jpg"), ("cartoon", "png"), ("sketch", "jpg")):
        for number in range(25):
            path = tmp_path / f"{kind}-{number}.{suffix}"
            pixels = np.random.default_rng([number, len(rows)]).integers(0, 256, (32, 32, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            rows.append({"path": str(path), "source": "s", "kind": kind, "split": "test"})
    write_manifest(Manifest.from_frame(pl.DataFrame(rows)), tmp_path / "m.csv", {})
    result = evaluate(trained[1], tmp_path / "m.csv", EvaluateOptions(device="cpu"))
    assert result.baseline["cartoon", "s"].kind == 1
    assert result.baseline["cartoon", "s"].side == 1
    kinds = [result.baseline[kind, "s"].kind or 0 for kind in ("photo", "sketch")]
    assert sum(kinds) / 2 < 0.8
    report = tmp_path / "m.audit.json"
    report.write_text(report.read_text().replace('"cartoon/s": 1.0', '"cartoon/s": 0.125'))
    again = evaluate(trained[1], tmp_path / "m.csv", EvaluateOptions(device="cpu"))
    assert again.baseline["cartoon", "s"].kind == 0.125  # read, not made anew
    changed = read_manifest(tmp_path / "m.csv").with_columns(phash=["0" * 16] * len(rows))
    write_manifest(changed, tmp_path / "m.csv", {})
    renewed = evaluate(trained[1], tmp_path / "m.csv", EvaluateOptions(device="cpu"))
    assert renewed.baseline["cartoon", "s"].kind == 1
    assert (
        evaluate(
            trained[1], tmp_path / "m.csv", EvaluateOptions(device="cpu", baseline=False)
        ).baseline
        == {}
    )
