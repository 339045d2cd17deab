"""``facecheck study`` as people type it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from facecheck.evaluation.studies.spec import study_names
from facecheck.training.recipe import recipe_names
from tests.conftest import Outcome

Run = Callable[..., Outcome]

SPEC = """
title: Sizes
question: Does the batch matter?
base:
  {arch: resnet10t, pretrained: false, epochs: 1, image_size: 32, batch_size: 8}
grid: {batch_size: [4, 8]}
paper: {batch_size=4: 50}
"""


@pytest.mark.slow
def test_a_study_is_run_shown_and_repeated(
    command: Run, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "sizes.yaml").write_text(SPEC)
    asked = ("study", "sizes.yaml", "--manifest", trained[0], "--device", "cpu", "--workers", "0")
    first = command(*asked)
    assert first.code == 0
    assert "batch_size=4, seed 0: test top-1" in first.err
    assert first.err.count("\n") == 2
    assert "batch_size=8" in first.out
    out = tmp_path / "studies" / "sizes"
    assert {path.name for path in out.iterdir()} == {
        "README.md", "plot.png", "results.jsonl", "runs", "study.yaml", "table.csv", "table.md",
    }  # fmt: skip
    with Image.open(out / "plot.png") as plot:
        assert plot.format == "PNG"
    again = command(*asked, "--json", "--quiet")
    assert again.err == ""
    told = json.loads(again.out)
    assert list(told) == [
        *("out", "manifest", "title", "question", "axis", "variants", "runs", "trained"),
    ]
    assert (told["trained"], told["axis"], len(told["runs"])) == (0, "batch_size", 2)


def test_mistakes_are_one_line_before_any_training(
    command: Run, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text(SPEC.replace("grid: {batch_size", "grid: {batch_sise"))
    for arguments, message in (
        (("bad.yaml", "--manifest", trained[0]), "did you mean 'batch_size'"),
        (("optimizr", "--manifest", trained[0]), "did you mean 'optimiser'"),
        (("optimiser",), "no manifest at"),
    ):
        done = command("study", *arguments)
        assert done.code == 2
        assert done.err.startswith("facecheck: ")
        assert done.err.count("\n") == 1
        assert message in done.err
    assert not (tmp_path / "studies").exists()


def test_alone_it_lists_the_studies_with_their_questions(command: Run) -> None:
    done = command("study")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == study_names()
    assert "networks      Does squeeze-and-excitation help" in done.out
    told = json.loads(command("study", "--json").out)
    assert [each["name"] for each in told] == study_names()


@pytest.mark.parametrize("asked", [("train", "--recipe"), ("lr-find", "--recipe")])
def test_a_recipe_without_a_name_lists_them(command: Run, asked: tuple[str, ...]) -> None:
    done = command(*asked)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == recipe_names()
    assert all(len(line) < 110 for line in lines)
    assert all(line.endswith(".") for line in lines)
    told = json.loads(command(*asked, "--json").out)
    assert [each["name"] for each in told] == recipe_names()
    assert "no recipe 'lite'" in command(*asked, "lite").err
