"""Results as frames: of answers in memory, and of every format of file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

import facecheck
from facecheck.core.errors import FacecheckError, UsageError
from facecheck.scanner.options import CheckOptions, ScanOptions
from facecheck.scanner.results import frame as module
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import FORMATS, tidy, write_rows

ROWS: list[dict[str, Any]] = [
    {"path": "=a.png", "status": "ok", "verdict": "real", "score": 0.25, "faces": 2, "message": ""},
    {"path": "é\\x0a.png", "status": "error", "message": '-damaged, "twice"\nmore'},
    {"path": "c.png", "status": "ok", "verdict": "artificial", "score": 1.0, "faces": 0},
]


@pytest.fixture(params=FORMATS)
def results(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / f"results{request.param}"
    write_rows(path, (tidy(row, COLUMNS) for row in ROWS), COLUMNS, request.param, raw_paths=True)
    return path


TYPES = {str: pl.String, int: pl.Int64, float: pl.Float64}


def test_a_file_of_every_format_is_the_same_typed_frame(results: Path) -> None:
    frame = facecheck.read_results(str(results))
    assert frame.schema == {name: TYPES[kind] for name, kind in COLUMNS.items()}
    assert frame.rows(named=True) == [tidy(row, COLUMNS) for row in ROWS]


def test_a_lazy_frame_reads_the_same(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GROUP", 2)
    lazy, eager = facecheck.read_results(results, "lazy"), facecheck.read_results(results)
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().equals(eager)
    some = lazy.filter(pl.col("score") > 0.5).select("path")
    assert some.collect()["path"].to_list() == ["c.png"]
    assert lazy.head(2).collect().equals(eager.head(2))
    assert lazy.select("faces", "path").tail(1).collect().row(0) == (0, "c.png")


def test_a_pandas_frame_keeps_whole_numbers_whole(results: Path) -> None:
    frame = facecheck.read_results(results, "pandas")
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == list(COLUMNS)
    assert (frame["faces"].dtype, frame["score"].dtype) == ("Int64", "float64")
    assert frame["faces"].dropna().tolist() == [2, 0]
    assert frame["faces"].isna().tolist() == [False, True, False]
    assert frame["path"].tolist() == [row["path"] for row in ROWS]
    assert frame["message"].tolist() == ["", ROWS[1]["message"], ""]


def test_without_pandas_it_is_said_how_to_install_it(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(FacecheckError, match=r"needs the extra pandas: pip install"):
        facecheck.read_results(results, "pandas")


@pytest.mark.parametrize("table", ["panda", "Polars", "csv", 3])
def test_another_kind_of_frame_is_refused(tmp_path: Path, table: Any) -> None:
    with pytest.raises(UsageError, match="no kind of frame is called"):
        facecheck.to_frame([], table)
    with pytest.raises(UsageError, match="no kind of frame is called"):
        facecheck.read_results(tmp_path / "none.csv", table)


@pytest.mark.parametrize("table", ["polars", "lazy"])
def test_what_cannot_be_read_is_an_error_with_its_name(tmp_path: Path, table: Any) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    for path, why in ((other, "not results of scan"), (tmp_path / "none.csv", "cannot be read")):
        with pytest.raises(FacecheckError, match=why) as refused:
            facecheck.read_results(path, table)
        assert str(path) in str(refused.value)


def test_no_answers_are_a_frame_of_the_same_columns() -> None:
    assert facecheck.to_frame([]).schema == facecheck.to_frame([], "polars").schema
    assert list(facecheck.to_frame([]).columns) == list(COLUMNS)


def test_a_scan_s_frame_is_that_of_the_checker(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    options = ScanOptions(faces="off", device="cpu", workers=1)
    result = facecheck.scan([drawn], tmp_path / "r.csv", trained[1], options)
    frame = result.frame()
    assert frame.height == result.rows == 36
    checker = facecheck.Checker(trained[1], CheckOptions(faces="off", device="cpu"))
    mine = checker.check_many(frame["path"]).frame()
    assert (
        mine.drop("score")
        .select(pl.exclude("^p_.*$"))
        .equals(frame.drop("score").select(pl.exclude("^p_.*$")))
    )
    assert (mine["score"] - frame["score"]).abs().max() < 3e-6
    assert result.frame("lazy").collect().equals(frame)


def test_rows_that_went_to_stdout_are_no_frame(
    trained: tuple[Path, Path], drawn: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ScanOptions(faces="off", device="cpu", workers=1)
    result = facecheck.scan([drawn], Path("-"), trained[1], options)
    assert capfd.readouterr().out.startswith("path,status")
    with pytest.raises(UsageError, match="the rows went to stdout"):
        result.frame()


def test_a_frame_of_faces_has_a_row_for_each(portraits: list[Path], detector: Path) -> None:
    checker = facecheck.Checker("builtin-fast", CheckOptions(face_detector=detector))
    answers = [checker.check(portraits[0]), checker.check(b"")]
    frame = facecheck.to_frame(answers, per_face=True)
    assert frame["status"].to_list() == ["ok", "error"]
    assert frame["face"].to_list() == [1, None]
