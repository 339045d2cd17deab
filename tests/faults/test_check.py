from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import facecheck
from facecheck.core.errors import UsageError
from facecheck.core.tables import read_table
from facecheck.data.measure import Stamp, stamp
from facecheck.faults.check import FaultResult, check
from facecheck.faults.options import FaultOptions
from facecheck.faults.quantities import Measurer, QuantityJournal, policy_of
from facecheck.faults.table import SCHEMA
from tests.conftest import Outcome, RealImages
from tests.faults.conftest import Planted

#: Without what is learned, which takes longer (test_learned.py).
PLAIN = FaultOptions(learn=False)


@pytest.fixture(scope="module")
def found(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> FaultResult:
    """The faults of the planted manifest."""
    return check(planted.manifest, FaultOptions(learn=False, workers=2))


def rows_of(result: FaultResult) -> pl.DataFrame:
    table = read_table(result.table)
    assert table.columns == list(SCHEMA)
    return table.with_columns(pl.col("score", "value").cast(pl.Float64))


def reasons_by_name(result: FaultResult) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path, reason in rows_of(result).select("path", "reason").iter_rows():
        found.setdefault(Path(path).name, set()).add(reason)
    return found


@pytest.mark.parametrize(
    "fault",
    [
        *("dark", "bright", "low information", "blurred", "odd shape", "odd size", "grey"),
        *("no face", "tiny face", "distant face", "cut off", "turned", "several faces"),
    ],
)
def test_a_planted_fault_is_found_by_its_reason(
    fault: str, planted: Planted, found: FaultResult
) -> None:
    file = planted.files["tiny face" if fault == "distant face" else fault]
    row = rows_of(found).filter(pl.col("reason") == fault)
    assert f"photo/ffhq/{file.name}" in row["path"].to_list()
    assert row["score"].is_between(0, 1).all()
    assert found.counts[fault] == row.height


def test_portraits_as_they_are_have_no_fault(found: FaultResult) -> None:
    by_name = reasons_by_name(found)
    named = {name: by_name[name] for name in by_name if name.startswith("clean")}
    assert named == {"clean14.jpg": {"several faces"}}  # a friend looks over his shoulder
    assert (found.records, found.faulty) == (33, 14)
    assert not found.errors
    assert not found.common


def test_the_worst_of_a_reason_comes_first(found: FaultResult) -> None:
    rows = rows_of(found)
    assert list(dict.fromkeys(rows["reason"])) == [name for name, n in found.counts.items() if n]
    for part in rows.partition_by("reason"):
        assert part["score"].is_sorted(descending=True)


@pytest.fixture
def own(planted: Planted, found: FaultResult, tmp_path: Path) -> Path:
    """A copy of the planted manifest and all that is next to it, to be changed."""
    shutil.copytree(planted.manifest.parent, tmp_path / "own")
    for path in (tmp_path / "own").rglob("*.*"):  # what was measured is of the other folder
        if path.name == "m.check.jsonl":
            text = path.read_text().replace(str(planted.manifest.parent), str(tmp_path / "own"))
            path.write_text(text)
    return tmp_path / "own" / "m.csv"


def test_other_thresholds_measure_nothing_again(own: Path) -> None:
    journal = own.with_name("m.check.jsonl")
    before = journal.read_bytes()
    strict = check(
        own, FaultOptions(learn=False, dark=1, blurred=0, common=1, out=own.with_name("x.parquet"))
    )
    assert strict.counts["dark"] == strict.records
    assert journal.read_bytes() == before
    assert pl.read_parquet(strict.table).height == sum(strict.counts.values())


def test_a_killed_run_resumes_with_the_same_table(own: Path) -> None:
    journal, table = own.with_name("m.check.jsonl"), own.with_name("m.check.csv")
    whole, rows = journal.read_bytes(), table.read_bytes()
    lines = whole.splitlines(keepends=True)
    table.unlink()
    journal.write_bytes(b"".join(lines[:20]) + lines[20][:30])
    assert check(own, PLAIN).bad_lines == 0
    assert journal.read_bytes().startswith(b"".join(lines[:20]))
    assert sorted(journal.read_bytes().splitlines()) == sorted(whole.splitlines())
    assert table.read_bytes() == rows


def test_damaged_lines_of_the_journal_are_counted_and_made_again(own: Path) -> None:
    journal = own.with_name("m.check.jsonl")
    lines = journal.read_text().splitlines(keepends=True)
    wrong = {**json.loads(lines[0]), "blur": "much"}
    journal.write_text("no json\n" + json.dumps(wrong) + "\n" + "".join(lines[2:]))
    assert check(own, PLAIN).bad_lines == 2
    assert check(own, PLAIN).bad_lines == 0


def test_a_changed_file_is_measured_again(own: Path) -> None:
    dark = own.parent / "photo" / "ffhq" / "dark.png"
    shutil.copy(dark.with_name("clean0.jpg"), dark)
    os.utime(dark, ns=(0, 1))
    result = check(own, PLAIN)
    assert result.counts["dark"] == 0
    assert len(own.with_name("m.check.jsonl").read_text().splitlines()) == result.records


def test_without_faces_nothing_is_said_of_them_and_nothing_measured_again(own: Path) -> None:
    journal = own.with_name("m.check.jsonl")
    before = journal.read_bytes()
    result = check(own, FaultOptions(learn=False, faces=False))
    assert journal.read_bytes() == before
    assert not {"no face", "turned", "cut off"} & result.counts.keys()
    assert result.not_checked["no face"] == "--no-faces"
    assert result.counts["dark"] == 1


def test_excluded_records_are_left_out(own: Path) -> None:
    manifest = facecheck.read_manifest(own)
    why = ["mine" if "dark" in path else "" for path in manifest.frame["path"]]
    facecheck.write_manifest(manifest.with_columns(excluded=why), own, {})
    result = check(own, PLAIN)
    assert (result.excluded, result.records, result.counts["dark"]) == (1, 32, 0)


def test_duplicates_come_from_dedup(own: Path) -> None:
    folder = own.parent / "photo" / "ffhq"
    assert check(own, PLAIN).not_checked["exact duplicate"] == "run `facecheck dedup` first"
    shutil.copy(folder / "clean0.jpg", folder / "copy.jpg")
    with Image.open(folder / "clean1.jpg") as image:
        image.resize((200, 200)).save(folder / "near.jpg", quality=80)
    facecheck.index([own.parent], own, facecheck.IndexOptions(overwrite=True))
    facecheck.dedup(own)
    result = check(own, PLAIN)
    assert (result.counts["exact duplicate"], result.counts["near duplicate"]) == (1, 1)
    rows = {row["reason"]: row for row in rows_of(result).to_dicts()}
    assert {
        rows["exact duplicate"]["path"],
        *json.loads(rows["exact duplicate"]["neighbours"]),
    } == {
        "photo/ffhq/clean0.jpg",
        "photo/ffhq/copy.jpg",
    }
    assert rows["near duplicate"]["path"] == "photo/ffhq/near.jpg"
    assert rows["near duplicate"]["excluded"] == "duplicate"
    assert 0.9 < rows["near duplicate"]["score"] <= 1


def test_what_most_of_a_source_has_is_said_of_the_source(
    real_images: RealImages, tmp_path: Path
) -> None:
    folder = tmp_path / "sketch" / "drawings"
    folder.mkdir(parents=True)
    for number, path in enumerate(real_images("photo/ffhq-256/", 12)):
        with Image.open(path) as image:
            image.convert("L").save(folder / f"{number}.png")
    facecheck.index([tmp_path], tmp_path / "m.csv")
    result = check(tmp_path / "m.csv", PLAIN)
    assert [(one.reason, one.source, one.having) for one in result.common] == [
        ("grey", "drawings", 12)
    ]
    assert result.counts["grey"] == 0
    every = check(tmp_path / "m.csv", FaultOptions(learn=False, common=1))
    assert (every.counts["grey"], every.common) == (12, ())


def test_a_soft_source_is_compared_with_itself(real_images: RealImages, tmp_path: Path) -> None:
    """Images as soft as their source are usual; one that is softer still is not."""
    folder = tmp_path / "photo" / "soft"
    folder.mkdir(parents=True)
    for number, path in enumerate(real_images("photo/ffhq-256/", 12)):
        with Image.open(path) as image:
            few = image.resize((24, 24) if number == 0 else (70, 70), Image.Resampling.BOX)
            few.resize((256, 256), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    facecheck.index([tmp_path], tmp_path / "m.csv")
    result = check(tmp_path / "m.csv", FaultOptions(learn=False, blurred=0.5, common=1))
    assert rows_of(result).filter(pl.col("reason") == "blurred")["path"].to_list() == [
        "photo/soft/0.png"
    ]


@dataclass(frozen=True)
class Crasher(Measurer):
    """A measurer that a file named ``crash.png`` kills, as a bad one may kill a decoder."""

    def __call__(self, file: Stamp):  # type: ignore[no-untyped-def]
        if file.path.endswith("crash.png"):
            os._exit(11)
        return super().__call__(file)


def test_a_file_that_kills_its_process_costs_one_row_and_is_tried_again(tmp_path: Path) -> None:
    files = []
    for name in ("a.png", "crash.png", "z.png"):
        Image.new("RGB", (40, 40), "teal").save(tmp_path / name)
        files.append(stamp(tmp_path / name))
    journal = QuantityJournal(tmp_path / "j.jsonl", Crasher(None, policy_of(None)))
    found = journal.measure(files, workers=2, timeout=60, progress=lambda *_: None)
    why = dict(found.select("path", "reason").iter_rows())
    assert why[files[0].path] == why[files[2].path] == ""
    assert "crashed" in why[files[1].path]
    assert len((tmp_path / "j.jsonl").read_text().splitlines()) == 2


def test_files_that_cannot_be_read_are_errors(own: Path) -> None:
    folder = own.parent / "photo" / "ffhq"
    (folder / "clean0.jpg").write_bytes(b"no picture")
    (folder / "clean1.jpg").unlink()
    result = check(own, PLAIN)
    assert [Path(path).name for path, _ in result.errors] == ["clean0.jpg", "clean1.jpg"]
    assert "No such file" in result.errors[1][1]


def test_names_that_a_spreadsheet_would_run_stay_names(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 40, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "=dark().png")
    facecheck.index(
        [tmp_path], tmp_path / "m.csv", facecheck.IndexOptions(kind="photo", source="s")
    )
    result = check(tmp_path / "m.csv", PLAIN)
    text = result.table.read_text()
    assert "\n=" not in text
    rows = rows_of(result).filter(pl.col("reason") == "dark")
    assert (tmp_path / rows["path"][0]).resolve() == (tmp_path / "=dark().png").resolve()


def test_the_table_must_be_a_table(planted: Planted) -> None:
    with pytest.raises(UsageError, match=r"must end in \.csv"):
        check(planted.manifest, FaultOptions(learn=False, out=Path("x.txt")))


def test_the_command_counts_by_reason(own: Path, command: Callable[..., Outcome]) -> None:
    done = command("check", own, "--json", "--no-features")
    assert done.code == 0
    told = json.loads(done.out)
    assert set(told) == set(FaultResult.__dataclass_fields__)
    assert told["counts"]["turned"] == 1
    shown = command("check", own, "--no-faces", "--dark", "0", "--no-features")
    assert shown.code == 0
    assert "not checked: no face, several faces" in shown.out
    assert "run `facecheck dedup` first" in shown.out
    assert "not checked: label error, outlier (--no-features)" in shown.out
    (own.parent / "photo" / "ffhq" / "clean0.jpg").write_bytes(b"")
    assert command("check", own, "-q", "--no-features").code == 3
