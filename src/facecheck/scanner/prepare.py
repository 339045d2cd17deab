"""From one item to what the model sees of it: decoded, its faces found and cut out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from facecheck.core.errors import ImageError
from facecheck.core.labels import Status
from facecheck.model.stability import variants
from facecheck.model.transforms import Transform, load_input, to_input
from facecheck.scanner.faces import SMALLEST, Face, face_square, find_faces, is_close_up
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.picture import Picture

#: What is classified: the square around a face, or the image as it is.
FACE_VIEW = "face"
WHOLE_VIEW = "whole"
#: Faces that are classified in one image, the largest first: a bound on memory, for crowds.
MOST_FACES = 64


@dataclass(frozen=True)
class Crop:
    """One thing for the model to classify.

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
        view: ``face`` or ``whole``; empty when there is nothing to classify.
        crops: what to classify: a face each, or one whole image.
        faces: how many were found, those included that are too small or too many to be
            classified; None when none were searched for, or the image cannot be read.
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

    An image that is a face crop already is classified whole, as evaluation does, and so is one
    without a face that was found. Otherwise each face of :data:`SMALLEST` pixels or more is
    classified, from pixels as fine as training had them (see :class:`Picture`).

    Args:
        item: what to prepare.
        transform: the model's.
        detector: the face detector's file, or what is in it; None classifies every image whole.
        stability: how many variants of each crop are to be classified as well.

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
    large = [face for face in found or [] if face.box.short_side >= SMALLEST][:MOST_FACES]
    crops = tuple(Crop(_cut(picture, face, transform, stability), face) for face in large)
    return replace(shown, view=FACE_VIEW, crops=crops)


def _too_small(found: list[Face], width: int, height: int) -> str:
    """Return why every face is too small to be classified, or an empty text if one is not."""
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
