"""What runs a model: torch for a checkpoint, ONNX Runtime for its export."""

from __future__ import annotations

from pathlib import Path

from facecheck.model.predict import Predictor


def load_predictor(
    path: Path, device: str = "auto", *, features: bool = False, threads: int | None = None
) -> Predictor:
    """Load a model on the engine that its suffix asks for; torch is imported only if it runs.

    Args:
        path: a checkpoint, or an ``.onnx`` export of one.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``; ONNX Runtime knows ``auto`` and ``cpu``.
        features: give the features too, even where there is no guard that needs them.
        threads: how many compute on the CPU, of torch in this whole process; None: one per core.

    Raises:
        UsageError: there is no such device.
        CheckpointError: the file cannot be used.
    """
    if path.suffix.lower() == ".onnx":
        from facecheck.model.onnx import OnnxPredictor

        return OnnxPredictor(path, device, features=features, threads=threads)
    import torch

    from facecheck.model.checkpoint import load_checkpoint
    from facecheck.model.device import choose_device

    if threads is not None:
        torch.set_num_threads(threads)
    return Predictor(load_checkpoint(path), choose_device(device), features=features)
