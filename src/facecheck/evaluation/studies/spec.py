"""The spec of a study: which recipes are compared, over which seeds, and what is asked of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

from facecheck.core.errors import ConfigError, did_you_mean
from facecheck.core.files import path_text
from facecheck.training.recipe import Packaged, Recipe, find_yaml, load_recipe, read_mapping

#: The studies that come with the package, by name.
STUDIES = Path(str(files("facecheck"))) / "configs" / "studies"

_KEYS = (
    *("title", "question", "paper", "paper_says", "base"),
    *("grid", "variants", "seeds", "judge"),
)


@dataclass(frozen=True)
class Variant:
    """One recipe of a study.

    Attributes:
        name: what tables call it, such as ``adamw`` or ``fraction=0.25``.
        recipe: how it is trained, but for the seed.
        series: its name without the value along the study's axis; equal to it without an axis.
        at: its value along the axis; None without one.
    """

    name: str
    recipe: Recipe
    series: str
    at: float | None

    @property
    def folder(self) -> str:
        """The name as part of a file name."""
        return re.sub(r"[^\w.=,+-]+", "-", self.name)


@dataclass(frozen=True)
class Study:
    """What a study asks, and of which recipes.

    Attributes:
        origin: the name or file it was loaded by.
        title: a heading.
        question: one sentence.
        paper: a variant's name to the paper's top-1, 0 to 1.
        paper_says: what else the paper says of it.
        base: the recipe that every variant changes.
        grid: a recipe field to its values, of which every combination is a variant.
        changes: a variant's name to the fields it changes; with a grid, each meets all of it.
        seeds: each variant is trained once with each.
        judge: kinds, sources or kind/source pairs, joined by ``+``, each with a column of its own.
        axis: the only field of the grid when its values are numbers above 0, or None.
        variants: the recipes, in the order of the tables.
    """

    origin: str
    title: str
    question: str
    paper: Mapping[str, float]
    paper_says: str
    base: Recipe
    grid: Mapping[str, tuple[Any, ...]]
    changes: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    judge: tuple[str, ...]
    axis: str | None
    variants: tuple[Variant, ...]

    def jsonable(self) -> dict[str, Any]:
        """Return the spec as YAML values, its base spelled out: loading it gives these variants."""
        return {
            "title": self.title,
            "question": self.question,
            "paper": {name: round(100 * share, 6) for name, share in self.paper.items()},
            "paper_says": self.paper_says,
            "base": {name: value for name, value in self.base.jsonable().items() if name != "seed"},
            "grid": {name: list(values) for name, values in self.grid.items()},
            "variants": {name: dict(changes) for name, changes in self.changes.items()},
            "seeds": list(self.seeds),
            "judge": list(self.judge),
        }


def column_names(column: str) -> list[str]:
    """Return the kinds, sources or pairs that one entry of ``judge`` joins by ``+``."""
    return [part.strip() for part in column.split("+")]


def study_names() -> list[str]:
    """Return the names of the studies that come with the package."""
    return sorted(file.stem for file in STUDIES.glob("*.yaml"))


def packaged_studies() -> tuple[Packaged, ...]:
    """Return the studies of the package, each with the question that it asks."""
    return tuple(Packaged(name, load_study(name).question) for name in study_names())


def load_study(name: str | Path) -> Study:
    """Return one of the package's studies by name, or the one of a YAML file.

    The file has a ``title``, a ``question``, a ``base`` (recipe fields, and ``recipe: NAME`` to
    start from one), and a ``grid`` (recipe field to list of values), ``variants`` (name to recipe
    fields), or both: then every variant meets every point of the grid. Optional are ``seeds``,
    ``judge``, ``paper`` (variant to the paper's top-1 in %) and ``paper_says``.

    Raises:
        ConfigError: there is no such study, it cannot be read, has an unknown key or field (the
            message names the nearest), or one of its recipes cannot be.
    """
    path = find_yaml(name, STUDIES, "study")
    try:
        return _study(str(name), read_mapping(path))
    except ConfigError as error:
        where = path_text(path)
        message = str(error) if str(error).startswith(where) else f"{where}: {error}"
        raise ConfigError(message) from None


def _study(origin: str, stored: Mapping[str, Any]) -> Study:
    for key in stored:
        if key not in _KEYS:
            near = did_you_mean(str(key), _KEYS) or f": there are {', '.join(_KEYS)}"
            raise ConfigError(f"unknown key {key!r}{near}")
    base = _base(_mapping(stored, "base"))
    grid = {name: _values(name, given) for name, given in _mapping(stored, "grid").items()}
    changes = {
        str(name): _mapping({name: given}, name)
        for name, given in _mapping(stored, "variants").items()
    }
    for given in (grid, *changes.values()):
        _refuse_seed(given)
    if not grid and not changes:
        raise ConfigError("nothing to compare: give a grid, variants, or both")
    axis = _axis(grid)
    variants = tuple(_variants(base, grid, changes, axis))
    names = [variant.name for variant in variants]
    return Study(
        origin=origin,
        title=_text(stored, "title"),
        question=_text(stored, "question"),
        paper=_paper(_mapping(stored, "paper"), names),
        paper_says=_text(stored, "paper_says", required=False),
        base=base,
        grid=grid,
        changes=changes,
        seeds=_seeds(stored.get("seeds", [0])),
        judge=_judge(stored.get("judge") or []),
        axis=axis,
        variants=variants,
    )


def _base(stored: Mapping[str, Any]) -> Recipe:
    changes = {name: value for name, value in stored.items() if name != "recipe"}
    _refuse_seed(changes)
    return (
        load_recipe(stored["recipe"], changes) if "recipe" in stored else Recipe().changed(changes)
    )


def _variants(
    base: Recipe,
    grid: Mapping[str, tuple[Any, ...]],
    changes: Mapping[str, Mapping[str, Any]],
    axis: str | None,
) -> Iterable[Variant]:
    """Yield every named variant at every point of the grid.

    Raises:
        ConfigError: a recipe cannot be, or the folders of two variants would have the same name.
    """
    folders: dict[str, str] = {}
    for name, own in (changes or {"": {}}).items():
        for point in product(*grid.values()):
            values = dict(zip(grid, point, strict=True))
            point_text = ",".join(
                f"{field}={_value_text(value)}" for field, value in values.items()
            )
            full = " ".join(part for part in (name, point_text) if part)
            try:
                recipe = base.changed({**own, **values})
            except ConfigError as error:
                raise ConfigError(f"variant {full!r}: {error}") from None
            series = full if axis is None else name
            at = None if axis is None else float(values[axis])
            variant = Variant(full, recipe, series, at)
            if other := folders.get(variant.folder.lower()):
                raise ConfigError(f"variants {other!r} and {full!r}: name them further apart")
            folders[variant.folder.lower()] = full
            yield variant


def _value_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(map(_value_text, value))
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool | None) else str(value)


def _axis(grid: Mapping[str, tuple[Any, ...]]) -> str | None:
    if len(grid) != 1:
        return None
    ((name, values),) = grid.items()
    numbers = [value for value in values if isinstance(value, int | float) and value is not True]
    return name if len(numbers) == len(values) > 1 and min(numbers) > 0 else None


def _values(name: str, given: Any) -> tuple[Any, ...]:
    if not isinstance(given, list) or not given:
        raise ConfigError(f"grid: {name} must have a list of values, such as [1, 2]")
    return tuple(given)


def _paper(stored: Mapping[str, Any], names: list[str]) -> dict[str, float]:
    figures = {str(name): figure for name, figure in stored.items()}
    for name, figure in figures.items():
        if name not in names:
            near = did_you_mean(name, names) or f": the variants are {', '.join(names)}"
            raise ConfigError(f"paper: no variant {name!r}{near}")
        if (
            isinstance(figure, bool)
            or not isinstance(figure, int | float)
            or not 0 <= figure <= 100
        ):
            raise ConfigError(f"paper: {name} {figure!r}: must be a number of %, 0 to 100")
    return {name: figure / 100 for name, figure in figures.items()}


def _seeds(given: Any) -> tuple[int, ...]:
    seeds = given if isinstance(given, list) else []
    fit = all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)
    if not seeds or not fit or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds {given!r}: must be different whole numbers, such as [0, 1, 2]")
    return tuple(seeds)


def _judge(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise ConfigError(f"judge {given!r}: must be a list, such as [photo/a + generated/b]")
    return tuple(given)


def _mapping(stored: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = stored.get(key)
    if not isinstance(value, dict | None):
        raise ConfigError(f"{key} {value!r}: must be a mapping")
    return value or {}


def _text(stored: Mapping[str, Any], key: str, *, required: bool = True) -> str:
    value = stored.get(key, "")
    if not isinstance(value, str) or (required and not value.strip()):
        raise ConfigError(f"{key} {value!r}: must be a text")
    return " ".join(value.split())


def _refuse_seed(changes: Mapping[str, Any]) -> None:
    if "seed" in changes:
        raise ConfigError("seed: a study's seeds are listed once, under `seeds`")
