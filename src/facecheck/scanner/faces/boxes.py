"""Boxes of faces, their order, and the square around each that the model sees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

#: Short side in pixels of the smallest face that is classified; its square has about 60 a side.
#: Below that EfficientNet-Lite0 at 128 px calls most photographs artificial (called real, among
#: 40 each of FFHQ, CelebA and CUFS, in per cent: 57, 100, 94 at 128 px; 55, 90, 39 at 64; 30, 70,
#: 3 at 48).
SMALLEST = 32
#: Side of a face's square, in units of the root of the area of YuNet's box; and how far the
#: square's centre lies above the box's, in units of its side. In the face crops that models are
#: trained on the box takes 0.64 of the side (FFHQ, CUFS, StyleGAN), 0.56 to 0.81 in others, and
#: lies 0.05 too low.
MARGIN = 1.6
LIFT = 0.05
#: Share (intersection over union) of a face's square with the square in the image's middle from
#: which the image counts as a face crop already.
CLOSE_UP = 0.5


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the upright image at its full size.

    Attributes:
        left: of its left edge, 0 or more.
        top: of its top edge, 0 or more.
        width: 1 or more.
        height: 1 or more.
    """

    left: int
    top: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """Square pixels."""
        return self.width * self.height

    @property
    def short_side(self) -> int:
        """The smaller of width and height."""
        return min(self.width, self.height)

    def shared(self, other: Box) -> int:
        """Return how many square pixels it has in common with another."""
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return max(0, width) * max(0, height)

    def turned(self, degrees: int, width: int, height: int) -> Box:
        """Return where the box is once its image is turned.

        Args:
            degrees: counter-clockwise: 0, 90, 180 or 270.
            width: pixels across of the image before it is turned.
            height: pixels down, likewise.
        """
        if degrees == 0:
            return self
        right, bottom = self.left + self.width, self.top + self.height
        if degrees == 180:
            return Box(width - right, height - bottom, self.width, self.height)
        if degrees == 90:
            return Box(self.top, width - right, self.height, self.width)
        return Box(height - bottom, self.left, self.height, self.width)


@dataclass(frozen=True)
class Face:
    """A face that was found.

    Attributes:
        box: from about the brows to the chin, as YuNet draws it.
        confidence: the detector's, 0.7 to 1.
        number: its place among the faces of its image, from 1, as one reads: rows from top to
            bottom, and each from left to right.
    """

    box: Box
    confidence: float
    number: int = 1


def distinct(faces: Iterable[Face]) -> list[Face]:
    """Return the faces once each, the largest first.

    Of two that share more than half of the smaller one, the one more certain stays.
    """
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.confidence, face.box.left, face.box.top)):
        if not any(
            2 * face.box.shared(other.box) > min(face.box.area, other.box.area) for other in kept
        ):
            kept.append(face)
    return sorted(kept, key=lambda face: -face.box.area)


def numbered(faces: Iterable[Face]) -> tuple[Face, ...]:
    """Return the faces in the order in which one reads, each with its number.

    A row are faces whose middles lie no lower than the lower edge of its first, highest face.
    """
    left = sorted(faces, key=lambda face: (face.box.top, face.box.left))
    ordered: list[Face] = []
    while left:
        edge = left[0].box.top + left[0].box.height
        row = [face for face in left if face.box.top + face.box.height / 2 <= edge]
        ordered += sorted(row, key=lambda face: face.box.left)
        left = [face for face in left if face not in row]
    return tuple(replace(face, number=number) for number, face in enumerate(ordered, 1))


def is_close_up(face: Face, width: int, height: int) -> bool:
    """Return whether an image is a face crop already, so that it is classified whole.

    It is when the face's square and the square in the image's middle, which the model sees of a
    whole image, are the same but for :data:`CLOSE_UP`.
    """
    side = min(width, height)
    middle = Box((width - side) // 2, (height - side) // 2, side, side)
    square = face_square(face.box, width, height)
    shared = square.shared(middle)
    return shared >= CLOSE_UP * (square.area + middle.area - shared)


def face_square(box: Box, width: int, height: int) -> Box:
    """Return the square around a face that the model sees, in an image of this size.

    At the image's edge it is shifted inside, not squashed; where the image is too small it is as
    large as the image allows. So it never holds a pixel that was not photographed.
    """
    side = min(max(1, round(MARGIN * box.area**0.5)), width, height)
    left = round(box.left + box.width / 2 - side / 2)
    top = round(box.top + box.height / 2 - LIFT * side - side / 2)
    return Box(min(max(left, 0), width - side), min(max(top, 0), height - side), side, side)
