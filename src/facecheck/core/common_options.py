"""Options that the jobs of several rooms share, each a concern of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from facecheck.core.options import Options, Trust, option


@dataclass(frozen=True)
class OverwriteOption(Options):
    """Whether an output that exists may be replaced."""

    overwrite: bool = option(False, "Replace the output if it exists.", trust=Trust.NO_FILE)


@dataclass(frozen=True)
class FolderOptions(Options):
    """Which of the files in folders to take."""

    panel: ClassVar[str] = "Files"
    include: tuple[str, ...] = option(
        (),
        "Take only files that match this pattern, as in .gitignore. Repeatable.",
        metavar="GLOB",
    )
    exclude: tuple[str, ...] = option(
        (), "Skip files that match this pattern. Repeatable.", metavar="GLOB"
    )
    follow: bool = option(False, "Follow symbolic links to folders.")


@dataclass(frozen=True)
class WorkersOption(Options):
    """How many threads decode images; None takes one per core."""

    workers: int | None = option(None, "Decoding threads.", least=1, words="one per core")


@dataclass(frozen=True)
class DeviceOption(Options):
    """Where a network is computed."""

    device: str = option(
        "auto",
        "Where to compute; auto takes the first that is available.",
        metavar="auto|cuda|mps|cpu",
    )


@dataclass(frozen=True)
class BatchSizeOption(Options):
    """How many images a network is given at a time."""

    batch_size: int = option(32, "Batch size.", least=1)


@dataclass(frozen=True)
class SourcesOption(Options):
    """Which images of a manifest take part; empty takes all."""

    sources: tuple[str, ...] = option(
        (),
        "Use only these kinds, sources or kind/source pairs. Repeatable.",
        metavar="KIND|SOURCE",
    )
