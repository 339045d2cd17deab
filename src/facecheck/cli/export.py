"""The command that hands a checkpoint to other engines: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from facecheck.cli.options import CheckpointArgument, Json, ManifestOption, Overwrite, Quiet, show
from facecheck.core.errors import UsageError
from facecheck.core.files import path_text
from facecheck.core.workspace import find_checkpoint, find_manifest


def export(
    checkpoint: CheckpointArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The export, .onnx, .ts, .xml or .tflite.", show_default="beside the checkpoint"
        ),
    ] = None,
    format_: Annotated[
        Literal["onnx", "torchscript", "openvino", "litert"] | None,
        typer.Option("--format", help="The file's kind.", show_default="by --out, or onnx"),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(
            help="Precision of the weights; int8 computes in int8 too, calibrated on half of "
            "the val images."
        ),
    ] = "fp32",
    manifest: ManifestOption = None,
    per_source: Annotated[
        int, typer.Option(min=0, help="Compare on at most this many images of each source; 0: all.")
    ] = 60,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a checkpoint for another engine, and compare both on the val split.

    The engines: ONNX Runtime (`onnx`), libtorch (`torchscript`), OpenVINO (`openvino`) and LiteRT,
    the former TensorFlow Lite (`litert`). The file holds all that a verdict needs: preprocessing,
    kinds, temperature, thresholds and guard; `facecheck scan --checkpoint FILE` runs it. Where a
    score differs too much from the checkpoint's, nothing is written. Needs the extra `export` for
    onnx, `export` and `openvino` for openvino, `litert` for litert.
    """
    found, data = find_checkpoint(checkpoint), find_manifest(manifest)
    from facecheck.engines.base import SUFFIXES
    from facecheck.engines.export import export_checkpoint, format_of
    from facecheck.report.terminal.training import render_export

    path = out or found.with_suffix(SUFFIXES[format_ or "onnx"])
    if format_ and format_of(path) != format_:
        raise UsageError(
            f"{path_text(path)}: --format {format_} is written to a name that ends in "
            f"{SUFFIXES[format_]}"
        )
    result = export_checkpoint(
        found,
        path,
        manifest=data,
        precision=precision,
        per_source=per_source,
        overwrite=overwrite,
    )
    show(result, render_export, as_json=as_json, quiet=quiet)
