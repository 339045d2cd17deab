"""The walls of docs/architecture.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import facecheck
from facecheck.core.workspace import BUILTIN

ROOT = Path(facecheck.__file__).parent
#: From the foundation up: a room imports from itself and from the lines below its own.
LINES = (
    {"core"},
    {"provenance"},
    {"data", "known", "model"},
    {"training", "engines"},
    {"evaluation", "generator", "scanner"},
    {"faults"},
    {"report"},
    {"cli"},
)
ROOMS = [room for line in LINES for room in sorted(line)]
#: The package itself, which holds the public API: importing it from a room would lead back up.
TOP = "facecheck"


def imports(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Yield what is imported: a module's name, and the names taken from it.

    Imports for type checking alone count too: they are what a reader must know.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or "", [alias.name for alias in node.names]


def imported_rooms(source: str) -> set[str]:
    """Return the rooms that a module imports from; :data:`TOP` for the package itself."""
    found = set()
    for module, names in imports(ast.parse(source)):
        if module == TOP:
            found |= {name if name in ROOMS else TOP for name in names or [TOP]}
        elif module.startswith(f"{TOP}."):
            found.add(module.split(".")[1])
    return found


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("import numpy", set()),
        ("import facecheck", {TOP}),
        ("from facecheck import scan", {TOP}),
        ("from facecheck import scanner", {"scanner"}),
        ("import facecheck.cli.display", {"cli"}),
        ("def job():\n    from facecheck.scanner.job import scan", {"scanner"}),
        ("if TYPE_CHECKING:\n    from facecheck.report.page import Page", {"report"}),
    ],
)
def test_every_way_to_import_is_read(source: str, rooms: set[str]) -> None:
    assert imported_rooms(source) == rooms


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_lines_below_its_own(room: str) -> None:
    own = next(number for number, line in enumerate(LINES) if room in line)
    allowed = {room}.union(*LINES[:own])
    for file in (ROOT / room).rglob("*.py"):
        assert imported_rooms(file.read_text()) <= allowed, file


def module_level(tree: ast.Module) -> ast.Module:
    """Return a module without the bodies of its functions, which import when they are called."""

    class Outer(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

    kept: ast.Module = Outer().visit(tree)
    return kept


def import_graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Return for each module those that it imports at its top level, for types included."""
    graph: dict[str, set[str]] = {}
    for name, source in sources.items():
        found = graph.setdefault(name, set())
        for module, names in imports(module_level(ast.parse(source))):
            inner = {f"{module}.{each}" for each in names} & sources.keys()
            found |= inner or ({module} & sources.keys())
    return graph


def test_no_modules_import_each_other() -> None:
    sources = {
        ".".join((TOP, *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): file.read_text()
        for file in ROOT.rglob("*.py")
    }
    graph = import_graph(sources)
    assert graph["facecheck.engines.load"] == {"facecheck.model.predict"}
    list(TopologicalSorter(graph).static_order())  # a circle is a CycleError that names it


def test_a_circle_would_be_found() -> None:
    sources = {
        "facecheck.a": "from facecheck import b",
        "facecheck.b": "if TYPE_CHECKING:\n    from facecheck.a import Name",
    }
    with pytest.raises(CycleError):
        list(TopologicalSorter(import_graph(sources)).static_order())


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


def modules_of(arguments: list[str]) -> tuple[int, set[str]]:
    """Return the exit code of a command in a process of its own, and the modules it loaded."""
    code = (
        "import sys\n"
        f"sys.argv = ['facecheck', *{arguments!r}]\n"
        "from facecheck.cli import main\n"
        "code = 0\n"
        "try:\n    main()\nexcept SystemExit as end:\n    code = end.code or 0\n"
        "print(code, *sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, *names = done.stdout.splitlines()[-1].split()
    return int(status), set(names)


#: What takes long to import.
HEAVY = {"torch", "torchvision", "timm", "kaggle", "onnxruntime", "polars", "scipy", "PIL", "numpy"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["scna"], ["scan", "--help"], ["sources"]]
)
def test_what_should_be_quick_loads_nothing_heavy(arguments: list[str]) -> None:
    assert modules_of(arguments)[1] & HEAVY == set()


def test_a_command_is_imported_when_it_is_asked_for() -> None:
    modules = {f"{TOP}.cli.{file.stem}" for file in (ROOT / "cli").glob("*.py")}
    used = {f"{TOP}.cli.{name}" for name in ("commands", "flags", "help", "settings")}
    for arguments in (["--help"], ["--version"], ["scna"]):
        assert modules_of(arguments)[1] & modules == used, arguments
    shared = {f"{TOP}.cli.{name}" for name in ("arguments", "display", "next_step")}
    assert modules_of(["scan", "--help"])[1] & modules == {*used, *shared, f"{TOP}.cli.scan"}


def test_a_scan_with_an_export_loads_neither_torch_nor_what_trains(
    drawn: Path, tmp_path: Path
) -> None:
    """Nor does the built-in model, a head on an encoder."""
    assert BUILTIN.suffix == ".safetensors"
    out = tmp_path / "r.csv"
    folder = str(drawn / "photo")
    code, names = modules_of(
        ["scan", folder, "--out", str(out), "--checkpoint", "builtin", "--faces", "off"]
    )
    assert (code, len(out.read_text().splitlines())) == (0, 13)
    assert "onnxruntime" in names
    heavy = {"torch", "torchvision", "timm", "sklearn", "matplotlib", "jinja2", "requests"}
    assert names & heavy == set()
    others = tuple(f"{TOP}.{room}." for room in ("training", "evaluation", "generator"))
    assert not [name for name in names if name.startswith(others)]


def test_every_public_name_is_there_and_documented() -> None:
    for name in facecheck.__all__:
        value = getattr(facecheck, name)
        assert name in {"__version__", "KINDS"} or value.__doc__, name


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        facecheck.nothing  # noqa: B018
