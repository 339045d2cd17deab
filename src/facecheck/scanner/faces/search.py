"""The search for the faces of a picture, from the whole of it to ever smaller parts.

The detector sees inputs of at most 640 pixels a side, and in them finds faces from about 20 pixels
on. So a picture is searched in steps, and each costs what it adds:

1. The whole picture at 160 pixels. If that shows a close-up, it is a face crop already: the end.
2. The whole picture at 640 pixels, or at 320 if that shows every face of :data:`SMALLEST` pixels.
3. Without a face that is surely upright, the same of the picture turned by 90, 270 and 180
   degrees: photographs lie on their side where their EXIF orientation was lost.
4. Without a face, or with faces so small that others may be smaller still, tiles of the picture at
   two to three times the scale; and so on to the scale that shows faces of :data:`SMALLEST` pixels.

The last step is what a photograph without any face costs: on one core about 1 second for 12
megapixels, 2 for 24, and 5 for 50 or more, where :data:`MOST_TILES` is the bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, log
from pathlib import Path

import numpy as np
from PIL import Image

from facecheck.scanner.faces.boxes import (
    SMALLEST,
    Box,
    Face,
    distinct,
    face_square,
    is_close_up,
    numbered,
)
from facecheck.scanner.faces.detector import CONFIDENCE, FAINT, SIDES, Detection, detect
from facecheck.scanner.picture import Picture

#: Size in pixels (root of the area) of faces in the detector's input that are found reliably: 98 %
#: are at 20, 75 % at 15, 20 % at 10.
RELIABLE = 20
#: A face below this size in the detector's input may stand in a crowd of smaller ones.
CROWDED = 28
#: The scale of the finest search, in units of the full size.
FINEST = RELIABLE / SMALLEST
#: How much finer each step is, at most.
STEP = 2.5
#: Pixels that tiles share: a face that does not fit is found in the step before.
OVERLAP = 64
#: Tiles of one step, at most; a picture that has more is searched at a lower scale. A tile takes 32
#: ms.
MOST_TILES = 160
#: The pixels that a tile is made from may be so much coarser: enlarged by 1.25 to 2 times, faces
#: are found as surely as at full size (60 of FFHQ at 28 to 64 pixels, the same within 3 of 100).
ENLARGED = 1.25
#: A tile whose brightness has no wider range than this shows nothing.
FLAT = 12
#: Turns to try, in degrees counter-clockwise.
TURNS = (90, 270, 180)
#: A face of this confidence is upright: all of 40 of FFHQ are surer, and not one of them lying
#: on their side (half are found so, at 0.72 to 0.89) or head (0.72 to 0.91, but for one).
UPRIGHT = 0.91
#: What a face in a turned picture must at least have, and how much more than any as the picture is.
TURNED = 0.8
SURER = 0.03
#: Side in pixels of the close view of one face.
_CLOSE = 120
#: Sides in pixels to which a picture is scaled to see whether it resembles a face: drawn ones are
#: noticed at one or another.
_FAINT_SIDES = (48, 64, 80, 96, 112, 128, 160)


@dataclass(frozen=True)
class Found:
    """What the search gave.

    Attributes:
        faces: in the order in which one reads, with boxes in the picture as it is.
        turn: degrees counter-clockwise by which to turn the picture for its faces to be upright.
        faint: whether there is something like a face, though none was found.
    """

    faces: tuple[Face, ...] = ()
    turn: int = 0
    faint: bool = False

    @property
    def largest(self) -> Face | None:
        """The face of the largest box."""
        return max(self.faces, key=lambda face: face.box.area, default=None)


def find_faces(picture: Picture, model: Path | bytes) -> Found:
    """Return the faces of a picture.

    Args:
        picture: the picture.
        model: YuNet's ONNX file, or what is in it.

    Raises:
        ImageError: the picture cannot be decoded at the scale that this needs.
        CheckpointError: ``model`` is not a face detector that OpenCV can read.
        FacecheckError: OpenCV is not installed.
    """
    faces, scale = _of_the_whole(picture, model)
    if turns := _turns_to_try(picture, model, faces):
        turned = _turned(picture, model, turns)
        if turned is not None:
            return turned
    faces = _of_tiles(picture, model, faces, scale)
    if faces:
        return Found(numbered(faces))
    return Found(faint=_resembles_a_face(picture, model))


def largest_at_a_glance(image: Image.Image, model: Path | bytes) -> float:
    """Return the size of the largest face that a first look shows, in units of the image's size.

    Args:
        image: RGB.
        model: the detector.

    Returns:
        the root of its area over the image's longer side; 0 without a face.
    """
    side = SIDES[1]
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.BILINEAR)
    seen = _detected(small, side, model)
    areas = [one.width * one.height for one in seen if one.confidence >= CONFIDENCE]
    return float(max(areas, default=0) ** 0.5 / max(small.size))


def _of_the_whole(picture: Picture, model: Path | bytes) -> tuple[list[Face], float]:
    """Return the faces that show in the whole picture, and the scale up to which it is searched."""
    longest = max(picture.width, picture.height)
    glance, *closer = SIDES
    faces = _at(picture, model, glance)
    if longest * FINEST <= glance or (faces and _shows_a_close_up(faces, picture)):
        return faces, FINEST
    side = next((side for side in closer if side >= longest * FINEST), closer[-1])
    return _at(picture, model, side) or faces, side / longest


def _shows_a_close_up(faces: Sequence[Face], picture: Picture) -> bool:
    return is_close_up(faces[0], picture.width, picture.height)


def _at(picture: Picture, model: Path | bytes, side: int) -> list[Face]:
    """Return the faces that show when the picture is fitted into a square."""
    scale = side / max(picture.width, picture.height)
    image = _scaled(picture, scale)
    return distinct(_faces(_detected(image, side, model), scale, (0, 0), picture))


def _scaled(picture: Picture, scale: float) -> Image.Image:
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.at(scale).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _detected(image: Image.Image, side: int, model: Path | bytes) -> list[Detection]:
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[: image.height, : image.width] = np.asarray(image)
    return detect(canvas, model)


def _faces(
    detections: Iterable[Detection], scale: float, corner: tuple[int, int], picture: Picture
) -> Iterator[Face]:
    """Yield the faces among detections, in full-size pixels inside the picture.

    Args:
        detections: in an input that shows a part of the picture.
        scale: of the input, in units of the full size.
        corner: of that part at this scale, left and top.
        picture: the picture.
    """
    for seen in detections:
        if seen.confidence < CONFIDENCE:
            continue
        left = _within((corner[0] + seen.left) / scale, picture.width)
        top = _within((corner[1] + seen.top) / scale, picture.height)
        right = _within((corner[0] + seen.left + seen.width) / scale, picture.width)
        bottom = _within((corner[1] + seen.top + seen.height) / scale, picture.height)
        if right > left and bottom > top:
            yield Face(Box(left, top, right - left, bottom - top), seen.confidence)


def _within(edge: float, limit: int) -> int:
    return round(min(max(edge, 0.0), limit))


def _surest(faces: Iterable[Face]) -> float:
    return max((face.confidence for face in faces), default=0.0)


def _turns_to_try(picture: Picture, model: Path | bytes, faces: Sequence[Face]) -> tuple[int, ...]:
    """Return the turns in which faces may be upright, if they are not in the picture as it is.

    Without a face that is any. With faces of which not one is surely upright, the surest is
    searched in each turn, which costs little: it tells one turn, or no turn.
    """
    if not faces:
        return TURNS
    surest = max(faces, key=lambda face: face.confidence)
    if surest.confidence >= UPRIGHT:
        return ()
    small = _close_view(picture, surest)
    seen = {turn: _surest_of(small.rotate(turn), model) for turn in (0, *TURNS)}
    best = max(TURNS, key=seen.__getitem__)
    return (best,) if seen[best] >= max(TURNED, seen[0] + SURER) else ()


def _close_view(picture: Picture, face: Face) -> Image.Image:
    """Return a small picture of a face and what surrounds it."""
    square = face_square(face.box, picture.width, picture.height)
    image = picture.at(_CLOSE / square.width)
    across, down = image.width / picture.width, image.height / picture.height
    part = (
        square.left * across,
        square.top * down,
        (square.left + square.width) * across,
        (square.top + square.height) * down,
    )
    return image.resize((_CLOSE, _CLOSE), Image.Resampling.BILINEAR, box=part, reducing_gap=2.0)


def _surest_of(image: Image.Image, model: Path | bytes) -> float:
    seen = _detected(image, SIDES[0], model)
    return max((one.confidence for one in seen), default=0.0)


def _turned(picture: Picture, model: Path | bytes, turns: Sequence[int]) -> Found | None:
    """Return the faces in the turn that shows the surest one, if it is sure enough."""
    found = {turn: _of_the_whole(picture.turned(turn), model)[0] for turn in turns}
    turn = max(found, key=lambda turn: _surest(found[turn]))
    if _surest(found[turn]) < TURNED:
        return None
    turned, back = picture.turned(turn), (360 - turn) % 360
    faces = [
        replace(face, box=face.box.turned(back, turned.width, turned.height))
        for face in found[turn]
    ]
    return Found(numbered(faces), turn)


def _of_tiles(picture: Picture, model: Path | bytes, faces: list[Face], scale: float) -> list[Face]:
    """Search ever smaller parts while nothing was found, or faces that may stand in a crowd.

    Args:
        picture: the picture.
        model: the detector.
        faces: that were found so far.
        scale: of the search so far.
    """
    for finer in _scales(picture, scale):
        if faces and not any(face.box.area**0.5 * scale < CROWDED for face in faces):
            break
        more = (
            face
            for corner, tile in _tiles(picture, finer)
            for face in _faces(_detected(tile, SIDES[-1], model), finer, corner, picture)
        )
        faces, scale = distinct([*faces, *more]), finer
    return faces


def _scales(picture: Picture, start: float) -> list[float]:
    """Return the scales of the steps after ``start``, evenly spaced, the last one the finest."""
    finest = FINEST
    while _count(picture.width * finest) * _count(picture.height * finest) > MOST_TILES:
        finest *= 0.95
    if start >= finest:
        return []
    steps = ceil(log(finest / start) / log(STEP))
    return [start * (finest / start) ** (step / steps) for step in range(1, steps + 1)]


def _count(length: float) -> int:
    """Return how many tiles cover a length in pixels."""
    return max(1, ceil((round(length) - OVERLAP) / (SIDES[-1] - OVERLAP)))


def _tiles(picture: Picture, scale: float) -> Iterator[tuple[tuple[int, int], Image.Image]]:
    """Yield the tiles that cover a picture at ``scale``, each with its left and top there."""
    image = picture.at(scale / (2 * ENLARGED))  # which gives twice as fine pixels
    across, down = round(picture.width * scale), round(picture.height * scale)
    for top in _starts(down):
        for left in _starts(across):
            width, height = min(SIDES[-1], across - left), min(SIDES[-1], down - top)
            part = (
                left * image.width / across,
                top * image.height / down,
                (left + width) * image.width / across,
                (top + height) * image.height / down,
            )
            tile = image.resize((width, height), Image.Resampling.BILINEAR, box=part)
            if _shows_something(tile):
                yield (left, top), tile


def _starts(length: int) -> list[int]:
    """Return where the tiles that cover a length begin, evenly spaced."""
    count = _count(length)
    return (
        [round(step * (length - SIDES[-1]) / (count - 1)) for step in range(count)]
        if (count > 1)
        else [0]
    )


def _shows_something(tile: Image.Image) -> bool:
    darkest, brightest = tile.convert("L").getextrema()
    return bool(brightest - darkest > FLAT)  # type: ignore[operator]  # numbers, of one band


def _resembles_a_face(picture: Picture, model: Path | bytes) -> bool:
    """Return whether the picture as a whole looks a little like a face, as a drawing of one does.

    :data:`FAINT` says how far that tells drawings of faces from others.
    """
    side = SIDES[0]
    longest = max(picture.width, picture.height)
    return any(
        seen.confidence >= FAINT
        for small in _FAINT_SIDES
        for seen in _detected(_scaled(picture, small / longest), side, model)
    )
