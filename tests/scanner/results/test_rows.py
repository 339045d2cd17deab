from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecheck.core.csv_files import exact_text
from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import name_text, named_path
from facecheck.core.labels import Status
from facecheck.scanner.results.rows import (
    FORMATS,
    Row,
    Value,
    format_of,
    header_line,
    line_writer,
    read_columns,
    read_rows,
    tidy,
    write_rows,
)
from tests.scanner.items import COLUMNS, HOSTILE, named, rows_of


def tidied(names: tuple[str, ...] = HOSTILE) -> list[dict[str, Value]]:
    return [tidy(row, COLUMNS) for item in named(names) for row in rows_of(item)]


@pytest.mark.parametrize("suffix", FORMATS)
def test_rows_with_hostile_names_come_back_from_every_format(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"r{suffix}"
    count = write_rows(out, tidied(), COLUMNS, suffix, raw_paths=True)
    assert count == len(tidied())
    assert list(read_rows(out, COLUMNS)) == tidied()
    assert list(read_columns(out)) == list(COLUMNS)


@given(name=st.text(min_size=1, max_size=20), message=st.text(max_size=9))
def test_any_text_is_one_csv_row(name: str, message: str) -> None:
    row = tidy({"path": name, "message": message}, COLUMNS)
    text = header_line(".csv", COLUMNS) + line_writer(".csv", COLUMNS, raw_paths=True)(row)
    _, cells = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert (cells[0], exact_text(cells[-1])) == (row["path"], row["message"])


def test_a_name_of_any_bytes_comes_back_as_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9 \\xe9\n.jpg")
    path.touch()
    row = tidy({"path": name_text(path)}, COLUMNS)
    for suffix in FORMATS:
        write_rows(tmp_path / f"r{suffix}", [row], COLUMNS, suffix)
        (back,) = read_rows(tmp_path / f"r{suffix}", COLUMNS)
        assert named_path(str(back["path"])) == path
        assert named_path(str(back["path"])).exists()


def test_only_csv_escapes_names_that_a_spreadsheet_would_run() -> None:
    row = tidy({"path": "=cmd().jpg"}, COLUMNS)
    assert line_writer(".csv", COLUMNS)(row).startswith("./=cmd().jpg,")
    assert line_writer(".csv", COLUMNS, raw_paths=True)(row).startswith("=cmd().jpg,")
    assert json.loads(line_writer(".jsonl", COLUMNS)(row))["path"] == "=cmd().jpg"
    for safe in ("/abs/=x.jpg", "s3://b/=x.jpg", "z.zip::=x.jpg"):
        assert line_writer(".csv", COLUMNS)(tidy({"path": safe}, COLUMNS)).startswith(f"{safe},")


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "'=1", "''-x", "\t=1", "+a", "-1", "it's"])
def test_no_text_of_a_csv_is_run_and_all_is_read_back(tmp_path: Path, text: str) -> None:
    columns = [name for name, kind in COLUMNS.items() if kind is str and name != "path"]
    row = tidy({"path": "a", **dict.fromkeys(columns, text)}, COLUMNS)
    write_rows(tmp_path / "r.csv", [row], COLUMNS, ".csv")
    (cells,) = csv.DictReader((tmp_path / "r.csv").read_text().splitlines(keepends=True))
    for name in columns:
        assert cells[name] in {f"'{text}", text}
        assert not cells[name].startswith(("=", "+", "@", "\t")), name
    assert list(read_rows(tmp_path / "r.csv", COLUMNS)) == [row]


def test_numbers_have_one_text() -> None:
    def written(score: float | None, faces: int | None = None) -> str:
        row = tidy({"path": "a", "score": score, "faces": faces}, COLUMNS)
        return line_writer(".csv", COLUMNS)(row).strip() + " " + line_writer(".jsonl", COLUMNS)(row)

    assert '"score": 0.333333,' in written(1 / 3)
    assert "a,,,,0.333333,2, " in written(1 / 3, 2)
    assert "a,,,,0.000000,," in written(-1e-9)
    assert '"score": 0.0, "faces": null' in written(-1e-9)
    assert "a,,,,,, " in written(float("nan"))
    assert '"score": null' in written(None)


@given(
    path=st.text(max_size=9),
    message=st.none() | st.text(max_size=9),
    score=st.none() | st.floats() | st.integers(-9, 9),
    faces=st.none() | st.integers() | st.sampled_from([float("nan"), float("inf")]),
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_line_is_the_same_whether_its_row_is_tidied_or_not(suffix: str, **values: Value) -> None:
    row = {"status": Status.OK, **values}
    for raw_paths in (False, True):
        line = line_writer(suffix, COLUMNS, raw_paths=raw_paths)
        assert line(row) == line(tidy(row, COLUMNS))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_number_is_that_of_its_rounding(score: float) -> None:
    cell = line_writer(".csv", {"score": float})({"score": score}).strip()
    assert cell == f"{tidy({'score': score}, {'score': float})['score']:.6f}"


def test_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="scroe"):
        tidy({"path": "a", "scroe": 0.5}, COLUMNS)
    with pytest.raises(ValueError, match="scroe"):
        line_writer(".csv", COLUMNS)({"path": "a", "scroe": 0.5})


def test_names_that_are_not_text_do_not_stop_a_scan() -> None:
    row = tidy({"path": os.fsdecode(b"caf\xe9")}, COLUMNS)
    assert line_writer(".csv", COLUMNS)(row).encode()
    assert line_writer(".jsonl", COLUMNS)(row).encode()


@pytest.mark.slow
def test_parquet_has_types_and_the_same_bytes_with_any_number_of_threads(tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    write_rows(out, tidied(tuple(f"{n}.jpg" for n in range(40_000))), COLUMNS, ".parquet")
    kinds = {str: pl.String, int: pl.Int64, float: pl.Float64}
    assert pl.read_parquet_schema(out) == {name: kinds[kind] for name, kind in COLUMNS.items()}
    assert read_columns(out) == COLUMNS
    code = (
        "from pathlib import Path\n"
        "from facecheck.scanner.results.rows import *\n"
        "from tests.scanner.items import COLUMNS\n"
        f"rows = read_rows(Path({str(out)!r}), COLUMNS)\n"
        f"write_rows(Path({str(out)!r} + '2'), rows, COLUMNS, '.parquet')\n"
    )
    environment = {**os.environ, "POLARS_MAX_THREADS": "3"}
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=root)
    assert out.read_bytes() == (tmp_path / "r.parquet2").read_bytes()


def test_an_error_in_the_rows_is_raised_as_itself(tmp_path: Path) -> None:
    def broken() -> Iterator[Row]:
        yield tidied()[0]
        raise FacecheckError("a part is damaged")

    for suffix in FORMATS:
        with pytest.raises(FacecheckError, match="a part is damaged"):
            write_rows(tmp_path / f"r{suffix}", broken(), COLUMNS, suffix)


def test_what_are_no_results_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.csv, \.jsonl, \.parquet"):
        format_of(tmp_path / "r.txt")
    for suffix in FORMATS:
        path = tmp_path / f"r{suffix}"
        with pytest.raises(FacecheckError):
            list(read_rows(path, COLUMNS))
        with pytest.raises(FacecheckError, match="cannot be read"):
            read_columns(path)
        write_rows(path, [{"other": 1}], {"other": int}, suffix)
        with pytest.raises(FacecheckError, match="its columns are other"):
            list(read_rows(path, COLUMNS))
        path.write_bytes(b'"\0')
        with pytest.raises(FacecheckError, match="not results"):
            list(read_rows(path, COLUMNS))


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_numbers_that_are_none_are_refused_in_one_line(
    tmp_path: Path, number: str, suffix: str
) -> None:
    path = tmp_path / f"r{suffix}"
    json_number = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(number, number)
    path.write_text(
        f"path,score\na.png,{number}\n"
        if suffix == ".csv"
        else f'{{"path": "a.png", "score": {json_number}}}\n'
    )
    with pytest.raises(FacecheckError, match="not results of scan .score is -?(nan|inf)"):
        list(read_rows(path, {"path": str, "score": float}))


def test_json_without_an_end_of_brackets_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("[" * 100_000)
    with pytest.raises(FacecheckError, match="not results of scan"):
        list(read_rows(path, {"path": str}))
    with pytest.raises(FacecheckError, match="cannot be read"):
        read_columns(path)
