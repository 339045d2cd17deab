"""What commands print fits the terminal, and a pipe: no heading and no file name loses its end."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.conftest import Outcome

Run = Callable[..., Outcome]

#: By command line: words that must be whole in what it prints, line breaks aside.
SHOWN = {
    "sources": ("selfie2anime", "140k-faces", "not verified", "research use"),
    "sources cufs": ("CUHK Face Sketch Database", "1955-1967", "{sex}{number}{other}"),
    "dedup": ("66 records", "data/manifest.duplicates.csv"),
    "split": ("train", "ffhq-256", "drawn-sketch", "data/manifest.csv"),
    "split --check leaky.csv": ("leak", "copy-of-the-first.png", "belongs", "same bytes"),
    "audit --per-source 22": ("chance", "metadata", "pixels", "photo/ffhq-256"),
    "evaluate runs/resnet50": ("images", "top-1", "metadata", "answered", "verdicts right"),
    "known show": ("artificial", "known.csv"),
}


@pytest.fixture(scope="session")
def wide(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace, and a split that leaks between files of long names."""
    folder = tmp_path_factory.mktemp("wide") / "work"
    shutil.copytree(workspace, folder)
    deep = folder / "pictures" / "of-many-people-who-were-photographed" / "in-the-year-2023"
    deep.mkdir(parents=True)
    shutil.copy(folder / "portrait.jpg", deep / "the-first.png")
    shutil.copy(folder / "portrait.jpg", deep / "copy-of-the-first.png")
    (folder / "leaky.csv").write_text(
        "path,split\n"
        f"{deep.relative_to(folder)}/the-first.png,train\n"
        f"{deep.relative_to(folder)}/copy-of-the-first.png,test\n"
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("line", SHOWN)
def test_what_is_printed_fits(
    command: Run, monkeypatch: pytest.MonkeyPatch, wide: Path, line: str
) -> None:
    monkeypatch.chdir(wide)
    for width in (60, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        done = command(*line.split())
        assert done.code in (0, 1), done.err
        assert max(cell_len(row.rstrip()) for row in done.out.splitlines()) <= width
        joined = " ".join(done.out.split())
        for words in SHOWN[line]:
            assert words in joined or words in re.sub(r"\s", "", done.out), (width, words)


@pytest.mark.slow
def test_the_findings_of_an_audit_come_before_its_table(
    command: Run, monkeypatch: pytest.MonkeyPatch, wide: Path
) -> None:
    monkeypatch.chdir(wide)
    out = command("audit").out
    assert re.match(r"\d+ of \d+ guesses are right above|no guess is right above", out)
    assert out.index("guess") < out.index("question")
