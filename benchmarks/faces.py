"""Processor time and memory of a scan that finds faces, against another checkout.

    python benchmarks/faces.py PHOTOS --against ../old-checkout

PHOTOS is a folder of face crops, such as ``../shared/data/photo/ffhq-256``. Both checkouts scan the
same files in turn, each in processes of its own: the crops as they are; photographs of 12
megapixels, each with a face of 400 or 900 pixels; and, here alone, what only the closer search
finds or looks for in vain. Processor time of all processes is compared, since the machine may be
shared. Memory is the peak over time of the proportional set size of all processes.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
from PIL import Image, ImageFilter


def photograph(
    files: list[Path], number: int, size: tuple[int, int], side: int | None
) -> Image.Image:
    """Return soft shapes, and on them a face whose box has about ``side`` pixels."""
    with Image.open(files[(number + 5) % len(files)]) as other:
        soft = other.convert("RGB").resize((64, 48)).filter(ImageFilter.GaussianBlur(6))
    image = soft.resize(size, Image.Resampling.BICUBIC)
    if side:
        with Image.open(files[number % len(files)]) as face:
            crop = face.convert("RGB").resize((round(side / 0.64),) * 2, Image.Resampling.LANCZOS)
        image.paste(crop, (size[0] // 3 + 37 * number, size[1] // 3 - crop.height // 3))
    return image


def make(folder: Path, files: list[Path]) -> dict[str, int]:
    """Write the files of each case to a folder of its own; return how many each has."""
    cases: dict[str, list[tuple[tuple[int, int], int | None]]] = {
        "12 MP, face of 400 or 900 px": [((4000, 3000), side) for side in (400, 900) * 4],
        "12 MP, no face": [((4000, 3000), None)] * 4,
        "24 MP, face of 100 px": [((6000, 4000), 100)] * 3,
        "50 MP, face of 160 px": [((8160, 6120), 160)] * 4,
        "50 MP, no face": [((8160, 6120), None)] * 3,
        "panorama 16000 x 2400, face of 250 px": [((16000, 2400), 250)] * 3,
    }
    counts = {}
    for name, specs in cases.items():
        (folder / name).mkdir()
        for number, (size, side) in enumerate(specs):
            photograph(files, number, size, side).save(folder / name / f"{number}.jpg", quality=88)
        counts[name] = len(specs)
    crops = folder / "256 px faces"
    crops.mkdir()
    for path in files[:300]:
        (crops / path.name).symlink_to(path.resolve())
    counts[crops.name] = min(300, len(files))
    return counts


def scan(checkout: Path, folder: Path, detector: Path) -> tuple[float, Counter[str], float]:
    """Return processor seconds of all processes, rows by status, and the peak of memory in MB."""
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "rows.csv"
        command = [
            *(sys.executable, "-m", "facecheck", "scan", str(folder), "--out", str(out)),
            *("--quiet", "--checkpoint", "builtin", "--workers", "2", "--follow"),
        ]
        environment = {
            **os.environ,
            "PYTHONPATH": str(checkout / "src"),
            "FACECHECK_FACE_DETECTOR": str(detector),
        }
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        running = subprocess.Popen(command, env=environment, cwd=work)
        peak = watch_memory(running)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if running.returncode not in {0, 3}:
            raise SystemExit(f"{checkout}: scan ended with {running.returncode}")
        with out.open(newline="") as stream:
            statuses = Counter(row["status"] for row in csv.DictReader(stream))
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, statuses, peak


def watch_memory(running: subprocess.Popen[bytes]) -> float:
    """Wait for a process; return the peak of its and its children's memory together, in MB."""
    peak = 0.0
    parent = psutil.Process(running.pid)
    while running.poll() is None:
        total = 0
        try:
            for process in (parent, *parent.children(recursive=True)):
                total += process.memory_full_info().pss
        except psutil.Error:  # one of them has just ended
            continue
        peak = max(peak, total / 2**20)
        time.sleep(0.02)
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--against", type=Path, required=True, help="another checkout")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    detector = here / "src/facecheck/scanner/faces/yunet.onnx"
    files = sorted(given.photos.glob("*.jpg"))
    if len(files) < 12:
        raise SystemExit(f"{given.photos}: name a folder with a dozen face crops in JPEG files")
    with tempfile.TemporaryDirectory() as work:
        print("| | files | before, CPU s | now, CPU s | ratio (range) | rows now | peak now |")
        print("|---|---|---|---|---|---|---|")
        for name, count in make(Path(work), files).items():
            ratios, times, statuses, peak = [], ([], []), Counter[str](), 0.0
            for _ in range(given.rounds):
                old, _statuses, _ = scan(given.against, Path(work) / name, detector)
                new, statuses, used = scan(here, Path(work) / name, detector)
                times[0].append(old)
                times[1].append(new)
                ratios.append(new / old)
                peak = max(peak, used)
            shown = ", ".join(f"{number} {status}" for status, number in statuses.items())
            print(
                f"| {name} | {count} | {statistics.median(times[0]):.2f} | "
                f"{statistics.median(times[1]):.2f} | {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f}) | {shown} | {peak:.0f} MB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
