"""The options of the jobs that make and shape a manifest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from facecheck.core.common_options import FolderOptions, OverwriteOption, WorkersOption
from facecheck.core.errors import UsageError, did_you_mean
from facecheck.core.options import Options, Trust, option
from facecheck.core.spelling import respelled
from facecheck.core.workspace import MANIFEST, RAW

#: How far ``dedup`` goes, from the most certain to the boldest.
Level = Literal["bytes", "pixels", "picture", "edited"]
#: How a file may come to its place in the tree that ``dedup --apply`` makes.
Way = Literal["move", "hardlink", "symlink"]
#: The layouts of folders that ``convert`` knows, and how files get into them.
Layout = Literal["imagefolder", "huggingface", "fiftyone"]
Link = Literal["hardlink", "symlink", "copy"]
#: The parts that ``split --keep`` can keep.
_PARTS = ("train", "val", "test")


def parse_pair(text: str) -> tuple[str, ...]:
    """Return the sources in ``photos:sketches``.

    Raises:
        UsageError: it names fewer than two.
    """
    names = tuple(name for name in text.split(":") if name)
    if len(names) < 2:
        raise UsageError(f"--pair {text!r}: name two sources, as in --pair photos:sketches")
    return names


def parse_label(text: str) -> tuple[str, str]:
    """Return the name of a class or source, and the kind, in ``fake=generated``.

    Raises:
        UsageError: one of them is missing.
    """
    name, _, kind = text.partition("=")
    if not name or not kind:
        raise UsageError(f"--label {text!r}: write NAME=KIND, as in fake=generated")
    return name, kind


def parse_ratio(text: str) -> tuple[float, ...]:
    """Return the shares in ``8:1:1``, ``80/10/10``, ``0.8,0.1,0.1`` or any other number of parts.

    Returns:
        Two shares or more that sum to 1: train and test; train, val and test; or folds.

    Raises:
        UsageError: it is not two or more non-negative numbers with a positive first one.
    """
    parts = [part.strip() for part in re.split("[:/,]", text)]
    write = "write train:val:test, as in 8:1:1, or train:test, as in 8:2"
    if len(parts) < 2:
        raise UsageError(f"--ratio {text!r} is not two or more numbers: {write}")
    for part in parts:
        if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", part):
            wrong = "is below 0" if re.fullmatch(r"-\d+(\.\d*)?", part) else "is not a number"
            raise UsageError(f"--ratio {text!r}: {part!r} {wrong}: {write}")
    shares = [float(part) for part in parts]
    if shares[0] == 0:
        raise UsageError(
            f"--ratio {text!r} leaves nothing to train on: give the first part a share"
        )
    return tuple(share / sum(shares) for share in shares)


@dataclass(frozen=True)
class TableOption(OverwriteOption):
    """Where a changed manifest goes; None updates it in place."""

    out: Path | None = option(
        None,
        "Where to write the result, .csv or .parquet.",
        words="update in place",
        trust=Trust.NAMED,
    )


@dataclass(frozen=True)
class LabelOptions(Options):
    """What images are, where their folders do not say so."""

    kind: str | None = option(
        None, "The kind of every image, instead of the folder's name.", metavar="KIND"
    )
    source: str | None = option(
        None, "The source of every image, instead of the folder's name.", metavar="SOURCE"
    )
    label: tuple[tuple[str, str], ...] = option(
        (),
        "The kind of one class or source, whatever its folder or table calls it, as in "
        "fake=generated or generated/ciplab-fakes=composite. Repeatable.",
        metavar="NAME=KIND",
        parse=parse_label,
    )
    pair: tuple[tuple[str, ...], ...] = option(
        (),
        "In these sources, files with the same name show the same person and stay in one split. "
        "Repeatable.",
        metavar="SOURCE:SOURCE",
        parse=parse_pair,
    )


@dataclass(frozen=True)
class TableOptions(Options):
    """Tables that say what images are.

    Raises:
        UsageError: ``kind`` and ``kind_column`` are both given.
    """

    panel: ClassVar[str] = "Tables"
    labels: tuple[Path, ...] = option(
        (),
        "A table that says what the images in the folders are: CSV, JSON lines or Parquet. "
        "Repeatable.",
        metavar="FILE",
    )
    path_column: str | None = option(
        None, "The column of file names in tables.", metavar="COLUMN", words="path, image, file, …"
    )
    kind_column: str | None = option(
        None, "The column of kinds or classes in tables.", metavar="COLUMN", words="kind, label, …"
    )
    drop_split: bool = option(False, "Forget which split images are in.")


@dataclass(frozen=True)
class RootOption(Options):
    """The folder that a manifest's paths are written relative to."""

    root: Path | None = option(
        None,
        "Write paths relative to this folder, and read those of tables from it: where the images "
        "were moved to.",
        words="the manifest's folder",
        metavar="FOLDER",
        trust=Trust.NAMED,
    )


@dataclass(frozen=True)
class IndexOptions(
    LabelOptions, TableOptions, RootOption, FolderOptions, OverwriteOption, WorkersOption
):
    """How ``index`` reads folders and tables."""

    verify: bool = option(False, "Read every file again, even if it looks unchanged.")


@dataclass(frozen=True)
class CatalogOptions(Options):
    """Which sources are known, and where fetched images are."""

    catalog: Path | None = option(None, "Additional catalogue file (YAML).")
    root: Path = option(RAW, "The folder of fetched images.", trust=Trust.NAMED)


@dataclass(frozen=True)
class FetchOptions(CatalogOptions, LabelOptions, FolderOptions, WorkersOption):
    """How ``fetch`` gets sources, and what it makes of them.

    Raises:
        UsageError: one of ``kind`` and ``source`` is missing, or there is no ``origin`` for them
            or for ``label``.
    """

    origin: Path | None = option(
        None,
        "Use a local folder or zip/tar archive instead of downloading: the source NAME as it is "
        "distributed, or a tree laid out as <kind>/<source>/….",
        flags=("--from",),
    )
    manifest: Path = option(MANIFEST, "The manifest to write.", trust=Trust.NAMED)
    jobs: int = option(2, "Number of sources to fetch at the same time.", least=1)
    keep_archives: bool = option(False, "Keep archives after unpacking.")
    locked: bool = option(False, "Refuse what differs from facecheck.lock.")
    deduplicate: bool = option(
        True, "Deduplicate the fetched images.", flags=("--dedup/--no-dedup",)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.kind is None) != (self.source is None):
            raise UsageError("--kind and --source go together: pass both or neither")
        if self.kind is not None and self.origin is None:
            raise UsageError("--kind and --source describe a local --from, without a named source")
        if self.label and (self.origin is None or self.kind is not None):
            raise UsageError(
                "--label describes the sources of a local --from that is laid out "
                "<kind>/<source>/…, without --kind"
            )


@dataclass(frozen=True)
class DedupOptions(TableOption, WorkersOption):
    """What ``dedup`` takes for a duplicate, and what becomes of the files.

    Raises:
        UsageError: one of ``apply`` and ``to`` comes without the other.
    """

    level: Level = option(
        "picture",
        "What counts as a duplicate: equal bytes; equal pixels; the same picture re-encoded or "
        "resized; or also edited: cropped, mirrored or recoloured.",
    )
    radius: int = option(8, "Maximum pHash distance (bits) considered.", least=0, most=16)
    prefer: tuple[str, ...] = option(
        (),
        "Keep the copy from this source, where there are several. Repeatable: the first counts "
        "most.",
        metavar="SOURCE",
    )
    protect: tuple[Path, ...] = option(
        (), "Never exclude or move files under this folder. Repeatable.", metavar="FOLDER"
    )
    apply: Way | None = option(None, "Then write the kept files to TO/<kind>/<source>/<file>.")
    to: Path | None = option(None, "The folder for --apply.", trust=Trust.NAMED)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.apply and self.to is None:
            raise UsageError(f"--apply {self.apply} needs --to DIR, the folder to write to: add it")
        if self.to is not None and self.apply is None:
            raise UsageError(f"--to {self.to} needs --apply hardlink, symlink or move: add it")


@dataclass(frozen=True)
class SplitOptions(TableOption):
    """How ``split`` assigns images.

    Raises:
        UsageError: the ratio cannot be read, folds are to hold a source out or to keep a part, or
            ``keep`` is at odds with ``extend`` or ``hold_out_source``.
    """

    ratio: str = option(
        "8:1:1",
        "Shares of train:val:test, or of train:test; more are folds.",
        metavar="N:N:N",
    )
    kfold: int | None = option(
        None,
        "Write this many equal folds to the column fold instead; test images are left out.",
        least=2,
    )
    by: str = option("kind,source", "Columns to stratify by.", metavar="COLUMN,COLUMN")
    group_column: str | None = option(None, "Extra column to group by.", metavar="COLUMN")
    hold_out_source: tuple[str, ...] = option(
        (),
        "Use this source only for testing, with every image that is grouped with it. Repeatable.",
        metavar="SOURCE",
    )
    extend: bool = option(False, "Keep existing assignments; assign only new images.")
    keep: tuple[str, ...] = option(
        (),
        "Keep this part exactly as it is, and assign only the rest; images related to it are left "
        "out. Repeatable.",
        metavar="train|val|test",
    )
    seed: int = option(0, "Random seed.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.shares) > 3 or self.kfold is not None:
            self._refuse_named_parts()
        for part in self.keep:
            if part not in _PARTS:
                near = did_you_mean(part, _PARTS) or f": choose from {', '.join(_PARTS)}"
                raise UsageError(f"--keep {part!r} is unknown{near}")
        if self.keep and self.extend:
            raise UsageError("--extend keeps every part: leave --keep out, or --extend")
        if "test" in self.keep and self.hold_out_source:
            raise UsageError(
                "--keep test takes nothing into test, --hold-out-source does: leave one of them out"
            )

    def _refuse_named_parts(self) -> None:
        if self.keep:
            raise UsageError(
                "--keep keeps train, val or test, folds have other names: split with --ratio and "
                "--keep first, then make folds, which leave test out"
            )
        if self.hold_out_source:
            raise UsageError(
                "--hold-out-source fills test, folds do not: split with --ratio and "
                "--hold-out-source first, then make folds, which leave test out"
            )

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each part, summing to 1."""
        return parse_ratio(self.ratio) if self.kfold is None else (1 / self.kfold,) * self.kfold

    @property
    def strata(self) -> tuple[str, ...]:
        """The columns of which every combination of values follows the ratio."""
        return tuple(name.strip() for name in self.by.split(",") if name.strip())


@dataclass(frozen=True)
class Normalise:
    """How to make images alike in everything but what they show.

    Attributes:
        formats: every image is re-encoded in one of these, at random: ``jpeg``, ``webp``.
        quality: from the first to the second of these, 1 to 100, at random.
        size: side in pixels of the square every image is cropped and scaled to.
        blur: standard deviation of a Gaussian blur in pixels of that square, at random between
            these two.
    """

    formats: tuple[str, ...] = ("jpeg", "webp")
    quality: tuple[int, int] = (40, 95)
    size: int = 224
    blur: tuple[float, float] = (0, 2)


def parse_fix(text: str) -> Normalise:
    """Return the settings of ``normalise``.

    Raises:
        UsageError: the text is another one.
    """
    if respelled(text, ["normalise"]) != "normalise":
        raise UsageError(f"--fix {text!r} is unknown: the only fix is normalise")
    return Normalise()


@dataclass(frozen=True)
class AuditOptions(OverwriteOption, WorkersOption):
    """How ``audit`` measures shortcuts, and whether it writes a way around them."""

    per_source: int = option(500, "Use at most this many images per source; 0: all.", least=0)
    warn_above: float = option(
        0.7, "Warn where the balanced accuracy of a guess is above this.", least=0, most=1
    )
    fix: Normalise | None = option(
        None,
        "normalise: write a training recipe that removes what the file format gives away, and "
        "measure again on images normalised in memory.",
        metavar="normalise",
        parse=parse_fix,
    )
    out: Path | None = option(
        None,
        "Where --fix writes the recipe.",
        words="<manifest>.normalise.yaml",
        trust=Trust.NAMED,
    )
    seed: int = option(0, "Random seed.")


@dataclass(frozen=True)
class ConvertOptions(RootOption, OverwriteOption, WorkersOption):
    """How ``convert`` reads and writes other tools' folders."""

    layout: Layout | None = option(
        None, "Layout of the folder.", words="imagefolder, or as the folder looks"
    )
    link: Link = option("hardlink", "How files get into a new folder.")
    source: str | None = option(
        None, "The source of every image, instead of the folder's name.", metavar="SOURCE"
    )
    label: tuple[tuple[str, str], ...] = option(
        (),
        "Map a class name to a kind, as in fake=generated. Repeatable.",
        metavar="CLASS=KIND",
        parse=parse_label,
    )
