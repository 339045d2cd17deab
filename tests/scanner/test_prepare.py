from __future__ import annotations

import io
import pickle
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from facecheck.core.errors import ImageError
from facecheck.core.files import open_regular
from facecheck.core.image import decode
from facecheck.core.labels import Status, Verdict
from facecheck.model.predict import Prediction
from facecheck.model.transforms import Transform, load_input, to_input
from facecheck.scanner import prepare as module
from facecheck.scanner.answers import to_answer
from facecheck.scanner.faces.boxes import Box, Face, face_square, numbered
from facecheck.scanner.faces.search import Found
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.prepare import (
    FACE_VIEW,
    WHOLE_VIEW,
    prepare,
)
from facecheck.scanner.results.columns import rows_of
from tests.conftest import RealImages
from tests.scanner.conftest import jpeg, pasted, png

FACE_CELLS = (
    "view", "faces", "face_left", "face_top", "face_width", "face_height", "face_confidence",
    "width", "height",
)  # fmt: skip
TRANSFORM = Transform.for_size(64, (0.5,) * 3, (0.5,) * 3)


def item_of(source: Path | bytes) -> Item:
    if isinstance(source, Path):
        return Item("item", 0, 0, str(source))
    return Item("item", 0, 0, None, 0, partial(bytes, source))


def vanished() -> bytes:
    raise ImageError("it is gone")


def answer(verdict: Verdict, score: float) -> Prediction:
    return Prediction(verdict, "photo" if score < 0.5 else "cartoon", score, {"photo": 1 - score})


def faces_of(*sides: int) -> list[Face]:
    return [Face(Box(10 * side, 0, side, side), 0.9) for side in sorted(sides, reverse=True)]


def test_a_face_crop_is_judged_whole_as_evaluation_judges_it(
    detector: Path, real_images: RealImages
) -> None:
    sources = ("photo/ffhq-256", "photo/celeba-256", "photo/cufs-photos", "sketch/cufs-sketches")
    for source in (*sources, "generated/portraits-512", "generated/stylegan-256"):
        for path in real_images(f"{source}/", 6):
            prepared = prepare(item_of(path), TRANSFORM, detector)
            assert (prepared.status, prepared.view) == ("ok", WHOLE_VIEW), path
            assert prepared.faces
            assert prepared.crops[0].face == prepared.largest
            assert np.array_equal(prepared.crops[0].inputs[0], load_input(path, TRANSFORM))


def test_each_face_of_a_photograph_is_cut_out_as_training_saw_faces(
    detector: Path, portraits: list[Path]
) -> None:
    laid = [
        (portraits[0], 100, 80, 400),
        (portraits[2], 900, 60, 256),
        (portraits[3], -20, 700, 200),
    ]
    prepared = prepare(item_of(jpeg(pasted((1600, 900), laid))), TRANSFORM, detector)
    assert (prepared.status, prepared.view, prepared.faces) == ("ok", FACE_VIEW, 3)
    assert (prepared.width, prepared.height) == (1600, 900)
    for crop, (file, *_) in zip(prepared.crops, laid, strict=True):
        assert crop.inputs.shape == (1, 1, 64, 64, 3)
        own = load_input(file, TRANSFORM).astype(float)
        others = [load_input(other, TRANSFORM).astype(float) for other, *_ in laid if other != file]
        distance = np.abs(crop.inputs - own).mean()
        assert distance < 0.75 * min(np.abs(crop.inputs - other).mean() for other in others)


def test_a_face_is_cut_from_pixels_as_fine_as_the_file_holds(
    detector: Path, portraits: list[Path]
) -> None:
    image = jpeg(pasted((3000, 2000), [(portraits[0], 600, 300, 500)]))
    (crop,) = prepare(item_of(image), TRANSFORM, detector).crops
    assert crop.face is not None
    square = face_square(crop.face.box, 3000, 2000)
    box = (square.left, square.top, square.left + square.width, square.top + square.height)
    full = to_input(decode(image).image.crop(box), TRANSFORM)
    draft = decode(image, short_side=TRANSFORM.resize).image
    scale = draft.width / 3000
    rough = to_input(draft.crop(tuple(round(scale * edge) for edge in box)), TRANSFORM)  # type: ignore[arg-type]
    fine = np.abs(crop.inputs.astype(int) - full).mean()
    assert fine < 3
    assert fine < np.abs(rough.astype(int) - full).mean() / 2


def test_a_crop_at_the_edge_holds_no_invented_pixels(detector: Path, portraits: list[Path]) -> None:
    image = pasted((1001, 703), [(portraits[0], 1001 - 150, 703 - 150, 190)], background="white")
    prepared = prepare(item_of(jpeg(image)), TRANSFORM, detector)
    assert prepared.view == FACE_VIEW
    pixels = prepared.crops[0].inputs[0, 0]
    assert pixels[:4].min() > 100 or pixels[:, :4].min() > 100  # white, or face: no black border


@pytest.mark.parametrize("crops", [1, 5])
def test_faces_get_the_crops_of_the_transform(
    detector: Path, portraits: list[Path], crops: int
) -> None:
    image = jpeg(pasted((900, 600), [(portraits[0], 100, 80, 256)]))
    prepared = prepare(item_of(image), replace(TRANSFORM, crops=crops), detector)
    assert prepared.crops[0].inputs.shape == (1, crops, 64, 64, 3)


def test_small_faces_are_counted_and_not_judged(detector: Path, portraits: list[Path]) -> None:
    small = (portraits[3], 600, 100, 44)
    only = prepare(item_of(png(pasted((900, 600), [small]))), TRANSFORM, detector)
    assert (only.status, only.faces, only.crops) == (Status.TOO_SMALL, 1, ())
    assert "on its short side, under 32" in only.message
    (row,) = rows_of(to_answer(only, []))
    assert only.largest is not None
    assert (row["status"], row.get("verdict")) == (Status.TOO_SMALL, None)
    assert row["face_left"] == only.largest.box.left
    beside = pasted((900, 600), [small, (portraits[0], 100, 80, 256)])
    both = prepare(item_of(png(beside)), TRANSFORM, detector)
    assert (both.status, both.faces, len(both.crops)) == ("ok", 2, 1)


def test_an_image_that_holds_no_face_large_enough_is_too_small(
    detector: Path, portraits: list[Path]
) -> None:
    thumbnail = item_of(png(Image.open(portraits[0]).resize((30, 30))))
    assert prepare(thumbnail, TRANSFORM, detector).status == Status.TOO_SMALL
    assert prepare(thumbnail, TRANSFORM, None).status == "ok"


def test_a_crowd_is_judged_by_its_largest_faces(
    portraits: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = numbered(faces_of(*range(40, 140)))
    monkeypatch.setattr(module, "find_faces", lambda picture, detector: Found(faces))
    image = png(Image.new("RGB", (2000, 300)))
    prepared = prepare(item_of(image), TRANSFORM, Path("detector"))
    assert prepared.faces == 100
    largest = [face for face in faces if face.box.width >= 140 - module.MOST_FACES]
    assert [crop.face for crop in prepared.crops] == largest


def test_bad_files_become_errors(detector: Path, bad_files: dict[str, str], tmp_path: Path) -> None:
    for name, reason in bad_files.items():
        prepared = prepare(item_of(tmp_path / "bad" / name), TRANSFORM, detector)
        if reason:
            assert prepared.status == "error", name
            assert reason in prepared.message
            (row,) = rows_of(to_answer(prepared, []))
            assert not any(row.get(name) for name in FACE_CELLS)
        else:
            assert prepared.status in {"ok", Status.TOO_SMALL}, name
    assert prepare(Item("a", 0, 0, None, 0, vanished), TRANSFORM, detector).message == "it is gone"


def test_a_file_damaged_where_only_a_closer_look_goes_is_an_error(
    detector: Path, portraits: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    path.write_text("whole at first sight")
    image = jpeg(pasted((3000, 2000), [(portraits[0], 600, 300, 500)]))
    monkeypatch.setattr(
        "facecheck.scanner.picture.decode",
        lambda source, short_side, frame: decode(
            image if short_side == TRANSFORM.resize else source
        ),
    )
    assert prepare(item_of(path), TRANSFORM, None).status == "ok"
    monkeypatch.setattr(
        "facecheck.scanner.picture.decode",
        lambda source, short_side, frame: decode(
            image if short_side == TRANSFORM.resize else source, short_side=short_side
        ),
    )
    prepared = prepare(item_of(path), TRANSFORM, detector)
    assert (prepared.status, prepared.message) == ("error", "a text file, not an image")


def test_what_is_prepared_travels_between_processes(detector: Path, portraits: list[Path]) -> None:
    prepared = prepare(item_of(portraits[0]), TRANSFORM, detector)
    back = pickle.loads(pickle.dumps(prepared))
    assert back.item == prepared.item
    assert back.largest == prepared.largest
    assert np.array_equal(back.crops[0].inputs, prepared.crops[0].inputs)


def test_without_faces_neither_detector_nor_opencv_is_needed(portraits: list[Path]) -> None:
    code = (
        "import sys\n"
        "sys.modules['cv2'] = None\n"
        "from pathlib import Path\n"
        "from types import SimpleNamespace\n"
        "from facecheck.core.errors import FacecheckError\n"
        "from facecheck.model.transforms import Transform\n"
        "from facecheck.scanner.prepare import prepare\n"
        "transform = Transform.for_size(32, (0.5,) * 3, (0.5,) * 3)\n"
        f"item = SimpleNamespace(name='a', load=lambda: Path({str(portraits[0])!r}))\n"
        "prepared = prepare(item, transform, None)\n"
        "print(prepared.status, prepared.view, prepared.faces)\n"
        "try:\n    prepare(item, transform, Path('detector.onnx'))\n"
        "except FacecheckError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    plain, refused = done.stdout.splitlines()
    assert plain == "ok whole None"
    assert refused.startswith("--faces auto needs OpenCV")
    assert refused.endswith("pip install opencv-python-headless, or pass --faces off")


def test_what_was_repaired_and_which_frame_was_taken_is_in_the_message() -> None:
    whole = jpeg(Image.new("RGB", (300, 200), "teal"))
    several = [Image.new("RGB", (20, 24), colour) for colour in ("red", "blue")]
    stream = io.BytesIO()
    several[0].save(stream, "GIF", save_all=True, append_images=several[1:])
    for content, status, message in (
        (whole, "ok", ""),
        (whole[:-2], "ok", "repaired: no end marker"),
        (stream.getvalue(), "ok", "frame 1 of 2"),
    ):
        prepared = prepare(item_of(content), TRANSFORM, None)
        assert (prepared.status, prepared.message) == (status, message)
        prediction = Prediction(Verdict.REAL, "photo", 0.1, {"photo": 0.9})
        (row,) = rows_of(to_answer(prepared, [prediction]))
        assert row["message"] == message


def test_a_file_is_opened_once(portraits: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def counted(path: Path) -> BinaryIO:
        opened.append(path)
        return open_regular(path)

    monkeypatch.setattr("facecheck.core.image.decoding.open_regular", counted)
    assert prepare(item_of(portraits[0]), TRANSFORM, None).status == Status.OK
    assert opened == [portraits[0]]


def test_a_file_that_lies_is_classified_upright(detector: Path, portraits: list[Path]) -> None:
    upright = pasted((900, 600), [(portraits[2], 500, 150, 300)])
    (expected,) = prepare(item_of(png(upright)), TRANSFORM, detector).crops
    lying = prepare(item_of(png(upright.rotate(90, expand=True))), TRANSFORM, detector)
    (crop,) = lying.crops
    assert (lying.width, lying.height) == (600, 900)
    assert "turned by 270 degrees" in lying.message
    assert np.abs(crop.inputs.astype(int) - expected.inputs).mean() < 8


def test_the_frame_with_the_largest_face_is_classified(
    detector: Path, portraits: list[Path]
) -> None:
    title = Image.new("RGB", (400, 300), "white")
    pages = [
        title,
        pasted((400, 300), [(portraits[0], 20, 20, 130)]),
        pasted((400, 300), [(portraits[1], 60, 10, 280)]),
    ]
    stream = io.BytesIO()
    title.save(stream, "TIFF", save_all=True, append_images=pages[1:])
    prepared = prepare(item_of(stream.getvalue()), TRANSFORM, detector)
    assert (prepared.frame, prepared.message) == (3, "frame 3 of 3")
    (row,) = rows_of(to_answer(prepared, [answer(Verdict.REAL, 0.1)]))
    assert row["frame"] == 3
    alone = prepare(item_of(png(pages[2])), TRANSFORM, detector)
    assert np.array_equal(prepared.crops[0].inputs, alone.crops[0].inputs)
    assert alone.frame is None
