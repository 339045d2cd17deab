"""A million small files through index, dedup, split and scan: memory and rate over time.

    python benchmarks/scale.py DATA WORK [--files 1000000] [--steps make,index,dedup,split,scan,zip]
    python benchmarks/scale.py DATA WORK --report

DATA is laid out <kind>/<source>/ (../shared/data). WORK takes some 6 GB for a million files, most
of it names. The files are hard links of a few hundred images of DATA, re-encoded to 64 pixels, in
folders of a thousand; the model is a tiny one that is trained on them in seconds.

Each step is the command a user would type, in a process of its own. Every few seconds a line goes
to WORK/log/STEP.csv: seconds since its start, rows on disk so far, MB of memory of all its
processes (PSS, so that what they share counts once) and of the main one, seconds of processor time.
`index` and `scan` are killed by SIGKILL when 97 % of the rows are there, and started again;
WORK/log/STEP.json says when the first new row came. The zip is killed after 20,000 rows, started
again, and ended after 20,000 more.

Where there is no time for a million images, `--filled 0.95` lets `index` and `scan` begin as if
they had been interrupted there: the links are of images whose rows are known, so their rows are
written, through facecheck's own journals, without decoding each of them.

Run again, the script leaves out the steps that are done, and continues one that was interrupted.
`--report` prints the tables of docs/scale.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

FACECHECK = [sys.executable, "-m", "facecheck"]
DISTINCT = 320
IN_FOLDER = 1000
KILL_AT = 0.97
NEVER = float("inf")
STEPS = ("make", "index", "dedup", "split", "scan", "zip")


def images_of(data: Path) -> Iterator[tuple[str, Path]]:
    """Yield images of every kind and source in turn, with their kind."""
    sources = [sorted(path.iterdir()) for path in sorted(data.glob("*/*")) if path.is_dir()]
    for turn in zip_longest(*sources):
        yield from ((path.parts[-3], path) for path in turn if path is not None)


def make(work: Path, data: Path, files: int) -> None:
    """Write the distinct images, link them ``files`` times, and train the tiny model."""
    few, many = work / "few", work / "many"
    originals = []
    for number, (kind, path) in enumerate(islice(images_of(data), DISTINCT)):
        folder = few / kind / "small"
        folder.mkdir(parents=True, exist_ok=True)
        originals.append((kind, folder / f"{number:03}.jpg"))
        if not originals[-1][1].exists():
            Image.open(path).convert("RGB").resize((64, 64)).save(originals[-1][1], quality=90)
    for number in range(files):
        kind, original = originals[number % len(originals)]
        folder = many / kind / f"source-{number // 100_000:02}" / f"{number // IN_FOLDER:05}"
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            (folder / f"{number:07}.jpg").hardlink_to(original)
    if not (work / "tiny.onnx").exists():
        make_model(work)


def make_model(work: Path) -> None:
    import facecheck
    from facecheck.engines.export import export_checkpoint
    from facecheck.training.recipe import Recipe

    manifest = work / "few.csv"
    facecheck.index([work / "few"], manifest)
    facecheck.split(manifest, facecheck.SplitOptions(ratio="6:2:2"))
    recipe = Recipe(arch="resnet10t", pretrained=False, epochs=1, image_size=32, batch_size=32)
    options = facecheck.TrainOptions(runs=work / "runs", device="cpu", workers=0)
    best = facecheck.train(manifest, recipe, options).best
    export_checkpoint(best, work / "tiny.onnx", manifest=manifest)


class Rows:
    """Counts the lines of a file that grows, reading each byte once."""

    def __init__(self, path: Path) -> None:
        self._path, self._at, self.count = path, 0, 0

    def now(self) -> int:
        if self._path.exists():
            with self._path.open("rb") as stream:
                stream.seek(self._at)
                while block := stream.read(2**20):
                    self._at += len(block)
                    self.count += block.count(b"\n")
        return self.count


def used(process: psutil.Process) -> list[str]:
    """Return the MB of a process with all below it, and of it alone, and the seconds of all."""
    memory, seconds = [], 0.0
    with suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            memory.append(one.memory_full_info().pss / 2**20)
            seconds += sum(one.cpu_times()[:2])
    return [f"{sum(memory):.0f}", f"{memory[0] if memory else 0:.0f}", f"{seconds:.1f}"]


def followed(
    command: list[str], log: Path, rows: Rows, *, every: float = 2, stop_at: float = NEVER
) -> dict[str, Any]:
    """Run a command to its end, or until so many rows are there: then it is killed.

    Returns:
        its seconds, its exit code, and the seconds to the first row that was not there before.
    """
    before, first, begin = rows.now(), None, time.time()
    errors = log.with_suffix(".err").open("ab")
    child = subprocess.Popen(command, stdout=errors, stderr=errors, start_new_session=True)
    process = psutil.Process(child.pid)
    with log.open("a", newline="") as stream:
        table, due = csv.writer(stream), begin
        while child.poll() is None:
            now = time.time()
            if first is None and rows.now() > before:
                first = now - begin
            if rows.count >= stop_at:
                child.kill()
                child.wait()
                break
            if now >= due:
                table.writerow([f"{now - begin:.1f}", rows.now(), *used(process)])
                stream.flush()
                due = now + every
            time.sleep(min(1.0, every) if first else 0.05)
    return {
        "seconds": time.time() - begin,
        "code": child.returncode,
        "first": first,
        "from": before,
    }


def killed_once(
    name: str, work: Path, command: list[str], path: Path, kill_at: float, end_at: float = NEVER
) -> None:
    """Follow a command whose rows go to ``path``, kill it at some row, and start it again."""
    if Rows(path).now() < kill_at:
        log = work / "log" / f"{name}.csv"
        write(work, f"{name}-killed", followed(command, log, Rows(path), stop_at=kill_at))
    log = work / "log" / f"{name}-again.csv"
    write(work, f"{name}-again", followed(command, log, Rows(path), stop_at=end_at))


def write(work: Path, name: str, value: dict[str, Any]) -> None:
    (work / "log" / f"{name}.json").write_text(json.dumps(value) + "\n")
    print(name, value, flush=True)


def index(work: Path, files: int, filled: float) -> None:
    journal = work / "m.hashes.jsonl"
    if filled and not journal.exists():
        fill_index(work, journal, round(filled * files))
    command = [*FACECHECK, "index", str(work / "many"), "--out", str(work / "m.parquet"), "--quiet"]
    killed_once("index", work, command, journal, KILL_AT * files)


def fill_index(work: Path, journal: Path, count: int) -> None:
    """Write what `index` would have measured of the first files."""
    lines = (work / "few.hashes.jsonl").read_text().splitlines()
    known = {Path(row["path"]).stat().st_ino: row for row in map(json.loads, lines)}
    many = (work / "many").resolve()
    with journal.with_suffix(".part").open("w") as stream:
        for path in islice(sorted(many.rglob("*.jpg"), key=str), count):
            status = path.stat()
            changed = {"path": str(path), "mtime_ns": status.st_mtime_ns}
            row = {**known[status.st_ino], **changed}
            stream.write(json.dumps(row) + "\n")
    journal.with_suffix(".part").rename(journal)


def on_manifest(work: Path, name: str) -> None:
    """Follow `dedup` or `split`, which write nothing until they are done."""
    command = [*FACECHECK, name, str(work / "m.parquet"), "--quiet"]
    write(work, name, followed(command, work / "log" / f"{name}.csv", Rows(work / "no"), every=1))


def scan_command(work: Path, what: Path, out: Path) -> list[str]:
    command = [*FACECHECK, "scan", str(what), "--out", str(out), "--faces", "off", "--quiet"]
    return [*command, "--checkpoint", str(work / "tiny.onnx"), "--device", "cpu"]


def scan(work: Path, files: int, filled: float) -> None:
    out, partial = work / "scan.csv", work / "scan.csv.partial"
    command = scan_command(work, work / "many", out)
    if filled and Rows(partial).now() < filled * files:
        subprocess.run(scan_command(work, work / "few", work / "few-scan.csv"), check=False)
        followed(command, work / "log" / "none.txt", Rows(partial), stop_at=2)
        fill_scan(work, out, partial, round(filled * files))
    killed_once("scan", work, command, partial, KILL_AT * files)


def fill_scan(work: Path, out: Path, partial: Path, count: int) -> None:
    """Write the rows and the journal that `scan` would have written of the first files."""
    from facecheck.core.journal import Journal
    from facecheck.scanner.chunking import CHUNK, cut
    from facecheck.scanner.inputs.items import find_inputs
    from facecheck.scanner.results.columns import COLUMNS
    from facecheck.scanner.results.item_rows import tallied
    from facecheck.scanner.results.journal import Line, RowJournal, journal_path
    from facecheck.scanner.results.rows import CSV, header_line, line_writer, read_rows

    known = {
        Path(str(row["path"])).stat().st_ino: row
        for row in read_rows(work / "few-scan.csv", COLUMNS)
    }
    write_line, top = line_writer(CSV, COLUMNS), header_line(CSV, COLUMNS).encode()
    head = Journal(journal_path(out), dict).head()
    assert head is not None
    journal = RowJournal(out, partial, top, head.value)
    chunks = cut(find_inputs([work / "many"]), CHUNK)
    with journal:
        for entry in journal.stored():
            journal.keep(entry)
            next(chunks)
        journal.drop_the_rest("")
        while journal.rows < count:
            chunk = next(chunks)
            rows = [
                {**known[Path(one.name).stat().st_ino], "path": one.name} for one in chunk.items
            ]
            tally = [[*values, number] for values, number in tallied(rows).items()]
            line = Line(len(rows), len(rows), 0, 0, chunk.stat, chunk.content, tally)
            journal.append("".join(map(write_line, rows)).encode(), line)


def scan_zip(work: Path, files: int) -> None:
    """Pack the files into one zip, and scan some of it."""
    bundle, part = work / "many.zip", work / "many.zip.part"
    if not bundle.exists():
        images = [path.read_bytes() for path in sorted((work / "few").rglob("*.jpg"))]
        with zipfile.ZipFile(part, "w") as packed:
            for n in range(files):
                name = f"{n // IN_FOLDER:05}/{n:07}.jpg"
                packed.writestr(name, images[n % len(images)])
        part.rename(bundle)
    command = scan_command(work, bundle, work / "zip.csv")
    some = min(20_000, files // 4)
    killed_once("zip", work, command, work / "zip.csv.partial", some, 2 * some)


def table(path: Path) -> Iterator[str]:
    """Yield a Markdown table of one step: its rate and memory, by tenths of its time."""
    points = [[float(cell) for cell in row] for row in csv.reader(path.open())]
    titles = ("seconds", "rows", "rows a second", "ms of processor a row", "MB", "MB, main process")
    yield from (f"| {' | '.join(titles)} |", "|---:" * len(titles) + "|")
    last = points[0]
    for tenth in range(1, 11):
        part = [p for p in points if last[0] < p[0] <= points[-1][0] * tenth / 10]
        if not part:
            continue
        at, rows = part[-1], part[-1][1] - last[1]
        rate = rows / (at[0] - last[0])
        cost = f"{1000 * (at[4] - last[4]) / rows:.2f}" if rows else ""
        most = [max(p[column] for p in part) for column in (2, 3)]
        cells = (
            f"{at[0]:,.0f}",
            f"{at[1]:,.0f}",
            f"{rate:,.0f}",
            cost,
            *(f"{m:,.0f}" for m in most),
        )
        yield f"| {' | '.join(cells)} |"
        last = at


def report(work: Path) -> None:
    for path in sorted((work / "log").glob("*.csv")):
        print(f"\n{path.stem}\n")
        print("\n".join(table(path)))
    for path in sorted((work / "log").glob("*.json")):
        print(path.stem, path.read_text().strip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="images laid out <kind>/<source>/")
    parser.add_argument("work", type=Path, help="a folder for all of it")
    parser.add_argument("--files", type=int, default=1_000_000, help="how many [1000000]")
    parser.add_argument("--filled", type=float, default=0, help="share to begin behind [0]")
    parser.add_argument("--steps", default=",".join(STEPS), help=f"of {','.join(STEPS)}")
    parser.add_argument("--report", action="store_true", help="print what was measured")
    given = parser.parse_args()
    work, files = given.work, given.files
    if given.report:
        return report(work)
    (work / "log").mkdir(parents=True, exist_ok=True)
    steps: dict[str, Callable[[], None]] = {
        "make": lambda: make(work, given.data, files),
        "index": lambda: index(work, files, given.filled),
        "dedup": lambda: on_manifest(work, "dedup"),
        "split": lambda: on_manifest(work, "split"),
        "scan": lambda: scan(work, files, given.filled),
        "zip": lambda: scan_zip(work, files),
    }
    for name in given.steps.split(","):
        mark = work / "log" / f"{name}.done"
        if not mark.exists():
            print(f"{time.strftime('%H:%M:%S')} {name}, load {os.getloadavg()[0]:.1f}", flush=True)
            steps[name]()
            mark.touch()
    return None


if __name__ == "__main__":
    main()
