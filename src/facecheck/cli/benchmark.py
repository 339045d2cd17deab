"""The command that tries a model hard: benchmark-model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecheck.cli.options import (
    Device,
    Json,
    ManifestOption,
    Overwrite,
    Quiet,
    SourceNames,
    Workers,
    progress_bar,
    show,
)
from facecheck.core.workspace import find_checkpoint, find_manifest


def benchmark_model(
    sources: SourceNames,
    checkpoint: Annotated[
        Path | None,
        typer.Argument(help="A checkpoint or run folder.", show_default="the newest run"),
    ] = None,
    manifest: ManifestOption = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    per_source: Annotated[
        int, typer.Option(min=0, help="At most this many images of each source; 0: all.")
    ] = 100,
    out: Annotated[
        Path | None, typer.Option(help="Write the result as JSON and CSV to this folder.")
    ] = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge a checkpoint on perturbed, shrunk and re-stored images, photos and artificial apart.

    Each image is judged as it is, under eleven perturbations (encoding, scaling, blur, a
    re-upload), at four face sizes, and, if artificial, stored exactly as the real photos are.
    """
    found = find_checkpoint(checkpoint), find_manifest(manifest)
    from facecheck.model.benchmark_model import benchmark_model as job
    from facecheck.report.terminal import render_benchmark

    with progress_bar("benchmarking", quiet=quiet) as progress:
        result = job(
            *found,
            split=split,
            sources=sources,
            per_source=per_source,
            out=out,
            overwrite=overwrite,
            device=device,
            workers=workers,
            progress=progress,
        )
    show(result, render_benchmark, as_json=as_json, quiet=quiet)
    if result.errors:
        raise typer.Exit(3)
