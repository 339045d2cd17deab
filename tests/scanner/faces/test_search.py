from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facecheck.core.errors import CheckpointError
from facecheck.scanner import faces
from facecheck.scanner.faces.boxes import (
    MARGIN,
    SIZES,
    Box,
    Face,
    check_detector,
    face_square,
    find_faces,
    is_close_up,
)
from facecheck.scanner.picture import Picture
from tests.scanner.conftest import pasted


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def jpeg(image: Image.Image, **more: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92, **more)
    return out.getvalue()


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
    assert faces._distinct([nested, apart, sure]) == [apart, sure]


def test_faces_are_found_where_they_are(detector: Path, portraits: list[Path]) -> None:
    places = [(100, 80, 400), (900, 60, 256), (1300, 700, 200), (60, 800, 128)]
    laid = [(file, *place) for file, place in zip(portraits, places, strict=False)]
    found = find_faces(Picture(jpeg(pasted((1600, 1100), laid)), 64), detector)
    assert len(found) == len(places)
    for face, (left, top, side) in zip(found, places, strict=True):  # both largest first
        square = face_square(face.box, 1600, 1100)
        truth = Box(left, top, side, side)
        assert square.shared(truth) / truth.area > 0.7
        assert face.confidence >= faces.CONFIDENCE


def test_a_turned_photograph_is_searched_upright(detector: Path, portraits: list[Path]) -> None:
    upright = pasted((600, 900), [(portraits[0], 50, 100, 256)])
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, to be turned clockwise
    stored = jpeg(upright.transpose(Image.Transpose.ROTATE_90), exif=exif)
    (one,) = find_faces(Picture(jpeg(upright), 64), detector)
    (turned,) = find_faces(Picture(stored, 64), detector)
    for edge in ("left", "top", "width", "height"):
        assert getattr(turned.box, edge) == pytest.approx(getattr(one.box, edge), abs=8)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes at which faces are sought, in turn."""
    sought: list[int] = []
    detect: Callable[..., list[Face]] = faces._detect

    def watched(picture: Picture, model: Path, size: int) -> list[Face]:
        sought.append(size)
        return detect(picture, model, size)

    monkeypatch.setattr(faces, "_detect", watched)
    return sought


@pytest.mark.parametrize(
    ("size", "face", "expected"),
    [
        ((256, 256), None, [160]),
        ((400, 300), None, [160, 320]),
        ((900, 700), None, [160, 640]),
        ((3000, 2000), None, [160, 640]),
        ((3000, 2000), (700, 200, 1600), [160]),  # a close-up
        ((3000, 2000), (1000, 300, 400), [160, 640]),
        ((3000, 2000), (1000, 300, 130), [160, 640, 1280]),  # may stand in a crowd
    ],
)
def test_small_faces_are_sought_only_where_they_can_be_judged(
    detector: Path,
    portraits: list[Path],
    sizes: list[int],
    size: tuple[int, int],
    face: tuple[int, int, int] | None,
    expected: list[int],
) -> None:
    laid = [] if face is None else [(portraits[3], *face)]
    found = find_faces(Picture(jpeg(pasted(size, laid)), 64), detector)
    assert sizes == expected
    assert len(found) == len(laid)


def test_threads_find_the_same(detector: Path, portraits: list[Path]) -> None:
    images = [file.read_bytes() for file in portraits] * 3
    alone = [find_faces(Picture(image, 64), detector) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda image: find_faces(Picture(image, 64), detector), images)) == (
            alone
        )


def test_loading_says_nothing_on_the_terminal(detector: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from facecheck.scanner.faces.boxes import check_detector\n"
        f"check_detector(Path({str(detector)!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("content", [b"", b"not a network", None])
def test_a_file_that_is_no_detector_is_refused_in_one_line(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "wrong.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"wrong.onnx: .*--face-detector") as told:
        check_detector(path)
    assert "\n" not in str(told.value)


def test_another_network_is_refused(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Relu", ["input"], ["output"])],
        "other",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 160, 160])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 160, 160])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=r"other.onnx: not a YuNet"):
        check_detector(tmp_path / "other.onnx")


def test_the_pixels_are_as_fine_as_asked(portraits: list[Path]) -> None:
    image = pasted((2000, 1000), [(portraits[0], 0, 0, 900)])
    picture = Picture(jpeg(image), 50)
    assert (picture.width, picture.height) == (2000, 1000)
    assert picture.whole.size == (250, 125)  # an eighth, and no less than twice 50
    assert picture.at(0.1).size == (250, 125)
    assert picture.at(0.125).size == (250, 125)
    assert picture.at(0.13).size == (1000, 500)  # an eighth is too little, and more will be asked
    assert picture.at(7).size == (2000, 1000)
    assert picture.at(0.1).size == (2000, 1000)  # what is there serves
    assert picture.whole.size == (250, 125)
    exact = Picture(png(image), 50)
    assert np.array_equal(np.asarray(exact.at(1)), np.asarray(image))
    assert tuple(sorted(SIZES)) == SIZES
