"""From one item to what the model sees of it, and from the model's answers to the item's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from facecheck.core.errors import ImageError
from facecheck.core.labels import Kind, Status, Verdict
from facecheck.model.predict import Prediction
from facecheck.model.stability import variants
from facecheck.model.transforms import Transform, load_input, to_input
from facecheck.scanner.faces import SMALLEST, Face, face_square, find_faces, is_close_up
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.picture import Picture

#: What was judged: the square around a face, or the image as it is.
FACE_VIEW = "face"
WHOLE_VIEW = "whole"
#: Faces that are judged of one image, the largest first: a bound on memory, for crowds.
MOST_FACES = 64


@dataclass(frozen=True)
class Crop:
    """One thing for the model to judge.

    Attributes:
        inputs: what the model takes of it, then of each of its variants; shape (1 + variants,
            transform.crops, image_size, image_size, 3), RGB, 0 to 255.
        face: the face that it shows; None for a whole image in which none was found.
    """

    inputs: npt.NDArray[np.uint8]
    face: Face | None = None


@dataclass(frozen=True)
class Prepared:
    """One item, ready for the model. It can be sent between processes.

    Attributes:
        item: what it was made of.
        status: ``ok``, ``too_small`` or ``error``; ``ok`` may yet become ``no_face``.
        message: why there is an error, or how small the faces are; and what was repaired, or which
            frame of several was taken.
        view: ``face`` or ``whole``; empty when there is nothing to judge.
        crops: what to judge: a face each, or one whole image.
        faces: how many were found, those included that are too small or too many to be judged;
            None when none were sought, or the image cannot be read.
        largest: the largest of them.
        width: pixels across of the upright image; None when it cannot be read.
        height: pixels down, likewise.
    """

    item: Item
    status: Status = Status.OK
    message: str = ""
    view: str = ""
    crops: tuple[Crop, ...] = ()
    faces: int | None = None
    largest: Face | None = None
    width: int | None = None
    height: int | None = None


def prepare(
    item: Item, transform: Transform, detector: Path | bytes | None, stability: int = 0
) -> Prepared:
    """Decode an item, find its faces and cut them out; what is wrong with it becomes its status.

    An image that is a face crop already is judged whole, as evaluation does, and so is one without
    a face that was found. Otherwise each face of :data:`SMALLEST` pixels or more is judged, from
    pixels as fine as training had them (see :class:`Picture`).

    Args:
        item: what to prepare.
        transform: the model's.
        detector: the face detector's file, or what is in it; None judges every image whole.
        stability: how many variants of each crop are to be judged as well.

    Raises:
        CheckpointError: the detector cannot be used.
        FacecheckError: OpenCV is not there.
    """
    try:
        picture = Picture(item.load(), transform.resize)
        found = None if detector is None else find_faces(picture, detector)
        return _prepared(item, transform, picture, found, stability)
    except ImageError as error:
        return Prepared(item, Status.ERROR, str(error))


def _prepared(
    item: Item, transform: Transform, picture: Picture, found: list[Face] | None, stability: int
) -> Prepared:
    width, height = picture.width, picture.height
    largest = found[0] if found else None
    shown = Prepared(
        item,
        message="; ".join(picture.notes),
        faces=None if found is None else len(found),
        largest=largest,
        width=width,
        height=height,
    )
    too_small = "" if found is None else _too_small(found, width, height)
    if too_small:
        message = "; ".join((too_small, *picture.notes))
        return replace(shown, status=Status.TOO_SMALL, message=message)
    if largest is None or is_close_up(largest, width, height):
        own = to_input(picture.whole, transform)
        inputs = _with_variants(own, picture.whole, transform, stability)
        return replace(shown, view=WHOLE_VIEW, crops=(Crop(inputs, largest),))
    judged = [face for face in found or [] if face.box.short_side >= SMALLEST][:MOST_FACES]
    crops = tuple(Crop(_cut(picture, face, transform, stability), face) for face in judged)
    return replace(shown, view=FACE_VIEW, crops=crops)


def _too_small(found: list[Face], width: int, height: int) -> str:
    """Return why no face can be judged for its size, or an empty text if one can."""
    short_sides = [face.box.short_side for face in found] or [min(width, height)]
    if max(short_sides) >= SMALLEST:
        return ""
    what = "the largest face" if found else "the image"
    return f"{what} has {max(short_sides)} pixels on its short side, under {SMALLEST}"


def _cut(
    picture: Picture, face: Face, transform: Transform, stability: int
) -> npt.NDArray[np.uint8]:
    """Return the model's inputs for the square around a face."""
    square = face_square(face.box, picture.width, picture.height)
    image = picture.at(2 * transform.resize / square.width)
    across, down = image.width / picture.width, image.height / picture.height
    # In fractions of a pixel: rounded at a reduced scale, the edges would move by several.
    box = (
        square.left * across,
        square.top * down,
        min((square.left + square.width) * across, image.width),
        min((square.top + square.height) * down, image.height),
    )
    side = (transform.resize, transform.resize)
    own = to_input(image.resize(side, Image.Resampling.BILINEAR, box=box), transform)
    left, top, right, bottom = map(round, box)
    return _with_variants(own, image.crop((left, top, right, bottom)), transform, stability)


def _with_variants(
    own: npt.NDArray[np.uint8], image: Image.Image, transform: Transform, count: int
) -> npt.NDArray[np.uint8]:
    """Return an image's input, and those of its variants behind it."""
    return np.stack([own, *(load_input(data, transform) for data in variants(image, count))])


@dataclass(frozen=True)
class Answer:
    """What a scan says of one file, or of one face of it: a row of its results.

    Attributes:
        name: the item's.
        status: ``ok``, ``no_face``, ``too_small`` or ``error``.
        message: as of :class:`Prepared`.
        verdict: the answer; None unless the status is ``ok``.
        view: what it is about, ``face`` or ``whole``; empty when there is no answer.
        faces: how many were found; None when none were sought.
        face: the face that the answer is about, or the largest where all are too small.
        width: pixels across of the upright image; None when it cannot be read.
        height: pixels down, likewise.
    """

    name: str
    status: Status
    message: str
    verdict: Prediction | None
    view: str
    faces: int | None
    face: Face | None
    width: int | None
    height: int | None


def settle(
    prepared: Prepared, predictions: Sequence[Prediction], *, per_face: bool = False
) -> list[Answer]:
    """Return the rows of one item: one, or with ``per_face`` one for each face that was judged.

    The one row is about the most artificial face. Where faces were sought and none was found, only
    a drawing, painting or sculpture is an answer: these need not look like a face to a detector
    made for photographs. Anything else would be a guess, ``generated`` too: generated faces are
    found as surely as photographs are. The status is then ``no_face``.

    Args:
        prepared: of the item.
        predictions: one for each of its crops, in their order.
        per_face: as above; faces then come in the order of their size, the largest first.
    """
    answers = list(zip(prepared.crops, predictions, strict=True))
    if not answers:
        return [_answer(prepared, prepared.status, None, prepared.largest)]
    if prepared.faces == 0 and not _made_by_hand(answers[0][1]):
        return [_answer(prepared, Status.NO_FACE, None, None)]
    if not per_face:
        answers = [max(answers, key=lambda answer: answer[1].score)]
    return [_answer(prepared, Status.OK, verdict, crop.face) for crop, verdict in answers]


def _made_by_hand(verdict: Prediction) -> bool:
    return verdict.verdict == Verdict.ARTIFICIAL and verdict.kind not in {
        Kind.PHOTO,
        Kind.GENERATED,  # which looks like a photograph to a face detector, too
    }


def _answer(
    prepared: Prepared, status: Status, verdict: Prediction | None, face: Face | None
) -> Answer:
    return Answer(
        name=prepared.item.name,
        status=status,
        message=prepared.message,
        verdict=verdict,
        view=prepared.view if verdict else "",
        faces=prepared.faces,
        face=face,
        width=prepared.width,
        height=prepared.height,
    )
