"""Frames of a video, one for each interval, decoded in a process of its own.

OpenCV reads them, which is there for the face detector anyway: its wheels bundle FFmpeg under the
LGPL, it turns frames upright by the file's rotation flag, and gives each frame's own time, so that
variable rates are no special case. (PyAV says more of damaged files, but its wheels bundle x264 and
x265, and it would be one more decoder to keep up to date.)

A video is cut into segments of a few intervals. Which frames a segment has depends on their times
alone: the first frame of each interval. So a scan resumes within a file, and several processes may
read one file at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facecheck.core.errors import ImageError
from facecheck.core.files import open_regular
from facecheck.core.image import array_file
from facecheck.core.labels import Status
from facecheck.model.transforms import Transform
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.prepare import Prepared, prepare

#: Endings of the names of videos.
ENDINGS = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"),
    *(".ts", ".mts", ".m2ts", ".ogv"),
)
#: Intervals in a segment: a bound on the crops in memory.
INTERVALS = 8
#: Intervals of the last segment, whose end the header may have wrong.
LAST = 64
#: Pixels of a frame at most.
MOST_PIXELS = 8192 * 8192
# What FFmpeg would follow to other files.
_LISTS = (b"ffconcat", b"#EXTM3U", b"<?xml", b"<MPD")
#: Seconds that are read through rather than jumped over, and that a jump lands before its goal.
_NEAR, _BEFORE = 20.0, 3.0


def is_video_name(name: str) -> bool:
    """Return whether a name ends like a video's."""
    return name.lower().endswith(ENDINGS)


@dataclass(frozen=True, slots=True)
class Segment(Item):
    """A part of a video; its name is the video's with the number of its first interval.

    Attributes:
        video: what rows call the video.
        first: its first interval, from 0.
        every: seconds of an interval.
        until: seconds that the video lasts by its header, 0 where it does not say; of the last
            segment alone, else None.
        problem: why the video cannot be read; empty if it can.
    """

    video: str = ""
    first: int = 0
    every: float = 1.0
    until: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class Read:
    """What was read of a segment.

    Attributes:
        frames: the time of each frame in seconds, and the frame made ready for the model.
        problem: what is wrong with the video, to be said once; empty if nothing is.
    """

    frames: tuple[tuple[float, Prepared], ...]
    problem: str = ""


def duration_of(path: Path) -> float:
    """Return how many seconds a video lasts by its header, 0 where that does not say.

    Raises:
        ImageError: it cannot be read, or its frames are too large.
    """
    capture = _opened(path)
    try:
        count, rate = capture.get(_cv2().CAP_PROP_FRAME_COUNT), capture.get(_cv2().CAP_PROP_FPS)
        return float(count / rate) if count > 0 and rate > 0 else 0.0
    finally:
        capture.release()


def segments(item: Item, duration: float, every: float) -> Iterator[Segment]:
    """Yield the segments of a video, in order.

    Args:
        item: the video's file.
        duration: seconds it lasts, 0 where that is not known.
        every: seconds of an interval, above 0.
    """
    count = max(1, ceil(duration / every / INTERVALS))
    for number in range(count):
        until = duration if number == count - 1 else None
        yield _segment(item, number * INTERVALS, every, until=until)


def unreadable(item: Item, problem: str, every: float) -> Segment:
    """Return the one segment of a video that cannot be read."""
    return replace(_segment(item, 0, every, until=0.0), problem=problem)


def _segment(item: Item, first: int, every: float, *, until: float | None) -> Segment:
    return Segment(
        f"{item.name}#{first}",
        item.size,
        item.mtime_ns,
        item.source,
        video=item.name,
        first=first,
        every=every,
        until=until,
    )


def read_segment(
    segment: Segment, transform: Transform, detector: bytes | None, stability: int = 0
) -> Read:
    """Return the first frame of each interval of a segment, prepared as an image is.

    An interval in which no frame begins, as in a video of a variable rate, gives none.

    Args:
        segment: which.
        transform: the model's.
        detector: what is in the face detector's file.
        stability: how many variants of each crop are to be classified as well.
    """
    if segment.problem or segment.source is None:
        return Read((), segment.problem)
    try:
        reader = _reader(Path(segment.source), segment.first * segment.every)
        found = []
        for number in range(segment.first, segment.first + _intervals(segment)):
            frame = reader.first_within(number * segment.every, (number + 1) * segment.every)
            if frame is not None:
                time, pixels = frame
                one = Item(segment.video, 0, 0, None, _read=lambda p=pixels: array_file(p))  # type: ignore[misc]
                prepared = prepare(one, transform, detector, stability)
                bare = Item(segment.video, 0, 0, None)
                found.append((round(time, 3), replace(prepared, item=bare)))
        return Read(tuple(found), _problem(segment, reader, bool(found)))
    except ImageError as error:
        return Read((), str(error))


def _intervals(segment: Segment) -> int:
    return INTERVALS if segment.until is None else LAST


def _problem(segment: Segment, reader: _Reader, found: bool) -> str:
    """Return what is wrong with a video, once its last segment is read."""
    if segment.until is None:
        return ""
    start = segment.first * segment.every
    if not found:
        return f"no frames from {start:g} s on, of {segment.until:g} s: damaged, or cut short"
    if not reader.ended:
        end = start + LAST * segment.every
        said = f"says {segment.until:g} s" if segment.until else "does not say how long it is"
        return f"only the first {end:g} s were read, since its header {said}: convert it to .mp4"
    return ""


class _Reader:
    """Reads a video forward; jumps where the goal is far."""

    def __init__(self, path: Path) -> None:
        self.path, self.ended = path, False
        self.time = -1.0
        self._capture = _opened(path)

    def first_within(self, start: float, end: float) -> tuple[float, npt.NDArray[np.uint8]] | None:
        """Return time and pixels (height, width, 3), RGB, of the first frame from start to end."""
        if start - max(self.time, 0) > _NEAR:
            self._jump(start)
        while self.time < start and not self.ended:
            self._grab()
        if self.ended or self.time >= end:
            return None
        there, frame = self._capture.retrieve()
        if not there or frame is None:
            raise ImageError(f"a frame at {self.time:g} s cannot be decoded")
        return self.time, np.ascontiguousarray(frame[:, :, ::-1])

    def _grab(self) -> None:
        if not self._capture.grab():
            self.ended = True
            return
        said = self._capture.get(_cv2().CAP_PROP_POS_MSEC) / 1000
        self.time = max(self.time, said, 0.0)  # a time that goes back is a damaged one

    def _jump(self, start: float) -> None:
        """Go to shortly before ``start``, or where that is not possible to the beginning."""
        self._capture.set(_cv2().CAP_PROP_POS_MSEC, 1000 * (start - _BEFORE))
        self.time = -1.0
        self._grab()
        if self.ended or self.time > start:
            self._capture.release()
            self._capture, self.ended, self.time = _opened(self.path), False, -1.0


def frames_at(path: Path, times: Sequence[float]) -> Iterator[npt.NDArray[np.uint8] | None]:
    """Yield the frame at each time, (height, width, 3), RGB; None where there is none.

    Args:
        path: the video.
        times: seconds, as rows hold them, each later than the one before.

    Raises:
        ImageError: the video cannot be read, or a frame cannot be decoded.
    """
    for time in times:
        start = time - 0.001  # rows hold three decimals
        found = _reader(path, start).first_within(start, time + 0.05)
        yield None if found is None else found[1]


# The reader of the process: the next segment is often the next of the same video.
_last: list[_Reader] = []


def _reader(path: Path, start: float) -> _Reader:
    """Return a reader of a video that stands before ``start``."""
    if _last and _last[0].path == path and _last[0].time < start and not _last[0].ended:
        return _last[0]
    _last[:] = [_Reader(path)]
    return _last[0]


def _opened(path: Path) -> Any:
    """Return a capture of a video.

    Raises:
        ImageError: it cannot be read, or its frames are too large.
    """
    try:
        with open_regular(path) as stream:
            head = stream.read(32).lstrip()
    except OSError as error:
        raise ImageError(str(error.strerror or error)) from None
    if head.startswith(_LISTS):
        raise ImageError("a list of videos: name them instead")
    cv2 = _cv2()
    capture = cv2.VideoCapture(os.fspath(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise ImageError("not a video that can be read, or damaged at its beginning")
    width, height = (capture.get(each) for each in (3, 4))
    if width * height > MOST_PIXELS:
        raise ImageError(f"frames of {width:g} x {height:g} pixels are too large")
    return capture


def _cv2() -> Any:
    import cv2

    return cv2


def error_row(segment: Segment, problem: str) -> dict[str, Any]:
    """Return the row that says what is wrong with a video."""
    time = None if segment.problem else segment.first * segment.every
    return {
        "path": segment.video, "status": Status.ERROR, "message": problem, "time": time,
    }  # fmt: skip
