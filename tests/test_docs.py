"""What the documents say is what the commands do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
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


def test_the_reference_is_what_help_says_now(tmp_path: Path) -> None:
    """To fix: docs/make_commands.sh."""
    page = tmp_path / "commands.md"
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    make = ROOT / "docs" / "make_commands.sh"
    subprocess.run(
        [make, page], check=True, capture_output=True, env={**os.environ, "PATH": programs}
    )
    assert (ROOT / "docs" / "commands.md").read_text() == page.read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    first = name.split(" ", maxsplit=1)[0]
    assert f"`facecheck {first}" in (ROOT / "README.md").read_text()


def test_no_help_shows_pythons_words_or_begins_with_of() -> None:
    for name, command in COMMANDS.items():
        assert command.help, name
        assert "\n\nExample: facecheck " + name in command.help, name
        for parameter in command.params:
            assert parameter.help, (name, parameter.name)
            assert not parameter.help.startswith("Of "), (name, parameter.name)
    reference = (ROOT / "docs" / "commands.md").read_text()
    assert "[default: <" not in reference
    assert "env var" not in reference


def test_every_column_of_a_scan_is_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "scan-columns.md").read_text(), re.M)
    assert rows == list(COLUMNS)


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize("page", sorted(str(page.relative_to(ROOT)) for page in PAGES))
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), target


def test_the_tests_named_for_public_reports_are_there() -> None:
    page = (ROOT / "docs" / "public-reports.md").read_text()
    assert re.findall(r"^\| (\d+) \| \D", page, re.MULTILINE)[:43] == [*map(str, range(1, 44))]
    named = set(re.findall(r"`(tests/[\w/.]+)::(\w+)`", page))
    assert len(named) > 30
    for path, test in named:
        assert f"\ndef {test}(" in (ROOT / path).read_text(), (path, test)


def test_contributors_are_led_to_files_that_are_there() -> None:
    named = re.findall(
        r"`((?:src|tests|docs|requirements|\.github)/[^`\s]*)`",
        (ROOT / "CONTRIBUTING.md").read_text(),
    )
    assert len(named) > 20
    for path in named:
        assert (ROOT / path).exists() or "NAME" in path, path


def test_ci_runs_the_readmes_command() -> None:
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"<!-- (run|test) -->\n```\n(.*?)\n```", readme)
    assert [name for name, _ in blocks] == ["run", "test"]
    assert all("\n" not in command for _, command in blocks)
