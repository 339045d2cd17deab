"""What the documents say is what the commands do."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from facecheck.cli import app
from facecheck.cli.settings import all_commands
from facecheck.scanner.results.columns import COLUMNS

ROOT = Path(__file__).parents[1]


GROUP: Any = get_command(app)
COMMANDS = dict(all_commands(GROUP))


def test_the_reference_is_what_help_says_now(tmp_path: Path) -> None:
    """To fix: docs/make_commands.sh."""
    page = tmp_path / "commands.md"
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    make = ROOT / "docs" / "make_commands.sh"
    subprocess.run(
        [make, page], check=True, capture_output=True, env={**os.environ, "PATH": programs}
    )
    assert (ROOT / "docs" / "commands.md").read_text() == page.read_text()


def test_card_and_readme_have_the_figures_of_the_proof(tmp_path: Path) -> None:
    """To fix: python examples/model_card.py docs/model --into docs/model-card.md README.md."""
    pages = [ROOT / "docs" / "model-card.md", ROOT / "README.md"]
    copies = [shutil.copy(page, tmp_path) for page in pages]
    script, proof = ROOT / "examples" / "model_card.py", ROOT / "docs" / "model"
    subprocess.run(
        [sys.executable, script, proof, "--into", *copies],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    for page, copy in zip(pages, copies, strict=True):
        assert page.read_text() == Path(copy).read_text()


def test_the_readme_lists_every_command_in_about_ten_words() -> None:
    """To fix: a row in the table of README.md, in the words of someone who looks for it."""
    section = (ROOT / "README.md").read_text().split("## The commands")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `facecheck ([a-z -]+?)(?: [\[A-Z].*?)?` \| (.*) \|$", section, re.M)
    assert sorted(name for name, _ in rows) == sorted(COMMANDS)
    for name, words in rows:
        assert 4 <= len(words.split()) <= 12, name


def commands_in(page: Path) -> list[str]:
    """Return the command lines of ``facecheck`` in the blocks of a page, and in its text."""
    text = page.read_text()
    blocks = re.findall(r"^```(?:console|bash|sh)?\n(.*?)^```", text, re.M | re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [part for line in lines for part in re.split(r"&&|;|\|", line.split("  #")[0])]
    found += re.findall(r"`(facecheck [a-z][^`\n]*)`", text)
    return [
        line.strip().removeprefix("$ ")
        for line in found
        if re.match(r"\s*(\$ )?facecheck [a-z]", line) and not re.search(r"[…<>()]|\bN/N\b", line)
    ]


DOCUMENTED = sorted(
    {
        (str(page.relative_to(ROOT)), line)
        for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
        if page.name != "commands.md"
        for line in commands_in(page)
    }
)


def test_every_command_in_the_documents_can_be_typed() -> None:
    """Each command is there, and has the options that it is shown with."""
    assert len(DOCUMENTED) > 60
    wrong = [
        f"{page}: {line}: {said}"
        for page, line in DOCUMENTED
        if (said := _said_of(shlex.split(line)[1:]))
    ]
    assert not wrong, "\n".join(wrong)


def _said_of(words: list[str]) -> str:
    """Return what is wrong with a command line; a missing argument is not, in the midst of text."""
    group = GROUP
    while words and words[0] in getattr(group, "commands", {}):
        command = group.commands[words[0]]
        group = getattr(command, "loaded", command)
        words = words[1:]
    if hasattr(group, "commands"):
        known = {"help", *group.commands}
        return "" if not words or words[0] in known or words[0][0] in "-A" else "no such command"
    flags = {flag: item for item in group.params for flag in (*item.opts, *item.secondary_opts)}
    for word in words:
        flag = word.partition("=")[0]
        if re.match(r"--?[a-z]", flag) and flag not in {*flags, "--help", "-h"}:
            return f"no option {flag}"
    return ""


def test_every_option_has_a_sentence_that_says_what_it_does() -> None:
    for name, command in COMMANDS.items():
        assert command.help, name
        for parameter in command.params:
            assert parameter.help, (name, parameter.name)
            assert not parameter.help.startswith("Of "), (name, parameter.name)


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
