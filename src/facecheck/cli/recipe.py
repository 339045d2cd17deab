"""The options of a command that trains: ``--recipe``, and one for each of a recipe's fields."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from functools import wraps
from typing import Annotated, Any

import typer

from facecheck.cli.flags import KEYWORD, replace_parameters
from facecheck.core.errors import UsageError
from facecheck.training.recipe import Recipe, load_recipe

RecipeFile = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE",
        help="Start from a recipe of the package or a YAML file; the options below change it.",
    ),
]


def takes_recipe(command: Callable[..., None]) -> Callable[..., None]:
    """Return ``command`` with these options, which reach it as one argument, ``recipe``."""
    hints = typing.get_type_hints(Recipe)
    options = [_option(field, hints[field.name]) for field in fields(Recipe)]
    own = inspect.signature(command, eval_str=True)

    @wraps(command)
    def run(**given: Any) -> None:
        changes = {
            option.name: value
            for option in options
            if (value := given.pop(option.name)) not in (None, [])
        }
        for name in {"source_weight", "source_share"} & changes.keys():
            changes[name] = _by_source(name, changes[name])
        name = given.pop("recipe")
        recipe = load_recipe(name, changes) if name else Recipe().changed(changes)
        command(recipe=recipe, **given)

    recipe_file = inspect.Parameter("recipe", KEYWORD, default=None, annotation=RecipeFile)
    rest = [item for name, item in own.parameters.items() if name != "recipe"]
    parameters = [
        item.replace(kind=KEYWORD) for item in (rest[0], recipe_file, *options, *rest[1:])
    ]
    replace_parameters(run, parameters)
    return run


def _option(field: Field[Any], hint: Any) -> inspect.Parameter:
    """Return a field's option; None, or an empty list, is what it is when not given."""
    default = {} if field.default is MISSING else field.default
    option = typer.Option(
        help=field.metadata["help"], show_default=_shown(default), rich_help_panel="Recipe"
    )
    return inspect.Parameter(
        field.name, KEYWORD, default=None, annotation=Annotated[_flag_type(hint), option]
    )


def _flag_type(hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return list[str] | None
    if origin is tuple and arguments[-1] is Ellipsis:
        return list[arguments[0]] | None  # type: ignore[valid-type]
    if int in arguments and origin is not tuple:
        return str | None  # a number or a word
    return hint if type(None) in arguments else hint | None


def _shown(default: Any) -> str | bool:
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, tuple):
        return " ".join(map(str, default)) or False
    return False if default is None or default == {} else str(default)


def _by_source(name: str, pairs: list[str]) -> dict[str, str]:
    values = {}
    for pair in pairs:
        source, equals, value = pair.rpartition("=")
        if not source or not equals:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} {pair!r}: write SOURCE=NUMBER, as in ffhq-256=2")
        values[source] = value
    return values
