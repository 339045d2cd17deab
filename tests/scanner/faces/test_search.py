from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from facecheck.scanner.faces import detector as detectors
from facecheck.scanner.faces import search
from facecheck.scanner.faces.boxes import Box, face_square
from facecheck.scanner.faces.detector import CONFIDENCE, SIDES, Detection
from facecheck.scanner.faces.search import (
    FINEST,
    MOST_TILES,
    OVERLAP,
    find_faces,
    largest_at_a_glance,
)
from facecheck.scanner.picture import Picture
from tests.scanner.conftest import jpeg, pasted, png


def test_faces_are_found_where_they_are(detector: Path, portraits: list[Path]) -> None:
    places = [(100, 80, 400), (900, 60, 256), (60, 800, 128), (1300, 700, 200)]
    laid = [(file, *place) for file, place in zip(portraits, places, strict=False)]
    found = find_faces(Picture(jpeg(pasted((1600, 1100), laid)), 64), detector)
    assert (len(found.faces), found.turn) == (len(places), 0)
    assert sorted(face.number for face in found.faces) == [1, 2, 3, 4]
    for left, top, side in places:
        truth = Box(left, top, side, side)
        (face,) = [face for face in found.faces if face.box.shared(truth)]
        square = face_square(face.box, 1600, 1100)
        assert square.shared(truth) / truth.area > 0.7
        assert face.confidence >= CONFIDENCE
    assert found.largest is not None
    assert found.largest.box.shared(Box(100, 80, 400, 400)) == found.largest.box.area


def test_the_exif_orientation_is_applied_before_the_search(
    detector: Path, portraits: list[Path]
) -> None:
    upright = pasted((600, 900), [(portraits[0], 50, 100, 256)])
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, to be turned clockwise
    stored = jpeg(upright.transpose(Image.Transpose.ROTATE_90), exif=exif)
    (one,) = find_faces(Picture(jpeg(upright), 64), detector).faces
    (turned,) = find_faces(Picture(stored, 64), detector).faces
    for edge in ("left", "top", "width", "height"):
        assert getattr(turned.box, edge) == pytest.approx(getattr(one.box, edge), abs=8)


def blurred(size: tuple[int, int], file: Path) -> Image.Image:
    """Return a background of soft shapes, as a photograph out of focus has."""
    with Image.open(file) as image:
        small = image.convert("RGB").resize((64, 48)).filter(ImageFilter.GaussianBlur(6))
    return small.resize(size, Image.Resampling.BICUBIC)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "side"),
    [
        ((6000, 4000), 100),
        ((6000, 4000), 160),
        pytest.param((8160, 6120), 60, marks=pytest.mark.slow),
        pytest.param((8160, 6120), 250, marks=pytest.mark.slow),
        ((16000, 2400), 100),
        ((16000, 2400), 700),
    ],
)
def test_a_face_is_found_in_a_photograph_of_any_size(
    detector: Path, portraits: list[Path], size: tuple[int, int], side: int
) -> None:
    image = blurred(size, portraits[1])
    place = (size[0] // 3 + 37, size[1] // 3)
    with Image.open(portraits[0]) as face:
        crop = round(side / 0.64)  # of which the box takes 0.64
        image.paste(face.convert("RGB").resize((crop, crop), Image.Resampling.LANCZOS), place)
    found = find_faces(Picture(jpeg(image), 128), detector)
    assert len(found.faces) == 1
    truth = Box(*place, crop, crop)
    assert found.faces[0].box.shared(truth) > 0.9 * found.faces[0].box.area


@pytest.mark.slow
def test_the_back_row_of_a_group_is_found(detector: Path, portraits: list[Path]) -> None:
    front = [(portraits[n], 150 + 700 * n, 1500, 380) for n in range(5)]
    back = [(portraits[n + 3], 100 + 500 * n, 700, 110) for n in range(7)]
    image = blurred((4000, 3000), portraits[1])
    for file, left, top, side in (*front, *back):
        with Image.open(file) as face:
            image.paste(face.convert("RGB").resize((side, side)), (left, top))
    found = find_faces(Picture(jpeg(image), 128), detector)
    assert len(found.faces) == 12
    tops = [face.box.top for face in found.faces]
    assert max(tops[:7]) < 900 < 1500 < min(tops[7:])  # the back row is the first that one reads


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_photograph_that_lies_is_searched_in_turns(
    detector: Path, portraits: list[Path], turn: int
) -> None:
    upright = pasted((900, 600), [(portraits[2], 500, 150, 300)])
    (expected,) = find_faces(Picture(png(upright), 64), detector).faces
    lying = upright.rotate(-turn, expand=True)
    found = find_faces(Picture(png(lying), 64), detector)
    assert found.turn == turn
    (face,) = found.faces
    back = face.box.turned(turn, *lying.size)
    assert back.shared(expected.box) > 0.8 * expected.box.area


def drawn_without_a_face(number: int) -> Image.Image:
    """Return a logo, a page of text, a bar chart, a product on a shelf, or a pie chart."""
    random = Random(number)
    size = (random.choice([256, 400, 640]), random.choice([256, 300, 480]))
    image = Image.new("RGB", size, random.choice(["white", "#222233", "#f4f4f4", "#ffcc33"]))
    draw = ImageDraw.Draw(image)
    width, height = size

    def colour() -> tuple[int, ...]:
        return tuple(random.randrange(256) for _ in range(3))

    match number % 5:
        case 0:
            draw.ellipse((width * 0.3, height * 0.2, width * 0.7, height * 0.7), fill=colour())
            draw.polygon(
                [(width * 0.5, height * 0.25), (width * 0.4, height * 0.6), (width * 0.6, 200)],
                fill=colour(),
            )
            draw.text((width * 0.3, height * 0.75), "ORBIT", fill=colour(), font_size=40)
        case 1:
            words = ["the", "quick", "report", "value", "= 3", "def", "return", "faces"]
            for top in range(10, height - 20, 22):
                line = " ".join(random.choice(words) for _ in range(9))
                draw.text((12, top), line, fill="#333333", font_size=15)
        case 2:
            for bar in range(8):
                left = 20 + bar * width / 9
                top = height - 20 - random.randrange(height - 60)
                draw.rectangle((left, top, left + width / 14, height - 20), fill=colour())
        case 3:
            draw.rounded_rectangle(
                (width * 0.38, height * 0.3, width * 0.62, height * 0.95), 20, fill=colour()
            )
            draw.rectangle((width * 0.45, height * 0.1, width * 0.55, 120), fill=colour())
            draw.ellipse((width * 0.42, height * 0.5, width * 0.58, height * 0.7), fill=colour())
        case _:
            start = 0
            for _ in range(5):
                end = start + random.randrange(30, 100)
                box = (width * 0.2, height * 0.1, width * 0.2 + height * 0.8, height * 0.9)
                draw.pieslice(box, start, end, fill=colour())
                start = end
    return image


@pytest.mark.slow
def test_what_is_no_face_does_not_resemble_one(detector: Path) -> None:
    for number in range(20):
        found = find_faces(Picture(png(drawn_without_a_face(number)), 128), detector)
        assert (found.faces, found.faint) == ((), False), number


def test_drawn_faces_that_are_not_found_resemble_one(detector: Path, shared_data: Path) -> None:
    folder = shared_data / "cartoon" / "vector-avatars"
    files = [folder / f"multiavatar_{number:02}.png" for number in range(0, 40, 2)]
    found = [find_faces(Picture(file, 128), detector) for file in files]
    missed = [one for one in found if not one.faces]
    assert len(missed) >= 10
    assert sum(one.faint for one in missed) >= len(missed) // 2


def test_of_the_frames_of_a_file_the_largest_face_counts(
    detector: Path, portraits: list[Path]
) -> None:
    sizes = [
        largest_at_a_glance(pasted((600, 400), [(portraits[0], 100, 50, side)]), detector)
        for side in (150, 300)
    ]
    assert 0 < sizes[0] < sizes[1] < 1
    assert largest_at_a_glance(Image.new("RGB", (600, 400)), detector) == 0


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sides of the detector's inputs, in turn."""
    sides: list[int] = []
    detect: Callable[..., list[Detection]] = detectors.detect

    def watched(pixels: np.ndarray, model: Path) -> list[Detection]:
        sides.append(len(pixels))
        return detect(pixels, model)

    monkeypatch.setattr(search, "detect", watched)
    return sides


@pytest.mark.parametrize(
    ("size", "face", "expected"),
    [
        ((3000, 2000), (700, 200, 1600), [160]),  # a close-up
        ((3000, 2000), (1000, 300, 400), [160, 640]),  # large enough: no crowd
        ((400, 300), (100, 60, 120), [160, 320]),
    ],
)
def test_the_search_ends_where_closer_steps_would_show_no_more(
    detector: Path,
    portraits: list[Path],
    calls: list[int],
    size: tuple[int, int],
    face: tuple[int, int, int],
    expected: list[int],
) -> None:
    found = find_faces(Picture(jpeg(pasted(size, [(portraits[3], *face)])), 64), detector)
    assert calls == expected
    assert len(found.faces) == 1


def test_flat_tiles_are_not_searched(detector: Path, calls: list[int]) -> None:
    plain = Image.new("RGB", (4000, 3000), "#88aacc")
    assert find_faces(Picture(jpeg(plain), 64), detector).faces == ()
    assert calls.count(640) == 4  # the whole, upright and in three turns


@given(st.integers(1, 40_000), st.integers(1, 40_000))
def test_tiles_cover_a_picture_and_their_number_is_bounded(width: int, height: int) -> None:
    picture: Any = SimpleNamespace(width=width, height=height)
    scales = search._scales(picture, SIDES[-1] / max(width, height))
    assert all(scale <= FINEST + 1e-9 for scale in scales)
    for scale in scales:
        across, down = round(width * scale), round(height * scale)
        assert search._count(across) * search._count(down) <= MOST_TILES
        for length in (across, down):
            starts = search._starts(length)
            assert starts[0] == 0
            assert starts[-1] + SIDES[-1] >= length
            steps = np.diff(starts)
            assert (steps <= SIDES[-1] - OVERLAP).all()


def test_threads_find_the_same(detector: Path, portraits: list[Path]) -> None:
    images = [file.read_bytes() for file in portraits] * 3
    alone = [find_faces(Picture(image, 64), detector) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda image: find_faces(Picture(image, 64), detector), images)) == (
            alone
        )


def test_loading_says_nothing_on_the_terminal() -> None:
    code = "from facecheck.scanner.faces.detector import find_detector\nfind_detector()\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
