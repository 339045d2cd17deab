"""Where the faces of an image are, and the square around each that the model sees.

The detector is YuNet (W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector",
Machine Intelligence Research 2023) through OpenCV, which is loaded for the first image.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from facecheck.core.errors import CheckpointError, FacecheckError, ImageError, reason
from facecheck.core.files import path_text

if TYPE_CHECKING:
    from facecheck.scanner.picture import Picture

#: Short side in pixels of the smallest face that is classified; its square has about 60 a side.
#: Below that EfficientNet-Lite0 at 128 px calls most photographs artificial (called real, among
#: 40 each of FFHQ, CelebA and CUFS, in per cent: 57, 100, 94 at 128 px; 55, 90, 39 at 64; 30, 70,
#: 3 at 48).
SMALLEST = 32
#: Sides in pixels of the squares that images are fitted into for the detector, which takes 2, 8, 32
#: and 131 ms for them on one core. The first shows all close-ups.
SIZES = (160, 320, 640, 1280)
#: Size in pixels (root of the area) of faces in the detector's input that are found reliably: 98 %
#: are at 20, 75 % at 15, 20 % at 10.
RELIABLE = 20
#: A face is what YuNet is at least so sure of.
CONFIDENCE = 0.7
#: Side of a face's square, in units of the root of the area of YuNet's box; and how far the
#: square's centre lies above the box's, in units of its side. In the face crops that models are
#: trained on the box takes 0.64 of the side (FFHQ, CUFS, StyleGAN), 0.56 to 0.81 in others, and
#: lies 0.05 too low.
MARGIN = 1.6
LIFT = 0.05
#: Share (intersection over union) of a face's square with the square in the image's middle from
#: which the image counts as a face crop already.
CLOSE_UP = 0.5


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the upright image at its full size.

    Attributes:
        left: of its left edge, 0 or more.
        top: of its top edge, 0 or more.
        width: 1 or more.
        height: 1 or more.
    """

    left: int
    top: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """Square pixels."""
        return self.width * self.height

    @property
    def short_side(self) -> int:
        """The smaller of width and height."""
        return min(self.width, self.height)

    def shared(self, other: Box) -> int:
        """Return how many square pixels it has in common with another."""
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return max(0, width) * max(0, height)


@dataclass(frozen=True)
class Face:
    """A face that was found.

    Attributes:
        box: from about the brows to the chin, as YuNet draws it.
        confidence: the detector's, :data:`CONFIDENCE` to 1.
    """

    box: Box
    confidence: float


def find_faces(picture: Picture, model: Path | bytes) -> list[Face]:
    """Return the faces of an image, the largest first.

    The image is fitted into a square of one of :data:`SIZES` (each new size costs a slow first
    call), first into the smallest. If that shows a close-up, the search ends: the image is
    a face crop already. Otherwise the next is the size that shows a face of :data:`SMALLEST`
    pixels reliably, 640 at most, and the largest comes last, only where faces too small for 640
    to show reliably speak of a crowd.

    Args:
        picture: the image.
        model: YuNet's ONNX file, or what is in it.

    Raises:
        ImageError: the image cannot be decoded at the scale that this needs.
        CheckpointError: ``model`` is not a face detector that OpenCV can read.
        FacecheckError: OpenCV is not there.
    """
    longest = max(picture.width, picture.height)
    needed = longest * RELIABLE / SMALLEST
    glance, *middle, crowd = SIZES
    faces = _distinct(_detect(picture, model, glance))
    if glance >= needed or (faces and is_close_up(faces[0], picture.width, picture.height)):
        return faces
    size = next((size for size in middle if size >= needed), middle[-1])
    closer = _detect(picture, model, size)
    if size < needed and any(sqrt(face.box.area) * size < RELIABLE * longest for face in closer):
        closer += _detect(picture, model, crowd)
    return _distinct(closer) or faces


def is_close_up(face: Face, width: int, height: int) -> bool:
    """Return whether an image is a face crop already, so that it is classified whole.

    It is when the face's square and the square in the image's middle, which the model sees of a
    whole image, are the same but for :data:`CLOSE_UP`.
    """
    side = min(width, height)
    middle = Box((width - side) // 2, (height - side) // 2, side, side)
    square = face_square(face.box, width, height)
    shared = square.shared(middle)
    return shared >= CLOSE_UP * (square.area + middle.area - shared)


def face_square(box: Box, width: int, height: int) -> Box:
    """Return the square around a face that the model sees, in an image of this size.

    At the image's edge it is shifted inside, not squashed; where the image is too small it is as
    large as the image allows. So it never holds a pixel that was not photographed.
    """
    side = min(max(1, round(MARGIN * sqrt(box.area))), width, height)
    left = round(box.left + box.width / 2 - side / 2)
    top = round(box.top + box.height / 2 - LIFT * side - side / 2)
    return Box(min(max(left, 0), width - side), min(max(top, 0), height - side), side, side)


def _distinct(faces: Iterable[Face]) -> list[Face]:
    """Return the faces once each, the largest first.

    Of two that share more than half of the smaller one, the one more certain stays.
    """
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.confidence, face.box.left, face.box.top)):
        if not any(
            2 * face.box.shared(other.box) > min(face.box.area, other.box.area) for other in kept
        ):
            kept.append(face)
    return sorted(kept, key=lambda face: -face.box.area)


def _detect(picture: Picture, model: Path | bytes, size: int) -> list[Face]:
    """Return the faces that are seen when the image is fitted into a square of ``size``."""
    network = _network(model, size)
    import cv2

    scale = size / max(picture.width, picture.height)
    image = picture.at(scale)
    fitted = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = image.resize(fitted, Image.Resampling.BILINEAR, reducing_gap=2.0)
    canvas = np.zeros((size, size, 3), np.uint8)
    canvas[: fitted[1], : fitted[0]] = np.asarray(small)[:, :, ::-1]
    try:
        rows = network.detect(canvas)[1]
    except cv2.error as error:
        raise ImageError(f"the face detector failed: {reason(error)}") from None
    found = [] if rows is None else rows
    return [face for row in found if (face := _face(row, scale, picture.width, picture.height))]


def _face(row: Any, scale: float, width: int, height: int) -> Face | None:
    """Return one of YuNet's rows in full-size pixels inside the image; None if it lies outside."""
    left, top, right, bottom = (
        round(min(max(float(edge) / scale, 0.0), limit))
        for edge, limit in zip(
            (row[0], row[1], row[0] + row[2], row[1] + row[3]),
            (width, height, width, height),
            strict=True,
        )
    )
    if right <= left or bottom <= top:
        return None
    return Face(Box(left, top, right - left, bottom - top), float(row[14]))


_loaded = threading.local()


def _network(model: Path | bytes, size: int) -> Any:
    """Return this thread's detector for one size: OpenCV's are not safe to share."""
    if not hasattr(_loaded, "networks"):
        _loaded.networks = {}
    if (model, size) not in _loaded.networks:
        _loaded.networks[model, size] = _load(model, size)
    return _loaded.networks[model, size]


def _load(model: Path | bytes, size: int) -> Any:
    try:
        import cv2
    except ImportError as error:
        raise FacecheckError(
            f"--faces auto needs OpenCV, which cannot be imported ({error}): "
            "pip install opencv-python-headless, or pass --faces off"
        ) from None
    cv2.setNumThreads(1)  # images are spread over threads and processes already
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # errors are raised anyway
    try:
        # From bytes: OpenCV opens no file whose name is not UTF-8.
        data = model if isinstance(model, bytes) else model.read_bytes()
        network = cv2.FaceDetectorYN.create(
            "onnx",
            np.frombuffer(data, np.uint8),
            np.zeros(0, np.uint8),
            (size, size),
            score_threshold=CONFIDENCE,
        )
        network.detect(np.zeros((size, size, 3), np.uint8))  # only now is it known to be YuNet
    except (OSError, cv2.error) as error:
        why = reason(error) if isinstance(error, OSError) else " ".join(error.err.split())
        which = "the face detector" if isinstance(model, bytes) else path_text(model)
        raise CheckpointError(
            f"{which}: not a YuNet face detector that OpenCV {cv2.__version__} can "
            f"read ({why}): name another with --face-detector, or pass --faces off"
        ) from None
    finally:
        cv2.utils.logging.setLogLevel(level)
    return network


def check_detector(model: Path) -> None:
    """Load a face detector once, so that a scan that cannot use it stops before it starts.

    Raises:
        CheckpointError: ``model`` is not a face detector that OpenCV can read.
        FacecheckError: OpenCV is not there.
    """
    _network(model, SIZES[0])
