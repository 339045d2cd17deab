from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.scanner.inputs.items import find_inputs
from facecheck.scanner.options import InputOptions
from facecheck.scanner.results.rejects import noting_rejects


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one image, and one of each thing that is skipped."""
    folder = tmp_path / "in"
    for name in ("a.jpg", "notes.txt", "more.zip", "@eaDir/thumb.jpg", ".hidden.jpg", "no/b.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"jpg")
    (folder / "=link").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    return folder


def noted(folder: Path, table: Path) -> int:
    with noting_rejects(table, out=table.with_name("r.csv"), overwrite=False) as (skipped, publish):
        found = find_inputs([folder], InputOptions(exclude=("no",)), skipped=skipped)
        for _ in range(2):  # listed again, each is noted again
            assert [item.name for item in found] == [str(folder / "a.jpg")]
        publish()
        return sum(skipped.counts().values())


def test_what_was_skipped_is_listed_with_why(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "new" / "rejects.csv"
    assert noted(folder, table) == 6
    with table.open(newline="") as stream:
        rows = [(Path(row["path"]).name, row["reason"]) for row in csv.DictReader(stream)]
    assert sorted(set(rows)) == [
        ("=link", "skipped: link to a folder"),
        ("@eaDir", "skipped: folder of thumbnails or waste"),
        ("more.zip", "skipped: archive"),
        ("notes.txt", "skipped: file whose name does not end like an image's"),
        ("pipe", "skipped: pipe, socket or device"),
    ]
    assert os.listdir(table.parent) == ["rejects.csv"]
    lines = tmp_path / "rejects.jsonl"
    noted(folder, lines)
    assert {json.loads(line)["reason"] for line in lines.open()} == {why for _, why in rows}


def test_names_run_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with noting_rejects(Path("x.csv"), out=Path("r.csv"), overwrite=False) as (skipped, publish):
        skipped.count("ignored", '=cmd(),"a"\n.txt')
        publish()
    assert Path("x.csv").read_text() == (
        'path,reason\n"./=cmd(),""a""\n.txt",'
        "skipped: file whose name does not end like an image's\n"
    )


def test_a_scan_that_ends_early_leaves_no_table(tmp_path: Path) -> None:
    with pytest.raises(KeyError), noting_rejects(
        tmp_path / "x.csv", out=tmp_path / "r.csv", overwrite=False
    ) as (skipped, _):  # fmt: skip
        skipped.count("ignored", "a.txt")
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_a_table_is_refused_where_it_would_replace_something(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("mine")
    for name, out, error, match in (
        ("x.csv", "r.csv", UsageError, "exists: pass --overwrite"),
        ("r.csv", "r.csv", UsageError, "is the results file"),
        ("x.parquet", "r.csv", UsageError, "end its name in .csv or .jsonl"),
        ("x.csv/y.csv", "r.csv", FacecheckError, "cannot be written"),
    ):
        with (
            pytest.raises(error, match=match),
            noting_rejects(tmp_path / name, out=tmp_path / out, overwrite=False),
        ):
            pass
    with noting_rejects(tmp_path / "x.csv", out=tmp_path / "r.csv", overwrite=True) as (_, publish):
        publish()
    assert (tmp_path / "x.csv").read_text() == "path,reason\n"
