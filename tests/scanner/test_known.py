"""A scan with a table of known files; that explain and Checker agree with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.workspace import BUILTIN_FAST
from facecheck.known.add import known_add
from facecheck.known.options import KnownAddOptions
from facecheck.report.explain import explain
from facecheck.scanner.checker import Checker
from facecheck.scanner.job import scan
from facecheck.scanner.options import CheckOptions, ExplainOptions, ScanOptions
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.merge import merge
from facecheck.scanner.results.rows import Row, read_rows


@pytest.fixture(scope="module")
def scene(portraits: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of files, some of them known, and the table."""
    folder, table = tmp_path_factory.mktemp("scene"), tmp_path_factory.mktemp("t") / "known.csv"
    known, other = Image.open(portraits[0]).convert("RGB"), portraits[1]
    shutil.copy(portraits[0], folder / "bytes.png")
    known.save(folder / "pixels.bmp")
    known.save(folder / "near.jpg", quality=60)
    shutil.copy(other, folder / "other.png")
    (folder / "damaged.png").write_bytes(other.read_bytes()[:2000])
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    options = KnownAddOptions(kind="composite", note="desk 3")
    known_add([folder / "bytes.png"], table, options)
    known_add(
        [folder / "damaged.png", folder / "noise.png"], table, KnownAddOptions(verdict="real")
    )
    return folder, table


@pytest.fixture(scope="module")
def rows(scene: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    folder, table = scene
    out = tmp_path_factory.mktemp("out") / "r.csv"
    result = scan([folder], out, BUILTIN_FAST, ScanOptions(known=table, workers=2))
    assert result.bases == {"known": 4, "pixels": 2}
    assert result.statuses == {"ok": 6}
    return {Path(str(row["path"])).stem: row for row in read_rows(out, COLUMNS)}


def test_the_same_bytes_and_the_same_pixels_decide(rows: dict[str, Row]) -> None:
    for name, how in (("bytes", "same bytes"), ("pixels", "same pixels")):
        row = rows[name]
        assert (row["verdict"], row["kind"], row["basis"]) == ("artificial", "composite", "known")
        assert row["message"] == f"known as artificial ({how}): desk 3"
        assert float(row["score"] or 0) < 0.5  # which is the pixels', and says otherwise


def test_what_is_like_a_known_file_is_marked_and_not_decided(rows: dict[str, Row]) -> None:
    assert rows["near"]["basis"] == "pixels"
    assert rows["near"]["verdict"] != "artificial"
    said = "like a file known as artificial (re-encoded or resized): desk 3"
    assert said in str(rows["near"]["message"])
    assert "known" not in str(rows["other"]["message"])


def test_a_known_file_has_its_verdict_whatever_became_of_its_pixels(rows: dict[str, Row]) -> None:
    for name, why in (("damaged", "truncated"), ("noise", "no face was found")):
        row = rows[name]
        assert (row["status"], row["verdict"], row["kind"]) == ("ok", "real", "photo")
        assert (row["score"], row["basis"]) == (None, "known")
        assert why in str(row["message"])


@pytest.mark.slow
def test_a_checker_and_explain_answer_as_the_scan(
    scene: tuple[Path, Path], rows: dict[str, Row], tmp_path: Path
) -> None:
    folder, table = scene
    checker = Checker(BUILTIN_FAST, CheckOptions(known=table))
    for name in ("bytes.png", "near.jpg", "damaged.png"):
        path = folder / name
        row, answer = rows[path.stem], checker.check(path)
        result = explain(
            path, BUILTIN_FAST, tmp_path / f"{path.stem}.png", ExplainOptions(known=table)
        )
        shown = (row["status"], row["verdict"], row["basis"], row["message"])
        assert (answer.status, answer.verdict, answer.basis, answer.message) == shown
        assert (result.status, result.verdict, result.basis, result.message) == shown
        assert (answer.kind, answer.score is None) == (row["kind"], row["score"] is None)
        assert checker.check(path.read_bytes()).message == row["message"]


@pytest.mark.slow
def test_parts_of_other_tables_are_not_merged(scene: tuple[Path, Path], tmp_path: Path) -> None:
    folder, table = scene
    for number, known in ((1, table), (2, None)):
        options = ScanOptions(known=known, shard=(number, 2), faces="off", workers=1)
        scan([folder], tmp_path / f"{number}.csv", BUILTIN_FAST, options)
    with pytest.raises(UsageError, match="differ in known_sha256"):
        merge(tmp_path / "all.csv", [tmp_path / "1.csv", tmp_path / "2.csv"])


@pytest.mark.slow
def test_with_another_table_an_interrupted_scan_starts_from_scratch(
    scene: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, table = scene
    out, copy = tmp_path / "r.csv", Path(shutil.copy(table, tmp_path / "known.csv"))

    def interrupt(_done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    options = ScanOptions(known=copy, faces="off", workers=1)
    with pytest.raises(KeyboardInterrupt):
        scan([folder], out, BUILTIN_FAST, options, progress=interrupt)
    copy.write_text(copy.read_text().replace("desk 3", "desk 4"))
    result = scan([folder], out, BUILTIN_FAST, options)
    assert "known_sha256" in result.dropped
    assert "desk 4" in out.read_text()
    meta = json.loads((tmp_path / "r.csv.meta.json").read_text())
    assert len(meta["known_sha256"]) == 64


def test_a_bad_table_ends_the_scan_before_it_begins(
    scene: tuple[Path, Path], tmp_path: Path
) -> None:
    bad = tmp_path / "known.csv"
    bad.write_text(f"sha256,verdict\n{'a' * 64},maybe\n")
    with pytest.raises(FacecheckError, match="row 2: unknown verdict 'maybe'"):
        scan([scene[0]], tmp_path / "r.csv", BUILTIN_FAST, ScanOptions(known=bad))
    assert not list(tmp_path.glob("r.csv*"))
