"""Prints docs/commands.md: the help of every command, as ``--help`` shows it."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.main import get_command

from facecheck.cli import app
from facecheck.cli.settings import all_commands

INTRODUCTION = """# The commands

What `facecheck COMMAND --help` prints, for every command. Options in British and in American
spelling are both understood (`--optimiser`, `--optimizer`). See also [exit codes, settings and
output](using.md).
"""


def section(words: str, command: Any, context: Any) -> str:
    """Return the heading and the help of one command."""
    name = f"facecheck {words}".strip()
    own = typer.Context(command, info_name=name, auto_envvar_prefix="FACECHECK")
    own.help_option_names = context.help_option_names
    own.max_content_width = context.max_content_width
    return f"\n## `{name}`\n\n```text\n{command.get_help(own).rstrip()}\n```"


if __name__ == "__main__":
    os.environ["COLUMNS"] = "98"
    group = get_command(app)
    top = typer.Context(group, info_name="facecheck", **(group.context_settings or {}))
    sys.stdout.write(f"{INTRODUCTION}{section('', group, top)}\n")
    for words, command in all_commands(group):
        sys.stdout.write(f"{section(words, command, top)}\n")
