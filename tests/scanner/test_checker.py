from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from facecheck import Checker
from facecheck.core.errors import UsageError
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
