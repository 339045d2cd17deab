from __future__ import annotations

import gc
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from PIL import Image

import facecheck
from facecheck import Checker
from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.labels import Status
from facecheck.core.parallel import cpu_count
from facecheck.scanner.answers import Answer
from facecheck.scanner.options import CheckOptions

WHOLE = CheckOptions(faces="off", device="cpu")


def test_a_path_and_its_bytes_have_one_verdict(trained: tuple[Path, Path], drawn: Path) -> None:
    checker = Checker(trained[1].parent, WHOLE)
    face = drawn / "sketch" / "drawn-sketch" / "000.png"
    answer = checker.check(face)
    assert checker.check(str(face)) == answer
    assert checker.check(face.read_bytes()) == replace(answer, name="")
    assert answer.status == "ok"
    assert answer.score is not None
    assert 0 <= answer.score <= 1
    assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_what_cannot_be_checked_is_told(trained: tuple[Path, Path], tmp_path: Path) -> None:
    checker = Checker(trained[1], WHOLE)
    for image, message in ((tmp_path / "nothing.jpg", "the file is not there"), (b"", "empty")):
        answer = checker.check(image)
        assert (answer.status, answer.verdict, answer.score) == ("error", None, None)
        assert message in answer.message
    with pytest.raises(UsageError, match="no checkpoint at"):
        Checker(tmp_path / "nothing")


@pytest.fixture(scope="module")
def checker(trained: tuple[Path, Path]) -> Checker:
    return Checker(str(trained[1]), WHOLE)


@pytest.fixture
def faces(drawn: Path) -> list[Path]:
    return sorted(drawn.rglob("*.png"))[:7]


def unnamed(answer: Answer) -> Answer:
    return replace(answer, name="")


def same(one: Answer, other: Answer) -> bool:
    """Compare all but the last digits of scores, which the batch around a crop may move."""
    scores = [[face.prediction.score for face in each.classified] for each in (one, other)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    plain = [replace(each, classified=(), decision=None) for each in (one, other)]
    return plain[0] == plain[1] and one.verdict == other.verdict and one.kind == other.kind


def test_pixels_in_memory_have_the_verdict_of_their_file(
    checker: Checker, faces: list[Path]
) -> None:
    for face in faces:
        answer, image = checker.check(face), Image.open(face)
        assert checker.check(image) == answer  # an open file has its name
        assert checker.check(image.copy()) == unnamed(answer)
        assert checker.check(np.asarray(image.convert("RGB"))) == unnamed(answer)
        assert checker.check(bytearray(face.read_bytes())) == unnamed(answer)
        assert checker(face) == answer


def test_a_member_of_an_archive_is_checked_by_the_name_that_a_scan_gives_it(
    checker: Checker, faces: list[Path], tmp_path: Path
) -> None:
    archive = tmp_path / "faces.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.write(faces[0], "inside/face.png")
    answer = checker.check(f"{archive}::inside/face.png")
    assert answer.name == f"{archive}::inside/face.png"
    assert unnamed(answer) == unnamed(checker.check(faces[0]))
    missing = checker.check(f"{archive}::inside/other.png")
    assert (missing.status, missing.message) == ("error", "the file is not there")


NO_IMAGES: list[tuple[Any, str]] = [
    (3, "int, not an image: pass a path"),
    (None, "NoneType, not an image"),
    ([1], "list of images: use check_many"),
    (iter([1]), "list_iterator of images: use check_many"),
    (np.zeros((3, 9, 9), np.uint8), r"shape \(3, 9, 9\).*transpose"),
    (np.zeros((9, 9, 3), np.float32), r"float32.*\(height, width, 3\), uint8"),
]


@pytest.mark.parametrize(("image", "message"), NO_IMAGES)
def test_what_is_no_image_is_refused(checker: Checker, image: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        checker.check(image)


def test_an_open_file_is_refused_with_what_to_pass(checker: Checker, faces: list[Path]) -> None:
    with faces[0].open("rb") as stream, pytest.raises(UsageError, match=r"file\.read\(\)"):
        checker.check(stream)  # type: ignore[arg-type]


def test_many_have_the_answers_of_each_in_their_order_and_bad_ones_end_nothing(
    checker: Checker, faces: list[Path], tmp_path: Path
) -> None:
    mixed: list[Any] = [faces[0], tmp_path / "none.png", b"text", str(faces[1]), tmp_path]
    mixed += [np.asarray(Image.open(faces[2]).convert("RGB")), Image.new("F", (9, 9))]
    mixed += [image for image, _ in NO_IMAGES] + [Image.open(faces[3]), faces[4].read_bytes()]
    answers = list(checker.check_many(mixed, batch_size=3))
    assert len(answers) == len(mixed)
    for image, answer in zip(mixed, answers, strict=True):
        try:
            assert same(answer, checker.check(image))
        except UsageError as error:
            assert (answer.status, answer.message) == ("error", str(error))
    assert [answer.status for answer in answers].count(Status.OK) == 5
    assert answers[1].name == str(tmp_path / "none.png")
    assert answers[4].message == "a folder, not a file"


def test_an_array_of_images_is_several(checker: Checker, faces: list[Path]) -> None:
    images = np.stack([np.asarray(Image.open(face).convert("RGB")) for face in faces[:3]])
    for one, face in zip(checker.check_many(images), faces, strict=False):
        assert same(one, unnamed(checker.check(face)))


def test_a_generator_is_read_as_far_as_answers_are_wanted(checker: Checker) -> None:
    made = 0

    def images() -> Iterator[npt.NDArray[np.uint8]]:
        nonlocal made
        for _ in range(10_000):
            made += 1
            yield np.full((64, 64, 3), made % 256, np.uint8)

    answers = checker.check_many(images(), batch_size=4)
    assert made == 0
    for _ in range(9):
        next(answers)
    assert made <= 12 + 2 * cpu_count()
    del answers
    gc.collect()
    assert made < 100


def test_a_generator_may_reuse_its_buffer(checker: Checker, faces: list[Path]) -> None:
    images = [np.asarray(Image.open(face).convert("RGB")) for face in faces]
    buffer = np.empty_like(images[0])

    def frames() -> Iterator[npt.NDArray[np.uint8]]:
        for image in images:
            buffer[:] = image
            yield buffer

    for face, answer in zip(faces, checker.check_many(frames()), strict=True):
        assert same(answer, unnamed(checker.check(face)))


def test_a_fault_of_the_generator_is_its_own(checker: Checker, faces: list[Path]) -> None:
    def images() -> Iterator[Path]:
        yield faces[0]
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(checker.check_many(images()))


def test_one_image_for_many_is_refused(checker: Checker, faces: list[Path]) -> None:
    for one in (str(faces[0]), faces[0], faces[0].read_bytes(), Image.open(faces[0])):
        with pytest.raises(UsageError, match="check_many takes several images") as refused:
            checker.check_many(one)  # type: ignore[arg-type]
        assert isinstance(one, bytes | Image.Image) or str(faces[0]) in str(refused.value)
    with pytest.raises(UsageError, match="not int"):
        checker.check_many(3)  # type: ignore[arg-type]
    for size in (0, -1, 2.5, True, "8"):
        with pytest.raises(UsageError, match="batch_size is"):
            checker.check_many(faces, batch_size=size)  # type: ignore[arg-type]


def test_many_are_a_frame(checker: Checker, faces: list[Path]) -> None:
    frame = checker.check_many([*faces, b""]).frame()
    assert isinstance(frame, pl.DataFrame)
    assert frame["path"].to_list() == [*map(str, faces), ""]
    assert frame["score"].to_list()[:7] == pytest.approx(
        [checker.check(face).score for face in faces], abs=2e-6
    )
    assert frame["score"][7] is None
    assert facecheck.to_frame(map(checker.check, faces)).equals(frame[:7])
    answers = checker.check_many(faces)
    next(answers)
    with pytest.raises(UsageError, match="1 answers were taken already"):
        answers.frame()


def test_an_answer_says_what_decided(checker: Checker, faces: list[Path]) -> None:
    for answer in checker.check_many(faces):
        low, high = answer.thresholds
        assert 0 <= low <= high <= 1
        assert answer.score is not None
        expected = "uncertain" if low < answer.score < high else answer.verdict
        assert answer.verdict == expected
        assert bool(answer.reason) == (answer.verdict == "uncertain")
        assert (answer.boxes, answer.faces) == ((), None)  # whole images


def test_a_name_that_a_checker_lacks_says_what_there_is(checker: Checker) -> None:
    with pytest.raises(FacecheckError, match=r"no 'predict': check\(image\)"):
        _ = checker.predict
    assert not hasattr(checker, "predict")
