"""Speed and memory of the decoder, against that of another checkout.

    python benchmarks/decode.py PHOTOS --against ../old-checkout

PHOTOS is a folder of small photographs, such as ``../shared/data/photo/ffhq-256``. Both decoders
run in turn, each in processes of its own, on the same files: the photographs as they are, and 12
megapixels made of each of a few. How memory happens to be laid out moves the times of small files
by a third, so it differs from run to run, and medians count. Memory is the peak of a process that
decodes one file: a 200-megapixel JPEG, and a PNG of 13,376 x 13,376 pixels of 16-bit RGBA.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

_TIME = """
import random, sys, time
from pathlib import Path
from facecheck.core.image import decode
side = int(sys.argv[1])
files = [Path(name) for name in sys.stdin.read().split("\\n") if name]
random.seed(int(sys.argv[3]))
junk = [bytearray(random.randrange(1, 200_000)) for _ in range(random.randrange(1, 60))]
del junk[::2]
for path in files[:20]:
    decode(path, short_side=side)
rounds = []
for _ in range(int(sys.argv[2])):
    start = time.process_time()
    for path in files:
        decode(path, short_side=side)
    rounds.append((time.process_time() - start) / len(files))
print(min(rounds))
"""
_MEMORY = """
import sys
from pathlib import Path
from facecheck.core.errors import ImageError
from facecheck.core.image import decode
try:
    decode(Path(sys.argv[1]), short_side=128)
    said = "decoded"
except ImageError as error:
    said = str(error)
status = Path("/proc/self/status").read_text()  # of this process, not of the one it was forked from
print(f"{int(status.partition('VmHWM:')[2].split()[0]) // 1024} MB: {said}")
"""


def run(source: Path, code: str, *arguments: str, names: str = "") -> str:
    """Return what a process of a checkout's prints."""
    environment = {**os.environ, "PYTHONPATH": str(source / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        input=names, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def names_of(files: list[Path]) -> str:
    return "\n".join(map(str, files))


def large_files(folder: Path, photos: list[Path]) -> tuple[list[Path], dict[str, Path]]:
    """Write 12-megapixel photographs, and the two files whose memory is measured."""
    made = []
    for number, photo in enumerate(photos):
        path = folder / f"{number}.jpg"
        Image.open(photo).convert("RGB").resize((4000, 3000)).save(path, quality=90)
        made.append(path)
    huge, deep = folder / "200mp.jpg", folder / "13k.png"
    Image.open(photos[0]).convert("RGB").resize((16320, 12240)).save(huge, quality=80)
    write_deep_png(deep)
    return made, {"200 MP JPEG": huge, "13,376 x 13,376 PNG, 16-bit RGBA": deep}


def write_deep_png(path: Path, side: int = 13_376) -> None:
    """Write a PNG of zeros that packs to 1.4 MB."""
    import struct
    import zlib

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    packer, row = zlib.compressobj(9), bytes(1 + 8 * side)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--against", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--speed", action="store_true", help="leave the memory out")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    new = Path(__file__).parents[1]
    photos = sorted(path for path in arguments.photos.iterdir() if path.is_file())[:400]
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="facecheck-") as scratch:
        large, heavy = large_files(Path(scratch), photos[:6])
        for what, files, times in (("256 px", photos, 5), ("12 MP", large, 3)):
            pairs = [
                [
                    float(run(source, _TIME, "128", str(times), str(layout), names=names_of(files)))
                    for source in (arguments.against, new)
                ]
                for layout in range(arguments.rounds)
            ]
            old_ms, new_ms = (
                statistics.median(run[side] for run in pairs) * 1000 for side in (0, 1)
            )
            figures[what] = {
                "old_ms": round(old_ms, 3), "new_ms": round(new_ms, 3),
                "ratio": round(new_ms / old_ms, 3),
            }  # fmt: skip
        for what, path in heavy.items() if not arguments.speed else ():
            figures[what] = {
                "old": run(arguments.against, _MEMORY, str(path)),
                "new": run(new, _MEMORY, str(path)),
            }
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for what, found in figures.items():
        print(what, found)


if __name__ == "__main__":
    main()
