"""The face detector, YuNet through OpenCV, which is loaded for the first image.

W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence
Research 20 (2023), 656-665. Its file, ``yunet.onnx``, is ``yunet_n_dynamic.onnx`` of the
libfacedetection.train repository at commit dca340a, Apache-2.0 (``yunet.LICENSE.txt``).
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facecheck.core.errors import CheckpointError, FacecheckError, ImageError, UsageError, reason
from facecheck.core.files import path_text
from facecheck.core.whatis import mistaken
from facecheck.core.workspace import FACE_DETECTOR_VARIABLE

#: The detector that comes with the package.
PACKAGED = Path(str(files("facecheck"))) / "scanner" / "faces" / "yunet.onnx"
#: Sides in pixels of the square inputs that are used; each new one costs a slow first call. A call
#: takes 2, 8 and 32 ms on one core.
SIDES = (160, 320, 640)
#: What YuNet is at least so sure of is a face.
CONFIDENCE = 0.7
#: What it is at least so sure of resembles one, if only as a drawing does: so do 77 % of vector
#: avatars and 85 % of drawn ones (some without eyes or mouth), and 1 % of 150 drawn logos, charts,
#: products and pages of text.
FAINT = 0.15


@dataclass(frozen=True)
class Detection:
    """What YuNet sees somewhere in an input.

    Attributes:
        left: of its left edge, in pixels of the input; may lie outside, as the others.
        top: of its top edge.
        width: above 0.
        height: above 0.
        confidence: :data:`FAINT` to 1.
        landmarks: (x, y) of the eyes, the nose and the corners of the mouth; of each two the one
            that is further left in an upright face first.
    """

    left: float
    top: float
    width: float
    height: float
    confidence: float
    landmarks: tuple[tuple[float, float], ...] = ()


def find_detector(named: Path | None = None) -> Path:
    """Return the face detector's file: the user's, or the packaged one.

    Args:
        named: a YuNet file of the user's; None takes that of
            :data:`~facecheck.core.workspace.FACE_DETECTOR_VARIABLE`, or else the packaged one.

    Raises:
        UsageError: a file is named, and does not exist.
        CheckpointError: the file is not a face detector that OpenCV can read.
        FacecheckError: OpenCV is not installed.
    """
    chosen = named or Path(os.environ.get(FACE_DETECTOR_VARIABLE) or PACKAGED)
    if not chosen.is_file():
        by = "--face-detector" if named else FACE_DETECTOR_VARIABLE
        raise UsageError(f"no face detector at {path_text(chosen)}: correct {by}, or leave it out")
    _network(chosen, SIDES[0])
    return chosen


def detect(pixels: npt.NDArray[np.uint8], model: Path | bytes) -> list[Detection]:
    """Return what YuNet sees in an input.

    Args:
        pixels: shape (side, side, 3), one of :data:`SIDES`, RGB, 0 to 255.
        model: YuNet's ONNX file, or what is in it.

    Raises:
        ImageError: OpenCV fails.
        CheckpointError: ``model`` is not a face detector that OpenCV can read.
        FacecheckError: OpenCV is not installed.
    """
    network = _network(model, len(pixels))
    import cv2

    try:
        rows = network.detect(np.ascontiguousarray(pixels[:, :, ::-1]))[1]
    except cv2.error as error:
        raise ImageError(f"the face detector failed: {reason(error)}") from None
    return [_detection(row) for row in (() if rows is None else rows.tolist())]


def _detection(row: list[float]) -> Detection:
    left, top, width, height, *points, confidence = row
    landmarks = tuple(zip(points[::2], points[1::2], strict=True))
    return Detection(left, top, width, height, confidence, landmarks)


_loaded = threading.local()
#: One load at a time: OpenCV's level of logging, which each changes, is the whole process's.
_loading = threading.Lock()


def _network(model: Path | bytes, side: int) -> Any:
    """Return this thread's detector for one side: OpenCV's are not safe to share."""
    if not hasattr(_loaded, "networks"):
        _loaded.networks = {}
    if (model, side) not in _loaded.networks:
        with _loading:
            _loaded.networks[model, side] = _load(model, side)
    return _loaded.networks[model, side]


def _load(model: Path | bytes, side: int) -> Any:
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
            (side, side),
            score_threshold=FAINT,
        )
        network.detect(np.zeros((side, side, 3), np.uint8))  # only now is it known to be YuNet
    except (OSError, cv2.error) as error:
        why = reason(error) if isinstance(error, OSError) else " ".join(error.err.split())
        if not isinstance(model, bytes) and model.suffix.lower() != ".onnx":
            fix = "name another with --face-detector, or leave it out"
            raise UsageError(mistaken(model, "a YuNet face detector", fix)) from None
        which = "the face detector" if isinstance(model, bytes) else path_text(model)
        raise CheckpointError(
            f"{which}: not a YuNet face detector that OpenCV {cv2.__version__} can "
            f"read ({why}): name another with --face-detector, or leave it out"
        ) from None
    finally:
        cv2.utils.logging.setLogLevel(level)
    return network
