"""The command that hands a checkpoint to other engines: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from facecheck.cli.options import CheckpointArgument, Json, ManifestOption, Overwrite, Quiet, show
from facecheck.core.workspace import find_checkpoint, find_manifest


def export(
    checkpoint: CheckpointArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The export, .onnx.", show_default="beside the checkpoint"),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(
            help="Of the weights; int8 of the arithmetic too, quantised by half of the val images."
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
    """Write a checkpoint as one ONNX file, and compare both on the val split.

    The file holds all that a verdict needs: preprocessing, kinds, temperature, thresholds and
    guard; `facecheck scan --checkpoint FILE.onnx` runs it without torch. Where its scores differ
    too much from the checkpoint's, nothing is written. Needs the extra `export`.
    """
    found, data = find_checkpoint(checkpoint), find_manifest(manifest)
    from facecheck.model.onnx import export_onnx
    from facecheck.report.terminal import render_export

    result = export_onnx(
        found,
        out or found.with_suffix(".onnx"),
        manifest=data,
        precision=precision,
        per_source=per_source,
        overwrite=overwrite,
    )
    show(result, render_export, as_json=as_json, quiet=quiet)
