from __future__ import annotations

import csv
import errno
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
import torch

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.image import decode
from facecheck.core.moving import put
from facecheck.engines.load import load_predictor
from facecheck.evaluation.calibrate import calibrate
from facecheck.evaluation.evaluate import evaluate
from facecheck.evaluation.options import CalibrateOptions, EvaluateOptions
from facecheck.model.checkpoint import load_checkpoint, read_header, save_checkpoint
from facecheck.model.stability import flag_unstable, variants
from facecheck.model.transforms import load_input
from facecheck.scanner.checker import Checker
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.job import ScanResult, scan
from facecheck.scanner.options import CheckOptions, ScanOptions
from facecheck.scanner.prepare import Prepared
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.merge import merge
from facecheck.scanner.results.update import Updated
from tests.scanner.conftest import pasted
from tests.scanner.items import scan_with


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def whole(folder: Path, out: Path, checkpoint: Path, **options: Any) -> ScanResult:
    """Scan what is drawn, of which no detector made for photographs could tell."""
    return scan_with([folder], out, checkpoint, faces="off", device="cpu", **options)


class InThisProcess:
    """Stands in for processes, which test_faults.py starts: calls are done in this one."""

    def __init__(self, work: Callable[[Item], Prepared], *, timeout: float, ahead: object) -> None:
        self.work = work

    def __call__(self, item: Item) -> Prepared:
        return self.work(pickle.loads(pickle.dumps(item)))

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "bad_files" not in request.fixturenames:
        monkeypatch.setattr("facecheck.scanner.workers.local.Isolated", InThisProcess)


@pytest.mark.slow
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
    assert result.skipped.ignored == 1
    assert result.skipped.special == 1
    assert result.statuses["error"] == sum(bool(reason) for reason in bad_files.values())


def test_the_columns_are_pinned() -> None:
    assert list(COLUMNS) == [
        "path", "status", "verdict", "kind", "basis", "provenance", "generator", "score", "spread",
        "p_photo", "p_cartoon", "p_sketch", "p_painting", "p_sculpture", "p_generated",
        "p_composite", "view", "frame", "faces", "face", "face_left", "face_top", "face_width",
        "face_height", "face_confidence", "width", "height", "message",
    ]  # fmt: skip


@pytest.mark.slow
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
        own = predictor.predictions(
            load_input(Path(after["path"]), predictor.header.transform)[None]
        )
        told = flag_unstable([*own, *predictor.predictions(np.stack(stored))])
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
    checker = Checker(checkpoint, CheckOptions(faces="off", device="cpu"))
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
    evaluate(checkpoint, manifest, EvaluateOptions(predictions=tmp_path / "p.csv", device="cpu"))
    whole(drawn, tmp_path / "r.csv", checkpoint)
    scanned = {row["path"]: row for row in rows_of(tmp_path / "r.csv")}
    for row in rows_of(tmp_path / "p.csv"):
        other = scanned[row["path"]]
        assert row["verdict"] == other["verdict"]
        assert float(row["score"]) == pytest.approx(float(other["score"]), abs=2e-6)


@pytest.mark.slow
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
    assert result.resumed == 4 + 8 + 8  # the first chunk is smaller
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
    scan_with(given, tmp_path / "r.csv", trained[1], faces="off", device="cpu")
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
        scan_with([tmp_path / "nothing"], tmp_path / "r.csv", checkpoint, faces="off")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FacecheckError, match="no images"):
        scan_with([tmp_path / "empty"], tmp_path / "r.csv", checkpoint, faces="off")
    with pytest.raises(UsageError, match=r"\.csv"):
        scan_with([drawn], tmp_path / "r.txt", checkpoint, faces="off")
    (tmp_path / "r.csv").write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        scan_with([drawn], tmp_path / "r.csv", checkpoint, faces="off")
    assert (tmp_path / "r.csv").read_text() == "mine"
    with pytest.raises(FacecheckError, match="cannot be written"):
        scan_with([drawn], Path("/proc/facecheck/r.csv"), checkpoint, faces="off")


def test_a_file_named_twice_has_one_row(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    face = drawn / "photo" / "drawn-photo" / "000.png"
    assert (
        scan_with([face, face], tmp_path / "r.csv", trained[1], faces="off", device="cpu").files
        == 1
    )


def test_one_threshold_leaves_nothing_between(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    whole(drawn, tmp_path / "all.csv", trained[1])
    scores = sorted(float(row["score"]) for row in rows_of(tmp_path / "all.csv"))
    threshold = (scores[9] + scores[10]) / 2
    result = whole(drawn, tmp_path / "r.csv", trained[1], threshold=threshold)
    assert result.verdicts == {"real": 10, "artificial": 26}
    for row in rows_of(tmp_path / "r.csv"):
        assert row["verdict"] == ("artificial" if float(row["score"]) >= threshold else "real")
    with pytest.raises(UsageError, match="from 0 to 1"):
        whole(drawn, tmp_path / "other.csv", trained[1], threshold=1.5)


def test_a_budget_takes_the_thresholds_that_were_calibrated_for_it(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    manifest, best = trained
    with pytest.raises(UsageError, match="not calibrated: run `facecheck calibrate RUN --budget"):
        whole(drawn, tmp_path / "r.csv", best, budget=0.2)
    model = tmp_path / "c.safetensors"
    calibrate(best, manifest, CalibrateOptions(budget=0.2, out=model, device="cpu"))
    budgets = read_header(model).calibration["budgets"]
    assert tuple(budgets["0.2"]) == read_header(model).thresholds
    assert list(budgets) == sorted(budgets, key=float)
    assert all(low <= high for low, high in budgets.values())
    whole(drawn, tmp_path / "own.csv", model)
    whole(drawn, tmp_path / "r.csv", model, budget=0.2)
    assert (tmp_path / "r.csv").read_bytes() == (tmp_path / "own.csv").read_bytes()
    for wrong, reason in (
        ({"budget": 0.03}, "calibrated for 0"),
        ({"budget": 0.2, "threshold": 0.5}, "one"),
    ):
        with pytest.raises(UsageError, match=reason):
            whole(drawn, tmp_path / "other.csv", model, **wrong)


def test_files_are_placed_by_verdict(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(drawn, "in")
    (tmp_path / "in" / "bad.png").write_text("bad")
    files = {path.relative_to("in") for path in Path("in").rglob("*.png")}
    copied = whole(Path("in"), Path("r.csv"), trained[1], copy_to=Path("copies"))
    assert copied.placed is not None
    assert (copied.placed.placed, copied.placed.left) == (36, 1)
    verdicts = {row["path"]: row["verdict"] for row in rows_of(Path("r.csv"))}
    for name in files - {Path("bad.png")}:
        assert (Path("copies") / verdicts[f"in/{name}"] / name).read_bytes() == (
            Path("in") / name
        ).read_bytes()
    with pytest.raises(UsageError, match="--yes"):
        whole(Path("in"), Path("m.csv"), trained[1], move_to=Path("moved"))
    assert not Path("m.csv").exists()
    moved = whole(Path("in"), Path("m.csv"), trained[1], move_to=Path("moved"), yes=True)
    assert moved.placed is not None
    assert moved.placed.placed == 36
    assert [path.name for path in Path("in").rglob("*.png")] == ["bad.png"]


@pytest.mark.slow
def test_a_scan_whose_disk_was_full_while_it_moved_files_resumes_by_the_same_command(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(drawn / "sketch", "in")
    unbroken = whole(Path("in"), Path("r.csv"), trained[1], copy_to=Path("copies"))
    rows = Path("r.csv").read_bytes()
    written: list[Path] = []

    def full_after_three(origin: Path, target: Path, **how: bool) -> bool:
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(target)
        return put(origin, target, **how)

    def move(to: str = "moved", **options: Any) -> ScanResult:
        return whole(Path("in"), Path("m.csv"), trained[1], move_to=Path(to), yes=True, **options)

    with monkeypatch.context() as patched:
        patched.setattr("facecheck.scanner.results.place.put", full_after_three)
        with pytest.raises(FacecheckError, match="No space left.*run the same command again"):
            move()
    assert len(list(Path("in").rglob("*.png"))) == 9
    with pytest.raises(UsageError, match=f"being moved to {tmp_path}/moved when the scan was"):
        move("elsewhere")
    resumed = move(overwrite=True)
    assert resumed.placed is not None
    assert (resumed.placed.placed, resumed.placed.already) == (9, 3)
    assert (resumed.files, resumed.resumed, resumed.rows) == (12, 12, 12)
    assert (resumed.statuses, resumed.verdicts) == (unbroken.statuses, unbroken.verdicts)
    assert Path("m.csv").read_bytes() == rows
    (record,) = tmp_path.glob("m.csv.placed-*.jsonl")
    assert len(record.read_text().splitlines()) == 1 + 12
    with pytest.raises(FacecheckError, match="no images in in"):  # all were moved
        move()


def test_what_does_not_go_together_is_told(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    for options, message in (
        ({"copy_to": tmp_path, "move_to": tmp_path, "yes": True}, "name one of them"),
        ({"watch": True, "copy_to": tmp_path}, "places no files"),
        ({"watch": True, "shard": (1, 2)}, "for folders"),
        ({"watch": True, "archives": True}, "for folders"),
        ({"shard": (3, 2)}, "parts count from 1"),
    ):
        with pytest.raises(UsageError, match=message):
            whole(drawn, tmp_path / "r.csv", trained[1], **options)
    with pytest.raises(UsageError, match="name a file with --out"):
        whole(drawn, Path("-"), trained[1], copy_to=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_parts_merge_to_the_bytes_of_one_scan_and_may_be_empty(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    folder = drawn / "sketch" / "drawn-sketch"
    few = tmp_path / "few"
    few.mkdir()
    for name in ("000.png", "001.png"):
        shutil.copy(folder / name, few / name)
    whole(few, tmp_path / "whole.csv", trained[1])
    parts = [tmp_path / f"{number}.csv" for number in (1, 2, 3)]
    results = [
        whole(few, part, trained[1], shard=(number, 3)) for number, part in enumerate(parts, 1)
    ]
    assert sum(result.files for result in results) == 2
    assert merge(tmp_path / "merged.csv", parts).files == 2
    assert rows_of(tmp_path / "merged.csv") == rows_of(tmp_path / "whole.csv")


def test_progress_tells_the_files_in_all_once_they_are_counted(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facecheck.scanner.job.CHUNK", 4)
    told: list[tuple[int, int | None]] = []

    class AtOnce:
        """A thread that is done when it is started: counting wins every race."""

        def __init__(self, target: Callable[[], None], daemon: bool) -> None:
            self.start = target

    monkeypatch.setattr("facecheck.scanner.job.Thread", AtOnce)

    def note(done: int, total: int | None) -> None:
        told.append((done, total))

    whole(drawn, tmp_path / "r.csv", trained[1], batch_size=4, progress=note)
    assert told == [(done, 36) for done in range(4, 37, 4)]


def test_where_no_image_is_nothing_is_left_behind(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").touch()
    with pytest.raises(FacecheckError, match=r"no images in .*in \(skipped 1 file whose name"):
        whole(tmp_path / "in", tmp_path / "r.csv", trained[1])
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_each_face_of_a_photograph_is_judged(
    trained: tuple[Path, Path], detector: Path, portraits: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    group = pasted((1000, 700), [(portraits[0], 60, 80, 300), (portraits[2], 600, 60, 256)])
    group.save(tmp_path / "in" / "group.png")
    pasted((400, 300), []).save(tmp_path / "in" / "nobody.png")
    options: dict[str, Any] = {"face_detector": detector, "device": "cpu"}
    scan_with([tmp_path / "in"], tmp_path / "r.csv", trained[1], **options)
    scan_with([tmp_path / "in"], tmp_path / "each.csv", trained[1], per_face=True, **options)
    one, none = rows_of(tmp_path / "r.csv")
    first, second, _ = rows_of(tmp_path / "each.csv")
    assert (one["status"], one["view"], one["faces"]) == ("ok", "face", "2")
    assert one == max(first, second, key=lambda row: float(row["score"]))
    assert float(first["face_left"]) < 400 < 600 < float(second["face_left"])
    assert (none["faces"], none["width"], none["height"]) == ("0", "400", "300")
    assert none["status"] in {"no_face", "ok"}  # by what so small a model takes a plain area for


def test_a_model_that_answers_no_number_makes_every_row_an_error(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    manifest, checkpoint = trained
    loaded = load_checkpoint(checkpoint)
    with torch.no_grad():
        for weight in loaded.model.get_classifier().parameters():  # type: ignore[operator]
            weight.fill_(torch.nan)
    save_checkpoint(loaded.model, loaded.header, tmp_path / "nan.safetensors")
    folder = drawn / "photo" / "drawn-photo"
    for faces in ("auto", "off"):
        out = tmp_path / f"{faces}.csv"
        result = scan([folder], out, tmp_path / "nan.safetensors", ScanOptions(faces=faces))
        assert set(result.statuses) == {"error"}
        assert not result.verdicts
        assert {row["message"] for row in rows_of(out)} == {
            "the model's answer is not a finite number"
        }
    with pytest.raises(FacecheckError, match="not a finite number"):
        evaluate(tmp_path / "nan.safetensors", manifest)


def test_an_update_classifies_what_is_new_or_changed_and_keeps_the_rest(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "r.csv"
    shutil.copytree(drawn / "photo" / "drawn-photo", folder)
    first = whole(folder, out, trained[1], update=True)  # there is nothing to update yet
    assert first.updated is None
    assert first.files == 12
    before = rows_of(out)
    shutil.copy(drawn / "sketch" / "drawn-sketch" / "000.png", folder / "new.png")
    shutil.copyfile(drawn / "sketch" / "drawn-sketch" / "001.png", folder / "003.png")
    (folder / "005.png").unlink()
    result = whole(folder, out, trained[1], update=True)
    assert result.updated == Updated(1, 1, 10, 1, "kept")
    assert (result.files, result.rows) == (13, 13)
    after = rows_of(out)
    names = [Path(row["path"]).name for row in after]
    assert names[-2:] == ["new.png", "005.png"]
    assert sum(result.verdicts.values()) == 13
    kept = [row for row in before if "003" not in row["path"]]
    assert sorted(kept, key=str) == sorted(
        (row for row in after if not row["path"].endswith(("new.png", "003.png"))), key=str
    )
    fresh = tmp_path / "fresh.csv"
    whole(folder, fresh, trained[1])
    assert out.read_bytes().startswith(fresh.read_bytes())
    with pytest.raises(UsageError, match="cannot be updated: stability was 0 and is 2"):
        whole(folder, out, trained[1], update=True, stability=2)
    for options in ({"copy_to": tmp_path / "to"}, {"shard": (1, 2)}, {"watch": True}):
        with pytest.raises(UsageError, match=r"--update|--watch"):
            whole(folder, out, trained[1], update=True, **options)
    shutil.rmtree(folder)
    folder.mkdir()
    gone = whole(folder, out, trained[1], update=True)
    assert gone.updated == Updated(0, 0, 0, 13, "kept")


def test_what_was_skipped_is_listed_and_rows_that_are_not_written_are_counted(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    folder, table = tmp_path / "in", tmp_path / "rejects.csv"
    shutil.copytree(drawn / "photo" / "drawn-photo", folder)
    (folder / "notes.txt").touch()
    result = whole(folder, tmp_path / "r.csv", trained[1], rejects=table, only=("uncertain",))
    assert result.rejects == table
    assert result.unwritten == 12 - result.rows > 0
    assert [Path(row["path"]).name for row in rows_of(table)] == ["notes.txt"]
    with pytest.raises(UsageError, match="exists"):
        whole(folder, tmp_path / "r2.csv", trained[1], rejects=table)
    # A kill came after the table had its name, and before the results had theirs.
    (tmp_path / "r2.csv.partial").touch()
    whole(folder, tmp_path / "r2.csv", trained[1], rejects=table)
    (folder / "more.txt").touch()
    whole(folder, tmp_path / "r2.csv", trained[1], rejects=table, update=True)
    assert [Path(row["path"]).name for row in rows_of(table)] == ["more.txt", "notes.txt"]


def test_a_workbook_shows_what_was_classified(
    trained: tuple[Path, Path], drawn: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    shutil.copytree(drawn / "photo" / "drawn-photo", folder)
    (folder / "bad.png").write_text("bad")
    result = whole(folder, tmp_path / "r.xlsx", trained[1], thumbnails=3)
    assert result.notes == ("thumbnails of the first 3 rows",)
    page = openpyxl.load_workbook(tmp_path / "r.xlsx")["rows"]
    assert page.max_row == 14
    assert page["B2"].hyperlink.target == "in/000.png"
    assert page["C14"].value == "error"
    whole(folder, tmp_path / "r.csv", trained[1])
    scores = [row["score"] for row in rows_of(tmp_path / "r.csv")]
    assert [f"{page.cell(n, 9).value:.6f}" for n in range(2, 14)] == scores[:-1]
    assert [image.anchor._from.row for image in page._images] == [1, 2, 3]
    with pytest.raises(UsageError, match="a workbook cannot be updated"):
        whole(folder, tmp_path / "r.xlsx", trained[1], update=True)
