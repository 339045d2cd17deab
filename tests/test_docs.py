"""What the documents say is what the commands do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from facecheck.cli import app
from facecheck.scanner.results.columns import COLUMNS

ROOT = Path(__file__).parents[1]


def _commands(group: Any, before: str = "") -> dict[str, Any]:
    """Return each command by its full name, those of groups such as ``generate train`` too."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found |= {before + name: command} if inner is None else _commands(command, f"{name} ")
    return found


COMMANDS = _commands(get_command(app))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    """Mend with: docs/make_commands.sh"""
    reference = (ROOT / "docs" / "commands.md").read_text()
    section = reference.split(f"## `facecheck {name}`")[1].split("## `")[0]
    first = name.split(" ", maxsplit=1)[0]
    for parameter in COMMANDS[name].params:
        for flag in parameter.opts if parameter.opts[0].startswith("-") else ():
            assert flag in section, flag
    assert f"`facecheck {first}" in (ROOT / "README.md").read_text()


def test_every_column_of_a_scan_is_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "scan-columns.md").read_text(), re.M)
    assert rows == list(COLUMNS)


@pytest.mark.parametrize("page", ["README.md", *sorted(f"docs/{p.name}" for p in
                                                       (ROOT / "docs").glob("*.md"))])  # fmt: skip
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), target


def test_ci_runs_the_readmes_command() -> None:
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"<!-- (run|test) -->\n```\n(.*?)\n```", readme)
    assert [name for name, _ in blocks] == ["run", "test"]
    assert all("\n" not in command for _, command in blocks)
