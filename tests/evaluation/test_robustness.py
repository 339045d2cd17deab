from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.image import decode
from facecheck.core.manifest import read_manifest, write_manifest
from facecheck.evaluation.evaluate import evaluate
from facecheck.evaluation.options import BenchmarkOptions, EvaluateOptions
from facecheck.evaluation.robustness import BenchmarkResult, benchmark_model
from facecheck.model.perturb import CLEAN, LINES, PERTURBATIONS
from facecheck.scanner.checker import Checker
from facecheck.scanner.options import CheckOptions
from tests.conftest import Outcome


@pytest.fixture(scope="module")
def benchmark(
    trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[BenchmarkResult, Path]:
    out = tmp_path_factory.mktemp("benchmark")
    return benchmark_model(
        trained[1], trained[0], BenchmarkOptions(per_source=0, out=out, device="cpu")
    ), out


def test_clean_is_what_evaluate_says(
    benchmark: tuple[BenchmarkResult, Path], trained: tuple[Path, Path]
) -> None:
    result = benchmark[0]
    clean = result.cases[0]
    verdicts = evaluate(trained[1], trained[0], EvaluateOptions(device="cpu")).verdicts
    assert clean.photo is not None
    assert clean.artificial is not None
    assert clean.photo.count + clean.artificial.count == verdicts.count == result.images
    right = clean.photo.right * clean.photo.count + clean.artificial.right * clean.artificial.count
    assert right == pytest.approx(verdicts.right)
    assert clean.accuracy == pytest.approx((clean.photo.right + clean.artificial.right) / 2)


def test_a_case_is_what_its_perturbed_files_get(
    benchmark: tuple[BenchmarkResult, Path], trained: tuple[Path, Path]
) -> None:
    checker = Checker(trained[1], CheckOptions(faces="off", device="cpu"))
    records = list(read_manifest(trained[0]).in_split("test").records())
    photos = [Path(record.path) for record in records if record.kind == "photo"]
    for name in ("blur 2", "resize 0.25", "jpeg 40"):
        answers = [checker.check(PERTURBATIONS[name](decode(path).image)) for path in photos]
        scores = [answer.score for answer in answers if answer.score is not None]
        assert len(scores) == len(photos)
        case = next(case for case in benchmark[0].cases if case.name == name)
        assert case.photo is not None
        assert case.photo.right == pytest.approx(sum(score < 0.5 for score in scores) / len(photos))


def test_a_line_is_the_mean_of_its_cases(benchmark: tuple[BenchmarkResult, Path]) -> None:
    result = benchmark[0]
    cases = {case.name: case for case in result.cases}
    assert list(cases) == [CLEAN, *PERTURBATIONS]
    for line in result.lines:
        parts = [cases[name] for name in LINES[line.name]]
        mean = sum(part.accuracy for part in parts) / len(parts)
        assert line.accuracy == pytest.approx(mean)
        assert line.photo is not None
        assert line.photo.count == cases[CLEAN].photo.count  # type: ignore[union-attr]
        low, high = line.photo.interval
        assert low <= line.photo.right + 1e-9 <= high + 2e-9
    hard = next(line for line in result.lines if line.name == "hard")
    assert result.clean_to_hard == pytest.approx(cases[CLEAN].accuracy - hard.accuracy)


def test_sizes_have_the_images_that_are_large_enough(
    benchmark: tuple[BenchmarkResult, Path],
) -> None:
    # The drawn faces have 96 pixels a side.
    assert [case.name for case in benchmark[0].sizes] == ["32 px", "64 px"]


def test_each_artificial_kind_is_stored_as_the_photos_are(
    benchmark: tuple[BenchmarkResult, Path],
) -> None:
    tests = benchmark[0].format_test
    assert [test.kind for test in tests] == ["cartoon", "sketch"]
    for test in tests:
        assert test.lost == pytest.approx(test.as_it_is.right - test.as_a_real.right)
        # The drawn photos are PNG of the size of the others, which therefore change nothing.
        assert test.as_a_real == test.as_it_is


def test_the_files_hold_the_result(benchmark: tuple[BenchmarkResult, Path]) -> None:
    result, out = benchmark
    stored = json.loads((out / "benchmark.json").read_text())
    assert stored["clean_to_hard"] == result.clean_to_hard
    assert [case["name"] for case in stored["cases"]] == [case.name for case in result.cases]
    table = pl.read_csv(out / "benchmark.csv")
    assert table.height == len(result.by_source)
    photos = table.filter(pl.col("kind") == "photo", pl.col("case") == "clean")
    assert photos["right"].to_list() == [
        pytest.approx(result.cases[0].photo.right, abs=1e-6)  # type: ignore[union-attr]
    ]


def test_the_draw_of_each_source_is_the_same_in_any_order(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    data = read_manifest(trained[0])
    few = set(data.sampled(2).frame["path"])
    assert len(few) == 6
    assert few < set(data.sampled(5).frame["path"])
    write_manifest(type(data)(data.frame.reverse()), tmp_path / "m.csv", {})
    assert set(read_manifest(tmp_path / "m.csv").sampled(2).frame["path"]) == few


def test_what_cannot_be_read_is_listed(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, checkpoint = trained
    data = read_manifest(manifest).in_split("test").sampled(1)
    paths = [
        shutil.copy(path, tmp_path / f"{place}.png") for place, path in enumerate(data.paths())
    ]
    write_manifest(data.with_columns(path=map(str, paths)), tmp_path / "m.csv", {})
    Path(paths[0]).write_text("no image")
    Path(paths[1]).unlink()
    result = benchmark_model(checkpoint, tmp_path / "m.csv", BenchmarkOptions(device="cpu"))
    assert result.images == 1
    assert [reason for _, reason in result.errors] == [
        "a text file, not an image", "No such file or directory",
    ]  # fmt: skip
    Path(paths[2]).unlink()
    with pytest.raises(FacecheckError, match="not one of 3 images could be read"):
        benchmark_model(checkpoint, tmp_path / "m.csv", BenchmarkOptions(device="cpu"))


def test_what_cannot_be_benchmarked_is_told(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, checkpoint = trained
    with pytest.raises(UsageError, match="--split dev"):
        benchmark_model(checkpoint, manifest, BenchmarkOptions(split="dev"))
    with pytest.raises(UsageError, match="no record is of 'fotos'"):
        benchmark_model(checkpoint, manifest, BenchmarkOptions(sources=("fotos",)))
    (tmp_path / "benchmark.csv").touch()
    with pytest.raises(UsageError, match="--overwrite"):
        benchmark_model(checkpoint, manifest, BenchmarkOptions(out=tmp_path))


def test_the_command_shows_and_writes_it(
    command: Callable[..., Outcome], trained: tuple[Path, Path], tmp_path: Path
) -> None:
    done = command(
        *("benchmark-model", trained[1], "--manifest", trained[0], "--per-source", "1"),
        *("--out", "b", "--device", "cpu"),
    )
    assert done.code == 0, done.err
    for heading in ("reupload", "hard", "64 px", "clean to hard", "as a real"):
        assert heading in done.out
    assert (tmp_path / "b" / "benchmark.json").is_file()
    again = command(
        *("benchmark-model", trained[1], "--manifest", trained[0], "--per-source", "1"),
        *("--sources", "photo", "--json"),
    )
    result = json.loads(again.out)
    assert list(result) == [
        "checkpoint", "manifest", "split", "threshold", "images", "cases", "lines",
        "clean_to_hard", "format_test", "sizes", "by_source", "errors", "folder",
    ]  # fmt: skip
    assert result["cases"][0]["artificial"] is None
