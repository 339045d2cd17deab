"""Flags from options: a command takes dataclasses of options, and the command line offers fields.

Declare options as :mod:`facecheck.core.options` says, next to the job that takes them; then name
the class as the type of a parameter of the command::

    @takes_options
    def scan(inputs: InputsArgument, *, options: ScanOptions, display: Display) -> None:
        job(inputs, options)

In place of ``options`` the command line has one flag for each field: ``per_face`` is
``--per-face``, a field that is true by default is ``--name`` and ``--no-name``, a tuple is a flag
that may be repeated, and the shell completes a choice. The command itself is called with the one
object made of them. Help, metavar, range, choices and default come from the field. Several such
parameters are allowed, and others stay as they are; Typer's own ``Annotated`` parameters mix with
them freely.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import Field
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.models import ArgumentInfo, ParameterInfo

from facecheck.core.options import Options, Trust, choices_of, concerns, flag_of, is_repeatable

KEYWORD = inspect.Parameter.KEYWORD_ONLY


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return ``command`` with a flag for each field of the options that it takes."""
    own = inspect.signature(command, eval_str=True).parameters
    kinds = {name: item.annotation for name, item in own.items() if _is_options(item.annotation)}

    @wraps(command)
    def run(**given: Any) -> None:
        made = {name: _made(kind, given) for name, kind in kinds.items()}
        command(**given, **made)

    parameters = [
        parameter
        for name, item in own.items()
        for parameter in (_flags(kinds[name]) if name in kinds else [item.replace(kind=KEYWORD)])
    ]
    replace_parameters(run, parameters)
    return run


def replace_parameters(run: Any, parameters: list[inspect.Parameter]) -> None:
    """Give a function that wraps a command the parameters that Typer is to offer for it.

    Those that do not say what the help calls their value say it then, all in one style.
    """
    parameters = [_with_metavar(item) for item in parameters]
    run.__signature__ = inspect.Signature(parameters)
    run.__annotations__ = {item.name: item.annotation for item in parameters}
    del run.__wrapped__  # its signature would be taken instead


#: What the help calls a value of each type.
_METAVARS: dict[Any, str] = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}


def _with_metavar(parameter: inspect.Parameter) -> inspect.Parameter:
    hint, *known = typing.get_args(parameter.annotation) or (None,)
    shown = next((item for item in known if isinstance(item, ParameterInfo)), None)
    if shown is None or shown.metavar:
        return parameter
    shown = copy(shown)
    several = typing.get_origin(hint) is list
    if isinstance(shown, ArgumentInfo):
        shown.metavar = parameter.name.upper().removesuffix("S" if several else "")
    else:
        shown.metavar = _metavar_of(hint)
    others = (item for item in known if not isinstance(item, ParameterInfo))
    return parameter.replace(annotation=Annotated[hint, shown, *others])


def _metavar_of(hint: Any) -> str | None:
    """Return ``a|b`` for choices, ``N N`` for a pair of whole numbers, ``PATH`` and so on."""
    if hint in _METAVARS or choices_of(hint):
        return _METAVARS.get(hint) or "|".join(choices_of(hint))
    inner = [_metavar_of(each) for each in typing.get_args(hint) if each is not type(None)]
    return " ".join(filter(None, inner)) or None


def is_given(context: typer.Context, name: str) -> bool:
    """Return whether a parameter's value comes from a flag, a variable or the project file."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def trust_of(command: Callable[..., None]) -> dict[str, Trust]:
    """Return who may set each parameter of a command, by the parameter's name."""
    parameters = inspect.signature(command, eval_str=True).parameters
    return {
        name: next(
            (
                each
                for each in getattr(item.annotation, "__metadata__", ())
                if isinstance(each, Trust)
            ),
            Trust.ANY,
        )
        for name, item in parameters.items()
    }


def _is_options(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Options)


def _made(kind: type[Options], given: dict[str, Any]) -> Options:
    """Take the fields of ``kind`` out of what the command line gave, and make it of them."""
    values = {}
    for _, declared in concerns(kind):
        for field in declared:
            value, parse = given.pop(field.name), field.metadata["parse"]
            if isinstance(value, list):
                values[field.name] = tuple(map(parse, value) if parse else value)
            elif parse is None:
                values[field.name] = value
            elif value is not None:
                values[field.name] = parse(value)
    return kind(**values)


def _flags(kind: type[Options]) -> Iterator[inspect.Parameter]:
    hints = typing.get_type_hints(kind)
    for concern, declared in concerns(kind):
        for field in declared:
            yield _flag(field, hints[field.name], concern.panel)


def _flag(field: Field[Any], hint: Any, panel: str | None) -> inspect.Parameter:
    known: Mapping[str, Any] = field.metadata
    own: Any = field.default
    names = known["flags"] or ((flag_of(field.name),) if own is False else ())
    choices = choices_of(hint)
    if is_repeatable(hint):
        one = str if known["parse"] else typing.get_args(hint)[0]
        annotation: Any = list[one]  # type: ignore[valid-type]
        default: Any = inspect.Parameter.empty
        more: dict[str, Any] = {"show_default": known["words"] or bool(own)}
        more |= {"default_factory": lambda: list(own)}
    elif choices:  # as text: the options refuse another one in a line, and suggest the nearest
        annotation, default = str | None, own
        more = {"show_default": known["words"] or True, "autocompletion": lambda: list(choices)}
    else:
        annotation = str | None if known["parse"] else hint
        # Where a text is parsed, no text means the field's own default.
        default = None if known["parse"] else own
        more = {"show_default": known["words"] or True}
    flag = typer.Option(
        *names,
        help=known["help"] + _range_sentence(known["least"], known["most"]),
        metavar=known["metavar"] or "|".join(choices) or None,
        rich_help_panel=panel,
        **more,
    )
    return inspect.Parameter(
        field.name, KEYWORD, default=default, annotation=Annotated[annotation, flag, known["trust"]]
    )


def _range_sentence(least: float | None, most: float | None) -> str:
    """Return what the help says of the numbers allowed; the options refuse others."""
    if most is not None:
        return f" {least:g} to {most:g}."
    return f" At least {least:g}." if least else ""
