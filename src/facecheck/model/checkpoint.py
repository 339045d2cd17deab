"""The checkpoint: one safetensors file that can be scanned with alone.

The weights are tensors; everything else is JSON in the file's header. Reading one executes
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from facecheck.core.errors import CheckpointError, FacecheckError, reason
from facecheck.core.files import atomic_path, path_text
from facecheck.core.image import DECODE_POLICY
from facecheck.core.jsonable import parse_json
from facecheck.core.labels import KINDS, Kind
from facecheck.core.version import VERSION
from facecheck.model.ood import OODDetector
from facecheck.model.transforms import Transform

if TYPE_CHECKING:
    from torch import nn

#: Where the header is in a file's metadata, in ours and in an ONNX export's.
HEADER_KEY = "facecheck"
#: What every graph of ours takes: crops, uint8, RGB.
PIXELS = "pixels"


@dataclass(frozen=True)
class Header:
    """What a checkpoint holds apart from its weights.

    Attributes:
        arch: the timm name.
        kinds: what each output stands for, in the order of the outputs.
        transform: how an image becomes an input.
        temperature: the logits are divided by it before the softmax; above 0.
        thresholds: a score up to the first is real, from the second on artificial, and between
            them uncertain; 0 <= first <= second <= 1.
        guard: the out-of-distribution detector: images unlike every kind become uncertain; None for
            none.
        calibration: how temperature, thresholds and detector were found; empty when they were not.
        recipe: the recipe it was trained by.
        manifest_sha256: of the manifest it was trained on.
        trained_on: images it was trained on by source, by kind; empty where that is not known.
        epoch: epochs it was trained for.
        metrics: validation figures of that epoch.
        encoder: for a head alone: the file, sha256 and name of the frozen encoder whose features it
            takes, and the share of each set of them; None for a whole network.
        decode_policy: the :data:`~facecheck.core.image.DECODE_POLICY` it was trained under.
        facecheck: the version that wrote it.
    """

    arch: str
    kinds: tuple[str, ...]
    transform: Transform
    temperature: float = 1.0
    thresholds: tuple[float, float] = (0.5, 0.5)
    guard: OODDetector | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    manifest_sha256: str = ""
    trained_on: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    epoch: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    encoder: Mapping[str, Any] | None = None
    decode_policy: int = DECODE_POLICY
    facecheck: str = VERSION

    def __post_init__(self) -> None:
        low, high = self.thresholds
        problems = {
            "kinds": Kind.PHOTO not in self.kinds
            or len(set(self.kinds)) != len(self.kinds)
            or not set(self.kinds) <= set(KINDS),
            "temperature": not self.temperature > 0,
            "thresholds": not 0 <= low <= high <= 1,
        }
        if self.decode_policy != DECODE_POLICY:
            raise CheckpointError(
                f"it was trained on pixels as facecheck {self.facecheck} decoded them "
                f"(decode_policy {self.decode_policy}, in this version {DECODE_POLICY}): train it "
                "again"
            )
        for name, is_bad in problems.items():
            if is_bad:
                raise CheckpointError(
                    f"checkpoint field {name!r} cannot be {getattr(self, name)!r} in this version "
                    f"({VERSION}; it was written by {self.facecheck})"
                )


@dataclass(frozen=True)
class Checkpoint:
    """A model with what it needs to be used; ``model`` is in evaluation mode, on the CPU."""

    model: nn.Module
    header: Header


def save_checkpoint(model: nn.Module, header: Header, path: Path) -> None:
    """Write weights and header to ``path`` atomically: a full disk leaves the old file whole.

    Raises:
        CheckpointError: the file cannot be written.
    """
    from safetensors.torch import save_file

    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in model.state_dict().items()
    }
    text = header_text(header)
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={HEADER_KEY: text})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path_text(path)}: cannot be written ({error}): free some space; an earlier "
            "checkpoint there is whole"
        ) from None


def read_header(path: Path) -> Header:
    """Read a checkpoint's header without its weights.

    Raises:
        CheckpointError: the file is missing or damaged, is no checkpoint of ours, or says
            something this version cannot use.
    """
    name = path_text(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {name}: check the path")
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(HEADER_KEY)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{name}: not a whole safetensors file ({error})") from None
    if text is None:
        raise CheckpointError(
            f"{name}: holds weights but no facecheck header: train from it with --weights"
        )
    return parse_header(text, name)


def header_text(header: Header) -> str:
    """Return a header as the JSON that a file carries."""
    return json.dumps(asdict(header), default=str)


def parse_header(text: str, name: str) -> Header:
    """Return the header that a file's JSON describes.

    Args:
        text: by :func:`header_text`.
        name: of the file, for messages.

    Raises:
        CheckpointError: it is damaged, or says something this version cannot use.
    """
    try:
        stored = parse_json(text)
        unknown = stored.keys() - {item.name for item in fields(Header)}
        if unknown:
            raise CheckpointError(f"unknown field {sorted(unknown)[0]!r}: update facecheck")
        low, high = stored["thresholds"]
        return Header(
            **{
                **stored,
                "kinds": tuple(stored["kinds"]),
                "transform": _transform(stored["transform"]),
                "thresholds": (float(low), float(high)),
                "guard": _guard(stored.get("guard")),
                "trained_on": {
                    str(kind): {str(source): int(count) for source, count in images.items()}
                    for kind, images in stored.get("trained_on", {}).items()
                },
            }
        )
    except FacecheckError as error:
        raise CheckpointError(f"{name}: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{name}: damaged header ({error})") from None


def kinds_of_weights(path: Path) -> tuple[str, ...] | None:
    """Return the kinds of a checkpoint of ours, or None if ``path`` is some other file."""
    try:
        return read_header(path).kinds
    except CheckpointError:
        return None


def _transform(stored: Mapping[str, Any]) -> Transform:
    channels = {}
    for name in ("mean", "std"):
        red, green, blue = map(float, stored[name])
        channels[name] = (red, green, blue)
    return Transform(**{**stored, **channels})


def _guard(stored: Mapping[str, Any] | None) -> OODDetector | None:
    if stored is None:
        return None
    centres = tuple(tuple(map(float, row)) for row in stored["centres"])
    if not centres or len({len(row) for row in centres}) != 1:
        raise CheckpointError("checkpoint field 'guard' has centres of several widths, or none")
    return OODDetector(**{**stored, "centres": centres, "limit": float(stored["limit"])})


def _check_shapes(header: Header, path: Path) -> None:
    """Raise unless the file holds the network's tensors, before any memory is taken for them.

    Raises:
        CheckpointError: it does not: a header of a few bytes may name a network of gigabytes.
    """
    import torch

    from facecheck.model.backbones import build

    with torch.device("meta"):
        model = build(header.arch, len(header.kinds), pretrained=False).model
    wanted = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    with safe_open(path, framework="np") as file:
        found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    differing = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if differing:
        raise CheckpointError(
            f"{len(differing):,} tensors differ, such as {differing[0]}: the file has "
            f"{found.get(differing[0])}, the network {wanted.get(differing[0])}"
        )


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint, ready to be used.

    Raises:
        CheckpointError: as :func:`read_header`, or the weights do not fit the architecture.
    """
    from facecheck.model.backbones import build

    header = read_header(path)
    if header.encoder is not None:
        raise CheckpointError(
            f"{path_text(path)}: a head on the frozen encoder {header.encoder.get('name')}: it "
            "holds no network to load into torch; scan, evaluate and calibrate take it as it is"
        )
    try:
        _check_shapes(header, path)
        model = build(header.arch, len(header.kinds), pretrained=False).model
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        model.load_state_dict(state)
    except (SafetensorError, RuntimeError, OSError, FacecheckError) as error:
        raise CheckpointError(
            f"{path_text(path)}: weights do not fit field 'arch' {header.arch!r} with "
            f"{len(header.kinds)} kinds ({reason(error)})"
        ) from None
    return Checkpoint(model.eval(), header)
