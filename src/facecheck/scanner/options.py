"""The options of scan, explain and Checker, one class for each concern."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from facecheck.core.common_options import (
    BatchSizeOption,
    DeviceOption,
    FolderOptions,
    OverwriteOption,
)
from facecheck.core.errors import UsageError
from facecheck.core.labels import Verdict
from facecheck.core.options import Options, Trust, option
from facecheck.known.options import KnownOptions
from facecheck.provenance.options import EvidenceOptions, ProvenanceOptions

#: Where chunks are classified.
LOCAL: Literal["local"] = "local"
RAY: Literal["ray"] = "ray"


def parse_shard(text: str) -> tuple[int, int]:
    """Return ``(i, n)`` of ``"i/n"``.

    Raises:
        UsageError: it is not written so, or there is no such part.
    """
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(f"--shard {text!r}: write I/N, as in 1/4 for the first of four parts")
    return int(number), int(count)


@dataclass(frozen=True)
class InputOptions(FolderOptions):
    """Which of the files that are given, or found in what is given, to scan."""

    manifest: Path | None = option(None, "Also scan the records of this manifest.")
    split: tuple[str, ...] = option(
        (), "Scan only this split of the manifest. Repeatable.", metavar="train|val|test"
    )
    hidden: bool = option(False, "Also scan hidden files.")
    archives: bool = option(False, "Also open the archives found in folders.")
    null: bool = option(
        False,
        "Paths on stdin are NUL-separated (usually detected).",
        flags=("--null", "-0"),
    )
    shard: tuple[int, int] | None = option(
        None,
        "Scan only part I of N; `facecheck merge` joins the results.",
        metavar="I/N",
        parse=parse_shard,
    )
    watch: bool = option(
        False,
        "Keep running and scan new files as they arrive; stop with Ctrl-C or SIGTERM.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            raise UsageError(f"--shard {self.shard[0]}/{self.shard[1]}: parts count from 1")
        if self.watch and (self.manifest or self.archives or self.shard):
            raise UsageError("--watch is for folders: leave --manifest, --archives and --shard out")


@dataclass(frozen=True)
class FaceOptions(Options):
    """Whether faces are searched for, and by which detector."""

    panel: ClassVar[str] = "Faces"
    faces: Literal["auto", "off"] = option(
        "auto",
        "auto: find faces and classify each; off: classify every image whole.",
    )
    face_detector: Path | None = option(
        None, "Another YuNet file.", words="the package's own, or FACECHECK_FACE_DETECTOR"
    )


@dataclass(frozen=True)
class ClassifyOptions(Options):
    """How scores become verdicts."""

    stability: int = option(
        0,
        "Classify N variants of each face too, scaled and re-encoded: a verdict that flips becomes "
        "uncertain, and the column spread says how far the score moves.",
        metavar="N",
        least=0,
    )
    threshold: float | None = option(
        None,
        "Call scores at or above this artificial and the rest real; no uncertain band.",
        metavar="SCORE",
        least=0,
        most=1,
        words="the checkpoint's two",
    )
    budget: float | None = option(
        None,
        "Allowed error rate for real and for artificial images; lower means more uncertain. One of "
        "those that the checkpoint was calibrated for.",
        metavar="SHARE",
        words="the one that the checkpoint was calibrated with",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold is not None and self.budget is not None:
            raise UsageError("--threshold and --budget: name one of them")


@dataclass(frozen=True)
class ResultOptions(OverwriteOption):
    """Which rows are written, and how."""

    panel: ClassVar[str] = "Rows"
    per_face: bool = option(
        False, "Write one row per face (default: only the most artificial face)."
    )
    only: tuple[str, ...] = option(
        (),
        "Write only rows with this verdict; all are counted. Repeatable.",
        metavar="real|artificial|uncertain",
    )
    raw_paths: bool = option(False, "Do not escape file names that look like spreadsheet formulas.")
    excel: bool = option(
        False, "Begin the CSV with a byte order mark, so that Excel shows all names as they are."
    )
    thumbnails: int = option(
        1_000,
        "For an .xlsx: thumbnails for at most this many rows; each takes about 3 kB of memory.",
        least=0,
    )
    rejects: Path | None = option(
        None,
        "Also list what was skipped: links to folders, folders that cannot be listed, other files, "
        "archives.",
        metavar="FILE",
        trust=Trust.NAMED,
    )
    verify: bool = option(False, "When resuming, compare files by content, not by size and time.")
    update: bool = option(
        False,
        "Add new and changed files to finished results, and keep the other rows as they are.",
    )
    drop_gone: bool = option(
        False, "With --update: drop the rows of files that are not found any more."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.drop_gone and not self.update:
            raise UsageError("--drop-gone is for --update: pass that, too")
        if self.update and self.overwrite:
            raise UsageError("--update keeps rows and --overwrite replaces them: name one of them")
        if self.update and self.verify:
            raise UsageError("--update compares files by size and time: leave --verify out")
        verdicts = [verdict.value for verdict in Verdict]
        for name in self.only:
            if name not in verdicts:
                raise UsageError(f"--only {name!r}: the verdicts are {', '.join(verdicts)}")


def parse_every(text: str) -> float:
    """Return the seconds of ``"1s"``, ``"500ms"``, ``"2m"`` or ``"0.5"``.

    Raises:
        UsageError: it is not written so, or not more than a hundredth of a second.
    """
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+) ?(ms|s|m|min)?", text.strip())
    units = {"ms": 0.001, "s": 1, None: 1, "m": 60, "min": 60}
    seconds = float(found[1]) * units[found[2]] if found else 0.0
    if not 0.01 <= seconds <= 3600:
        raise UsageError(f"--every {text!r}: write 1s, 500ms or 2m; at least 10ms, at most an hour")
    return seconds


@dataclass(frozen=True)
class VideoOptions(Options):
    """Whether videos are scanned, and what of them."""

    panel: ClassVar[str] = "Videos"
    video: bool = option(
        False, "Scan videos instead of images: a row for each face that is followed through one."
    )
    every: float = option(
        1.0,
        "For videos: classify a frame for each such interval, such as 1s or 500ms.",
        metavar="TIME",
        parse=parse_every,
        words="1s",
    )
    video_rows: Literal["track", "frame"] = option(
        "track", "For videos: one row for each face that is followed, or for each face of a frame."
    )


@dataclass(frozen=True)
class PlacingOptions(Options):
    """Where files are copied or moved to when all are classified."""

    panel: ClassVar[str] = "Places"
    copy_to: Path | None = option(
        None,
        "When done, copy files to DIR/real, DIR/artificial and DIR/uncertain.",
        metavar="DIR",
        trust=Trust.NAMED,
    )
    move_to: Path | None = option(
        None, "Move them there instead; asks first.", metavar="DIR", trust=Trust.NAMED
    )
    yes: bool = option(False, "Move without asking.", flags=("--yes", "-y"), trust=Trust.NO_FILE)

    @property
    def folder(self) -> Path | None:
        """The folder that files are copied or moved to."""
        return self.move_to or self.copy_to

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.copy_to and self.move_to:
            raise UsageError("--copy-to and --move-to: name one of them")


@dataclass(frozen=True)
class ReachOptions(Options):
    """Which files results may name, besides those in the folders that were scanned."""

    root: tuple[Path, ...] = option(
        (),
        "Folder of files that the results name, besides those that were scanned. Repeatable.",
        metavar="DIR",
        words="none",
        trust=Trust.NAMED,
    )
    addresses: bool = option(
        False, "Also get files from the addresses that the results name.", trust=Trust.NAMED
    )


@dataclass(frozen=True)
class PlaceOptions(PlacingOptions, ReachOptions):
    """Which files of finished results are copied or moved, and what their names begin with."""

    verdict: tuple[str, ...] = option(
        (),
        "Copy or move only files with this verdict. Repeatable.",
        metavar="real|artificial|uncertain",
        words="all",
    )


@dataclass(frozen=True)
class WorkerOptions(DeviceOption, BatchSizeOption):
    """Where and by how many processes the work is done."""

    engine: Literal["local", "ray"] = option(
        "local", "Where to classify: on this machine, or on a Ray cluster; the rows are the same."
    )
    ray_address: str | None = option(
        None,
        "The cluster, such as 10.0.0.1:6379; auto: the one of this machine; local: one started "
        "for this scan.",
        metavar="ADDRESS",
        words="RAY_ADDRESS, or local",
    )
    workers: int | None = option(
        None,
        "Decoding processes; on a cluster, number of chunks at a time.",
        least=1,
        words="one per core; on a cluster four",
    )
    timeout: float = option(
        60.0, "Seconds that decoding one file, and finding its faces, may take.", least=0.1
    )

    @property
    def on_ray(self) -> bool:
        """Whether a cluster does the work."""
        return self.engine == RAY

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ray_address is not None and not self.on_ray:
            raise UsageError("--ray-address is for --engine ray: pass that, too")


@dataclass(frozen=True)
class ScanOptions(
    InputOptions,
    FaceOptions,
    ClassifyOptions,
    ProvenanceOptions,
    KnownOptions,
    ResultOptions,
    VideoOptions,
    PlacingOptions,
    WorkerOptions,
):
    """All that a scan may be told, besides its inputs, results file and checkpoint."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.watch and self.folder:
            raise UsageError(
                "--watch places no files: scan the folder again with --copy-to or --move-to"
            )
        if self.watch and self.rejects:
            raise UsageError("--rejects is for scans that end: leave --watch out")
        if self.watch and self.on_ray:
            raise UsageError("--watch waits for files on this machine: leave --engine ray")
        if self.video:
            self._refuse_with_video()
        elif self.every != 1.0 or self.video_rows != "track":
            raise UsageError("--every and --video-rows are for --video: pass that, too")
        if self.update and (self.watch or self.shard):
            raise UsageError("--update is for whole scans: leave --watch and --shard out")
        if self.update and self.folder:
            raise UsageError(
                "--update places no files: run `facecheck place` on the results when it is done"
            )

    def _refuse_with_video(self) -> None:
        """Raise :class:`UsageError` for what is for images alone."""
        others = {
            "--watch": self.watch, "--shard": self.shard, "--update": self.update,
            "--manifest": self.manifest, "--archives": self.archives, "--known": self.known,
            "--per-face": self.per_face, "--faces off": self.faces == "off",
            "--only": self.only, "--verify": self.verify, "--rejects": self.rejects,
            "--copy-to": self.copy_to, "--move-to": self.move_to, "--engine ray": self.on_ray,
        }  # fmt: skip
        given = [flag for flag, value in others.items() if value]
        if given:
            raise UsageError(f"--video does not go with {', '.join(given)}: leave that out")


@dataclass(frozen=True)
class CropOptions(OverwriteOption):
    """Where cut out faces go, and how large they are."""

    out: Path = option(
        Path("data/faces"), "The folder for crops and their manifest.", trust=Trust.NAMED
    )
    size: int = option(
        256, "Short side of a crop in pixels: the resize of the model to train.", least=16
    )
    face_detector: Path | None = option(
        None, "Another YuNet file.", words="the package's own, or FACECHECK_FACE_DETECTOR"
    )
    workers: int | None = option(None, "Threads.", least=1, words="one per core")


@dataclass(frozen=True)
class ProvenanceTableOptions(InputOptions, EvidenceOptions, OverwriteOption):
    """Which files to read for ``provenance``, and by how many processes."""

    workers: int | None = option(None, "Reading processes.", least=1, words="one per core")
    timeout: float = option(60.0, "Seconds that reading one file may take.", least=0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.watch or self.shard:
            raise UsageError("--watch and --shard are for scan: leave them out")


@dataclass(frozen=True)
class CheckOptions(FaceOptions, ClassifyOptions, ProvenanceOptions, KnownOptions, DeviceOption):
    """How :class:`~facecheck.scanner.checker.Checker` classifies."""


@dataclass(frozen=True)
class ExplainOptions(FaceOptions, ProvenanceOptions, KnownOptions, OverwriteOption, DeviceOption):
    """How one image is explained."""
