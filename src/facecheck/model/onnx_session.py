"""A graph on ONNX Runtime: opened, and run with a limit on its time."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime  # type: ignore[import-untyped]

from facecheck.core.errors import CheckpointError, reason
from facecheck.core.files import path_text

#: Seconds that a run of a few crops on one core may take; the slowest real ones take a few.
LONGEST_RUN = 120.0


def run_session(
    session: onnxruntime.InferenceSession, wanted: Sequence[str], feed: Mapping[str, Any]
) -> list[npt.NDArray[Any]]:
    """Return the outputs ``wanted`` of a graph for ``feed``.

    Raises:
        TimeoutError: it takes longer than :data:`LONGEST_RUN`.
        Exception: whatever ONNX Runtime raises.
    """
    options = onnxruntime.RunOptions()
    # A loop in a stranger's graph need not end; ONNX Runtime looks up this flag between steps.
    timer = threading.Timer(LONGEST_RUN, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        outputs: list[npt.NDArray[Any]] = session.run(list(wanted), dict(feed), options)
        return outputs
    except Exception as error:
        if options.terminate:
            raise TimeoutError(f"took longer than {LONGEST_RUN:g} s") from error
        raise
    finally:
        timer.cancel()


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Return a session for the graph of a file, on one core a run.

    Raises:
        CheckpointError: the file is missing, or no whole ONNX file.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path_text(path)}: check the path")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a run is one core's
    options.log_severity_level = 3  # errors alone: our own message says what is wrong
    try:
        return onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    # ONNX Runtime raises classes of its own, which have no common parent but Exception.
    except Exception as error:
        raise CheckpointError(
            f"{path_text(path)}: not a whole ONNX file ({reason(error)})"
        ) from None
