from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facecheck.scanner.faces.boxes import (
    MARGIN,
    Box,
    Face,
    distinct,
    face_square,
    is_close_up,
    numbered,
)


@given(
    st.integers(1, 5000), st.integers(1, 5000),
    st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1),
)  # fmt: skip
def test_a_square_lies_inside_the_image(
    width: int, height: int, x: float, y: float, across: float, down: float
) -> None:
    box_width, box_height = max(1, int(across * width)), max(1, int(down * height))
    box = Box(int(x * (width - box_width)), int(y * (height - box_height)), box_width, box_height)
    square = face_square(box, width, height)
    assert square.width == square.height >= 1
    assert square.left >= 0
    assert square.top >= 0
    assert square.left + square.width <= width
    assert square.top + square.height <= height


def test_a_square_has_room_around_the_face_and_more_of_it_above() -> None:
    square = face_square(Box(480, 480, 40, 90), 1000, 1000)
    assert square.width == round(MARGIN * 60)
    above, below = 480 - square.top, square.top + square.height - 570
    assert above - below == pytest.approx(2 * 0.05 * square.width, abs=2)
    assert 480 - square.left == pytest.approx(square.left + square.width - 520, abs=1)


def test_a_square_is_shifted_at_the_edge_and_not_squashed() -> None:
    middle = face_square(Box(450, 450, 100, 100), 1000, 1000)
    corner = face_square(Box(0, 900, 100, 100), 1000, 1000)
    assert (corner.left, corner.top) == (0, 1000 - corner.height)
    assert corner.width == middle.width


@pytest.mark.parametrize(
    ("box", "size", "close"),
    [
        (Box(50, 40, 150, 170), (256, 256), True),  # as in FFHQ
        (Box(100, 80, 75, 85), (256, 256), False),  # half of that
        (Box(450, 40, 150, 170), (1000, 256), True),  # the middle of a strip
        (Box(0, 40, 150, 170), (1000, 256), False),  # its end, which the whole image's crop misses
    ],
)
def test_a_close_up_is_what_the_model_sees_of_the_whole(
    box: Box, size: tuple[int, int], close: bool
) -> None:
    assert is_close_up(Face(box, 0.9), *size) is close


def test_of_two_boxes_on_one_face_the_surer_stays() -> None:
    sure, nested, apart = (
        Face(Box(100, 100, 100, 100), 0.9),
        Face(Box(150, 150, 40, 40), 0.8),
        Face(Box(180, 180, 200, 200), 0.7),
    )
    assert distinct([nested, apart, sure]) == [apart, sure]


def test_faces_are_numbered_as_one_reads() -> None:
    places = [(500, 20), (30, 60), (260, 0), (40, 400), (300, 380), (600, 900)]
    faces = [Face(Box(left, top, 100, 120), 0.9) for left, top in reversed(places)]
    ordered = numbered(faces)
    assert [face.number for face in ordered] == [1, 2, 3, 4, 5, 6]
    corners = [(face.box.left, face.box.top) for face in ordered]
    assert corners == [(30, 60), (260, 0), (500, 20), (40, 400), (300, 380), (600, 900)]


@given(st.integers(0, 50), st.integers(0, 30), st.sampled_from([0, 90, 180, 270]))
def test_a_box_turns_with_its_image(left: int, top: int, degrees: int) -> None:
    image = Image.new("L", (80, 60))
    box = Box(left, top, 20, 10)
    image.paste(255, (left, top, left + 20, top + 10))
    there = image.rotate(degrees, expand=True).getbbox()
    turned = box.turned(degrees, 80, 60)
    right, bottom = turned.left + turned.width, turned.top + turned.height
    assert there == (turned.left, turned.top, right, bottom)
    width, height = (80, 60) if degrees in {0, 180} else (60, 80)
    assert turned.turned((360 - degrees) % 360, width, height) == box
