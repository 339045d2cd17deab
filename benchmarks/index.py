"""Images a second of `facecheck index` next to imagededup's pHash encoding, in one run.

    python benchmarks/index.py DATA [COUNT_256 [COUNT_12MP]]

DATA is laid out <kind>/<source>/ (../shared/data). Two folders are made and read by both: faces
of 256 px as they are, and photographs of 12 megapixels, upscaled from those with sensor noise.
facecheck does more for each file: sha256 of the file, hash of the pixels, a manifest on disk.
Peer: imagededup's PHash().encode_images, with as many processes as cores. The runs alternate, and
the best of three of each counts: of images a second, and of the processor time of all processes,
which depends less on what else the machine does.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import facecheck

CORES = len(os.sched_getaffinity(0))


def faces(data: Path, folder: Path, count: int) -> None:
    """Copy faces of 256 px to ``folder``."""
    found = [
        path
        for source in ("photo/ffhq-256", "generated/stylegan-256", "photo/celeba-256")
        for path in sorted((data / source).iterdir())
    ]
    for path in found[:count]:
        shutil.copy(path, folder / f"{path.parent.name}-{path.name}")


def photographs(data: Path, folder: Path, count: int) -> None:
    """Write photographs of 4000 x 3000 pixels, JPEG quality 90, to ``folder``."""
    random = np.random.default_rng(0)
    for path in sorted((data / "photo" / "ffhq-256").iterdir())[:count]:
        large = Image.open(path).convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC)
        noise = random.integers(-12, 13, (3000, 4000, 3), np.int16)
        pixels = (np.asarray(large, np.int16) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / path.name, quality=90)


def with_facecheck(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as out:
        facecheck.index(
            [folder], Path(out) / "m.csv", facecheck.IndexOptions(kind="photo", source="s")
        )


def with_imagededup(folder: Path) -> None:
    from imagededup.methods import PHash

    PHash(verbose=False).encode_images(str(folder), num_enc_workers=CORES)


def processor() -> float:
    """Return the seconds that this process and those that it has ended took of the processor."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measured(work: Callable[[Path], None], folder: Path) -> tuple[float, float]:
    """Return images a second, and images a second of processor time."""
    count = len(list(folder.iterdir()))
    start, used = time.perf_counter(), processor()
    work(folder)
    return count / (time.perf_counter() - start), count / (processor() - used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="images laid out <kind>/<source>/")
    parser.add_argument("faces", type=int, nargs="?", default=4700, help="faces of 256 px")
    parser.add_argument("photos", type=int, nargs="?", default=40, help="photographs of 12 MP")
    given = parser.parse_args()
    data, counts = given.data, (given.faces, given.photos)
    logging.disable(logging.INFO)
    peers: dict[str, Callable[[Path], None]] = {"facecheck": with_facecheck}
    try:
        import imagededup  # noqa: F401
    except ImportError:
        print("imagededup is not here: pip install imagededup; facecheck alone is timed")
    else:
        peers["imagededup"] = with_imagededup
    print(f"{CORES} cores; images a second, best of 3")
    for name, make, count in zip(
        ("256 px faces", "12 MP photographs"), (faces, photographs), counts, strict=True
    ):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            make(data, folder, count)
            best = dict.fromkeys(peers, (0.0, 0.0))
            for _ in range(3):
                for peer, work in peers.items():
                    rate, efficiency = measured(work, folder)
                    best[peer] = max(best[peer][0], rate), max(best[peer][1], efficiency)
        print(f"{name} ({count:,} files):", flush=True)
        for place, what in enumerate(("a second", "a second of processor time")):
            rates = {peer: found[place] for peer, found in best.items()}
            shown = ", ".join(f"{peer} {rate:,.1f}" for peer, rate in rates.items())
            ratio = rates["facecheck"] / rates["imagededup"] if "imagededup" in rates else 0
            print(f"  {what}: {shown}" + (f", ratio {ratio:.2f}" if ratio else ""), flush=True)


if __name__ == "__main__":
    main()
