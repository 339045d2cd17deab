"""Which checkpoint a command takes, and what it says of runs that are not finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from facecheck.cli.arguments import chosen_checkpoint
from facecheck.cli.display import Display
from facecheck.core.workspace import BUILTIN


def test_a_run_that_is_not_finished_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("done", "begun"):
        (Path("runs") / name).mkdir(parents=True)
        (Path("runs") / name / "best.safetensors").touch()
    Path("runs/begun/state.pt").touch()
    assert chosen_checkpoint(None, Display()) == Path("runs/done/best.safetensors")
    told = capsys.readouterr().err
    assert "skipped a run that is not finished: runs/begun (resume it with" in told
    assert told.endswith("taken instead: runs/done\n")
    chosen_checkpoint(Path("runs/begun"), Display())
    assert "runs/begun is not finished: this is its best epoch so far" in capsys.readouterr().err
    Path("runs/done/state.pt").touch()
    assert chosen_checkpoint(None, Display()) == BUILTIN
    assert capsys.readouterr().err.endswith("taken instead: the built-in model\n")
    chosen_checkpoint(None, Display(quiet=True))
    assert capsys.readouterr().err == ""
