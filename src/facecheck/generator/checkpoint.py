"""A generator's checkpoint: one safetensors file, its weights and what they make in its header."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from facecheck.core.errors import CheckpointError, UsageError, reason
from facecheck.core.files import atomic_path, path_text
from facecheck.core.jsonable import parse_json
from facecheck.core.labels import KINDS
from facecheck.core.version import VERSION
from facecheck.core.workspace import RUNS
from facecheck.generator.networks import Generator

#: The checkpoint in a run folder.
GENERATOR = "generator.safetensors"
#: Where the header is in the file's metadata: another key than a classifier's, so that neither is
#: taken for the other.
HEADER_KEY = "facecheck-generator"


@dataclass(frozen=True)
class Header:
    """What a generator's checkpoint holds apart from its weights.

    Attributes:
        kinds: what it can make, in the order of its numbers.
        size: side of its images in pixels.
        width: channels of its narrowest layer.
        latent: length of its noise vector.
        steps: steps it was trained for.
        sources: the ``kind/source`` pairs it learned from.
        manifest_sha256: of the manifest it was trained on.
        facecheck: the version that wrote it.
    """

    kinds: tuple[str, ...]
    size: int
    width: int
    latent: int
    steps: int = 0
    sources: tuple[str, ...] = ()
    manifest_sha256: str = ""
    facecheck: str = VERSION

    def build(self) -> Generator:
        """Return the network that the weights belong to, with new weights."""
        return Generator(len(self.kinds), self.size, self.width, self.latent)


def save_generator(network: Generator, header: Header, path: Path) -> None:
    """Write weights and header to ``path`` atomically.

    Raises:
        CheckpointError: the file cannot be written.
    """
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in network.state_dict().items()
    }
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={HEADER_KEY: json.dumps(asdict(header))})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path_text(path)}: cannot be written ({error}): free some space"
        ) from None


def load_generator(path: Path) -> tuple[Generator, Header]:
    """Load a generator, in evaluation mode, on the CPU. Reading the file executes nothing.

    Raises:
        UsageError: there is no such file.
        CheckpointError: it is damaged, or no generator of ours.
    """
    name = path_text(path)
    find_generator(path)
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER_KEY)
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{name}: not a whole safetensors file ({error})") from None
    if text is None:
        raise CheckpointError(
            f"{name}: holds no generator: pass what `facecheck generate train` made"
        )
    header = _header(text, name)
    try:
        network = header.build()
        network.load_state_dict(state)
    except (RuntimeError, UsageError) as error:
        raise CheckpointError(f"{name}: weights do not fit the header ({reason(error)})") from None
    return network.eval(), header


def find_generator(path: Path | None, runs: Path = RUNS) -> Path:
    """Return the generator at ``path`` (a file or a run folder), or without one the newest run's.

    Raises:
        UsageError: there is none.
    """
    if path is None:
        found = sorted(
            runs.glob(f"*/{GENERATOR}"), key=lambda file: (file.stat().st_mtime_ns, file)
        )
        if not found:
            raise UsageError(
                "no generator in runs: run `facecheck generate train` first, or name one"
            )
        return found[-1]
    file = path / GENERATOR if path.is_dir() else path
    if not file.is_file():
        raise UsageError(
            f"no generator at {path_text(file)}: pass what `facecheck generate train` made"
        )
    return file


def _header(text: str, name: str) -> Header:
    try:
        stored = parse_json(text)
        unknown = stored.keys() - {item.name for item in fields(Header)}
        if unknown:
            raise CheckpointError(
                f"{name}: unknown field {sorted(unknown)[0]!r} in the header: update facecheck"
            )
        stored |= {key: tuple(map(str, stored[key])) for key in ("kinds", "sources")}
        numbers = [stored[key] for key in ("size", "width", "latent", "steps")]
        if not set(stored["kinds"]) <= set(KINDS) or not all(type(n) is int for n in numbers):
            raise ValueError("impossible values")
        return Header(**stored)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{name}: damaged header ({error})") from None
