"""From one item to what the model sees of it: decoded, its faces found and cut out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from facecheck.core.errors import ImageError
from facecheck.core.image import HASH_SIDE, decode, frames
from facecheck.core.labels import Status
from facecheck.known.lookup import KnownTable, Match
from facecheck.model.stability import variants
from facecheck.model.transforms import Transform, load_input, resized, to_input
from facecheck.provenance.evidence import NOTHING, Provenance
from facecheck.provenance.read import Evidence, provenance_of
from facecheck.scanner.faces.boxes import SMALLEST, Box, Face, face_square, is_close_up
from facecheck.scanner.faces.search import Found, find_faces, largest_at_a_glance
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.picture import Picture

#: What is classified: the square around a face, or the image as it is.
FACE_VIEW = "face"
WHOLE_VIEW = "whole"
#: Faces that are classified in one image, the largest first: a bound on memory, for crowds.
MOST_FACES = 64
#: Frames or pages of a file that are searched for the largest face: a bound on time.
MOST_FRAMES = 32


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
        frame: which frame or page of a file that holds several, from 1; else None.
        faint_face: whether something resembles a face, though none was found.
        width: pixels across of the upright image; None when it cannot be read.
        height: pixels down, likewise.
        known: the row of the table of known files that it matches, if any.
        provenance: what the file says of its own origin; nothing where it was not to be read.
    """

    item: Item
    status: Status = Status.OK
    message: str = ""
    view: str = ""
    crops: tuple[Crop, ...] = ()
    faces: int | None = None
    largest: Face | None = None
    faint_face: bool = False
    frame: int | None = None
    width: int | None = None
    height: int | None = None
    known: Match | None = None
    provenance: Provenance = NOTHING


@dataclass(frozen=True)
class Largest:
    """The largest face of a picture, cut out, or the whole picture where that is what a scan takes.

    Attributes:
        image: RGB, its short side the transform's ``resize``.
        view: ``face`` or ``whole``.
        faces: how many were found.
        face: the largest of them, even where it is too small to be cut out.
    """

    image: Image.Image
    view: str
    faces: int
    face: Face | None


def prepare(
    item: Item,
    transform: Transform,
    detector: Path | bytes | None,
    stability: int = 0,
    known: KnownTable | None = None,
    evidence: Evidence | None = None,
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
        known: the table of known files to consult.
        evidence: what the file's own words on its origin are checked against; None does not read
            them.

    Raises:
        CheckpointError: the detector cannot be used.
        FacecheckError: OpenCV is not there; the table of known files has changed.
    """
    match, provenance = None, NOTHING
    try:
        source = item.load()
        match = known.by_bytes(source) if known else None
        if evidence is not None:
            provenance = provenance_of(source, evidence)
        picture = _picture(source, transform.resize, detector)
        if known and match is None:
            match = known.by_picture(source, _first_frame(source, picture))
        found = None if detector is None else find_faces(picture, detector)
        prepared = _prepared(item, transform, picture, found, stability)
        return replace(prepared, known=match, provenance=provenance)
    except ImageError as error:
        return Prepared(item, Status.ERROR, str(error), known=match, provenance=provenance)


def _first_frame(source: Path | bytes, picture: Picture) -> Image.Image:
    """Return what the hashes of a file are of: its first frame, whichever is classified."""
    return picture.whole if picture.frame == 0 else decode(source, short_side=HASH_SIDE).image


def _picture(source: Path | bytes, short_side: int, detector: Path | bytes | None) -> Picture:
    """Return the picture of a file, of several frames or pages the one with the largest face."""
    picture = Picture(source, short_side)
    if picture.frames == 1 or detector is None:
        return picture
    sizes = list(_face_sizes(source, short_side, detector))
    best = max(range(len(sizes)), key=sizes.__getitem__)  # the first of equal ones
    return Picture(source, short_side, best) if best else picture


def _face_sizes(source: Path | bytes, short_side: int, detector: Path | bytes) -> Iterator[float]:
    """Yield the size of each frame's largest face, up to a frame that cannot be read."""
    with suppress(ImageError):
        for decoded in islice(frames(source, short_side=short_side), MOST_FRAMES):
            yield largest_at_a_glance(decoded.image, detector)


def _prepared(
    item: Item, transform: Transform, picture: Picture, found: Found | None, stability: int
) -> Prepared:
    faces = found.faces if found else ()
    largest = found.largest if found else None
    shown = Prepared(
        item,
        message="; ".join([*picture.notes, *_turned(found)]),
        faces=None if found is None else len(faces),
        largest=largest,
        faint_face=found is not None and found.faint,
        frame=picture.frame + 1 if picture.frames > 1 else None,
        width=picture.width,
        height=picture.height,
    )
    too_small = "" if found is None else _too_small(faces, picture)
    if too_small:
        message = "; ".join(filter(None, (too_small, shown.message)))
        return replace(shown, status=Status.TOO_SMALL, message=message)
    upright = picture.turned(found.turn if found else 0)
    if largest is None or is_close_up(largest, picture.width, picture.height):
        own = to_input(upright.whole, transform)
        inputs = _with_variants(own, upright.whole, transform, stability)
        return replace(shown, view=WHOLE_VIEW, crops=(Crop(inputs, largest),))
    classified = sorted(faces, key=lambda face: -face.box.area)[:MOST_FACES]
    crops = tuple(
        Crop(_cut(upright, _upright_box(face, found, picture), transform, stability), face)
        for face in sorted(classified, key=lambda face: face.number)
        if face.box.short_side >= SMALLEST
    )
    return replace(shown, view=FACE_VIEW, crops=crops)


def _turned(found: Found | None) -> tuple[str, ...]:
    if found is None or not found.turn:
        return ()
    return (f"turned by {found.turn} degrees counter-clockwise: faces lie on their side or head",)


def _upright_box(face: Face, found: Found | None, picture: Picture) -> Box:
    return face.box.turned(found.turn if found else 0, picture.width, picture.height)


def _too_small(faces: Sequence[Face], picture: Picture) -> str:
    """Return why every face is too small to be classified, or an empty text if one is not."""
    whole = min(picture.width, picture.height)
    short_sides = [face.box.short_side for face in faces] or [whole]
    if max(short_sides) >= SMALLEST:
        return ""
    what = "the largest face" if faces else "the image"
    return f"{what} has {max(short_sides)} pixels on its short side, under {SMALLEST}"


def largest_face(source: Path | bytes, transform: Transform, detector: bytes) -> Largest:
    """Return the largest face of a picture as :func:`prepare` cuts it out, before the model's crop.

    Args:
        source: the picture's file, or what is in it.
        transform: whose ``resize`` is the side of the square.
        detector: what is in the face detector's file.

    Raises:
        ImageError: the picture cannot be decoded.
    """
    picture = _picture(source, transform.resize, detector)
    found = find_faces(picture, detector)
    upright, face = picture.turned(found.turn), found.largest
    is_small = face is not None and face.box.short_side < SMALLEST
    if face is None or is_small or is_close_up(face, picture.width, picture.height):
        return Largest(resized(upright.whole, transform), WHOLE_VIEW, len(found.faces), face)
    image, _, _ = _square(upright, _upright_box(face, found, picture), transform)
    return Largest(image, FACE_VIEW, len(found.faces), face)


def _cut(
    picture: Picture, face: Box, transform: Transform, stability: int
) -> npt.NDArray[np.uint8]:
    """Return the model's inputs for the square around a face."""
    square, image, box = _square(picture, face, transform)
    left, top, right, bottom = map(round, box)
    own = to_input(square, transform)
    return _with_variants(own, image.crop((left, top, right, bottom)), transform, stability)


def _square(
    picture: Picture, face: Box, transform: Transform
) -> tuple[Image.Image, Image.Image, tuple[float, float, float, float]]:
    """Return the scaled square around a face, the image it is cut from, and where it lies there."""
    square = face_square(face, picture.width, picture.height)
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
    return image.resize(side, Image.Resampling.BILINEAR, box=box), image, box


def _with_variants(
    own: npt.NDArray[np.uint8], image: Image.Image, transform: Transform, count: int
) -> npt.NDArray[np.uint8]:
    """Return an image's input, and those of its variants behind it."""
    return np.stack([own, *(load_input(data, transform) for data in variants(image, count))])
