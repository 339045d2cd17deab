"""Small pictures of moments of videos, found again by their rows; made in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from facecheck.scanner.classified_picture import as_thumbnail
from facecheck.scanner.faces.boxes import Box, face_square
from facecheck.scanner.video import frames_at


@dataclass(frozen=True)
class Moment:
    """What is to be shown of a video.

    Attributes:
        time: seconds from its beginning.
        size: width and height of its frames in pixels, as they were scanned; None: any.
        box: the face, of which the square is shown that was classified; None shows the whole frame.
    """

    time: float
    size: tuple[int, int] | None = None
    box: Box | None = None


@dataclass(frozen=True)
class Moments:
    """Some moments of one video, in the order of their times.

    Attributes:
        path: the video.
        moments: which.
        side: pictures are at most so many pixels wide and high.
    """

    path: Path
    moments: tuple[Moment, ...]
    side: int


def pictures_at(wanted: Moments) -> list[bytes | str]:
    """Return for each moment a WebP picture, or why there is none.

    Raises:
        ImageError: the video cannot be read, or a frame cannot be decoded.
    """
    groups = [
        (time, list(each)) for time, each in groupby(wanted.moments, key=lambda one: one.time)
    ]
    frames = frames_at(wanted.path, [time for time, _ in groups])
    return [
        _picture(pixels, moment, wanted.side)
        for pixels, (_, moments) in zip(frames, groups, strict=True)
        for moment in moments
    ]


def _picture(pixels: npt.NDArray[np.uint8] | None, moment: Moment, side: int) -> bytes | str:
    if pixels is None:
        return f"no frame at {moment.time:g} s: another video than was scanned"
    height, width = pixels.shape[:2]
    if moment.size not in {None, (width, height)}:
        return "another video than was scanned"
    image = Image.fromarray(pixels)
    if moment.box is not None and _lies_in(moment.box, width, height):
        square = face_square(moment.box, width, height)
        image = image.crop(
            (square.left, square.top, square.left + square.width, square.top + square.height)
        )
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return as_thumbnail(image)


def _lies_in(box: Box, width: int, height: int) -> bool:
    """Return whether a row's box can be one of a frame: rows may be a stranger's."""
    return (
        0 <= box.left < width
        and 0 <= box.top < height
        and (1 <= box.width <= width and 1 <= box.height <= height)
    )
