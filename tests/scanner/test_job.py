from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.image import decode
from facecheck.model.engine import load_predictor
from facecheck.model.evaluate import evaluate
from facecheck.model.stability import steadied, variants
from facecheck.model.transforms import load_input
from facecheck.scanner.checker import Checker
from facecheck.scanner.columns import COLUMNS
from facecheck.scanner.job import ScanResult, scan


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def whole(folder: Path, out: Path, checkpoint: Path, **options: Any) -> ScanResult:
    """Scan what is drawn, of which no detector made for photographs could tell."""
    return scan([folder], out, checkpoint, faces="off", device="cpu", **options)


def test_every_file_has_one_row_and_bad_ones_say_why(
    trained: tuple[Path, Path], tmp_path: Path, bad_files: dict[str, str]
) -> None:
    folder = tmp_path / "bad"
    (folder / "notes.txt").write_text("no image")
    names = list(bad_files)
    if os.geteuid() != 0:  # root may read anything
        (folder / "locked.jpg").write_bytes((folder / "whole.jpg").read_bytes())
        (folder / "locked.jpg").chmod(0)
        bad_files["locked.jpg"] = "no permission"
        names.append("locked.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "dangling.jpg").symlink_to(folder / "nothing")
    bad_files["dangling.jpg"] = "not there"
    result = whole(folder, tmp_path / "r.csv", trained[1])
    rows = rows_of(tmp_path / "r.csv")
    assert [Path(row["path"]).name for row in rows] == sorted(bad_files)
    for row in rows:
        reason = bad_files[Path(row["path"]).name]
        assert row["status"] == ("error" if reason else "ok")
        assert reason in row["message"]
        assert bool(row["score"]) != bool(reason)
    assert result.files == len(rows)
    assert result.passed.ignored == 1
    assert result.passed.special == 1
    assert result.statuses["error"] == sum(bool(reason) for reason in bad_files.values())


def test_the_columns_are_pinned() -> None:
    assert list(COLUMNS) == [
        "path", "status", "verdict", "kind", "score", "spread", "p_photo", "p_cartoon", "p_sketch",
        "p_painting", "p_sculpture", "p_generated", "view", "faces", "face_left", "face_top",
        "face_width", "face_height", "face_confidence", "width", "height", "message",
    ]  # fmt: skip


def test_stability_tells_how_far_a_score_moves_and_changes_nothing_else(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    checkpoint = trained[1]
    shutil.copytree(drawn / "photo" / "drawn-photo", tmp_path / "in")
    (tmp_path / "in" / "bad.png").write_text("bad")
    whole(tmp_path / "in", tmp_path / "plain.csv", checkpoint)
    whole(tmp_path / "in", tmp_path / "stable.csv", checkpoint, stability=3, batch_size=5)
    plain, stable = rows_of(tmp_path / "plain.csv"), rows_of(tmp_path / "stable.csv")
    predictor = load_predictor(checkpoint, "cpu")
    for before, after in zip(plain, stable, strict=True):
        assert before["spread"] == ""
        if after["status"] == "error":
            assert before == after
            continue
        image = decode(Path(after["path"])).image
        stored = [load_input(data, predictor.header.transform) for data in variants(image, 3)]
        own = predictor.verdicts(load_input(Path(after["path"]), predictor.header.transform)[None])
        told = steadied([*own, *predictor.verdicts(np.stack(stored))])
        assert told.spread
        assert float(after["spread"]) == pytest.approx(told.spread, abs=2e-6)
        assert after["verdict"] == told.verdict
        for column in {*COLUMNS} - {"spread", "verdict"}:
            if COLUMNS[column] is float and before[column]:
                assert float(after[column]) == pytest.approx(float(before[column]), abs=2e-6)
            else:
                assert before[column] == after[column]


def test_a_score_is_its_own_files_whatever_surrounds_it(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    checkpoint = trained[1]
    (tmp_path / "mixed").mkdir()
    for number, path in enumerate(sorted(drawn.rglob("*.png"))):
        shutil.copy(path, tmp_path / "mixed" / f"{number:02}.png")
        if number % 3 == 0:
            (tmp_path / "mixed" / f"{number:02}bad.png").write_text("bad")
    whole(tmp_path / "mixed", tmp_path / "r.csv", checkpoint, batch_size=5)
    checker = Checker(checkpoint, device="cpu")
    rows = rows_of(tmp_path / "r.csv")
    assert len(rows) == 36 + 12
    for row in rows:
        if "bad" in row["path"]:
            assert row["status"] == "error"
        else:
            verdict = checker.check(row["path"])
            assert float(row["score"]) == pytest.approx(verdict.score, abs=2e-6)
            assert row["verdict"] == verdict.verdict
            assert row["kind"] == verdict.kind
            shares = [float(row[f"p_{kind}"]) for kind in ("photo", "cartoon", "sketch")]
            assert sum(shares) == pytest.approx(1, abs=3e-6)
            assert row["p_painting"] == ""


def test_evaluate_and_scan_agree(trained: tuple[Path, Path], drawn: Path, tmp_path: Path) -> None:
    manifest, checkpoint = trained
    evaluate(checkpoint, manifest, predictions=tmp_path / "p.csv", device="cpu")
    whole(drawn, tmp_path / "r.csv", checkpoint)
    scanned = {row["path"]: row for row in rows_of(tmp_path / "r.csv")}
    for row in rows_of(tmp_path / "p.csv"):
        other = scanned[row["path"]]
        assert row["verdict"] == other["verdict"]
        assert float(row["score"]) == pytest.approx(float(other["score"]), abs=2e-6)


@pytest.mark.parametrize("options", [{}, {"stability": 2}])
def test_an_interrupted_scan_continues_to_the_same_bytes(
    trained: tuple[Path, Path],
    drawn: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
) -> None:
    monkeypatch.setattr("facecheck.scanner.job.CHUNK", 8)
    unbroken, cut = tmp_path / "whole.csv", tmp_path / "cut.csv"
    whole(drawn, unbroken, trained[1], batch_size=8, **options)

    def interrupt(done: int, total: int | None) -> None:
        if done >= 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole(drawn, cut, trained[1], batch_size=8, progress=interrupt, **options)
    assert not cut.exists()
    result = whole(drawn, cut, trained[1], batch_size=8, **options)
    assert result.resumed == 16
    assert result.files == result.rows == sum(result.verdicts.values()) == 36
    assert cut.read_bytes() == unbroken.read_bytes()


def test_hostile_names_are_one_safe_row_each(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    face = drawn / "photo" / "drawn-photo" / "000.png"
    names = ["=cmd().png", "-rf.png", "new\nline.png", 'q"uote,.png', "<img src=x>.png"]
    for name in names:
        shutil.copy(face, tmp_path / name)
    shutil.copy(face, tmp_path / os.fsdecode(b"caf\xe9.png"))
    shutil.copy(face, tmp_path / ("x" * 251 + ".png"))
    monkeypatch.chdir(tmp_path)
    # As a shell's glob would hand them over: each file named itself.
    given = [Path(name) for name in sorted(os.listdir(tmp_path))]
    scan(given, tmp_path / "r.csv", trained[1], faces="off", device="cpu")
    rows = rows_of(tmp_path / "r.csv")
    assert len(rows) == 7
    assert {row["status"] for row in rows} == {"ok"}
    assert not any(row["path"].startswith(("=", "-")) for row in rows)
    assert "caf\\xe9.png" in {row["path"] for row in rows}


def test_inputs_and_outputs_that_cannot_be_are_told(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    checkpoint = trained[1]
    with pytest.raises(UsageError, match="nothing to scan at"):
        scan([tmp_path / "nothing"], tmp_path / "r.csv", checkpoint, faces="off")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FacecheckError, match="no images"):
        scan([tmp_path / "empty"], tmp_path / "r.csv", checkpoint, faces="off")
    with pytest.raises(UsageError, match=r"\.csv"):
        scan([drawn], tmp_path / "r.txt", checkpoint, faces="off")
    (tmp_path / "r.csv").write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        scan([drawn], tmp_path / "r.csv", checkpoint, faces="off")
    assert (tmp_path / "r.csv").read_text() == "mine"
    with pytest.raises(FacecheckError, match="cannot be written"):
        scan([drawn], Path("/proc/facecheck/r.csv"), checkpoint, faces="off")


def test_a_file_named_twice_has_one_row(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    face = drawn / "photo" / "drawn-photo" / "000.png"
    assert scan([face, face], tmp_path / "r.csv", trained[1], faces="off", device="cpu").files == 1
