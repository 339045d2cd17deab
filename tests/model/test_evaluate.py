from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.manifest import Manifest, read_manifest, write_manifest
from facecheck.model.evaluate import evaluate


def test_the_parts_add_up_to_the_whole(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, best = trained
    result = evaluate(best, manifest, predictions=tmp_path / "p.csv", device="cpu")
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
        evaluate(best, manifest, device="cpu", batch_size=size).overall.loss for size in (1, 5)
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
    result = evaluate(best, tmp_path / "m.csv", device="cpu")
    assert result.errors == ((paths[0], "the file is not there"),)
    assert result.overall.count == len(paths) - 1


def test_what_cannot_be_evaluated_is_told(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, best = trained
    with pytest.raises(UsageError, match="--split dev"):
        evaluate(best, manifest, split="dev")
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
        evaluate(best, manifest, predictions=tmp_path / "p.csv")
