"""How long facecheck's commands take to begin, compared with bare Python and with Typer alone.

    python benchmarks/startup.py IMAGE [--before SRC] [--repeats 10]

Each line is the median of --repeats runs, which alternate with those of the other lines; what is
compiled is compiled before. Processor time (user and system, of all processes that the command
waits for) is given next to the clock's, since it depends less on what else the machine does. SRC is
the `src` folder of another version, measured in the same run. Every command runs in an empty
folder.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"
#: What nothing that uses these libraries can be faster than.
LIMITS = {"python": ["-c", "pass"], "python, Typer and Rich": ["-c", "import typer.main, rich"]}
#: Seconds that are the goal on a quiet machine.
GOALS = {
    "--help": 0.25,
    "--version": 0.25,
    "scan --help": None,
    "scna": None,
    "<TAB>": None,
    "sources": 1.5,
    "scan of one file": 1.5,
    "its first row": 1.2,
}


@dataclass(frozen=True)
class Taken:
    """Seconds that a command took: by the clock, on processors, and until its first row."""

    clock: float
    processor: float
    row: float = 0.0


def run(arguments: list[str], source: Path, more: dict[str, str], rows: str = "") -> Taken:
    """Run Python once; with `rows`, the name of results, note when their first row is there."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(source), **more}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, *arguments]
        process = subprocess.Popen(
            command, env=environment, cwd=folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        row = wait_for_row(process, Path(folder), rows) - begun if rows else 0.0
        code = process.wait()
        clock, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        if code not in {0, 2}:  # 2: the mistake that is measured
            raise SystemExit(f"failed with {code}: {command}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(clock, used, row)


def wait_for_row(process: subprocess.Popen[bytes], folder: Path, rows: str) -> float:
    """Return when the first row could be read."""
    partial, whole = folder / f"{rows}.partial", folder / rows
    while process.poll() is None and not whole.exists():
        if partial.exists() and partial.read_bytes().count(b"\n") > 1:
            break
        time.sleep(0.002)
    return time.perf_counter()


def measure(given: argparse.Namespace, source: Path) -> dict[str, Taken]:
    """Run each command of one version once."""
    facecheck = ["-m", "facecheck"]
    taken = {
        name: run([*facecheck, *name.split()], source, {})
        for name in ("--help", "--version", "scan --help", "scna", "sources")
    }
    words = {"COMP_WORDS": "facecheck s", "COMP_CWORD": "1"}
    asked = {"_FACECHECK_COMPLETE": "complete_bash", **words}
    taken["<TAB>"] = run(facecheck, source, asked)
    scan = ["scan", str(given.image.resolve()), "--out", "r.csv", "--quiet"]
    checkpoint = ["--checkpoint", given.checkpoint]
    taken["scan of one file"] = one = run([*facecheck, *scan, *checkpoint], source, {}, "r.csv")
    taken["its first row"] = Taken(one.row, 0.0)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path, help="an image to scan")
    parser.add_argument("--checkpoint", default="builtin-fast", help="what classifies it")
    parser.add_argument("--before", type=Path, help="the src folder of another version")
    parser.add_argument("--repeats", type=int, default=10)
    given = parser.parse_args()
    versions = {"now": SRC, **({"before": given.before.resolve()} if given.before else {})}
    found: dict[tuple[str, str], list[Taken]] = {}
    for repeat in range(given.repeats + 1):
        round_ = {("", name): run(limit, SRC, {}) for name, limit in LIMITS.items()}
        for version, source in versions.items():
            round_ |= {(version, name): one for name, one in measure(given, source).items()}
        for key, one in round_.items():
            if repeat:  # the first run compiles
                found.setdefault(key, []).append(one)
    load = os.getloadavg()[0]
    print(f"{given.repeats} alternating runs, medians in seconds (lowest); load {load:.0f}\n")
    print("| command | version | clock | processor | goal, quiet |\n|---|---|---|---|---|")
    order = [*LIMITS, *GOALS]
    for version, name in sorted(found, key=lambda key: order.index(key[1])):
        several = found[version, name]
        clocks, used = [one.clock for one in several], [one.processor for one in several]
        goal = GOALS.get(name) or ""
        processor = f"{statistics.median(used):.2f} ({min(used):.2f})" if any(used) else ""
        print(
            f"| {name} | {version} | {statistics.median(clocks):.2f} ({min(clocks):.2f}) "
            f"| {processor} | {goal} |"
        )


if __name__ == "__main__":
    main()
