"""The command that shows what moved the score of one image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from facecheck.cli.options import Device, Json, Overwrite, Quiet, show
from facecheck.core.labels import Status
from facecheck.core.workspace import find_checkpoint


def explain(
    image: Annotated[Path, typer.Argument(help="An image file.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The picture, a PNG.", show_default="<name>.explained.png in the current folder"
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="A checkpoint, its .onnx export, a run folder, or `builtin`.",
            show_default="the newest run, or builtin",
        ),
    ] = None,
    faces: Annotated[
        Literal["auto", "off"],
        typer.Option(
            help="auto: find faces and judge each, by a detector that is downloaded once; off: "
            "judge the image whole."
        ),
    ] = "auto",
    face_detector: Annotated[
        Path | None,
        typer.Option(
            help="YuNet's ONNX file.",
            show_default="downloaded once, or FACECHECK_FACE_DETECTOR",
        ),
    ] = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge one image as a scan does, and draw what moved the score of each of its faces.

    The picture holds the image, each face as the model sees it, its heat map and the probability of
    each kind. The exit code is 3 when the file cannot be read.
    """
    found = find_checkpoint(checkpoint)
    from facecheck.report.explain import explain as job
    from facecheck.report.terminal.scanning import render_explained

    result = job(
        image,
        found,
        out=out,
        faces=faces,
        face_detector=face_detector,
        overwrite=overwrite,
        device=device,
    )
    if result.no_detector and not quiet:
        sys.stderr.write(f"facecheck: the image was judged whole: {result.no_detector}\n")
    show(result, render_explained, as_json=as_json, quiet=quiet)
    if result.status == Status.ERROR:
        raise typer.Exit(3)
