from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import pytest
import typer
from typer.testing import CliRunner

from facecheck.cli.flags import takes_options
from facecheck.core.errors import UsageError
from facecheck.core.options import Options, option


def _pair(text: str) -> tuple[str, ...]:
    if ":" not in text:
        raise UsageError(f"--pair {text!r}: write A:B")
    return tuple(text.split(":"))


@dataclass(frozen=True)
class Faces(Options):
    panel: ClassVar[str] = "Faces"
    faces: Literal["auto", "off"] = option("auto", "Whether to find faces.")
    per_face: bool = option(False, "A row for each face.")
    flip: bool = option(True, "Mirror some.")


@dataclass(frozen=True)
class Everything(Faces):
    null: bool = option(False, "Separated by NUL.", flags=("--null", "-0"))
    include: tuple[str, ...] = option((), "Only these.", metavar="GLOB")
    formats: tuple[str, ...] = option(("jpeg", "webp"), "These.")
    pair: tuple[tuple[str, ...], ...] = option((), "Pairs.", metavar="A:B", parse=_pair)
    half: float = option(0.5, "Half of a number.", parse=lambda text: float(text) / 2)
    count: int | None = option(None, "A number.", least=1, words="one per core")
    order: Literal["first", "last"] | None = option(None, "Which.", flags=("--by",))
    latent: int = 8  # of the job alone


def run(*arguments: str) -> tuple[object, str]:
    made: list[object] = []
    app = typer.Typer()

    @app.command()
    @takes_options
    def command(
        name: Annotated[str, typer.Argument(help="A name.")],
        options: Everything,
        quiet: Annotated[bool, typer.Option("--quiet")] = False,
    ) -> None:
        """Do it."""
        made.extend([name, options, quiet])

    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "TERM": "dumb"})
    if isinstance(done.exception, UsageError):
        raise done.exception
    return made, done.output


def test_without_flags_the_options_are_the_defaults() -> None:
    assert run("x")[0] == ["x", Everything(), False]


def test_every_kind_of_flag_reaches_its_field() -> None:
    made, _ = run(
        *("x", "--faces", "off", "--per-face", "--no-flip", "-0", "--include", "a"),
        *("--include", "b", "--formats", "png", "--pair", "a:b", "--pair", "c:d"),
        *("--half", "3", "--count", "4", "--quiet"),
    )
    expected = Everything(
        faces="off",
        per_face=True,
        flip=False,
        null=True,
        include=("a", "b"),
        formats=("png",),
        pair=(("a", "b"), ("c", "d")),
        half=1.5,
        count=4,
    )
    assert made == ["x", expected, True]


def test_help_comes_from_the_fields() -> None:
    _, text = run("--help")
    for words in ("Faces", "A row for each face.", "GLOB", "one per core", "--no-flip", "A name."):
        assert words in text
    assert "auto|off" in text
    assert "--no-per-face" not in text
    assert "latent" not in text


@pytest.mark.parametrize("wrong", ["--unknown", "--no-per-face"])
def test_what_is_unknown_is_refused(wrong: str) -> None:
    made, text = run("x", wrong)
    assert made == []
    assert wrong in text


def test_what_is_out_of_range_is_refused_by_the_options() -> None:
    with pytest.raises(UsageError, match="--count 0: must be 1 or more"):
        run("x", "--count", "0")


def test_a_choice_that_is_unknown_is_refused_with_the_nearest() -> None:
    assert run("x", "--by", "last")[0] == ["x", Everything(order="last"), False]
    with pytest.raises(UsageError, match="--faces 'of' is unknown; did you mean 'off'"):
        run("x", "--faces", "of")
    with pytest.raises(UsageError, match="--by 'laast' is unknown; did you mean 'last'"):
        run("x", "--by", "laast")


def test_a_parser_refuses_in_its_own_words() -> None:
    with pytest.raises(UsageError, match="write A:B"):
        run("x", "--pair", "ab")
