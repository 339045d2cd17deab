"""explain: one image's answers, and a picture of what moved them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib import cm, rc_context
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from facecheck.core.errors import FacecheckError, UsageError, reason
from facecheck.core.files import atomic_path, path_text, refuse_to_overwrite, to_path
from facecheck.core.image import decode
from facecheck.core.labels import Basis, Status, Verdict
from facecheck.core.workspace import find_checkpoint
from facecheck.model.attribution import heat_maps, hottest, without_hottest
from facecheck.model.predict import Prediction, Predictor
from facecheck.provenance.evidence import Provenance
from facecheck.report.heat_pictures import COLOURS, overlay
from facecheck.report.palette import OKABE_ITO
from facecheck.scanner.answers import Answer
from facecheck.scanner.classifier import load_classifier
from facecheck.scanner.faces.boxes import Box, Face
from facecheck.scanner.inputs.items import Item, find_inputs
from facecheck.scanner.options import ExplainOptions
from facecheck.scanner.prepare import Prepared

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Pixels on the long side of the image in the picture.
_SHOWN = 900
_NAME_BYTES = 255
_ENDING = ".explained.png"
_BLUE, _ORANGE = OKABE_ITO[0], OKABE_ITO[1]


@dataclass(frozen=True)
class ExplainedFace:
    """One face, or a whole image, and what moved its score.

    Attributes:
        verdict: the model's answer, whatever the file's verdict rests on.
        view: what it is about, ``face`` or ``whole``.
        face: where it was found; None for a whole image in which none was found, or searched for.
        hottest: the square of most heat, in pixels of the model's crop.
        hidden_score: the score once the model cannot see that square.
    """

    verdict: Prediction
    view: str
    face: Face | None
    hottest: Box
    hidden_score: float


@dataclass(frozen=True)
class ExplainResult:
    """What ``explain`` found.

    Attributes:
        image: the file's name, as a scan's row has it.
        out: the picture; None where the image cannot be read.
        checkpoint: the model's file.
        status: ``ok``, ``no_face``, ``too_small`` or ``error``.
        verdict: the file's, as a scan's row has it; None unless the status is ``ok``.
        basis: what that rests on; likewise.
        message: why there is an error, how small the faces are, or why the verdict is
            ``uncertain``; else empty.
        width: pixels across of the upright image; None when it cannot be read.
        height: pixels down, likewise.
        faces: how many were found; None when none were searched for, or the image cannot be read.
        provenance: what the file says of its own origin.
        explained: each face that was classified, in the order in which one reads, or the whole
            image, by its pixels; empty where these give no verdict.
    """

    image: str
    out: Path | None
    checkpoint: Path
    status: Status
    verdict: Verdict | None
    basis: Basis | None
    message: str
    width: int | None
    height: int | None
    faces: int | None
    provenance: Provenance
    explained: tuple[ExplainedFace, ...]


@dataclass(frozen=True)
class _Panel:
    """What the model saw of a face, shape (side, side, 3), and its heat, shape (side, side)."""

    pixels: npt.NDArray[np.uint8]
    heat: npt.NDArray[np.float64]
    face: ExplainedFace


def explain(
    image: Path | str,
    checkpoint: Path | str | None = None,
    out: Path | str | None = None,
    options: ExplainOptions = ExplainOptions(),
) -> ExplainResult:
    """Classify one image as a scan does, and draw what moved the score of each of its faces.

    Args:
        image: one file.
        checkpoint: a checkpoint by ``train``, or an export of one.
        out: the picture, a PNG; None writes ``<stem of the image>.explained.png`` to the current
            folder.
        options: whether to find faces, what to compute on, and whether to replace a picture.

    Raises:
        UsageError: there is no such file, or ``out`` exists or is no PNG.
        CheckpointError: the checkpoint or the face detector cannot be used.
        FacecheckError: the picture cannot be written.
    """
    image, checkpoint = to_path(image, "the image"), find_checkpoint(checkpoint)
    item = _only_item(image)
    target = _default_out(image) if out is None else to_path(out, "out")
    if target.suffix.lower() != ".png":
        raise UsageError(f"{path_text(target)}: the picture is a PNG: end its name in .png")
    if target.exists() and target.samefile(image):
        raise UsageError(f"{path_text(target)}: the image itself: name another place with --out")
    refuse_to_overwrite(target, overwrite=options.overwrite)
    classifier = load_classifier(
        checkpoint, options, known=options, provenance=options, device=options.device
    )
    prepared, answer = classifier.classify(item)
    panels = _panels(prepared, answer, classifier.predictor)
    drawn = answer.width is not None
    if drawn:
        _write(item, answer, panels, target)
    return ExplainResult(
        image=answer.name,
        out=target if drawn else None,
        checkpoint=checkpoint,
        status=answer.status,
        verdict=answer.verdict,
        basis=answer.basis,
        message=answer.message,
        width=answer.width,
        height=answer.height,
        faces=answer.faces,
        provenance=answer.provenance,
        explained=tuple(panel.face for panel in panels),
    )


def _only_item(image: Path) -> Item:
    if not image.is_file():
        what = "a folder" if image.is_dir() else "no file"
        raise UsageError(f"{path_text(image)}: {what}: explain takes one image file")
    items = list(find_inputs([image]))
    if len(items) != 1 or items[0].source is None:
        raise UsageError(f"{path_text(image)}: an archive: explain takes one image file")
    return items[0]


def _default_out(image: Path) -> Path:
    """Return the name of the picture: the image's, cut where a name may not be so long."""
    stem = image.stem
    while len(os.fsencode(stem + _ENDING)) > _NAME_BYTES:
        stem = stem[:-1]
    return Path(stem + _ENDING)


def _panels(prepared: Prepared, answer: Answer, predictor: Predictor) -> list[_Panel]:
    """Return what to show of each face that was classified."""
    if not answer.classified:
        return []
    inputs = np.stack([crop.inputs[0] for crop in prepared.crops])
    maps = heat_maps(predictor, inputs)
    hidden = predictor.predictions(without_hottest(inputs, maps))
    panels = []
    for number, one in enumerate(answer.classified):
        left, top, right, bottom = hottest(maps[number, 0])
        face = ExplainedFace(
            verdict=one.prediction,
            view=answer.view,
            face=one.face,
            hottest=Box(left, top, right - left, bottom - top),
            hidden_score=hidden[number].score,
        )
        panels.append(_Panel(inputs[number, 0], maps[number, 0], face))
    return panels


def status_sentence(result: ExplainResult) -> str:
    """Return in words what a status other than ``ok`` means for this image."""
    return _sentence(result.status, result.message)


def _sentence(status: Status, message: str) -> str:
    return {
        Status.OK: "",
        Status.NO_FACE: "No face was found, and the model does not take the image for one made by "
        "hand: any answer would be a guess. --faces off classifies the whole image all the same.",
        Status.TOO_SMALL: f"Too small to be classified: {message}.",
    }.get(status, f"The file cannot be read: {message}.")


def _write(item: Item, answer: Answer, panels: Sequence[_Panel], path: Path) -> None:
    style: Any = {"font.size": 10, "axes.titlesize": 11, "axes.titlelocation": "left"}
    try:
        with rc_context(style), atomic_path(path) as temporary:
            _figure(item, answer, panels).savefig(temporary, format="png", dpi=110)
    except OSError as error:
        raise FacecheckError(
            f"{path_text(path)}: cannot be written ({reason(error)}): name another place with --out"
        ) from None


def _figure(item: Item, answer: Answer, panels: Sequence[_Panel]) -> Figure:
    """Return the image with its faces, and a row for each: crop, heat map, probabilities."""
    rows = max(1, len(panels))
    figure = Figure(figsize=(13 if panels else 6, 3.1 * rows + 0.4), layout="constrained")
    grid = figure.add_gridspec(rows, 4 if panels else 1)
    image = figure.add_subplot(grid[:, 0])
    _draw_image(image, item, answer, panels)
    if not panels:
        image.set_xlabel(fill(_sentence(answer.status, answer.message), 80))
    for row, panel in enumerate(panels):
        face = panel.face.face
        number = f"{face.number}: " if face and len(panels) > 1 else ""
        _draw_crop(figure.add_subplot(grid[row, 1]), panel, number)
        _draw_heat(figure.add_subplot(grid[row, 2]), panel)
        _draw_bars(figure.add_subplot(grid[row, 3]), panel.face.verdict)
    return figure


def _draw_image(axes: Axes, item: Item, answer: Answer, panels: Sequence[_Panel]) -> None:
    image = decode(item.load(), short_side=_SHOWN // 2, frame=(answer.frame or 1) - 1).image
    image.thumbnail((_SHOWN, _SHOWN))
    # Drawn in the image's own pixels, which boxes are in.
    width, height = answer.width or 1, answer.height or 1
    axes.imshow(image, extent=(0, width, height, 0))
    faces = [panel.face.face for panel in panels] or [answer.largest]
    for face in faces:
        if face is None:
            continue
        _draw_box(axes, face.box)
        if len(faces) > 1:
            corner = (face.box.left, face.box.top)
            background = {"facecolor": _ORANGE, "edgecolor": "none", "pad": 1.5}
            axes.annotate(str(face.number), corner, va="bottom", size=9, bbox=background)
    _no_ticks(axes, f"the image, {width:,} x {height:,}")
    axes.set_anchor("N")


def _draw_box(axes: Axes, box: Box) -> None:
    """Draw an outline that shows on dark and on bright pixels."""
    for colour, line in (("black", 3.5), (_ORANGE, 1.8)):
        axes.add_patch(
            Rectangle(
                (box.left, box.top), box.width, box.height, fill=False, edgecolor=colour, lw=line
            )
        )


def _draw_crop(axes: Axes, panel: _Panel, number: str) -> None:
    what = "face" if panel.face.view == "face" else "whole"
    axes.imshow(panel.pixels)
    _no_ticks(axes, f"{number}{what}, as the model sees it")


def _draw_heat(axes: Axes, panel: _Panel) -> None:
    axes.imshow(overlay(panel.pixels, panel.heat))
    _draw_box(axes, panel.face.hottest)
    ramp: Any = cm.ScalarMappable(Normalize(0, 1), COLOURS)
    scale = axes.figure.colorbar(ramp, ax=axes, fraction=0.046, pad=0.02, ticks=[0, 1])
    scale.ax.set_yticklabels(["none", "most"])
    score, hidden = panel.face.verdict.score, panel.face.hidden_score
    _no_ticks(axes, f"what spoke for {side_of(panel.face.verdict)}")
    axes.set_xlabel(f"without the square: score {score:.3f} to {hidden:.3f}")


def side_of(prediction: Prediction) -> Verdict:
    """Return the side that a score leans to, which its heat map explains."""
    return Verdict.ARTIFICIAL if prediction.score >= 0.5 else Verdict.REAL


def _draw_bars(axes: Axes, verdict: Prediction) -> None:
    kinds = list(verdict.probabilities)
    shares = [100 * verdict.probabilities[kind] for kind in kinds]
    colours = [_ORANGE if kind == verdict.kind else _BLUE for kind in kinds]
    bars = axes.barh(kinds, shares, color=colours)
    axes.bar_label(bars, [f"{share:.1f} %" for share in shares], padding=3)
    axes.set_xlim(0, 125)
    axes.set_xticks([0, 50, 100])
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("probability by kind, %")
    axes.set_title(f"{verdict.verdict}, score {verdict.score:.3f}", weight="bold")


def _no_ticks(axes: Axes, title: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title)
