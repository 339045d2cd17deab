"""The variables and the project file, as the commands take them."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import facecheck
from facecheck.core.workspace import VARIABLES
from tests.cli.test_commands import one_line
from tests.conftest import Outcome

Run = Callable[..., Outcome]


def sources(manifest: Path) -> set[str]:
    with manifest.open(newline="") as stream:
        return {row["source"] for row in csv.DictReader(stream)}


@pytest.mark.parametrize("name", ["no", "007", "12:30", "1.50", "true", "0x10"])
def test_a_text_in_the_project_file_is_what_it_is_as_a_flag(
    command: Run, drawn: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "facecheck.yaml").write_text(f"index: {{kind: photo, source: {name}}}\n")
    assert command("index", drawn / "photo", "--out", "m.csv").code == 0
    assert sources(tmp_path / "m.csv") == {name}


def test_a_ratio_and_a_switch_need_no_quotes(command: Run, drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "facecheck.yaml").write_text("split:\n  ratio: 8:1:1\n  quiet: on\n  extend: off\n")
    assert command("index", drawn, "--out", "m.csv").code == 0
    done = command("split", "m.csv")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_one_value_will_do_where_several_may_be_given(
    command: Run, drawn: Path, tmp_path: Path
) -> None:
    (tmp_path / "facecheck.yaml").write_text("index: {pair: 'drawn-photo:drawn-sketch'}\n")
    assert command("index", drawn, "--out", "m.csv").code == 0
    with (tmp_path / "m.csv").open(newline="") as stream:
        assert len({row["group"] for row in csv.DictReader(stream)} - {""}) == 12
    (tmp_path / "facecheck.yaml").write_text("index: {source: [a, b]}\n")
    assert "source: must be one value, not ['a', 'b']" in one_line(command("index", drawn))
    (tmp_path / "facecheck.yaml").write_text("index: {pair: {a: b}}\n")
    assert "pair: must be one value, or a list of them" in one_line(command("index", drawn))


def test_a_variable_that_sets_nothing_is_refused_with_the_near_name(
    command: Run, drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, near in {
        "FACECHECK_TRAIN_EPOCH": "FACECHECK_TRAIN_EPOCHS",
        "FACECHECK_SCAN_PER_FACES": "FACECHECK_SCAN_PER_FACE",
        "FACECHECK_FACE_DETECTER": "FACECHECK_FACE_DETECTOR",
        "FACECHECK_GENERATE_TRAIN_STEP": "FACECHECK_GENERATE_TRAIN_STEPS",
        "FACECHECK_LR_FIND_STEP": "FACECHECK_LR_FIND_STEPS",
    }.items():
        with monkeypatch.context() as patch:
            patch.setenv(name, "5")
            refused = command("index", drawn)
        assert refused.code == 2
        assert f"the variable {name} sets no option; did you mean '{near}'" in one_line(refused)


def test_a_variable_is_named_after_the_flag(
    command: Run, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after what the code calls its value, such as ``origin`` of ``--from``."""
    monkeypatch.setenv("FACECHECK_FETCH_FROM", "nowhere")
    monkeypatch.setenv("FACECHECK_INDEX_JSON", "1")
    assert "nothing at nowhere" in one_line(command("fetch"))
    assert command("index", drawn, "--out", "m.csv").out.startswith("{")


def test_every_variable_that_the_code_reads_is_known() -> None:
    package = Path(facecheck.__file__).parent
    named = {
        name
        for path in package.rglob("*.py")
        for name in re.findall(r'"(FACECHECK_[A-Z_]+[A-Z])"', path.read_text(encoding="utf-8"))
    }
    assert named == set(VARIABLES)
