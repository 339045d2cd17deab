"""Options as frozen dataclasses: what a job takes, what a command offers, and what the docs say.

A concern (which files, which faces, what to write) is one subclass of :class:`Options`; a job's
options are a subclass of all its concerns. So each option, its default, its range and its sentence
are written once, and what is at odds is refused from Python and on the command line alike::

    @dataclass(frozen=True)
    class FaceOptions(Options):
        panel: ClassVar[str] = "Faces"
        per_face: bool = option(False, "A row for each face.")
        most: int = option(64, "Faces classified in one image.", least=1)

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.per_face and self.most == 1:
                raise UsageError("--per-face with --most 1: leave one of them out")

    @dataclass(frozen=True)
    class ScanOptions(InputOptions, FaceOptions):
        ...

A field that is made without :func:`option` is the job's alone: no flag sets it.

A module of options imports nothing slow: the command line reads it for its help. How a command
offers them says :mod:`facecheck.cli.flags`.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import Field, dataclass, field, fields
from enum import Enum
from inspect import get_annotations
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Literal

from facecheck.core.errors import UsageError, did_you_mean
from facecheck.core.spelling import respelled


class Trust(Enum):
    """Who may set an option besides the user who types the command.

    A ``facecheck.yaml`` in the current folder may be a stranger's: it came with the folder.
    """

    #: Any project file.
    ANY = "any"
    #: A project file that the user names with ``--config``, since files are written there, or
    #: others become reachable.
    NAMED = "named"
    #: No file: it is the user's consent.
    NO_FILE = "no file"


def option(
    default: Any,
    sentence: str,
    *,
    flags: tuple[str, ...] = (),
    metavar: str | None = None,
    least: float | None = None,
    most: float | None = None,
    words: str = "",
    parse: Callable[[str], Any] | None = None,
    trust: Trust = Trust.ANY,
) -> Any:
    """Return a field of an :class:`Options` class.

    Args:
        default: its value where nothing is given; immutable.
        sentence: its help, in one or two sentences.
        flags: how the command line spells it, such as ``("--null", "-0")``; empty: by its name.
        metavar: what the help shows for its value, such as ``GLOB``.
        least: the smallest number allowed.
        most: the largest.
        words: the default in words, such as ``one per core``; empty shows the default itself.
        parse: makes the value of what the command line gives as text, or each value of a tuple;
            raises :class:`UsageError`.
        trust: who may set it.
    """
    limits = {"least": least, "most": most}
    spelling = {"flags": flags, "metavar": metavar, "words": words, "parse": parse}
    known = {"help": sentence, "trust": trust, **limits, **spelling}
    return field(default=default, metadata=known)


@dataclass(frozen=True)
class Options:
    """The base of all options; it checks choices and ranges.

    Lists become tuples, and text becomes a path where one is wanted.

    A subclass that refuses more does so in its ``__post_init__``, and calls ``super()`` first.

    Attributes:
        panel: the heading of these options in a command's help; None: no heading of their own.

    Raises:
        UsageError: a value is not among its choices, or out of its range.
    """

    panel: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for each in fields(self):
            value = getattr(self, each.name)
            hint = hints[each.name]
            if is_repeatable(hint):
                one = isinstance(value, str | Path) or not isinstance(value, Iterable)
                value = tuple(_value(each, hint, item) for item in ((value,) if one else value))
            else:
                value = _value(each, hint, value)
            choices = choices_of(hint)
            if choices and isinstance(value, str):
                value = respelled(value, choices)
            object.__setattr__(self, each.name, value)
            _check_choice(each, choices, value)
            _check_range(each, value)


def concerns(options: type[Options]) -> Iterator[tuple[type[Options], list[Field[Any]]]]:
    """Yield the classes that a class of options is made of, each with the flags it declares.

    The class itself comes first, then its bases in the order in which it names them.
    """
    known = {each.name: each for each in fields(options) if each.metadata}
    for kind in options.__mro__:
        if issubclass(kind, Options):
            names = [name for name in get_annotations(kind) if name in known]
            yield kind, [known.pop(name) for name in names]


def is_repeatable(hint: Any) -> bool:
    """Return whether an option takes any number of values: its type is ``tuple[…, ...]``."""
    return typing.get_origin(hint) is tuple and typing.get_args(hint)[-1] is Ellipsis


def flag_of(name: str) -> str:
    """Return how the command line spells an option, such as ``--per-face`` of ``per_face``."""
    return f"--{name.replace('_', '-')}"


def _spelling(each: Field[Any]) -> str:
    flags = each.metadata.get("flags")
    return str(flags[0]).split("/")[0] if flags else flag_of(each.name)


def choices_of(hint: Any) -> tuple[str, ...]:
    """Return the values that an option may have: those of ``Literal[…]``, with or without None."""
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    return tuple(value for inner in typing.get_args(hint) for value in choices_of(inner))


def _value(each: Field[Any], hint: Any, value: Any) -> Any:
    """Return a value of an option, text as a path where one is wanted.

    Raises:
        UsageError: it is of another type.
    """
    kinds = {kind for kind in (hint, *typing.get_args(hint)) if isinstance(kind, type)}
    if Path in kinds and isinstance(value, str):
        return Path(value)
    simple = kinds & {bool, int, float, str, Path}
    if not simple or value is None or _is_one_of(value, simple):
        return value
    wanted = " or ".join(_TYPES[kind] for kind in _TYPES if kind in simple)
    raise UsageError(f"{_spelling(each)} {value!r:.80}: must be {wanted}")


#: The types of simple options, in words.
_TYPES = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
}


def _is_one_of(value: Any, kinds: set[type]) -> bool:
    if isinstance(value, bool):  # which Python counts among the whole numbers
        return bool in kinds
    if isinstance(value, Integral):
        return bool(kinds & {int, float})
    if isinstance(value, Real):
        return float in kinds
    return isinstance(value, tuple(kinds))


def _check_choice(each: Field[Any], choices: tuple[str, ...], value: Any) -> None:
    if choices and value is not None and value not in choices:
        near = did_you_mean(str(value), choices)
        raise UsageError(
            f"{_spelling(each)} {value!r} is unknown{near or ':'} {'(' if near else ''}"
            f"one of {', '.join(choices)}{')' if near else ''}"
        )


def _check_range(each: Field[Any], value: Any) -> None:
    least, most = each.metadata.get("least"), each.metadata.get("most")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    # Not a number compares as false, and so is refused as well.
    if (least is None or value >= least) and (most is None or value <= most):
        return
    wanted = f"{least:g} or more" if most is None else f"from {least:g} to {most:g}"
    raise UsageError(f"{_spelling(each)} {value:g}: must be {wanted}")
