"""What is imported is declared, what is declared is imported, and the small install is a part."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from facecheck.core.install import FULL_INSTALL_ONLY
from facecheck.model.backbones import _WEIGHT_PACKAGES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SCAN = ROOT / "requirements" / "scan.txt"
#: Extras for work on facecheck itself, which none of its code imports.
FOR_MAINTAINERS = {"dev", "docs", "test"}
EXTRAS = {
    name: packages
    for name, packages in PROJECT["optional-dependencies"].items()
    if name not in FOR_MAINTAINERS
}
#: Extras that the tests do without; LiteRT's converter asks for older releases of other packages.
NOT_LOCKED = {"cloud", "litert"}
#: Packages whose modules are called otherwise.
PACKAGES = {"PIL": "pillow", "c2pa": "c2pa-python", "cv2": "opencv-python-headless",
            "pillow_jxl": "pillow-jxl-plugin", "sklearn": "scikit-learn",
            "yaml": "pyyaml"}  # fmt: skip
#: Opened by fsspec, by the beginning of an address.
LOADED_BY_FSSPEC = {"adlfs", "gcsfs", "s3fs"}
#: Imported by the name that a table holds.
LOADED_BY_NAME = {package.module for package in _WEIGHT_PACKAGES.values()}


def package_of(module: str) -> str:
    top = module.partition(".")[0]
    return PACKAGES.get(top, top.replace("_", "-"))


def modules_in(file: Path) -> set[str]:
    """Return the modules that a file imports, or asks for with ``find_spec``."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "find_spec":
            found |= {str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)}
    return found


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[; ]", line)[0] for line in requirements} - {"facecheck"}


def imported() -> set[str]:
    modules = set().union(*map(modules_in, (ROOT / "src").rglob("*.py"))) | LOADED_BY_NAME
    ours = sys.stdlib_module_names | {"facecheck"}
    return {package_of(name) for name in modules if name.partition(".")[0] not in ours}


def test_what_is_imported_is_declared_and_nothing_else_is() -> None:
    declared = names(PROJECT["dependencies"]).union(*map(names, EXTRAS.values()))
    assert imported() == declared - LOADED_BY_FSSPEC


def test_the_small_install_is_a_part_of_the_full_one() -> None:
    lines = [line for line in SCAN.read_text().splitlines() if not line.startswith("#")]
    assert set(lines) <= set(PROJECT["dependencies"])
    left_out = names(PROJECT["dependencies"]) - names(lines)
    assert {package_of(module) for module in FULL_INSTALL_ONLY} == left_out
    assert "requirements/scan.txt" in (ROOT / "README.md").read_text()


def test_the_lock_pins_what_is_tested() -> None:
    """To fix: just lock."""
    lock = (ROOT / "requirements" / "tested.txt").read_text()
    pins = dict(re.findall(r"^([a-z0-9._-]+)==([^ \n]+)", lock, re.M))
    wanted = [*PROJECT["dependencies"]]
    for extra, packages in PROJECT["optional-dependencies"].items():
        wanted += [] if extra in NOT_LOCKED else packages
    for line in wanted:
        requirement = Requirement(line)
        if requirement.name != "facecheck":
            pin = pins.get(canonicalize_name(requirement.name))
            assert pin is not None, f"{line} is not in the lock"
            assert requirement.specifier.contains(pin), f"{line}, and the lock has {pin}"


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_extra_is_documented(extra: str) -> None:
    assert f"| `{extra}` |" in (ROOT / "docs" / "install.md").read_text()
