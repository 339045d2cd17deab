"""The benchmarks' command lines, which nothing else runs."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_scan_is_timed_without_the_tools_that_are_not_named(tmp_path: Path) -> None:
    given = argparse.Namespace(data=tmp_path, threads=1, timm_inference=None, ultralytics=None)
    tools = loaded("scan").commands(given)
    assert list(tools) == ["facecheck", "torchvision"]
    facecheck = tools["facecheck"](tmp_path / "folder", tmp_path / "out.csv")
    assert Path(facecheck[facecheck.index("--checkpoint") + 1]).is_file()
    for command in tools.values():
        assert "None" not in command(tmp_path / "folder", tmp_path / "out.csv")


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_a_benchmark_without_arguments_says_what_it_needs(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    monkeypatch.syspath_prepend(BENCHMARKS)  # as Python does for a script: one imports another
    with pytest.raises(SystemExit) as stopped:
        loaded(name).main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage:")
