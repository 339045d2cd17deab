"""Images a second of `facecheck scan`, beside timm, torchvision and ultralytics, in one run.

    python benchmarks/scan.py DATA [--timm-inference PATH] [--ultralytics PYTHON] [--faces 1000]
        [--photos 192] [--repeats 3] [--threads 2] [--many 100000 --small FILE]

DATA is laid out <kind>/<source>/ (../shared/data). timm's inference.py is in neither its wheel nor
its sdist: take that of the installed version,
https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/inference.py (the tag may be
another); it needs pandas. PYTHON is an interpreter that can import ultralytics (AGPL, so no extra
of ours). Without either, that tool is left out.

Two folders are judged: faces of 256 px, and 12-megapixel photos (4000 x 3000, real photographs
enlarged, with noise, which a decoder cannot skip). facecheck runs its fast built-in model without
looking for faces, since no peer does; a line says what finding them costs. timm and torchvision
run the same network at the same size with random weights, ultralytics its own smallest classifier
(yolo11n-cls, a similar number of operations). All write one row for each file. Every tool gets as
many threads as there are cores, and as many loader processes.

A rate leaves out the start of a tool: it is the number of further images over the further time
that the whole folder takes against its first image. The runs alternate, and medians count. The
limit is the slower of pure ONNX Runtime on ready tensors and pure draft decoding, each having all
cores to itself. A scan does both on the same cores: the table also gives what both take together.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import chain, islice, zip_longest
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from facecheck.core.workspace import BUILTIN_FAST, BUILTINS
from facecheck.engines.load import load_predictor
from facecheck.model.transforms import Transform, load_input

ARCH = "tf_efficientnet_lite0"
BATCH = 32
#: Images of the run whose time is a tool's start. One: with a batch or more, tools that decode
#: several batches at once would seem to need no time for the next.
FEW = 1
FACECHECK = [sys.executable, "-m", "facecheck"]


def images_of(data: Path, sources_of: str = "*/*") -> Iterator[Path]:
    """Yield images from every source of every kind in turn."""
    sources = [sorted(path.iterdir()) for path in sorted(data.glob(sources_of)) if path.is_dir()]
    return (path for path in chain.from_iterable(zip_longest(*sources)) if path is not None)


def make_faces(data: Path, count: int, folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, path in enumerate(islice(images_of(data), count)):
        image = Image.open(path).convert("RGB").resize((256, 256))
        image.save(folder / f"{number:06}.jpg", quality=92)


def make_photos(data: Path, count: int, folder: Path) -> None:
    """Enlarge photographs to 12 megapixels, with noise of ±8: about 6 MB a file."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    noise = random.integers(-8, 9, (3000, 4000, 3), dtype=np.int16)
    for number, path in enumerate(islice(images_of(data, "photo/*"), count)):
        image = Image.open(path).convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC)
        noisy = np.clip(np.asarray(image, dtype=np.int16) + np.roll(noise, 37 * number, 1), 0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(folder / f"{number:06}.jpg", quality=90)


def first_few(folder: Path) -> Path:
    few = folder.with_name(folder.name + "-few")
    few.mkdir(exist_ok=True)
    for path in sorted(folder.iterdir())[:FEW]:
        (few / path.name).hardlink_to(path)
    return few


# ---- the tools: each a command that judges a folder


def facecheck_command(folder: Path, out: Path, *more: str) -> list[str]:
    scan = [*FACECHECK, "scan", str(folder), "--checkpoint", str(BUILTIN_FAST), "--out", str(out)]
    return [*scan, "--faces", "off", "--overwrite", "--quiet", *more]


def commands(given: argparse.Namespace) -> dict[str, Callable[[Path, Path], list[str]]]:
    threads = str(given.threads)
    own = [sys.executable, __file__, str(given.data), "--threads", threads, "--alone"]
    tools: dict[str, Callable[[Path, Path], list[str]]] = {"facecheck": facecheck_command}
    if given.timm_inference:
        tools["timm"] = timm_command(given)
    tools["torchvision"] = lambda folder, out: [*own, "torchvision", str(folder), str(out)]
    if given.ultralytics:
        there = [str(given.ultralytics), *own[1:], "ultralytics"]
        tools["ultralytics"] = lambda folder, out: [*there, str(folder), str(out)]
    return tools


def timm_command(given: argparse.Namespace) -> Callable[[Path, Path], list[str]]:
    timm = [sys.executable, str(given.timm_inference), "--model", ARCH, "--num-classes", "4"]
    timm += ["--checkpoint", str(given.weights), "--input-size", "3", "224", "224"]
    timm += ["--crop-pct", "0.875", "--device", "cpu", "--channels-last", "--fullname"]
    timm += ["-b", str(BATCH), "-j", str(given.threads)]
    return lambda folder, out: [
        *(*timm, "--data-dir", str(folder)),
        *("--results-dir", str(out.parent), "--results-file", out.name),
    ]


def run_torchvision(folder: Path, out: Path, threads: int) -> None:
    """The plain loop: a dataset, a loader, a model, a CSV."""
    import timm
    import torch
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    paths = sorted(folder.iterdir())
    prepare = transforms.Compose([
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize((0.5,) * 3, (0.5,) * 3),
    ])  # fmt: skip

    class Files(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, index: int) -> torch.Tensor:
            return prepare(Image.open(paths[index]).convert("RGB"))

    model = timm.create_model(ARCH, num_classes=4).eval().to(memory_format=torch.channels_last)
    torch.set_num_threads(threads)
    rows: list[list[float]] = []
    with torch.inference_mode():
        for batch in DataLoader(Files(), batch_size=BATCH, num_workers=threads):
            inputs = batch.contiguous(memory_format=torch.channels_last)
            rows.extend(model(inputs).softmax(1).tolist())
    with out.open("w", newline="") as stream:
        csv.writer(stream).writerows([path, *row] for path, row in zip(paths, rows, strict=True))


def run_ultralytics(folder: Path, out: Path, threads: int) -> None:
    import torch
    from ultralytics import YOLO  # type: ignore[import-not-found]

    torch.set_num_threads(threads)
    found = YOLO("yolo11n-cls.yaml").predict(
        source=str(folder), imgsz=224, batch=BATCH, stream=True, device="cpu", verbose=False
    )
    with out.open("w", newline="") as stream:
        csv.writer(stream).writerows([one.path, *one.probs.data.tolist()] for one in found)


# ---- measuring


def seconds(command: list[str], threads: int) -> float:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "YOLO_OFFLINE": "1"}
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"failed: {command}\n{done.stderr[-3000:]}")
    return taken


def decode_all(paths: list[Path], transform: Transform) -> None:
    for path in paths:
        load_input(path, transform)


def limits(folder: Path, threads: int) -> tuple[float, float]:
    """Return images a second of pure ONNX Runtime, and of pure draft decoding, on all cores."""
    import onnxruntime  # type: ignore[import-untyped]

    paths = sorted(folder.iterdir())
    transform = load_predictor(BUILTIN_FAST).header.transform
    with ProcessPoolExecutor(threads) as pool:
        list(pool.map(decode_all, [paths[:2]] * threads, [transform] * threads))  # starts them
        start = time.perf_counter()
        list(pool.map(decode_all, *zip(*[(paths[i::8], transform) for i in range(8)], strict=True)))
        decoding = len(paths) / (time.perf_counter() - start)
    ready = np.concatenate([load_input(path, transform) for path in paths[:64]])
    return max(
        pure_onnx(onnxruntime, ready, threads, 1, BATCH),
        pure_onnx(onnxruntime, ready, 1, threads, 4),
    ), decoding


def pure_onnx(
    runtime: object, ready: np.ndarray, inner: int, outer: int, batch: int
) -> float:  # of one run on all cores, and of one run on each: whichever is faster is the limit
    options = runtime.SessionOptions()  # type: ignore[attr-defined]
    options.intra_op_num_threads = inner
    session = runtime.InferenceSession(  # type: ignore[attr-defined]
        BUILTIN_FAST.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    parts = [ready[start : start + batch] for start in range(0, len(ready), batch)]
    with ThreadPoolExecutor(outer) as pool:
        times = []
        for _ in range(6):
            start = time.perf_counter()
            list(pool.map(lambda part: session.run(["logits"], {"pixels": part}), parts))
            times.append(time.perf_counter() - start)
    return len(ready) / statistics.median(times[1:])


def compare(given: argparse.Namespace, folder: Path, work: Path) -> dict[str, float]:
    """Print a folder's table; return each tool's median rate."""
    tools, few, files = commands(given), first_few(folder), len(list(folder.iterdir()))
    starts: dict[str, list[float]] = {tool: [] for tool in tools}
    rates: dict[str, list[float]] = {tool: [] for tool in tools}
    bounds = []
    for _ in range(given.repeats):
        bounds.append(limits(folder, given.threads))
        for tool, command in tools.items():
            out = work / f"{tool}.csv"
            start = seconds(command(few, out), given.threads)
            whole = seconds(command(folder, out), given.threads)
            starts[tool].append(start)
            rates[tool].append((files - FEW) / (whole - start))
    onnx, decoding = (statistics.median(column) for column in zip(*bounds, strict=True))
    limit, both = min(onnx, decoding), 1 / (1 / onnx + 1 / decoding)
    middle = {tool: statistics.median(found) for tool, found in rates.items()}
    print(f"\n{folder.name}: {files:,} files. Alone: ONNX Runtime {onnx:,.1f}, decoding ", end="")
    print(
        f"{decoding:,.1f} images a second; limit {limit:,.1f}, both on the same cores {both:,.1f}"
    )
    print("\n| tool | images a second | facecheck / tool | of the limit | of both | one image |")
    print("|---|---|---|---|---|---|")
    for tool, found in rates.items():
        rate, start = middle[tool], statistics.median(starts[tool])
        print(
            f"| {tool} | {rate:,.1f} ({min(found):,.1f} to {max(found):,.1f}) "
            f"| {middle['facecheck'] / rate:.2f} | {rate / limit:.0%} | {rate / both:.0%} "
            f"| {start:.1f} s |",
            flush=True,
        )
    return middle


def with_faces(given: argparse.Namespace, folder: Path, work: Path) -> float:
    """Return images a second where faces are found as well."""
    out, more = work / "found.csv", ["--faces", "auto"]
    files = len(list(folder.iterdir()))
    few = seconds(facecheck_command(first_few_of(folder), out, *more), given.threads)
    whole = seconds(facecheck_command(folder, out, *more), given.threads)
    return (files - FEW) / (whole - few)


def first_few_of(folder: Path) -> Path:
    return folder.with_name(folder.name + "-few")


def first_row(folder: Path, work: Path, model: str) -> float:
    """Return seconds from a scan by a built-in model until a row can be read."""
    out = work / "first.csv"
    for left in work.glob("first.csv*"):
        left.unlink()
    partial = out.with_name(out.name + ".partial")
    start = time.perf_counter()
    command = facecheck_command(folder, out, "--checkpoint", model, "--faces", "auto")
    with subprocess.Popen(command) as process:
        while not (partial.exists() and partial.read_bytes().count(b"\n") > 1):
            if process.poll() is not None:
                break
            time.sleep(0.005)
        taken = time.perf_counter() - start
        process.terminate()
    return taken


def memory_of(command: list[str]) -> tuple[int, int]:
    """Return the highest MB of the command's own process, and of it with all its children.

    Memory that processes share counts once (PSS, where Linux tells it).
    """
    peaks, done = [0, 0], threading.Event()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)

    def watch() -> None:
        while not done.wait(0.25):
            try:
                family = [process, *process.children(recursive=True)]
                sizes = [one.memory_full_info().pss >> 20 for one in family]
            except (psutil.Error, OSError):
                continue
            peaks[0], peaks[1] = max(peaks[0], sizes[0]), max(peaks[1], sum(sizes))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        raise SystemExit(f"failed: {command}")
    return peaks[0], peaks[1]


def memory(given: argparse.Namespace, faces: Path, work: Path) -> None:
    """Print the highest memory over the faces, and over many names for the same few files."""
    print(f"\n{len(list(faces.iterdir())):,} faces: ", end="", flush=True)
    print(
        "{} MB, with its processes {} MB".format(
            *memory_of(facecheck_command(faces, work / "m.csv"))
        )
    )
    originals = sorted(faces.iterdir())
    for count in (given.many // 10, given.many):
        folder = work / f"many-{count}"
        for number in range(count):
            part = folder / f"{number // 1000:04}"
            part.mkdir(parents=True, exist_ok=True)
            (part / f"{number:08}.jpg").hardlink_to(originals[number % len(originals)])
        out = work / "many.csv"
        tops = memory_of([
            *facecheck_command(folder, out), "--checkpoint", str(given.small), "--workers", "2"
        ])  # fmt: skip
        print(f"{count:,} files, a small network: ", end="")
        print("{} MB, with its processes {} MB".format(*tops), flush=True)
        shutil.rmtree(folder)


def alone(given: argparse.Namespace) -> None:
    tool, folder, out = given.alone
    run = {"torchvision": run_torchvision, "ultralytics": run_ultralytics}[tool]
    run(Path(folder), Path(out), given.threads)


def save_weights(path: Path) -> Path:
    """Save random weights for timm's script: the numbers do not matter, the network does."""
    import timm
    import torch

    torch.save(timm.create_model(ARCH, num_classes=4).state_dict(), path)
    return path


def measure(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        if given.timm_inference:
            given.weights = save_weights(work / "weights.pth")
        faces, photos = work / "faces", work / "photos"
        make_faces(given.data, given.faces, faces)
        make_photos(given.data, given.photos, photos)
        print(f"{given.threads} threads, {given.repeats} alternating runs, medians", flush=True)
        for folder in (faces, photos):
            plain = compare(given, folder, work)["facecheck"]
            found = with_faces(given, folder, work)
            print(f"\nWith faces found: {found:,.1f} images a second, {found / plain:.2f} of that")
        for model in BUILTINS:
            rows = [first_row(faces, work, model) for _ in range(given.repeats)]
            print(f"\nFirst row of {model} after {statistics.median(rows):.2f} s", flush=True)
        if given.many:
            memory(given, faces, work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="images laid out <kind>/<source>/")
    parser.add_argument("--timm-inference", type=Path, help="timm's inference.py")
    parser.add_argument("--ultralytics", type=Path, help="a Python that has ultralytics")
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--photos", type=int, default=192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--many", type=int, default=0, help="files of the memory test; 0: none")
    parser.add_argument("--small", type=Path, help="a small .onnx export for the memory test")
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)  # one run, used by itself
    given = parser.parse_args()
    if given.timm_inference and not given.timm_inference.is_file():
        parser.error(f"--timm-inference {given.timm_inference}: no such file")
    if given.timm_inference and importlib.util.find_spec("pandas") is None:
        parser.error("timm's inference.py needs pandas: pip install pandas")
    if given.many and not given.small:
        parser.error("--many needs --small, an export of a small network")
    if given.alone:
        alone(given)
    else:
        measure(given)


if __name__ == "__main__":
    main()
