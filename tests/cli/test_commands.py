"""The commands as people type them."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome

Run = Callable[..., Outcome]

#: What makes training on drawn images take a second.
QUICK = (
    *("--arch", "resnet10t", "--no-pretrained", "--image-size", "32", "--batch-size", "8"),
    *("--epochs", "2", "--device", "cpu", "--workers", "0"),
)


def one_line(outcome: Outcome) -> str:
    """Return the one line a user's mistake must give on stderr."""
    assert outcome.err.startswith("facecheck: ")
    assert outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err
    return outcome.err


@pytest.mark.slow
def test_the_whole_road_in_an_empty_folder(command: Run, drawn: Path, tmp_path: Path) -> None:
    """fetch, split, train, evaluate, scan: each finds what the one before left."""
    shutil.copytree(drawn / "photo", tmp_path / "photos")
    assert command("fetch", "--from", drawn).code == 0
    parted = command("split", "--ratio", "8:1:1")
    assert parted.code == 0
    assert "train %" in parted.out
    learned = command("train", *QUICK)
    assert learned.code == 0
    assert learned.err.count("epoch ") == 2
    assert "val top-1" in learned.out
    calibrated = command("calibrate", "--budget", "0.05")
    assert calibrated.code == 0
    assert "temperature" in calibrated.out
    judged = command("evaluate")
    assert judged.code == 0
    assert "true \\ predicted" in judged.out
    scanned = command("scan", "./photos", "--faces", "off", "--out", "results.csv")
    assert scanned.code == 0
    assert re.search(
        r"the newest run answers, runs/\S+: val top-1 \S+ % after epoch [12] of 2; calibrated for "
        r"errors of 5 %",
        scanned.err,
    )
    assert "the model knows photo, cartoon and sketch; it never saw painting" in scanned.out
    assert "the verdict real is no proof of a real person" in scanned.out.replace("\n", " ")
    with (tmp_path / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [
        f"photos/drawn-photo/{number:03}.png" for number in range(12)
    ]
    assert {row["status"] for row in rows} == {"ok"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "data", "photos", "results.csv", "results.csv.journal", "results.csv.meta.json", "runs",
    ]  # fmt: skip


@pytest.mark.slow
def test_json_goes_to_stdout_and_its_keys_are_pinned(
    command: Run, drawn: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    manifest, checkpoint = trained
    face = drawn / "photo" / "drawn-photo" / "000.png"
    keys = {
        ("fetch", "--from", str(drawn)): [
            "root", "sources", "failed", "indexed", "deduplicated",
        ],
        ("index", str(drawn), "--out", "i.csv"): [
            "manifest", "rejects", "records", "rejected", "skipped", "tables", "unnamed",
            "relabelled", "differing", "changed", "by_source", "by_split", "reasons",
            "bad_lines", "paired", "unpaired", "kept",
        ],
        ("dedup", "i.csv"): [
            "manifest", "duplicates", "contamination", "conflicts_table", "level", "records",
            "dropped", "conflicts", "groups", "candidates", "apart", "by_sources", "by_kinds",
            "applied", "spared", "protected_conflicts",
        ],
        ("dedup", "--explain", str(face), str(face)): [
            "first", "second", "level", "radius", "duplicates", "found", "same_bytes",
            "same_pixels", "flat", "distance", "edited_distance", "edited_view", "whole",
            "aligned", "why",
        ],
        ("split", "i.csv"): [
            "manifest", "column", "counts", "by_source", "left_out", "replaced", "kept",
            "kept_excluded", "groups", "near", "proof",
        ],
        ("train", "--manifest", "i.csv", *QUICK): [
            "run", "best", "last", "kinds", "weights", "device", "train_images", "val_images",
            "epochs", "best_epoch", "stopped_early",
        ],
        ("evaluate", str(checkpoint), "--manifest", str(manifest)): [
            "checkpoint", "manifest", "split", "kinds", "overall", "balanced_accuracy", "by_kind",
            "by_source", "verdicts", "verdicts_by_source", "ranking", "ranking_by_source",
            "calibration", "calibration_by_source", "risk_coverage", "baseline", "confusion",
            "errors", "predictions", "features",
        ],
        ("calibrate", str(checkpoint), "--manifest", str(manifest), "--out", "c.safetensors"): [
            "checkpoint", "out", "manifest", "budget", "images", "temperature", "loss_before",
            "loss", "ece_before", "ece", "thresholds", "artificial_from_by_faces", "real",
            "artificial", "guard", "guarded", "errors",
        ],
        ("export", str(checkpoint), "--manifest", str(manifest), "--out", "c.onnx"): [
            "path", "format", "precision", "bytes", "images", "calibrated_on",
            "largest_difference", "allowed", "mean_difference", "verdicts_changed", "top1",
            "exported_top1",
        ],
        ("scan", str(drawn), "--checkpoint", str(checkpoint), "--faces", "off"): [
            "out", "checkpoint", "model", "files", "rows", "unwritten", "resumed", "dropped",
            "skipped", "statuses", "verdicts", "kinds", "bases", "placed", "updated", "rejects",
            "notes",
        ],
        ("known", "add", str(face), "--verdict", "artificial"): [
            "table", "added", "replaced", "already", "bytes_only", "failed", "rows", "skipped",
        ],
        ("known", "show"): [
            "table", "rows", "verdicts", "kinds", "pictures", "thumbnails", "sha256",
        ],
        ("place", "results.csv", "--copy-to", "sorted", "--root", str(drawn)): [
            "to", "how", "verdicts", "placed", "already", "left", "failed",
        ],
        ("explain", str(face), "--checkpoint", str(checkpoint), "--faces", "off"): [
            "image", "out", "checkpoint", "status", "verdict", "basis", "message", "width",
            "height", "faces", "provenance", "explained",
        ],
        ("provenance", str(face), "--out", "p.csv"): [
            "out", "files", "errors", "claims", "findings", "skipped", "shown",
        ],
        ("report", "i.csv"): [
            "manifest", "out", "page", "records", "kinds", "sources", "excluded", "duplicates",
            "conflicts", "rejected", "leaks", "warnings", "audit_is_old", "thumbnails", "missing",
        ],
        ("report", "results.csv"): [
            "results", "out", "page", "rows", "statuses", "verdicts", "kinds", "thumbnails",
            "missing", "reasons", "base", "hint", "heat_maps",
        ],
    }  # fmt: skip
    for arguments, wanted in keys.items():
        done = command(*arguments, "--json", "--quiet")
        assert done.code == 0, done.err
        assert list(json.loads(done.out)) == wanted
        assert done.err == ""


def test_a_move_asks_first(
    command: Run, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    shutil.copytree(drawn, tmp_path / "raw")
    command("index", "raw", "--out", "m.csv", "--quiet")
    move = ("dedup", "m.csv", "--apply", "move", "--to", "clean")
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    refused = command(*move)
    assert refused.code == 1
    assert "Move the files" in refused.err
    assert not (tmp_path / "clean").exists()
    done = command(*move, "--yes")
    assert done.code == 0
    assert "files placed by move in clean" in done.out
    assert len(list((tmp_path / "clean").rglob("*.png"))) == 36


@pytest.mark.slow
def test_a_scan_that_moves_asks_first(
    command: Run, drawn: Path, trained: tuple[Path, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import io

    shutil.copytree(drawn, tmp_path / "in")
    move = ("scan", "in", "--faces", "off", "--checkpoint", trained[1], "--move-to", "clean")
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    refused = command(*move)
    assert refused.code == 1
    assert "Move files to clean" in refused.err
    assert not (tmp_path / "results.csv").exists()
    done = command(*move, "--yes")
    assert done.code == 0
    assert "36 files moved to clean" in done.out
    assert len(list((tmp_path / "clean").rglob("*.png"))) == 36
    assert not list((tmp_path / "in").rglob("*.png"))


@pytest.mark.slow
def test_a_face_detector_that_is_named_and_not_there_is_one_line(
    command: Run, drawn: Path, trained: tuple[Path, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("FACECHECK_FACE_DETECTOR", str(tmp_path / "nothing.onnx"))
    done = command("scan", drawn, "--checkpoint", trained[1])
    assert done.code == 2
    assert one_line(done).endswith("correct FACECHECK_FACE_DETECTOR, or leave it out\n")


def test_two_files_are_explained(command: Run, drawn: Path) -> None:
    folder = drawn / "photo" / "drawn-photo"
    told = command("dedup", "--explain", folder / "000.png", folder / "000.png")
    assert told.code == 0
    assert "same bytes" in told.out


def test_quiet_is_quiet(command: Run, drawn: Path) -> None:
    assert command("index", drawn, "--out", "m.csv", "--quiet") == Outcome(0, "", "")


@pytest.mark.slow
def test_a_scan_with_errors_ends_with_three(
    command: Run, trained: tuple[Path, Path], bad_files: dict[str, str]
) -> None:
    done = command("scan", "bad", "--checkpoint", trained[1], "--faces", "off")
    assert done.code == 3
    assert "error" in done.out


@pytest.mark.slow
def test_an_evaluation_with_vanished_files_ends_with_three(
    command: Run, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    from facecheck import read_manifest, write_manifest

    data = read_manifest(trained[0]).in_split("test")
    paths = [*map(str, data.paths()[1:]), str(tmp_path / "gone.png")]
    write_manifest(data.with_columns(path=paths), tmp_path / "m.csv", {})
    done = command("evaluate", trained[1], "--manifest", "m.csv")
    assert done.code == 3
    assert "gone.png: the file is not there" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["index", "nothing"], 2, "no folder at nothing"),
        (["index", "empty"], 2, "no images in empty"),
        (["index", "texts", "--kind", "photo", "--source", "s"], 1, "not one of 1 images"),
        (["dedup", "nothing.csv"], 2, "no manifest at nothing.csv"),
        (["split", "--ratio", "8"], 2, "ratio '8' is not two or more numbers"),
        (["split", "m.csv", "--by", "kidn"], 2, "did you mean 'kind'"),
        (["split", "m.csv", "--hold-out-source", "t"], 2, "the sources are s"),
        (["split", "m.csv", "--kfold", "2", "--hold-out-source", "s"], 2, "folds do not"),
        (["split", "--check", "empty"], 2, "no splits in it"),
        (["split", "--check", "m.csv"], 2, "nothing to check"),
        (["dedup", "m.csv", "--level", "pixel"], 2, "did you mean 'pixels'"),
        (["dedup", "m.csv", "--apply", "symlink"], 2, "--apply symlink needs --to DIR"),
        (
            ["dedup", "--explain", "texts/a.jpg", "m.csv"],
            1,
            "texts/a.jpg: a text file, not an image",
        ),
        (["split"], 2, "run `facecheck fetch`"),
        (["split", "short.csv"], 1, "no column 'kind'"),
        (["train"], 2, "run `facecheck fetch`"),
        (["train", "--manifest", "m.csv", "--arch", "resnet5O"], 2, "did you mean"),
        (["train", "--manifest", "m.csv", "--no-pretrained"], 1, "facecheck split"),
        (["train", "--manifest", "m.csv", "--image-size", "3"], 2, "--image-size 3"),
        (
            ["train", "--manifest", "m.csv", "--device", "abacus"],
            2,
            "--device 'abacus' is unknown",
        ),
        (["evaluate", "nothing"], 2, "no checkpoint at nothing"),
        (["calibrate", "nothing"], 2, "no checkpoint at nothing"),
        (["calibrate", "{checkpoint}", "--manifest", "m.csv"], 2, "no records in split 'val'"),
        (["calibrate", "{checkpoint}", "--manifest", "m.csv", "--budget", "1"], 2, "--budget 1"),
        (["scan", "empty", "--checkpoint", "nothing"], 2, "no checkpoint at nothing"),
        (["scan", "nothing", "--checkpoint", "{checkpoint}"], 2, "nothing to scan at nothing"),
        (
            ["scan", "empty", "--checkpoint", "{checkpoint}", "--faces", "off"],
            2,
            "no images in empty",
        ),
        (["scan", "texts", "--checkpoint", "m.csv"], 2, "m.csv is a manifest, not a checkpoint"),
        (["fetch", "--from", "nothing"], 2, "nothing at nothing"),
        (["report", "nothing.csv"], 2, "nothing to report at nothing.csv"),
        (["report", "odd.yaml"], 2, "odd.yaml is a YAML file, not what a report is made of"),
        (["--config", "odd.yaml", "split"], 2, "did you mean 'train'"),
    ],
)
def test_a_mistake_is_one_line_with_the_right_code(
    command: Run,
    drawn: Path,
    tmp_path: Path,
    trained: tuple[Path, Path],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.jpg").write_text("text")
    (tmp_path / "short.csv").write_text("path,source\na.jpg,s\n")
    (tmp_path / "odd.yaml").write_text("tarin: {epochs: 1}\n")
    face = drawn / "photo" / "drawn-photo" / "000.png"
    (tmp_path / "m.csv").write_text(f"path,source,kind\n{face},s,photo\n")
    done = command(*(part.format(checkpoint=trained[1]) for part in arguments))
    assert message in one_line(done)
    assert done.code == code


def test_an_interrupted_command_says_so(
    command: Run, drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("facecheck.data.index.index", interrupt)
    done = command("index", drawn, "--out", "m.csv")
    assert done.code == 130
    assert "what was written is kept" in one_line(done)


def test_a_command_without_its_arguments_shows_the_help(command: Run) -> None:
    for arguments in ((), ("generate",)):
        done = command(*arguments)
        assert done.code == 2
        assert "Usage: facecheck" in done.out + done.err


def test_flags_win_over_variables_and_variables_over_the_project_file(
    command: Run, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("index", drawn, "--out", "m.csv", "--quiet")
    (tmp_path / "facecheck.yaml").write_text("split: {seed: 5, ratio: '6:2:2'}\n")

    def seed(*flags: str) -> tuple[int, str]:
        command("split", "m.csv", "--quiet", *flags)
        meta = json.loads((tmp_path / "m.csv.meta.json").read_text())
        return meta["arguments"]["seed"], meta["arguments"]["ratio"]

    assert seed() == (5, "6:2:2")
    # The project file knows options by their flags, whatever the code calls them.
    (tmp_path / "facecheck.yaml").write_text("fetch: {from: nowhere}\nindex: {json: true}\n")
    assert "nothing at nowhere" in one_line(command("fetch"))
    assert command("index", drawn, "--out", "j.csv").out.startswith("{")
    (tmp_path / "facecheck.yaml").write_text("split: {seed: 5, ratio: '6:2:2'}\n")
    monkeypatch.setenv("FACECHECK_SPLIT_SEED", "6")
    assert seed() == (6, "6:2:2")
    assert seed("--seed", "7") == (7, "6:2:2")


@pytest.mark.slow
def test_version_help_and_completion(command: Run) -> None:
    import facecheck

    assert command("--version").out == f"facecheck {facecheck.__version__}\n"
    overview = command("--help")
    assert overview.code == 0
    for name in (
        "sources",
        "fetch",
        "index",
        "dedup",
        "split",
        "train",
        "calibrate",
        "evaluate",
        "scan",
    ):
        assert name in overview.out
        helped = command(name, "--help")
        assert helped.code == 0
        assert "Usage: facecheck" in helped.out
    script = subprocess.run(
        [sys.executable, "-m", "facecheck"],
        env={**os.environ, "_FACECHECK_COMPLETE": "source_bash"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "complete" in script.stdout


def test_tables_are_plain_where_there_is_no_terminal(command: Run, drawn: Path) -> None:
    assert "\x1b" not in command("index", drawn, "--out", "m.csv").out


def test_a_path_with_markup_is_shown_as_it_is(command: Run, drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn / "photo", tmp_path / "photo")
    (tmp_path / "photo" / "drawn-photo").rename(tmp_path / "photo" / "[red]s[b]")
    assert "[red]s[b]" in command("index", "photo", "--out", "[b]m.csv").out


def test_split_says_what_it_replaced_left_out_and_did_not_check(
    command: Run, drawn: Path, tmp_path: Path
) -> None:
    command("index", drawn, "--out", "m.csv", "--quiet")
    first = command("split", "m.csv").out
    assert "near duplicates: not checked: run `facecheck dedup m.csv` first" in first
    assert "had another split before" not in first
    again = command("split", "m.csv", "--seed", "1").out
    assert "records had another split before, which was replaced: --extend keeps" in again
    table = (tmp_path / "m.csv").read_text().splitlines()
    position = table[0].split(",").index("excluded")
    cells = table[1].split(",")
    cells[position] = "blurred"
    (tmp_path / "m.csv").write_text("\n".join([table[0], ",".join(cells), *table[2:], ""]))
    command("dedup", "m.csv", "--quiet")
    third = command("split", "m.csv").out
    assert "1 records (1 blurred) left out" in third
    assert "not checked" not in third


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convert", "m.csv", "m.xlsx"), "m.xlsx: a table's name must end in .csv or .parquet"),
        (("convert", "m.csv", "m.cvs"), "did you mean '.csv'"),
        (("scan", "in", "--copy-to", "in"), "--copy-to in lies in in, which is scanned"),
        (("scan", "in", "--copy-to", "in/sorted"), "name a folder outside"),
        (("scan", ".", "--move-to", "sorted", "--yes"), "--move-to sorted lies in ."),
    ],
)
def test_what_would_not_do_what_was_meant_is_refused(
    command: Run, drawn: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    shutil.copytree(drawn, tmp_path / "in")
    assert command("index", "in", "--out", "m.csv").code == 0
    refused = command(*arguments)
    assert refused.code == 2
    assert message in one_line(refused)
    assert not (tmp_path / "m.xlsx").exists()


@pytest.mark.slow
def test_only_says_how_many_rows_were_not_written(
    command: Run, drawn: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    """Among them a folder to copy to that is excluded from the scan, which is right."""
    shutil.copytree(drawn / "photo", tmp_path / "in")
    model = ("--checkpoint", trained[1], "--faces", "off")
    done = command("scan", "in", *model, "--only", "artificial", "--threshold", "0")
    assert "12 files, 12 rows in results.csv; " in done.out
    more = ("--copy-to", "in/sorted", "--exclude", "sorted", "--overwrite")
    done = command("scan", "in", *model, "--only", "real", "--threshold", "0", *more)
    assert done.code == 0, done.err
    assert "12 files, 0 rows in results.csv (12 of other verdicts not written)" in done.out
