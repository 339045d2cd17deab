"""What a command says is to be run next can be run as it is."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facecheck.cli.next_step import command_on
from facecheck.core.workspace import BUILTIN, BUILTIN_FAST, MANIFEST

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("what", "manifest", "said"),
    [
        (Path("runs/a/best.safetensors"), MANIFEST, "facecheck evaluate runs/a"),
        (Path("x.onnx"), Path("m.csv"), "facecheck evaluate x.onnx --manifest m.csv"),
        (BUILTIN, MANIFEST, "facecheck evaluate builtin"),
        (BUILTIN_FAST, MANIFEST, "facecheck evaluate builtin-fast"),
        (Path("-r.csv"), MANIFEST, "facecheck evaluate ./-r.csv"),
    ],
)
def test_models_have_the_names_that_commands_take(what: Path, manifest: Path, said: str) -> None:
    assert command_on("evaluate", what, manifest) == said


def test_the_shell_reads_odd_names_as_one_word() -> None:
    said = command_on("report", Path("my $HOME; rm.csv"))
    assert shlex.split(said) == ["facecheck", "report", "my $HOME; rm.csv"]


def following(err: str) -> list[str]:
    """Return the arguments of the command that the last line on stderr names."""
    *_, line = err.strip().splitlines()
    assert line.startswith("next: facecheck ")
    return shlex.split(line.removeprefix("next: facecheck "))


@pytest.mark.slow
def test_each_command_names_one_that_runs(
    command: Run, drawn: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    network = ("--arch", "resnet10t", "--no-pretrained", "--epochs", "1", "--image-size", "32")
    done = command("train", "--manifest", trained[0], "--name", "it", "--device", "cpu", *network)
    for name in ("calibrate", "evaluate", "report"):
        assert done.code == 0, done.err
        step = following(done.err)
        assert step == [name, "runs/it", "--manifest", str(trained[0])]
        if name != "report":
            done = command(*step)
    scanned = ("scan", drawn, "--checkpoint", "runs/it", "--faces", "off", "--workers", "1")
    done = command(*scanned, "--out", "of it.csv")
    assert following(done.err) == ["report", "of it.csv"]
    for quiet in (("--quiet", "--overwrite"), ("--out", "-")):
        assert "next:" not in command(*scanned, *quiet).err
    assert (tmp_path / "of it.csv").is_file()
