"""The scripts of examples/ that show the Python API run as they are, on a few drawn pictures."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from inspect import Parameter, isfunction, signature
from pathlib import Path
from typing import Any

import pytest
from draw_faces import draw_dataset, draw_face

import facecheck

ROOT = Path(__file__).parents[1]
SHOWN = ("check_pictures", "folder_to_frame", "curate", "transfer_learning", "own_model")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 drawn pictures of each of three kinds, and one file that is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    draw_dataset(folder)
    (folder / "cartoon" / "drawn-cartoon" / "bad.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


def ran(name: str, workspace: Path, *arguments: str | Path) -> str:
    """Return what an example prints, run in a workspace."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py", *map(str, arguments)],
        cwd=workspace,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.slow
def test_pictures_are_checked(pictures: Path, workspace: Path) -> None:
    named = [pictures / "photo/drawn-photo/000.png", pictures / "cartoon/drawn-cartoon/bad.png"]
    said = ran("check_pictures", workspace, "--fast", *named).splitlines()
    assert said[0].startswith(str(named[0]))
    assert f"{named[1]}: error" in said
    assert said[-1].startswith("as an array: ")


@pytest.mark.slow
def test_a_folder_becomes_a_frame(pictures: Path, workspace: Path) -> None:
    assert "73 files" in ran("folder_to_frame", workspace, pictures)
    assert facecheck.read_results(workspace / "results.parquet").height == 73


@pytest.mark.slow
def test_a_folder_is_curated_and_a_model_trained_and_used(pictures: Path, workspace: Path) -> None:
    said = ran("curate", workspace, pictures)
    assert "72 pictures of 3 sources; 1 refused" in said
    assert "from metadata alone" in said
    manifest = workspace / "data" / "manifest.csv"
    said = ran("transfer_learning", workspace, manifest, "1", "32")
    assert "whole network: " in said
    assert "head alone: " in said
    corrections = workspace / "corrections.csv"
    corrections.write_text(f"path,verdict\n{pictures}/photo/drawn-photo/001.png,artificial\n")
    run = workspace / "runs" / "whole-network"
    said = ran("own_model", workspace, run, manifest, pictures / "photo", corrections)
    assert "1 files that people have decided" in said
    assert "of 24 files differ" in said
    mine = facecheck.read_results(workspace / "mine.csv")
    assert mine.filter(mine["basis"] == "known")["verdict"].to_list() == ["artificial"]


@pytest.mark.parametrize("name", SHOWN)
def test_each_says_how_it_is_run_and_what_it_needs(name: str) -> None:
    said = ast.get_docstring(ast.parse((ROOT / "examples" / f"{name}.py").read_text())) or ""
    assert f"python examples/{name}.py " in said
    assert "eeds the " in said
    for page in ("README.md", "docs/api.md"):
        assert f"examples/{name}.py)" in (ROOT / page).read_text(), page


BLOCKS = [
    pytest.param(block, id=f"{page}-{number}")
    for page in ("README.md", "docs/api.md")
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    )
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the documents' Python works on: photos/ and labelled/."""
    folder = tmp_path_factory.mktemp("documents")
    draw_dataset(folder / "labelled", 4)
    (folder / "photos").mkdir()
    for number, kind in enumerate(("photo", "cartoon"), 1):
        draw_face(kind, number, 200).save(folder / "photos" / f"{number}.jpg")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_the_documents_python_runs(
    block: str, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photos)
    exec(compile(block, "block", "exec"), {})
    assert capsys.readouterr().out


def signatures() -> list[str]:
    """Return each public function as docs/api.md lists it: what it takes, and gives."""
    functions = {name: getattr(facecheck, name) for name in facecheck.__all__}
    return [
        f"{name}({', '.join(_parameters(function))}) -> {signature(function).return_annotation}"
        for name, function in functions.items()
        if isfunction(function)
    ]


def _parameters(function: Any) -> Iterator[str]:
    keywords = False
    for name, each in signature(function).parameters.items():
        if each.kind == Parameter.KEYWORD_ONLY and not keywords:
            keywords = True
            yield "*"
        default = each.default
        if default is Parameter.empty:
            yield name
        elif callable(default) and not isinstance(default, type):
            yield f"{name}=…"
        elif isinstance(default, Mapping):
            yield f"{name}={dict(default)}"
        elif is_dataclass(default):
            yield f"{name}={type(default).__name__}()"
        else:
            yield f"{name}={str(default)!r}" if isinstance(default, Path) else f"{name}={default!r}"


def test_the_page_has_the_signature_of_every_function() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    listed = page.partition("```text\n")[2].partition("```")[0].splitlines()
    assert listed == signatures()
