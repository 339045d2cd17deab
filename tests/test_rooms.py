"""The walls of docs/architecture.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import facecheck

ROOT = Path(facecheck.__file__).parent
#: From the foundation up: a room imports from itself and from the lines below its own.
LINES = (
    {"core"},
    {"data", "model"},
    {"training", "engines"},
    {"evaluation", "generator", "scanner"},
    {"report"},
    {"cli"},
)
ROOMS = [room for line in LINES for room in sorted(line)]


def imported_rooms(file: Path) -> set[str]:
    """Return the rooms that a module imports from when it runs (not just for its types)."""
    found = set()
    tree = ast.parse(file.read_text())
    typing_only = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names = [node.module or ""]
        found |= {name.split(".")[1] for name in names if name.startswith("facecheck.")}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_lines_below_its_own(room: str) -> None:
    own = next(number for number, line in enumerate(LINES) if room in line)
    allowed = {room}.union(*LINES[:own])
    for file in (ROOT / room).rglob("*.py"):
        assert imported_rooms(file) <= allowed, file


def test_the_rooms_are_all_there_is() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert folders - {"__pycache__", "configs"} == set(ROOMS)


def test_only_the_command_line_prints_and_exits() -> None:
    for room in ROOMS[:-1]:
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func)
                    assert called not in {"print", "exit", "sys.exit", "sys.stdout.write"}, file


@pytest.mark.parametrize("arguments", [["--help"], ["scan", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    heavy = ("torch", "torchvision", "timm", "kaggle", "onnxruntime", "polars", "scipy", "PIL")
    code = (
        "import sys\n"
        f"sys.argv = ['facecheck', *{arguments!r}]\n"
        "from facecheck.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', [name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_every_public_name_is_there_and_documented() -> None:
    for name in facecheck.__all__:
        value = getattr(facecheck, name)
        assert name in {"__version__", "KINDS"} or value.__doc__, name


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        facecheck.nothing  # noqa: B018
