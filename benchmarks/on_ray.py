"""A scan by Ray, next to one process and to two shards: the same bytes, images and rows a second.

    python benchmarks/on_ray.py DATA WORK [--images 300] [--repeats 2] [--rows 200000] [--node-lost]

DATA is laid out <kind>/<source>/ (../shared/data). The images of it are scanned with builtin-fast,
without faces, by (a) one process, (b) two `--shard`s at a time, joined by `merge`, and (c) Ray on
two nodes of this machine with a core each. The runs alternate; results are compared byte for byte,
and the nodes are started before the clock is. With `--node-lost` another scan loses a node: its
processes are killed when a third of the rows are there.

Then `--rows` empty files are scanned by answers that are there at once, so that what is timed is
what one process has to do for each row: list the file, cut chunks, order and write rows, and their
journal. Once the answers come from this process, once from a worker of Ray.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice, zip_longest
from pathlib import Path
from statistics import median
from typing import Any

import psutil

import facecheck

SCAN = [sys.executable, "-m", "facecheck", "scan"]
MODEL = ("--checkpoint", "builtin-fast", "--faces", "off", "--device", "cpu", "--quiet")
#: What a row says behind the name, and what is counted of it.
REST = (
    ",ok,real,photo,pixels,,,0.369786,,0.369786,0.105036,0.105036,0.105036,0.105036,0.105036,"
    "0.105036,face,,1,1,10,20,100,120,0.910000,256,256,\n"
)
TOLD = ("ok", "real", "photo", "pixels")


def copied(data: Path, folder: Path, count: int) -> Path:
    """Copy ``count`` images of every kind and source in turn."""
    sources = [sorted(path.iterdir()) for path in sorted(data.glob("*/*")) if path.is_dir()]
    images = (path for turn in zip_longest(*sources) for path in turn if path is not None)
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(islice(images, count)):
        shutil.copyfile(path, folder / f"{number:05}{path.suffix}")
    return folder


@contextmanager
def two_nodes() -> Iterator[Any]:
    """Start a cluster of two nodes with a core each, at the priority of this process."""
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = str(Path(facecheck.__file__).parents[1])
    os.environ |= {"RAY_worker_niceness": "0"}  # else 15, at which other work would starve them
    head = {"num_cpus": 1, "include_dashboard": False}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    nodes.add_node(num_cpus=1)
    try:
        yield nodes
    finally:
        nodes.shutdown()


def fresh(out: Path) -> Path:
    """Remove results that are there, with all that belongs to them."""
    for path in out.parent.glob(f"{out.name}*"):
        path.unlink()
    return out


def by_one(folder: Path, out: Path) -> None:
    subprocess.run([*SCAN, folder, *MODEL, "--out", fresh(out)], check=True)


def by_shards(folder: Path, out: Path) -> None:
    parts = [fresh(out.with_name(f"part-{number}.csv")) for number in (1, 2)]
    begun = [
        subprocess.Popen([*SCAN, folder, *MODEL, "--out", part, "--shard", f"{number}/2"])
        for number, part in enumerate(parts, 1)
    ]
    assert [process.wait() for process in begun] == [0, 0]
    merge = [sys.executable, "-m", "facecheck", "merge", fresh(out), *parts, "--quiet"]
    subprocess.run(merge, check=True)


def on_ray(address: str, folder: Path, out: Path) -> subprocess.Popen[bytes]:
    where = ("--engine", "ray", "--ray-address", address)
    return subprocess.Popen([*SCAN, folder, *MODEL, "--out", fresh(out), *where])


def by_ray(address: str, folder: Path, out: Path) -> None:
    assert on_ray(address, folder, out).wait() == 0


def compare(nodes: Any, folder: Path, work: Path, repeats: int) -> None:
    ways: dict[str, Callable[[Path, Path], None]] = {
        "one process": by_one,
        "two shards, joined": by_shards,
        "Ray, two nodes": lambda folder, out: by_ray(nodes.address, folder, out),
    }
    count, seconds = len(list(folder.iterdir())), {name: list[float]() for name in ways}
    for _ in range(repeats):
        for name, scan in ways.items():
            out, begin = work / f"{name.partition(' ')[0].strip(',')}.csv", time.time()
            scan(folder, out)
            seconds[name].append(time.time() - begin)
            assert out.read_bytes() == (work / "one.csv").read_bytes(), name
    one = median(seconds["one process"])
    print(f"{count} images, load {os.getloadavg()[0]:.0f}: the same bytes in all runs\n")
    print("| | seconds | images a second | of one process |\n|---|---:|---:|---:|")
    for name, found in seconds.items():
        each, middle = ", ".join(f"{one_run:.1f}" for one_run in found), median(found)
        print(f"| {name} | {each} | {count / middle:.1f} | {one / middle:.0%} |")


def lose_a_node(nodes: Any, folder: Path, work: Path) -> None:
    """Kill all processes of a node in the middle of a scan; the rows are as they were."""
    node, out, count = nodes.add_node(num_cpus=1), work / "lost.csv", len(list(folder.iterdir()))
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    scan, begin, rows = on_ray(nodes.address, folder, out), time.time(), 0
    partial = out.with_name(f"{out.name}.partial")
    while rows < count / 3 and scan.poll() is None:
        rows = partial.read_bytes().count(b"\n") if partial.exists() else 0
        time.sleep(0.1)
    assert scan.poll() is None, "the scan ended before the node did"
    lost = [raylet, *raylet.children(recursive=True)]
    working = sum("ray::_classify" in " ".join(process.cmdline()) for process in lost)
    for process in lost:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    killed = time.time()
    assert scan.wait() == 0
    assert out.read_bytes() == (work / "one.csv").read_bytes()
    print(
        f"\nA node lost with {working} worker at {rows - 1} of {count} rows, "
        f"{killed - begin:.1f} s after the start: ended {time.time() - killed:.1f} s later, with "
        "the same bytes"
    )
    nodes.remove_node(node, allow_graceful=False)


def empty_files(folder: Path, count: int) -> Path:
    for number in range(count):
        if number % 1000 == 0:
            (folder / f"{number // 1000:05}").mkdir(parents=True, exist_ok=True)
        (folder / f"{number // 1000:05}" / f"{number:08}.jpg").touch()
    return folder


def answered(chunk: Any) -> list[Any]:
    from facecheck.scanner.results.item_rows import ItemRows

    return [ItemRows(f"{item.name}{REST}".encode(), [TOLD]) for item in chunk.items]


def at_once(chunk: Any, **_: object) -> Any:
    """What a worker of Ray does instead of reading files."""
    from facecheck.scanner.workers.on_ray import _Classified

    return _Classified(answered(chunk), [], "")


@contextmanager
def here(*_: object) -> Iterator[Any]:
    """Answer in this process, instead of by workers."""
    yield lambda chunks: ((chunk, answered(chunk)) for chunk in chunks)


def rows_a_second(work: Path, engine: str) -> Path:
    """Scan empty files by ready answers, and print what it took from the first rows on."""
    from facecheck.scanner import job
    from facecheck.scanner.options import ScanOptions
    from facecheck.scanner.workers import on_ray as ray_workers

    kept = job._classify, ray_workers._classify
    if engine == "local":
        job._classify = here
    ray_workers._classify = at_once
    points = []

    def progress(done: int, _: int | None) -> None:
        points.append((done, time.time(), time.thread_time(), time.process_time()))

    out = fresh(work / f"rows-{engine}.csv")
    options = ScanOptions(faces="off", device="cpu", engine=engine)  # type: ignore[arg-type]
    job.scan([work / "empty"], out, "builtin-fast", options, progress=progress)
    job._classify, ray_workers._classify = kept
    rows, wall, thread, process = (b - a for a, b in zip(points[0], points[-1], strict=True))
    print(
        f"| {'answers of this process' if engine == 'local' else 'answers of Ray'} | "
        f"{rows / wall:,.0f} | {rows / thread:,.0f} | {rows / process:,.0f} |"
    )
    return out


def measure_rows(work: Path, count: int) -> None:
    empty_files(work / "empty", count)
    print(f"\n{count:,} rows, load {os.getloadavg()[0]:.0f}\n")
    print("| rows a second | of the clock | of the thread that writes | of all threads |")
    print("|---|---:|---:|---:|")
    both = [rows_a_second(work, engine).read_bytes() for engine in ("local", "ray")]
    assert both[0] == both[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="images laid out <kind>/<source>/")
    parser.add_argument("work", type=Path, help="a folder for all of it")
    parser.add_argument("--images", type=int, default=300, help="to classify; 0: none [300]")
    parser.add_argument("--repeats", type=int, default=2, help="of each way [2]")
    parser.add_argument("--rows", type=int, default=200_000, help="to write; 0: none [200000]")
    parser.add_argument("--node-lost", action="store_true", help="kill a node during a scan")
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    given.work.mkdir(parents=True, exist_ok=True)
    if given.images:
        folder = copied(given.data, given.work / "images", given.images)
        with two_nodes() as nodes:
            compare(nodes, folder, given.work, given.repeats)
            if given.node_lost:
                lose_a_node(nodes, folder, given.work)
    if given.rows:
        measure_rows(given.work, given.rows)


if __name__ == "__main__":
    main()
