from __future__ import annotations

import pytest

from facecheck.core.spelling import respelled

KNOWN = ("--optimiser", "--grey", "centre", "--catalog", "normalise", "colour-jitter", "noise")


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("--optimizer", "--optimiser"),
        ("--gray", "--grey"),
        ("center", "centre"),
        ("--catalogue", "--catalog"),
        ("normalize", "normalise"),
        ("color-jitter", "colour-jitter"),
        ("noise", "noise"),
        ("--optimist", "--optimist"),
        ("", ""),
    ],
)
def test_either_spelling_is_understood(typed: str, known: str) -> None:
    assert respelled(typed, KNOWN) == known


def test_what_two_known_names_answer_to_stays() -> None:
    assert respelled("gray", ("grey", "Grey")) == "gray"
    assert respelled("gray", ("grey", "gray")) == "gray"
