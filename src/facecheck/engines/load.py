"""What runs a model: torch for a checkpoint, and for an export its format's engine."""

from __future__ import annotations

from pathlib import Path

from facecheck.model.predict import Predictor


def load_predictor(
    path: Path, device: str = "auto", *, features: bool = False, threads: int | None = None
) -> Predictor:
    """Load a model on the engine that its suffix asks for; torch is imported only if it runs.

    Args:
        path: a checkpoint (of a network, or of a head on an encoder), or an export of one:
            ``.onnx``, ``.ts`` (TorchScript), ``.xml`` (OpenVINO) or ``.tflite`` (LiteRT).
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``; an export runs on ``auto`` and ``cpu``.
        features: give the features too, even where no out-of-distribution detector needs them.
        threads: how many compute on a CPU; None: one per core. They change no number.

    Raises:
        UsageError: there is no such device.
        CheckpointError: the file cannot be used, or its engine is missing.
    """
    match path.suffix.lower():
        case ".onnx":
            from facecheck.engines.onnx import OnnxPredictor

            return OnnxPredictor(path, device, features=features, threads=threads)
        case ".ts":
            from facecheck.engines.torchscript import TorchScriptPredictor

            return TorchScriptPredictor(path, device, features=features, threads=threads)
        case ".xml":
            from facecheck.engines.openvino import OpenVinoPredictor

            return OpenVinoPredictor(path, device, features=features, threads=threads)
        case ".tflite":
            from facecheck.engines.litert import LiteRtPredictor

            return LiteRtPredictor(path, device, features=features, threads=threads)
    from facecheck.model.checkpoint import load_checkpoint, read_header

    if read_header(path).encoder is not None:
        from facecheck.model.head_predictor import HeadPredictor

        return HeadPredictor(path, device, features=features, threads=threads)
    from facecheck.model.device import choose_device
    from facecheck.model.torch_predictor import TorchPredictor

    checkpoint, target = load_checkpoint(path), choose_device(device)
    return TorchPredictor(checkpoint, target, features=features, threads=threads)
