from __future__ import annotations

import json

import pytest

from facecheck.core.errors import FacecheckError, reason
from facecheck.core.text import percent, printable, printable_json, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Émile 顔.jpg", "Émile 顔.jpg"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\r\t\x7f\x9b", r"a\nb\r\t\x7f\x9b"),
        ("gpj.\u202exe", r"gpj.\u202exe"),
        ("\udcff", r"\udcff"),
        ("C:\\x1b", "C:\\x1b"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_newline_may_stay() -> None:
    assert printable("a\nb\x07", keep="\n") == "a\nb\\x07"


def test_json_stays_json() -> None:
    value = {"name": "a\x1b\x9b\u2028\n", "other": ["é"]}
    shown = printable_json(json.dumps(value, indent=2, ensure_ascii=False))
    assert json.loads(shown) == value
    assert printable(shown, keep="\n") == shown


def test_a_reason_is_one_line_without_the_files_name() -> None:
    assert reason(FileNotFoundError(2, "No such file or directory", "a.jpg")) == (
        "No such file or directory"
    )
    assert reason(OSError("cannot identify")) == "cannot identify"
    assert reason(ValueError("\n  first\x1b \nsecond")) == r"first\x1b second"
    assert reason(RuntimeError()) == "RuntimeError"
    assert reason(FacecheckError("x" * 301)) == "x" * 299 + "…"


def test_a_share_is_shown_in_percent() -> None:
    assert [percent(0.93421), percent(1, 0), percent(None)] == ["93.42 %", "100 %", "-"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@host/a?token=S&id=7#S", "https://…@host/a?token=…&id=7"),
        ("no url: /a.zip?sig=S (Caused by X)", "no url: /a.zip?sig=… (Caused by X)"),
        (
            "https://host/a?x-amz-signature=S&version=2",
            "https://host/a?x-amz-signature=…&version=2",
        ),
        ("photos/me@home.jpg: what? No.", "photos/me@home.jpg: what? No."),
    ],
)
def test_secrets_of_addresses_are_left_out(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
