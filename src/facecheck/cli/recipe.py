"""The options of a command that trains: ``--recipe``, and one for each of a recipe's fields."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from functools import wraps
from itertools import accumulate
from typing import Annotated, Any, Literal

import typer

from facecheck.cli.display import Display, finish
from facecheck.cli.flags import KEYWORD, is_given, replace_parameters
from facecheck.cli.help import UNNAMED
from facecheck.core.errors import UsageError
from facecheck.core.options import choices_of
from facecheck.training.recipe import Recipe, load_recipe, packaged_recipes

RecipeFile = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE",
        help="Start from a recipe of the package or a YAML file; the options below change it. "
        "Without a name: list the package's.",
    ),
]


#: The headings of a recipe's options in the help, each by the first field under it.
_PANELS = {
    "arch": "Model",
    "encoder": "Head on an encoder",
    "sources": "Data",
    "epochs": "Training",
    "optimiser": "Optimiser",
    "balance": "Data",
    "crop": "Augmentation",
    "precision": "Training",
}
#: Fields that map a source to a number, written SOURCE=NUMBER.
_BY_SOURCE = ("source_share", "source_weight")


def takes_recipe(command: Callable[..., None]) -> Callable[..., None]:
    """Return ``command`` with these options, which reach it as one argument, ``recipe``."""
    hints = typing.get_type_hints(Recipe)
    panels = accumulate((_PANELS.get(field.name, "") for field in fields(Recipe)), _last)
    options = [
        _option(field, hints[field.name], panel)
        for field, panel in zip(fields(Recipe), panels, strict=True)
    ]
    own = inspect.signature(command, eval_str=True)

    @wraps(command)
    def run(context: typer.Context, **given: Any) -> None:
        if given["recipe"] == UNNAMED:
            from facecheck.report.terminal.training import render_packaged

            finish(packaged_recipes(), render_packaged, Display(as_json=given["as_json"]))
            return
        values = {option.name: given.pop(option.name) for option in options}
        # A default must not replace what the recipe file says.
        changes = {
            name: _by_source(name, value) if name in _BY_SOURCE else value
            for name, value in values.items()
            if is_given(context, name)
        }
        name = given.pop("recipe")
        recipe = load_recipe(name, changes) if name else Recipe().changed(changes)
        command(recipe=recipe, **given)

    context = inspect.Parameter("context", KEYWORD, annotation=typer.Context)
    recipe_file = inspect.Parameter("recipe", KEYWORD, default=None, annotation=RecipeFile)
    rest = [item for name, item in own.parameters.items() if name != "recipe"]
    parameters = [
        item.replace(kind=KEYWORD) for item in (context, rest[0], recipe_file, *options, *rest[1:])
    ]
    replace_parameters(run, parameters)
    return run


def _last(before: str, panel: str) -> str:
    return panel or before


def _option(field: Field[Any], hint: Any, panel: str) -> inspect.Parameter:
    flag_type, default = _flag_type(hint), field.default
    choices = choices_of(hint) if flag_type is str else ()
    shown = {
        "help": field.metadata["help"],
        "metavar": field.metadata["metavar"] or "|".join(choices) or None,
        "rich_help_panel": panel,
        "autocompletion": (lambda: list(choices)) if choices else None,
    }
    if typing.get_origin(flag_type) is list:
        several = [] if default is MISSING else list(default)
        option = typer.Option(
            default_factory=lambda: several, show_default=" ".join(several) or False, **shown
        )
        default = inspect.Parameter.empty
    else:
        option = typer.Option(**shown)
        default = str(default) if flag_type is str else default
    return inspect.Parameter(
        field.name, KEYWORD, default=default, annotation=Annotated[flag_type, option]
    )


def _flag_type(hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return list[str]
    if origin is tuple and arguments[-1] is Ellipsis:
        return list[arguments[0]]  # type: ignore[valid-type]
    if origin is Literal or (int in arguments and origin is not tuple):
        return str  # a choice, or a number or a word; the recipe refuses others in a line
    return hint


def _by_source(name: str, pairs: list[str]) -> dict[str, str]:
    values = {}
    for pair in pairs:
        source, equals, value = pair.rpartition("=")
        if not source or not equals:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} {pair!r}: write SOURCE=NUMBER, as in ffhq-256=2")
        values[source] = value
    return values
