"""Small videos for tests, made by the tests themselves."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt


def write_video(path: Path, frames: Iterable[npt.NDArray[np.uint8]], rate: float = 10) -> Path:
    """Write frames, (height, width, 3), RGB, as an MPEG-4 video."""
    writer = None
    for frame in frames:
        if writer is None:
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    assert writer is not None
    writer.release()
    return path


def grey(count: int, size: tuple[int, int] = (64, 48)) -> Iterable[npt.NDArray[np.uint8]]:
    """Yield frames whose grey says which they are: twice their number."""
    for number in range(count):
        yield np.full((size[1], size[0], 3), 2 * number, np.uint8)


def turned(path: Path) -> Path:
    """Set the rotation of an MP4 to 90 degrees clockwise, in its track's header."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 4 + 5 * 4 + 8 + 2 * 4  # to the matrix
    matrix = (0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    content[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(content)
    return path


def uneven(path: Path, durations: list[tuple[int, int]]) -> Path:
    """Give runs of frames of an MP4 other durations, (frames, times the usual): a variable rate."""
    content = path.read_bytes()
    at = content.index(b"stts")
    size = struct.unpack(">I", content[at - 4 : at])[0]
    _, count, delta = struct.unpack(">III", content[at + 8 : at + 20])
    assert sum(frames for frames, _ in durations) == count
    table = b"".join(struct.pack(">II", frames, delta * times) for frames, times in durations)
    made = bytearray(
        content[: at + 8] + struct.pack(">I", len(durations)) + table + content[at - 4 + size :]
    )
    more = len(made) - len(content)
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"):
        place = made.index(name) - 4
        size = struct.unpack(">I", made[place : place + 4])[0]
        made[place : place + 4] = struct.pack(">I", size + more)
    total = sum(frames * times for frames, times in durations)
    for name, field in ((b"mdhd", 16), (b"mvhd", 16), (b"tkhd", 20), (b"elst", 8)):
        place = made.index(name) + 4 + field
        was = struct.unpack(">I", made[place : place + 4])[0]
        made[place : place + 4] = struct.pack(">I", was * total // count)
    path.write_bytes(made)
    return path
