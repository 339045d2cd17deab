"""The job that hands a checkpoint to other engines, and compares what they answer with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt

from facecheck.core.errors import CheckpointError, UsageError
from facecheck.core.files import path_text, refuse_to_overwrite, to_path
from facecheck.core.manifest import Manifest, read_manifest
from facecheck.core.parallel import chunked
from facecheck.core.workspace import find_checkpoint, find_manifest
from facecheck.engines.base import SUFFIXES, draft
from facecheck.engines.load import load_predictor
from facecheck.engines.options import ExportOptions, Format, Precision
from facecheck.model.checkpoint import Header, load_checkpoint
from facecheck.model.metrics import Floats, Labels
from facecheck.model.predict import Prediction, Predictor, decide_all
from facecheck.model.transforms import load_input

#: The largest difference of a score from the checkpoint's that an export may have. That of fp16 is
#: what rounding does to a score near 0.5 (0.028 on an EfficientNet-Lite0), with room: more is a
#: broken export. None: what a quantised model loses is reported, for its user to accept.
TOLERANCE: dict[Precision, float | None] = {"fp32": 1e-3, "fp16": 0.05, "int8": None}

_BATCH = 32


@dataclass(frozen=True)
class ExportResult:
    """An export, and how it compares with its checkpoint on real images.

    Attributes:
        path: the file; an ``.xml`` has its ``.bin`` next to it.
        format: ``onnx``, ``torchscript``, ``openvino`` or ``litert``.
        precision: ``fp32``, ``fp16`` or ``int8``.
        bytes: its size, all files together.
        images: validation images compared; not one was calibrated on.
        calibrated_on: validation images that the quantisation was calibrated on; 0 without.
        largest_difference: of a score, 0 to 1.
        allowed: the largest difference that it could have; None: any.
        mean_difference: of the scores.
        verdicts_changed: images whose verdict is another.
        top1: share of kinds that the checkpoint has right.
        exported_top1: share of kinds that the export has right.
    """

    path: Path
    format: str
    precision: str
    bytes: int
    images: int
    calibrated_on: int
    largest_difference: float
    allowed: float | None
    mean_difference: float
    verdicts_changed: int
    top1: float
    exported_top1: float


def format_of(path: Path) -> Format:
    """Return the format that a file's suffix stands for.

    Raises:
        UsageError: none has this suffix.
    """
    for name, suffix in SUFFIXES.items():
        if path.suffix.lower() == suffix:
            return name
    wanted = ", ".join(f"{suffix} ({name})" for name, suffix in SUFFIXES.items())
    raise UsageError(f"{path_text(path)}: an export's name must end in one of {wanted}")


def export_checkpoint(
    checkpoint: Path | str | None,
    path: Path | str,
    options: ExportOptions = ExportOptions(),
    *,
    manifest: Path | str | None = None,
) -> ExportResult:
    """Export a checkpoint to the format of ``path``'s suffix; compare both on validation images.

    The file takes the very pixels that every engine is given, uint8 and channels last, and
    normalises them itself; so there is one preprocessing, and no engine can get it wrong. Its
    metadata is the checkpoint's whole header.

    ``int8`` is quantised by half of the images and compared on the other half.

    Args:
        checkpoint: a checkpoint by ``train``.
        path: where the export goes, ending in one of :data:`~facecheck.engines.base.SUFFIXES`.
        manifest: a manifest by ``split``, whose ``val`` split the comparison is made on.
        options: ``fp16`` is of the weights alone: half the size at fp32's speed; ``int8`` is a
            quarter. TorchScript is fp32 alone.

    Raises:
        UsageError: ``path`` exists or has another suffix, or the precision cannot be.
        CheckpointError: the checkpoint cannot be used; the packages that export are missing; there
            are too few validation images; the file cannot be written; or a score of the export
            differs by more than :data:`TOLERANCE` (nothing is written then).
        ImageError: a validation image cannot be decoded.
    """
    checkpoint, manifest = find_checkpoint(checkpoint), find_manifest(manifest)
    path = to_path(path, "path")
    kind = format_of(path)
    precision = options.precision
    _check_precision(precision, kind)
    for file in _files(path):
        refuse_to_overwrite(file, overwrite=options.overwrite)
    write = _writer(kind)
    loaded = load_checkpoint(checkpoint)
    calibration, compared = _images(manifest, loaded.header, precision, options.per_source)
    batches = [batch.reshape(-1, *batch.shape[2:]) for batch in _inputs(calibration, loaded.header)]
    with draft(path) as temporary:
        write(loaded.model, loaded.header, temporary, precision, batches)
        found = _compare(checkpoint, temporary, compared, loaded.header)
        difference, allowed = float(found[0].max()), TOLERANCE[precision]
        if allowed is not None and not difference <= allowed:
            raise CheckpointError(
                f"{path_text(path)}: not written: a score of the export differs by "
                f"{difference:.4f} from the checkpoint's, more than {allowed:g}: try another "
                "precision or format"
            )
    differences, changed, top1, exported_top1 = found
    return ExportResult(
        path=path,
        format=kind,
        precision=precision,
        bytes=sum(file.stat().st_size for file in _files(path)),
        images=len(compared),
        calibrated_on=len(calibration),
        largest_difference=difference,
        allowed=allowed,
        mean_difference=float(differences.mean()),
        verdicts_changed=changed,
        top1=top1,
        exported_top1=exported_top1,
    )


def _check_precision(precision: str, kind: Format) -> None:
    if precision not in get_args(Precision):
        names = ", ".join(get_args(Precision))
        raise UsageError(f"precision {precision!r}: must be one of {names}")
    if kind == "torchscript" and precision != "fp32":
        raise UsageError(
            f"precision {precision!r}: TorchScript is written in fp32 alone: choose "
            "onnx, openvino or litert"
        )


def _files(path: Path) -> tuple[Path, ...]:
    return (path, path.with_suffix(".bin")) if format_of(path) == "openvino" else (path,)


def _writer(kind: Format) -> Callable[..., None]:
    """Return what writes a format: ``write(model, header, path, precision, batches)``."""
    match kind:
        case "onnx":
            from facecheck.engines.onnx import write
        case "torchscript":
            from facecheck.engines.torchscript import write
        case "openvino":
            from facecheck.engines.openvino import write
        case "litert":
            from facecheck.engines.litert import write
    return write


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


def _inputs(records: Manifest, header: Header) -> list[npt.NDArray[np.uint8]]:
    """Return batches of shape (N, crops, image_size, image_size, 3)."""
    return [
        np.stack([load_input(path, header.transform) for path in paths])
        for paths in chunked(records.paths(), _BATCH)
    ]


def _compare(
    checkpoint: Path, exported: Path, records: Manifest, header: Header
) -> tuple[Floats, int, float, float]:
    """Return differences of scores, verdicts changed, top-1 of the checkpoint and of the export."""
    batches = _inputs(records, header)
    engines = (load_predictor(checkpoint, "cpu"), load_predictor(exported, "cpu"))
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
) -> tuple[Floats, list[Prediction]]:
    """Return the logits, shape (n, kinds), and the verdicts on n images."""
    found = [predictor.outputs(batch) for batch in batches]
    predictions = [one for output in found for one in decide_all(*output, predictor.header)]
    return np.concatenate([logits for logits, _ in found]), predictions
