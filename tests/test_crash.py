"""Some crash points of every command; all of them are in docs/reliability.md."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from facecheck.engines.export import export_checkpoint
from tests.crash import CASES, Case, Commands, Workspace, on_another_disk

#: Those that are tried in every run of the tests; the others are slow.
QUICK = ("index", "dedup --apply move")


def cases(*, model: bool) -> list[ParameterSet]:
    return [
        pytest.param(case, id=case.name, marks=() if case.name in QUICK else pytest.mark.slow)
        for case in CASES
        if case.model == model
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crash")


@pytest.fixture(scope="module")
def commands(folder: Path) -> Iterator[Commands]:
    (folder / "scratch").mkdir()
    with Commands(
        folder / "scratch", ("facecheck.core", "facecheck.data", "facecheck.cli")
    ) as each:
        yield each


@pytest.fixture(scope="module")
def commands_with_models(folder: Path) -> Iterator[Commands]:
    (folder / "scratch2").mkdir()
    with Commands(folder / "scratch2") as each:
        yield each


@pytest.fixture(scope="module")
def models(trained: tuple[Path, Path], folder: Path) -> Path:
    pytest.importorskip("onnx")
    (folder / "models").mkdir()
    shutil.copy(trained[1], folder / "models" / "tiny.safetensors")
    export_checkpoint(trained[1], folder / "models" / "tiny.onnx", manifest=trained[0])
    return folder / "models"


@pytest.fixture(scope="module")
def elsewhere(folder: Path) -> Iterator[Path | None]:
    with on_another_disk(folder) as other:
        yield other


def lost(commands: Commands, folder: Path, case: Case, models: Path, other: Path | None) -> object:
    if case.other and other is None:
        pytest.skip("/dev/shm is no other disk here")
    workspace = Workspace(commands, folder, case, models, other)
    # Not before the first change: what runs then runs from the beginning, as it just did.
    tried = workspace.tried(workspace.points(3)[1:])
    assert tried.tried
    return tried.lost


@pytest.mark.slow
@pytest.mark.parametrize("case", cases(model=False))
def test_a_killed_command_resumes_to_the_same_bytes(
    commands: Commands, folder: Path, case: Case, elsewhere: Path | None
) -> None:
    assert lost(commands, folder, case, folder, elsewhere) == {}


@pytest.mark.parametrize("case", cases(model=True))
def test_a_killed_command_with_a_model_resumes_to_the_same_bytes(
    commands_with_models: Commands, folder: Path, case: Case, models: Path, elsewhere: Path | None
) -> None:
    assert lost(commands_with_models, folder, case, models, elsewhere) == {}


def test_what_is_lost_is_noticed(commands: Commands, folder: Path) -> None:
    index = next(case for case in CASES if case.name == "index")
    other = ("index", "raw", "--out", "other.csv", "--workers", "1", "--quiet")
    workspace = Workspace(commands, folder, replace(index, again=(other,)), folder, None)
    (why,) = workspace.tried([4]).lost.values()
    assert "m.csv is missing" in why
    assert "m.csv.lock is left" in why
