from __future__ import annotations

import os
from pathlib import Path

import pytest

from facecheck.core.errors import UsageError
from facecheck.core.tables import read_table
from facecheck.core.workspace import (
    BUILTIN,
    Choice,
    choose_checkpoint,
    find_checkpoint,
    find_manifest,
    new_run_folder,
)


def test_the_newest_run_is_found(tmp_path: Path) -> None:
    for age, name in enumerate(("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.safetensors").touch()
        os.utime(tmp_path / name / "best.safetensors", (100 + age, 100 + age))
    assert find_checkpoint(None, tmp_path) == tmp_path / "a" / "best.safetensors"
    assert find_checkpoint(tmp_path / "b") == tmp_path / "b" / "best.safetensors"


def test_a_run_that_is_not_finished_is_not_taken_unless_it_is_named(tmp_path: Path) -> None:
    for age, name in enumerate(("old", "older", "newest")):
        (tmp_path / name).mkdir()
        best = tmp_path / name / "best.safetensors"
        best.touch()
        os.utime(best, (100 - age, 100 - age) if name != "newest" else (200, 200))
    newest = tmp_path / "newest"
    (newest / "state.pt").touch()
    best = tmp_path / "old" / "best.safetensors"
    assert choose_checkpoint(None, tmp_path) == Choice(best, 2, (newest,))
    named = Choice(newest / "best.safetensors", 0, (newest,))
    assert choose_checkpoint(newest) == choose_checkpoint(newest / "best.safetensors") == named
    for name in ("old", "older"):
        (tmp_path / name / "state.pt").touch()
    assert choose_checkpoint(None, tmp_path).path == BUILTIN
    assert len(choose_checkpoint(None, tmp_path).unfinished) == 3


def test_without_a_run_or_by_name_it_is_the_packages_own_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert BUILTIN.is_file()
    assert find_checkpoint(None) == find_checkpoint(Path("builtin")) == BUILTIN
    Path("builtin").mkdir()
    Path("builtin/best.safetensors").touch()
    assert find_checkpoint(Path("builtin")) == Path("builtin/best.safetensors")


def test_what_is_not_there_is_told_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no checkpoint at nothing"):
        find_checkpoint(Path("nothing"))
    with pytest.raises(UsageError, match="facecheck fetch"):
        find_manifest(None)
    Path("faces").mkdir()
    with pytest.raises(UsageError, match="faces is a folder: .* `facecheck index faces`"):
        find_manifest(Path("faces"))
    with pytest.raises(UsageError, match="faces is a folder"):
        read_table(Path("faces"))


def test_a_run_never_enters_an_older_runs_folder(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("net", "net-2", "net-3"):
        made = new_run_folder("net", runs, lambda folder: (folder / "state.pt").touch())
        assert made == runs / name
        assert (made / "state.pt").exists()


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "recipe.yaml").touch()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        new_run_folder("net", tmp_path, fail)
    assert list(tmp_path.iterdir()) == []
