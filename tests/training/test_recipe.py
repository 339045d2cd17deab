from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import timm

from facecheck.core.errors import ConfigError
from facecheck.training.recipe import RECIPES, Recipe, load_recipe, read_mapping, recipe_names


def test_the_packages_recipes_name_only_what_differs_and_say_how_to_use_them() -> None:
    assert {"forensic", "paper-seresnet50", "paper-resnet50"} <= set(recipe_names())
    default = Recipe().jsonable()
    for name in recipe_names():
        file = RECIPES / f"{name}.yaml"
        stored = read_mapping(file)
        assert timm.is_model(load_recipe(name).arch)
        assert stored
        for key, value in load_recipe(file).jsonable().items():
            assert (key in stored) == (value != default[key]), (name, key)
        head = file.read_text().split("\n" + next(iter(stored)))[0]
        assert f"facecheck train --recipe {name}" in head
        assert "Expected" in head
        assert "Cost" in head


def test_every_field_has_a_sentence_and_survives_yaml() -> None:
    assert all(field.metadata["help"][-1] in ".…" for field in fields(Recipe))
    recipe = Recipe(weights=Path("a/b"), source_weight={"x": 2.0}, sources=("photo",))
    assert Recipe(**recipe.jsonable()) == recipe


def test_changes_stand_before_the_file_and_the_file_before_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("lr: 1e-3\nepochs: 3\nsources: [photo, cartoon]\nbatch_size: auto\n")
    recipe = load_recipe(file, {"epochs": 5})
    assert (recipe.lr, recipe.epochs, recipe.batch_size) == (1e-3, 5, "auto")
    assert recipe.sources == ("photo", "cartoon")
    assert recipe.image_size == Recipe().image_size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lerning_rate: 1", r"mine\.yaml: unknown field 'lerning_rate'"),
        ("epoch: 1", "did you mean 'epochs'"),
        ("optimiser: adamm", "must be one of adam, adamw, sgd, rmsprop; did you mean 'adam'"),
        ("epochs: many", "epochs 'many': must be a whole number"),
        ("epochs: true", "epochs True: must be a whole number"),
        ("flip: 1", "flip 1: must be true or false"),
        ("lr: .nan", "lr nan: must be above 0"),
        ("reencode_quality: [90, 40]", "rising within 1 to 100"),
        ("reencode_quality: [1, 2, 3]", "reencode quality"),
        ("reencode_formats: [gif]", "jpeg, webp or both"),
        ("source_weight: {a: 0}", "leave a source out"),
        ("fraction: 0", "above 0 to 1"),
        ("- 1", "must map fields to values"),
        ("a: [", "not readable YAML"),
        ("batch_size: 0", "auto, or 1 or more"),
    ],
)
def test_a_wrong_recipe_is_told_by_file_and_field(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_recipe(tmp_path / "mine.yaml")


def test_an_unknown_name_names_near_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'forensic'"):
        load_recipe("forensik")
    with pytest.raises(ConfigError, match="there are .*forensic"):
        load_recipe("zzz")


@pytest.mark.parametrize("change", [{"epochs": 0}, {"lr": 0.0}, {"image_size": 8}, {"seed": -1}])
def test_values_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        Recipe().changed(change)
