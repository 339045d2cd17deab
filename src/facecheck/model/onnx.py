"""ONNX: a checkpoint as one file that ONNX Runtime runs without torch.

The graph takes the very pixels that every engine is given, uint8 and channels last, and
normalises them itself; so there is one preprocessing, and no engine can get it wrong. The file's
metadata carries the checkpoint's whole header.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime  # type: ignore[import-untyped]

from facecheck.core.errors import CheckpointError, UsageError
from facecheck.core.files import atomic_path, path_text, refuse_to_overwrite
from facecheck.core.manifest import Manifest, read_manifest
from facecheck.core.parallel import chunked, cpu_count
from facecheck.model.checkpoint import (
    HEADER_KEY,
    Header,
    header_text,
    load_checkpoint,
    normalise,
    parse_header,
)
from facecheck.model.metrics import Floats, Labels
from facecheck.model.predict import Predictor, Verdict, judge_all, seen_by_head
from facecheck.model.transforms import load_input

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "fp16", "int8"]
#: The largest difference of a score from the checkpoint's that an export may have. That of fp16 is
#: what rounding does to a score near 0.5 (0.028 on an EfficientNet-Lite0), with room: more is a
#: broken export. None: what a quantised model loses is told, and for its user to accept.
TOLERANCE: dict[str, float | None] = {"fp32": 1e-3, "fp16": 0.05, "int8": None}

_INPUT, _LOGITS, _FEATURES = "pixels", "logits", "features"
_PROVIDERS = {"auto": "CPUExecutionProvider", "cpu": "CPUExecutionProvider"}
_BATCH = 32


class OnnxPredictor(Predictor):
    """An export on ONNX Runtime; as :class:`~facecheck.model.predict.Predictor`, without torch."""

    def __init__(
        self,
        path: Path,
        device: str = "auto",
        *,
        features: bool = False,
        threads: int | None = None,
    ) -> None:
        if device not in _PROVIDERS:
            raise UsageError(
                f"device {device!r}: an .onnx model runs on the cpu: pass --device cpu, or the "
                "checkpoint it was made from"
            )
        self.device = "cpu"
        self._path = path
        self._session = _session(path, threads or cpu_count())
        self.header = _header(self._session, path)
        self.gives_features = features or self.header.guard is not None

    def save(self, header: Header, path: Path) -> None:
        """Write the same graph with another header to ``path``.

        Raises:
            CheckpointError: the file cannot be written, or the extra ``export`` is missing.
        """
        _need_exporter()
        import onnx

        exported = onnx.load(self._path)
        del exported.metadata_props[:]
        try:
            with atomic_path(path) as temporary:
                _write(exported, header, temporary)
        except OSError as error:
            raise CheckpointError(f"{path_text(path)}: cannot be written ({error})") from None

    def _run(self, pixels: npt.NDArray[np.uint8]) -> tuple[Floats, Floats | None]:
        wanted = [_LOGITS, _FEATURES] if self.gives_features else [_LOGITS]
        found = [
            np.asarray(output, dtype=np.float64)
            for output in self._session.run(wanted, {_INPUT: pixels})
        ]
        return found[0], found[1] if self.gives_features else None


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path_text(path)}: check the path")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors: what is wrong is told in our own line
    try:
        return onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    # ONNX Runtime raises classes of its own, which have no common parent but Exception.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path_text(path)}: not a whole ONNX file ({reason})") from None


def _header(session: onnxruntime.InferenceSession, path: Path) -> Header:
    text = session.get_modelmeta().custom_metadata_map.get(HEADER_KEY)
    if text is None:
        raise CheckpointError(
            f"{path_text(path)}: holds a network but no facecheck header: make one with `facecheck "
            "export`"
        )
    return parse_header(text, path_text(path))


@dataclass(frozen=True)
class ExportResult:
    """An export, and how it compares with its checkpoint on real images.

    Attributes:
        path: the file.
        precision: ``fp32``, ``fp16`` or ``int8``.
        bytes: its size.
        images: validation images compared; none of them was calibrated on.
        calibrated_on: validation images that the quantisation was calibrated on; 0 without.
        largest_difference: of a score, 0 to 1.
        mean_difference: of the scores.
        verdicts_changed: images whose verdict is another.
        top1: share of kinds that the checkpoint has right.
        exported_top1: share of kinds that the export has right.
    """

    path: Path
    precision: str
    bytes: int
    images: int
    calibrated_on: int
    largest_difference: float
    mean_difference: float
    verdicts_changed: int
    top1: float
    exported_top1: float


def export_onnx(
    checkpoint: Path,
    path: Path,
    *,
    manifest: Path,
    precision: Precision = "fp32",
    per_source: int = 60,
    overwrite: bool = False,
) -> ExportResult:
    """Export a checkpoint to ONNX and compare both on validation images.

    ``int8`` is static quantisation of weights and activations, per channel, weights of 7 bits
    (``reduce_range``: older CPUs add products of 8-bit ones beyond 16 bits), calibrated on half of
    the images and compared on the other half.

    Args:
        checkpoint: a checkpoint by ``train``.
        path: where the export goes, ``.onnx``.
        manifest: a manifest by ``split``, whose ``val`` split the comparison is made on.
        precision: ``fp32``, ``fp16`` (of the weights alone: half the size at fp32's speed) or
            ``int8`` (a quarter).
        per_source: at most this many images of each source, drawn by their hashes; 0 for all.
        overwrite: replace an existing ``path``.

    Raises:
        UsageError: ``path`` exists or does not end in ``.onnx``, or the precision is unknown.
        CheckpointError: the checkpoint cannot be used; the packages that export are missing
            (extra ``export``); there are too few validation images; or a score of the export
            differs by more than :data:`TOLERANCE` (nothing is written then).
        ImageError: a validation image cannot be decoded.
    """
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path_text(path)}: an export's name must end in .onnx")
    if precision not in TOLERANCE:
        raise UsageError(f"precision {precision!r}: must be one of {', '.join(TOLERANCE)}")
    refuse_to_overwrite(path, overwrite=overwrite)
    _need_exporter()
    loaded = load_checkpoint(checkpoint)
    calibration, compared = _images(manifest, loaded.header, precision, per_source)
    with tempfile.TemporaryDirectory() as scratch, atomic_path(path) as temporary:
        exported = _graph(loaded.model, loaded.header)
        if precision == "fp16":
            exported = _halved(exported)
        if precision == "int8":
            batches = [
                batch.reshape(-1, *batch.shape[2:]) for batch in _inputs(calibration, loaded.header)
            ]
            exported = _quantised(exported, batches, Path(scratch))
        _write(exported, loaded.header, temporary)
        result = _compare(checkpoint, temporary, compared, loaded.header)
        difference, allowed = result[0].max(), TOLERANCE[precision]
        if allowed is not None and not difference <= allowed:
            raise CheckpointError(
                f"{path_text(path)}: not written: a score of the export differs by "
                f"{difference:.4f} from the checkpoint's, more than {allowed:g}: try another "
                "precision"
            )
    differences, changed, top1, exported_top1 = result
    return ExportResult(
        path=path,
        precision=precision,
        bytes=path.stat().st_size,
        images=len(compared),
        calibrated_on=len(calibration),
        largest_difference=float(difference),
        mean_difference=float(differences.mean()),
        verdicts_changed=changed,
        top1=top1,
        exported_top1=exported_top1,
    )


def _need_exporter() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise CheckpointError(
            "writing .onnx needs the extra: pip install 'facecheck[export]'"
        ) from None


def _images(
    manifest: Path, header: Header, precision: str, per_source: int
) -> tuple[Manifest, Manifest]:
    """Return the validation images to calibrate on, and those to compare on."""
    records = read_manifest(manifest).in_split("val").sampled(per_source)
    records = Manifest(records.frame.filter(records.frame["kind"].is_in(header.kinds)))
    if len(records) < 2:
        raise CheckpointError(
            f"{path_text(manifest)}: {len(records)} images in split 'val': an export is compared "
            "on two or more: run `facecheck split` first"
        )
    if precision != "int8":
        return Manifest(records.frame.clear()), records
    return Manifest(records.frame.gather_every(2)), Manifest(records.frame.gather_every(2, 1))


def _graph(model: torch.nn.Module, header: Header) -> Any:
    """Return the network, with the normalisation before it, as an ONNX model of one crop an image.

    Its outputs are the logits and what the head sees.
    """
    import torch

    class FromPixels(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = model

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            with seen_by_head(self.network) as seen:
                logits: torch.Tensor = self.network(normalise(pixels, header.transform))
            return logits, seen[0].flatten(1)

    side = header.transform.image_size
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    with _quiet():
        program = torch.onnx.export(
            FromPixels().eval(),
            (example,),
            dynamo=True,
            input_names=[_INPUT],
            output_names=[_LOGITS, _FEATURES],
            dynamic_shapes=({0: torch.export.Dim("images")},),
            verbose=False,
        )
    assert program is not None  # noqa: S101
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' comments on themselves off the user's terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def _halved(exported: Any) -> Any:
    """Return the model with its weights stored in 16 bits, to be widened when it is loaded.

    ONNX Runtime widens them once and then computes in 32 bits: as fast as fp32 on a CPU, which has
    no 16-bit arithmetic, and no activation is rounded.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = exported.graph
    casts = []
    for weights in graph.initializer:
        # Vectors weigh nothing, and the normalisation's rounding would move every pixel.
        if weights.data_type == TensorProto.FLOAT and len(weights.dims) > 1:
            narrow = numpy_helper.to_array(weights).astype(np.float16)
            stored = f"{weights.name} fp16"
            casts.append(helper.make_node("Cast", [stored], [weights.name], to=TensorProto.FLOAT))
            weights.CopyFrom(numpy_helper.from_array(narrow, stored))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return exported


def _quantised(exported: Any, batches: Sequence[npt.NDArray[np.uint8]], scratch: Path) -> Any:
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import (  # type: ignore[import-untyped]
        quant_pre_process,
    )

    class Batches(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
            batch = next(self._left, None)
            return None if batch is None else {_INPUT: batch}

    plain, ready, small = (scratch / f"{name}.onnx" for name in ("plain", "ready", "small"))
    onnx.save(exported, plain)
    with _quiet():
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        quantization.quantize_static(
            ready,
            small,
            Batches(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            # Not the normalisation, whose few operations cost nothing.
            op_types_to_quantize=["Conv", "Gemm", "MatMul", "Add", "GlobalAveragePool"],
        )
    return onnx.load(small)


def _inputs(records: Manifest, header: Header) -> list[npt.NDArray[np.uint8]]:
    """Return batches of shape (N, crops, image_size, image_size, 3)."""
    return [
        np.stack([load_input(path, header.transform) for path in paths])
        for paths in chunked(records.paths(), _BATCH)
    ]


def _write(exported: Any, header: Header, path: Path) -> None:
    import onnx

    entry = exported.metadata_props.add()
    entry.key, entry.value = HEADER_KEY, header_text(header)
    onnx.save(exported, path)


def _compare(
    checkpoint: Path, exported: Path, records: Manifest, header: Header
) -> tuple[Floats, int, float, float]:
    """Return differences of scores, verdicts changed, top-1 of the checkpoint and of the export."""
    from facecheck.model.engine import load_predictor

    batches = _inputs(records, header)
    engines = (load_predictor(checkpoint, "cpu"), OnnxPredictor(exported))
    (before, old), (after, new) = (_answers(engine, batches) for engine in engines)
    labels: Labels = np.array([header.kinds.index(kind) for kind in records.frame["kind"]])
    return (
        np.array([abs(a.score - b.score) for a, b in zip(old, new, strict=True)]),
        sum(a.verdict != b.verdict for a, b in zip(old, new, strict=True)),
        float((before.argmax(axis=1) == labels).mean()),
        float((after.argmax(axis=1) == labels).mean()),
    )


def _answers(
    predictor: Predictor, batches: Sequence[npt.NDArray[np.uint8]]
) -> tuple[Floats, list[Verdict]]:
    """Return the logits, shape (n, kinds), and the verdicts on n images."""
    found = [predictor.outputs(batch) for batch in batches]
    judged = [verdict for output in found for verdict in judge_all(*output, predictor.header)]
    return np.concatenate([logits for logits, _ in found]), judged
