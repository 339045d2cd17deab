"""Kill every command at each change of the file system that it makes; write a table to docs.

    python -m tests.crash_table [--most N] [--only PATTERN] [--write]

Each command runs in a small workspace of drawn images, is killed by SIGKILL before its n-th change,
runs again, and must leave the same bytes as an unbroken run: see tests/crash.py. Commands with more
changes than ``--most`` are killed at so many of them, evenly spread. With ``--write`` the table
replaces the one in docs/reliability.md. Run it in the repository, with the extras test and export.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.crash import (
    CASES,
    Case,
    Commands,
    Tried,
    Workspace,
    make_models,
    on_another_disk,
)

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- crash points: begin -->", "<!-- crash points: end -->"


def try_all(cases: list[Case], most: int) -> Iterator[Tried]:
    """Yield what came of each command."""
    with tempfile.TemporaryDirectory(prefix="crash-") as text:
        folder = Path(text)
        (folder / "models").mkdir()
        (folder / "scratch").mkdir()
        make_models(folder / "models")
        with on_another_disk(folder) as elsewhere, Commands(folder / "scratch") as commands:
            for case in cases:
                if case.other and elsewhere is None:
                    sys.stderr.write(f"{case.name}: no other disk here\n")
                    continue
                workspace = Workspace(commands, folder, case, folder / "models", elsewhere)
                yield workspace.tried(workspace.points(most))


def table(rows: list[Tried]) -> str:
    """Return the results as Markdown."""
    lines = ["| command | changes | killed at | survived | nothing was left to do |"]
    lines.append("|---|---|---|---|---|")
    for row in rows:
        survived = row.tried - len(row.lost)
        lines.append(
            f"| {row.case.name} | {row.points} | {row.tried} | {survived} | {row.refused} |"
        )
    tried, lost = sum(row.tried for row in rows), sum(len(row.lost) for row in rows)
    lines.append(f"| all | {sum(row.points for row in rows)} | {tried} | {tried - lost} | |")
    lost_at = [
        f"- {row.case.name}, before change {at}: {why}"
        for row in rows
        for at, why in row.lost.items()
    ]
    lines += ["", *lost_at] if lost_at else []
    return "\n".join(lines)


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description="Kill every command at each of its changes.")
    parser.add_argument("--most", type=int, default=60)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    rows = []
    for row in try_all([case for case in CASES if re.search(asked.only, case.name)], asked.most):
        rows.append(row)
        sys.stderr.write(f"{row.case.name}: {row.tried - len(row.lost)} of {row.tried}\n")
        for at, why in row.lost.items():
            sys.stderr.write(f"  {at}: {why}\n")
    text = table(rows)
    print(text)
    if asked.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
