"""The recipe: every choice that shapes a training, and nothing that does not."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from facecheck.core.errors import ConfigError, did_you_mean
from facecheck.core.files import path_text, to_path
from facecheck.core.spelling import respelled
from facecheck.core.whatis import mistaken, what_is
from facecheck.core.yaml_files import read_yaml

#: The recipes that come with the package, by name.
RECIPES = Path(str(files("facecheck"))) / "configs" / "recipes"


def _choice(default: Any, sentence: str, metavar: str | None = None) -> Any:
    """Return a field whose sentence, and name for a value, are its help on the command line."""
    known = {"help": sentence, "metavar": metavar}
    if isinstance(default, dict):
        return field(default_factory=lambda: default, metadata=known)
    return field(default=default, metadata=known)


@dataclass(frozen=True)
class Recipe:
    """How to train. Each field's sentence is its help on the command line.

    Raises:
        ConfigError: a value is out of its range; the message names the field.
    """

    arch: str = _choice("seresnet50", "A timm architecture: seresnet50, resnet50, …")
    pretrained: bool = _choice(True, "Start from ImageNet weights, downloaded if needed.")
    weights: Path | None = _choice(
        None, "Start from a local safetensors file, checkpoint or state dict instead."
    )
    freeze: bool = _choice(
        False,
        "Train only the head: the features of the frozen backbone are computed once and kept on "
        "disk, so that an epoch takes seconds.",
    )
    blocks: tuple[int, ...] = _choice(
        (),
        "With --freeze: take the features of this block or stage, from 1, instead of the last "
        "layer's input. Repeatable; each is a set of features.",
    )
    pooling: Literal["mean", "class"] = _choice(
        "mean", "With --blocks: the mean of the patch tokens or pixels, or the class token."
    )
    teacher: Path | None = _choice(
        None, "Also learn from the probabilities that this checkpoint gives the training images."
    )
    teacher_share: float = _choice(
        0.5, "With a teacher: its share in what is learned; the rest is the labels', 0 to 1."
    )
    encoder: Path | None = _choice(
        None,
        "Train a head on the features that this frozen encoder (.onnx) gives, or `builtin`: they "
        "are computed once and kept on disk, so that an epoch takes seconds.",
    )
    views: int = _choice(
        1,
        "With cached features: views of each training image; the first is the image itself, "
        "the others are augmented.",
    )
    set_share: tuple[float, ...] = _choice(
        (),
        "With cached features: share of each set of features in the logits. Repeatable.",
    )
    components: int = _choice(
        384, "With cached features: principal components of the features that the head sees."
    )
    hidden: int = _choice(
        256,
        "With cached features: hidden units of the head; 0: linear, as a network's last layer is.",
    )
    members: int = _choice(
        1, "With cached features: heads trained side by side, whose logits are averaged."
    )
    dropout: float = _choice(0.0, "With cached features: dropout in the head, 0 to below 1.")
    mixup: float = _choice(
        0.0, "With cached features: parameter of the mixup of features and labels; 0: none."
    )
    real_loss: float = _choice(
        0.0, "With cached features: weight of a second loss, of real against artificial."
    )
    sources: tuple[str, ...] = _choice(
        (), "Use only these kinds, sources or kind/source pairs. Repeatable.", "KIND|SOURCE"
    )
    fraction: float = _choice(
        1.0,
        "Fraction of each source's training images to use, above 0 to 1; smaller sets are parts "
        "of larger ones.",
    )
    epochs: int = _choice(10, "Passes over the training images.")
    patience: int = _choice(
        0, "Stop early after this many epochs without a better validation top-1; 0: never."
    )
    image_size: int = _choice(224, "Side of the model's square input in pixels, 16 to 4096.")
    train_size: int = _choice(
        0,
        "Train on smaller random crops with this side in pixels: faster, and more variation; "
        "0: the image size.",
    )
    batch_size: int | Literal["auto"] = _choice(
        32,
        "Batch size over all devices; auto: the largest that fits into the GPU's memory.",
        "N|auto",
    )
    accumulate: int = _choice(
        1, "Gradient accumulation steps: a batch is computed in this many parts."
    )
    optimiser: Literal["adam", "adamw", "sgd", "rmsprop"] = _choice("adam", "The optimiser.")
    lr: float = _choice(5e-4, "Peak learning rate.")
    momentum: float = _choice(0.9, "Momentum (sgd, rmsprop), 0 to below 1.")
    weight_decay: float = _choice(
        0.0,
        "L2 penalty (adamw: decoupled weight decay); biases and normalisation layers have none.",
    )
    layer_decay: float = _choice(
        1.0, "Learning-rate factor per stage, from head to input; 1: the same rate for all."
    )
    schedule: Literal["onecycle", "cosine", "constant"] = _choice(
        "onecycle",
        "Learning-rate schedule: onecycle rises for 30 % of the steps, cosine for 5 %, then both "
        "fall to 0.",
    )
    clip: float = _choice(0.0, "Clip the gradient to this norm; 0: no limit.")
    loss: Literal["cross-entropy", "mse"] = _choice(
        "cross-entropy", "Loss; mse compares probabilities with one-hot labels."
    )
    label_smoothing: float = _choice(0.0, "Label smoothing, 0 to below 1.")
    ema: float = _choice(
        0.0,
        "Validate and keep an exponential moving average of the weights with this decay, such as "
        "0.999; 0: none.",
    )
    balance: Literal["none", "kind", "source"] = _choice(
        "none", "Draw each kind, or each source, equally often in an epoch."
    )
    source_share: Mapping[str, float] = _choice(
        {},
        "With --balance source, draw a source this many times as often as the others. Repeatable.",
        "SOURCE=SHARE",
    )
    source_weight: Mapping[str, float] = _choice(
        {}, "Weight of a source's images in the loss. Repeatable.", "SOURCE=WEIGHT"
    )
    crop: Literal["random", "resized", "centre", "five"] = _choice(
        "random",
        "How training crops to a square; resized also varies the scale; five draws one of five "
        "crops, and the model then averages all five.",
    )
    flip: bool = _choice(True, "Mirror half of the training images.")
    rotation: float = _choice(
        0.0, "Rotate by up to this many degrees in both directions, 0 to 180."
    )
    jitter: float = _choice(
        0.0, "Change brightness, contrast and saturation by up to this factor, 0 to 1."
    )
    grey: float = _choice(0.0, "Fraction of training images turned to greyscale, 0 to 1.")
    reencode: float = _choice(0.0, "Fraction of training images re-encoded, 0 to 1.")
    reencode_formats: tuple[str, ...] = _choice(
        ("jpeg", "webp"), "Formats for re-encoding. Repeatable.", "jpeg|webp"
    )
    reencode_quality: tuple[int, int] = _choice(
        (40, 95), "Lowest and highest quality for re-encoding, 1 to 100."
    )
    rescale: float = _choice(0.0, "Fraction of training images scaled down and up again, 0 to 1.")
    rescale_to: tuple[float, float] = _choice(
        (0.25, 1.0), "Smallest and largest scale for scaling down, above 0 to 1."
    )
    blur: float = _choice(0.0, "Fraction of training images blurred, 0 to 1.")
    blur_sigma: tuple[float, float] = _choice(
        (0.0, 2.0),
        "Smallest and largest standard deviation of the blur, in pixels of a 224-pixel image.",
    )
    precision: Literal["auto", "fp32", "fp16", "bf16"] = _choice(
        "auto",
        "Numeric precision; auto measures the device and uses less than fp32 where that is faster.",
    )
    seed: int = _choice(0, "Random seed for weights, shuffling and augmentation.")

    def __post_init__(self) -> None:
        for name, annotation in typing.get_type_hints(Recipe).items():
            object.__setattr__(self, name, _typed(name, getattr(self, name), annotation))
        inside = {
            "fraction": (0 < self.fraction <= 1, "above 0 to 1"),
            "epochs": (self.epochs >= 1, "1 or more"),
            "patience": (self.patience >= 0, "0 or more"),
            "image_size": (16 <= self.image_size <= 4096, "16 to 4096 pixels"),
            "train_size": (
                self.train_size == 0 or 16 <= self.train_size <= self.image_size,
                "0, or 16 pixels to the image size",
            ),
            "batch_size": (self.batch_size == "auto" or self.batch_size >= 1, "auto, or 1 or more"),
            "accumulate": (self.accumulate >= 1, "1 or more"),
            "teacher_share": (0 <= self.teacher_share <= 1, "0 to 1"),
            "blocks": (
                all(block >= 1 for block in self.blocks) and (self.freeze or not self.blocks),
                "1 or more, with freeze",
            ),
            "freeze": (
                not self.freeze or (self.encoder is None and self.teacher is None),
                "without encoder and teacher",
            ),
            "views": (1 <= self.views <= 100, "1 to 100"),
            "set_share": (all(share > 0 for share in self.set_share), "above 0"),
            "components": (self.components >= 1, "1 or more"),
            "hidden": (0 <= self.hidden <= 65536, "0 to 65536"),
            "members": (1 <= self.members <= 100, "1 to 100"),
            "dropout": (0 <= self.dropout < 1, "0 to below 1"),
            "mixup": (self.mixup >= 0, "0 or more"),
            "real_loss": (self.real_loss >= 0, "0 or more"),
            "lr": (0 < self.lr < 10, "above 0 and below 10"),
            "momentum": (0 <= self.momentum < 1, "0 to below 1"),
            "weight_decay": (0 <= self.weight_decay < 1, "0 to below 1"),
            "layer_decay": (0 < self.layer_decay <= 1, "above 0 to 1"),
            "clip": (self.clip >= 0, "0 or more"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "0 to below 1"),
            "ema": (0 <= self.ema < 1, "0 to below 1"),
            "source_share": (
                all(share > 0 for share in self.source_share.values())
                and (self.balance == "source" or not self.source_share),
                "shares above 0, with balance: source",
            ),
            "source_weight": (
                all(weight > 0 for weight in self.source_weight.values()),
                "weights above 0: leave a source out with sources",
            ),
            "rotation": (0 <= self.rotation <= 180, "0 to 180 degrees"),
            "jitter": (0 <= self.jitter <= 1, "0 to 1"),
            "grey": (0 <= self.grey <= 1, "0 to 1"),
            "reencode": (0 <= self.reencode <= 1, "0 to 1"),
            "reencode_formats": (
                bool(self.reencode_formats) and set(self.reencode_formats) <= {"jpeg", "webp"},
                "jpeg, webp or both",
            ),
            "reencode_quality": (_rising(self.reencode_quality, 1, 100), "rising within 1 to 100"),
            "rescale": (0 <= self.rescale <= 1, "0 to 1"),
            "rescale_to": (_rising(self.rescale_to, 0.01, 1), "rising within 0.01 to 1"),
            "blur": (0 <= self.blur <= 1, "0 to 1"),
            "blur_sigma": (_rising(self.blur_sigma, 0, 50), "rising within 0 to 50 pixels"),
            "seed": (0 <= self.seed < 2**32, "0 to 4294967295"),
        }
        for name, (holds, wanted) in inside.items():
            if not holds:
                raise ConfigError(
                    f"{name.replace('_', ' ')} {getattr(self, name)}: must be {wanted}"
                )

    @property
    def train_side(self) -> int:
        """The side of the squares that training sees, in pixels."""
        return self.train_size or self.image_size

    def jsonable(self) -> dict[str, Any]:
        """Return the fields as YAML and JSON values, every one of them."""
        return {name: _jsonable(value) for name, value in asdict(self).items()}

    def changed(self, changes: Mapping[str, Any]) -> Recipe:
        """Return this recipe with some fields changed.

        Raises:
            ConfigError: a field is unknown (the message names the nearest), or a value is wrong.
        """
        known = [item.name for item in fields(Recipe)]
        spelled = {respelled(str(name), known): value for name, value in changes.items()}
        for name in spelled:
            if name not in known:
                raise ConfigError(f"unknown field {name!r}{did_you_mean(name, known)}")
        return replace(self, **spelled)


def load_recipe(name: str | Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Return one of the package's recipes by name, or one of a YAML file's, with some changes.

    A recipe file maps fields to values and names only those that differ from the defaults.

    Raises:
        ConfigError: there is no such recipe, or it cannot be read, or has an unknown field or a
            wrong value; the message names the file.
    """
    path = find_yaml(name, RECIPES, "recipe")
    stored = read_mapping(path)
    try:
        return Recipe().changed({**stored, **(changes or {})})
    except ConfigError as error:
        raise ConfigError(f"{path_text(path)}: {error}") from None


def as_recipe(recipe: Recipe | Path | str) -> Recipe:
    """Return a recipe, or the one that a name or file stands for: see :func:`load_recipe`.

    Raises:
        ConfigError: there is no recipe of this name, or it cannot be used.
    """
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


def find_yaml(name: str | Path, folder: Path, what: str) -> Path:
    """Return the file ``name``, or else the one of that name that the package has in ``folder``.

    Raises:
        ConfigError: there is neither; the message names ``what`` is missing and near names.
        UsageError: ``name`` is no name.
    """
    given = to_path(name, f"a {what}")
    for path in (given, given / "recipe.yaml", folder / f"{name}.yaml"):
        if path.is_file():
            return path
    if Path(name).is_dir():
        raise ConfigError(mistaken(Path(name), f"a {what}", f"name a {what} or its YAML file"))
    names = sorted(file.stem for file in folder.glob("*.yaml"))
    spelled = folder / f"{respelled(str(name), names)}.yaml"
    if spelled.is_file():
        return spelled
    near = did_you_mean(str(name), names) or f": there are {', '.join(names)}, or pass a file"
    raise ConfigError(f"no {what} {str(name)!r}{near}")


@dataclass(frozen=True)
class Packaged:
    """A recipe or study that comes with the package.

    Attributes:
        name: what commands call it.
        about: what it is for, in one line.
    """

    name: str
    about: str


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(file.stem for file in RECIPES.glob("*.yaml"))


def packaged_recipes() -> tuple[Packaged, ...]:
    """Return the recipes of the package; the first line of each file says what it is for."""
    return tuple(Packaged(name, _first_comment(name)) for name in recipe_names())


def _first_comment(name: str) -> str:
    text = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
    return text.partition("\n")[0].removeprefix("# ")


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; an empty file is an empty one.

    Raises:
        ConfigError: the file is not there, or no YAML, or holds something else.
    """
    stored = read_yaml(path)
    if not isinstance(stored, dict | None):
        if what_is(path) not in ("a YAML file", "a text file", "a JSON file"):
            raise ConfigError(mistaken(path, "a YAML file", "name another"))
        raise ConfigError(f"{path_text(path)}: must map fields to values, such as `epochs: 5`")
    return stored or {}


def _rising(pair: tuple[float, float], lowest: float, highest: float) -> bool:
    return lowest <= pair[0] <= pair[1] <= highest


def _typed(name: str, value: Any, annotation: Any) -> Any:  # noqa: PLR0911
    """Return ``value`` as its field's type, or raise :class:`ConfigError`.

    YAML has no tuples or paths, and writes whole numbers for some fractions.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    try:
        if annotation == int | Literal["auto"]:
            return value if value == "auto" else _typed(name, _number(value), int)
        if origin is types.UnionType:
            return value if value is None else _typed(name, value, arguments[0])
        if origin is Literal:
            spelled = respelled(str(value), arguments)
            if spelled in arguments:
                return spelled
            near = did_you_mean(spelled, arguments)
            raise ConfigError(
                f"{name.replace('_', ' ')} {value!r}: must be one of {', '.join(arguments)}{near}"
            )
        if origin is tuple:
            items = (value,) if isinstance(value, str) else tuple(value)
            kinds = arguments[:1] * len(items) if arguments[-1] is Ellipsis else arguments
            return tuple(_typed(name, *pair) for pair in zip(items, kinds, strict=True))
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {
                _typed(name, key, str): _typed(name, item, float) for key, item in value.items()
            }
        if annotation is float and isinstance(value, str):
            return float(value)  # from the command line
        if annotation is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if annotation is Path and isinstance(value, str):
            return Path(value)
    except (TypeError, ValueError, AttributeError):
        pass
    else:
        if isinstance(value, annotation) and not (annotation is int and isinstance(value, bool)):
            return value
    raise ConfigError(f"{name.replace('_', ' ')} {value!r}: must be {_words(annotation)}")


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _words(annotation: Any) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return words.get(annotation, "a list, a mapping or a path, as the help says")


def _jsonable(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
