"""The command that converts a checkpoint for other engines: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.arguments import CheckpointArgument, ManifestOption, chosen_checkpoint
from facecheck.cli.display import Display, finish
from facecheck.cli.flags import takes_options
from facecheck.core.errors import UsageError
from facecheck.core.files import path_text
from facecheck.core.options import Trust
from facecheck.core.workspace import find_manifest
from facecheck.engines.options import ExportOptions, Format


@takes_options
def export(
    checkpoint: CheckpointArgument = None,
    out: Annotated[
        Path | None,
        Trust.NAMED,
        typer.Option(
            help="The file to write, .onnx, .ts, .xml or .tflite.",
            show_default="next to the checkpoint",
        ),
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="The format.", show_default="by --out, or onnx"),
    ] = None,
    manifest: ManifestOption = None,
    *,
    options: ExportOptions,
    display: Display,
) -> None:
    """Convert a checkpoint for another engine, and compare both on the val split.

    The engines: ONNX Runtime (`onnx`), libtorch (`torchscript`), OpenVINO (`openvino`) and LiteRT,
    formerly TensorFlow Lite (`litert`). The file holds everything that a verdict needs:
    preprocessing, kinds, temperature, thresholds and guard; `facecheck scan --checkpoint FILE` runs
    it. If a score differs too much from the checkpoint's, nothing is written. Needs the extra
    `export` for onnx, `export` and `openvino` for openvino, `litert` for litert.

    Examples:
        facecheck export runs/resnet50 --out faces.onnx
        facecheck export runs/resnet50 --format onnx --precision int8
    """
    found, data = chosen_checkpoint(checkpoint, display), find_manifest(manifest)
    from facecheck.engines.base import SUFFIXES
    from facecheck.engines.export import export_checkpoint, format_of
    from facecheck.report.terminal.training import render_export

    path = out or found.with_suffix(SUFFIXES[format_ or "onnx"])
    if format_ and format_of(path) != format_:
        raise UsageError(
            f"{path_text(path)}: --format {format_} needs a name that ends in {SUFFIXES[format_]}"
        )
    finish(export_checkpoint(found, path, options, manifest=data), render_export, display)
