"""What a table of a million known files costs a scan: time, memory, and the first reading.

    python benchmarks/known.py DATA [ENTRIES [COUNT_256 [COUNT_12MP]]]

DATA is laid out <kind>/<source>/ (../shared/data). The table has ENTRIES rows with random hashes,
and rows of every tenth file that is scanned. Two folders are scanned by the built-in model with and
without it, the runs alternating, three of each: faces of 256 px as they are, and photographs of 12
megapixels, upscaled from those with sensor noise. Processor time is that of the scan and all of its
processes, the least of three; memory is the largest proportional share (PSS) of all of them, and of
a process that only reads the table.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from index import faces, photographs

from facecheck.known.add import known_add
from facecheck.known.options import KnownAddOptions
from facecheck.known.table import COLUMNS

NOTHING = "import sys; from pathlib import Path; from facecheck.known.lookup import open_known"
READ = f"{NOTHING}; open_known(Path(sys.argv[1]))"


def table(path: Path, entries: int, folders: list[Path]) -> None:
    """Write a table of random rows, and of every tenth file of some folders."""
    some = [file for folder in folders for file in sorted(folder.iterdir())[::10]]
    known_add(some, path, KnownAddOptions(verdict="artificial"))
    random = np.random.default_rng(0)
    with path.open("a", newline="") as target:
        lines = csv.writer(target, lineterminator="\n")
        for number in range(entries - len(some)):
            row = dict.fromkeys(COLUMNS, "")
            row["sha256"], row["pixel_hash"] = (random.bytes(32).hex() for _ in range(2))
            row["phash"], row["verdict"] = random.bytes(8).hex(), ("real", "artificial")[number % 2]
            lines.writerow(row.values())


def shares(pid: int) -> Iterator[int]:
    """Yield the proportional share of memory, in kB, of a process and of all below it."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                yield int(line.split()[1])
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from shares(int(child))
    except OSError:  # it has just ended
        return


def measured(*command: str) -> tuple[float, float, float]:
    """Run a command; return its seconds, its processor's seconds, and its memory in MB."""
    before, start, most = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        most = max(most, sum(shares(process.pid)))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, processor, most / 1000


def scan(folder: Path, *options: str) -> tuple[float, float, float]:
    with tempfile.TemporaryDirectory() as out:
        return measured(
            "-m", "facecheck", "scan", str(folder), "--out", f"{out}/r.csv", "--quiet", *options
        )


def compare(folder: Path, known: Path) -> None:
    """Print what a folder takes with and without the table."""
    count = len(list(folder.iterdir()))
    runs: dict[bool, list[tuple[float, float, float]]] = {False: [], True: []}
    for _ in range(3):
        for with_table, found in runs.items():
            found.append(scan(folder, *(("--known", str(known)) if with_table else ())))
    least = {
        key: [min(run[part] for run in found) for part in range(3)] for key, found in runs.items()
    }
    for with_table, (seconds, processor, memory) in least.items():
        name = "with the table" if with_table else "without"
        print(
            f"| {folder.name} ({count:,} files) | {name} | {1000 * processor / count:,.1f} | "
            f"{seconds:,.1f} | {memory:,.0f} |",
            flush=True,
        )
    more = least[True][1] / least[False][1] - 1
    print(f"| | difference | {100 * more:+.1f} % | | {least[True][2] - least[False][2]:+,.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("entries", type=int, nargs="?", default=1_000_000)
    parser.add_argument("small", type=int, nargs="?", default=1000)
    parser.add_argument("large", type=int, nargs="?", default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        small, large = Path(place) / "256 px", Path(place) / "12 MP"
        for folder in (small, large):
            folder.mkdir()
        faces(given.data, small, given.small)
        photographs(given.data, large, given.large)
        known = Path(place) / "known.csv"
        table(known, given.entries, [small, large])
        size = known.stat().st_size / 1e6
        print(f"{given.entries:,} rows, {size:,.0f} MB; {len(os.sched_getaffinity(0))} cores\n")
        print("| the table | s | processor s | more memory, MB |\n|---|---:|---:|---:|")
        base = measured("-c", NOTHING)
        for name in ("read for the first time, index written", "again, by its index"):
            seconds, processor, memory = measured("-c", READ, str(known))
            print(
                f"| {name} | {seconds:.1f} | {processor:.1f} | {memory - base[2]:,.0f} |",
                flush=True,
            )
        print("\n| scan | | processor ms a file | s | memory, MB |\n|---|---|---:|---:|---:|")
        for folder in (small, large):
            compare(folder, known)


if __name__ == "__main__":
    main()
