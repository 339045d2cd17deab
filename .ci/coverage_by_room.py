#!/usr/bin/env python3
"""Prints the lines and branches that were run, by room, of the .coverage in this folder."""

from __future__ import annotations

import json
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

COUNTS = ("covered_lines", "num_statements", "covered_branches", "num_branches")


def main() -> None:
    """Print a Markdown table."""
    command = ["coverage", "json", "--quiet", "-o", "/dev/stdout"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    rooms: dict[str, Counter[str]] = defaultdict(Counter)
    for name, file in found["files"].items():
        path = Path(name).parts
        inside = path[path.index("facecheck") + 1 :]
        room = f"`{inside[0]}/`" if len(inside) > 1 else "the rest"
        for row in (room, "**all**"):
            rooms[row].update({count: file["summary"][count] for count in COUNTS})
    print("| room | lines | run | branches | run |\n|---|---:|---:|---:|---:|")
    for name, row in sorted(rooms.items()):
        run, lines, taken, branches = (row[count] for count in COUNTS)
        shares = f"{lines:,} | {run / lines:.1%} | {branches:,} | {taken / max(branches, 1):.1%}"
        print(f"| {name} | {shares} |")


if __name__ == "__main__":
    main()
