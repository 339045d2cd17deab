from __future__ import annotations

from pathlib import Path

import pytest

from facecheck import Checker
from facecheck.core.errors import ImageError, UsageError


def test_a_path_and_its_bytes_have_one_verdict(trained: tuple[Path, Path], drawn: Path) -> None:
    checker = Checker(trained[1].parent, device="cpu")
    face = drawn / "sketch" / "drawn-sketch" / "000.png"
    verdict = checker.check(face)
    assert checker.check(face.read_bytes()) == verdict
    assert checker.check(str(face)) == verdict
    assert 0 <= verdict.score <= 1
    assert sum(verdict.probabilities.values()) == pytest.approx(1)


def test_what_cannot_be_checked_is_told(trained: tuple[Path, Path], tmp_path: Path) -> None:
    checker = Checker(trained[1], device="cpu")
    with pytest.raises(ImageError, match="not there"):
        checker.check(tmp_path / "nothing.jpg")
    with pytest.raises(ImageError, match="empty"):
        checker.check(b"")
    with pytest.raises(UsageError, match="no checkpoint at"):
        Checker(tmp_path / "nothing")
