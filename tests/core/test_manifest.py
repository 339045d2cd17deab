from __future__ import annotations

import csv
import json
import string
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecheck.core.errors import ManifestError, UsageError
from facecheck.core.labels import KINDS
from facecheck.core.manifest import Manifest, read_manifest, write_manifest
from facecheck.core.record import COLUMNS, Record
from facecheck.core.tables import read_table, write_table

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"),
    min_size=1,
    max_size=20,
).filter(lambda name: name not in {".", ".."})


def record(path: Path, **values: object) -> Record:
    fields: dict[str, object] = {"source": "s", "kind": "photo", **values}
    return Record(path=str(path), **fields)  # type: ignore[arg-type]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(NAMES, min_size=1, max_size=6, unique=True),
    source=NAMES,
    kind=st.sampled_from(KINDS),
    suffix=st.sampled_from([".csv", ".parquet"]),
    phash=st.text(string.hexdigits, min_size=16, max_size=16),
)
def test_manifests_round_trip(
    names: list[str], source: str, kind: str, suffix: str, phash: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve() / f"manifest{suffix}"
        records = [
            record(path.parent / name, source=source, kind=kind, phash=phash, width=number)
            for number, name in enumerate(names)
        ]
        write_manifest(Manifest.from_records(records), path, {"command": "test"})
        assert list(read_manifest(path).records()) == records


def test_paths_inside_the_folder_are_relative_and_others_absolute(tmp_path: Path) -> None:
    path = tmp_path / "w" / "manifest.csv"
    records = [record(tmp_path / "w" / "raw" / "a.jpg"), record(tmp_path / "b.jpg")]
    write_manifest(Manifest.from_records(records), path, {})
    written = [line.split(",")[0] for line in path.read_text().splitlines()[1:]]
    assert written == ["raw/a.jpg", str(tmp_path / "b.jpg")]
    (tmp_path / "w").rename(tmp_path / "moved")
    moved = read_manifest(tmp_path / "moved" / "manifest.csv").paths()
    assert moved[0] == tmp_path / "moved" / "raw" / "a.jpg"


def test_a_name_like_a_formula_cannot_run_in_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    evil = tmp_path / "=cmd|' !A0.jpg"
    write_manifest(Manifest.from_records([record(evil)]), path, {})
    assert path.read_text().splitlines()[1].startswith("./=cmd")
    assert read_manifest(path).paths() == [evil]


def test_columns_of_the_users_own_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("kind,path,source,note\nphoto,a.jpg,s,mine\n")
    manifest = read_manifest(path).with_columns(split=["train"])
    write_manifest(manifest, path, {})
    assert read_manifest(path).frame["note"].to_list() == ["mine"]
    assert tuple(read_manifest(path).frame.columns) == (*COLUMNS, "note")


def test_the_meta_file_says_how_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    write_manifest(Manifest.from_records([record(path)]), path, {"command": "test", "seed": 3})
    meta = json.loads((tmp_path / "m.csv.meta.json").read_text())
    assert meta["command"] == "test"
    assert meta["seed"] == 3
    assert meta["facecheck"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,kind\na.jpg,photo\n", "no column 'source'.*facecheck index"),
        ("path,source,kind\na.jpg,s,foto\n", "line 2: kind is 'foto'"),
        ("path,source,kind,split\na.jpg,s,photo,dev\n", "split is 'dev'"),
        ("path,source,kind\n,s,photo\n", "path is ''"),
        ("path,source,kind\na.jpg,s,photo\n./a.jpg,s,photo\n", "listed more than once"),
        ("path,source,kind,width\na.jpg,s,photo,wide\n", "conversion"),
        ("", "not a readable table"),
    ],
)
def test_bad_tables_are_refused_with_the_place(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(content)
    with pytest.raises(ManifestError, match=message) as caught:
        read_manifest(path)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no manifest"):
        read_manifest(tmp_path / "m.csv")
    (tmp_path / "m.xlsx").touch()
    with pytest.raises(UsageError, match=r"\.csv or \.parquet"):
        read_manifest(tmp_path / "m.xlsx")
    (tmp_path / "m.parquet").write_text("no parquet")
    with pytest.raises(ManifestError, match="not a readable table"):
        read_manifest(tmp_path / "m.parquet")


def test_vanished_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    manifest = Manifest.from_records([record(tmp_path / "a.jpg"), record(tmp_path / "b.jpg")])
    with pytest.raises(ManifestError, match=r"1 of 2 files.*b\.jpg"):
        manifest.require_files(tmp_path / "m.csv")


def test_an_empty_column_names_the_command_that_fills_it(tmp_path: Path) -> None:
    manifest = Manifest.from_records([record(tmp_path / "a.jpg")])
    with pytest.raises(ManifestError, match="facecheck index"):
        manifest.require_filled("phash", tmp_path / "m.csv")


def test_excluded_records_are_in_no_split(tmp_path: Path) -> None:
    manifest = Manifest.from_records(
        [
            record(tmp_path / "a.jpg", split="train"),
            record(tmp_path / "b.jpg", split="train", excluded="duplicate"),
        ]
    )
    assert manifest.in_split("train").frame.filter(pl.col("excluded") != "").height == 0
    assert len(manifest.in_split("train")) == 1


def test_a_table_in_csv_keeps_numbers_too_small_for_six_decimals(tmp_path: Path) -> None:
    rates = [1e-7, 3.3e-4, 1.0]
    frame = pl.DataFrame({"rate": rates, "share": [0.25, 1 / 3, 0.0], "gone": [None, 0.5, None]})
    write_table(frame, tmp_path / "t.csv")
    table = pl.read_csv(tmp_path / "t.csv")
    assert table["rate"].to_list() == rates
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert [line.split(",")[1:] for line in lines[1:]] == [
        ["0.250000", ""], ["0.333333", "0.500000"], ["0.000000", ""],
    ]  # fmt: skip


CELLS = [
    "=cmd",
    "'=cmd",
    "''+1+1",
    "-rf",
    "@x",
    "\tx",
    "'quoted",
    "-5",
    "+1.5e-3",
    "plain",
    "é",
    "-",
]


def test_every_text_of_a_csv_is_safe_in_a_spreadsheet_and_read_back_as_it_was(
    tmp_path: Path,
) -> None:
    frame = pl.DataFrame({"path": ["a.png"] * len(CELLS), "source": CELLS, "note": CELLS[::-1]})
    write_table(frame, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    formulas = [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert set(formulas) == {"-5", "+1.5e-3"}  # numbers are what they are
    assert read_table(tmp_path / "t.csv").equals(frame)
