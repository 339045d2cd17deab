"""The manifest: one table of records that every step of the curation and training reads.

A manifest is a ``.csv`` or ``.parquet`` file (UTF-8) with a ``.meta.json`` next to it that says how
it was made. Paths inside the manifest's own folder are stored relative to it, so that a workspace
can be moved; all others are absolute. Where the ``.meta.json`` names a root, paths inside that are
relative to it instead, so that the folder of images can be moved; ``FACECHECK_ROOT`` says where to.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

from facecheck.core.errors import (
    ManifestError,
    TrainingError,
    UsageError,
    did_you_mean,
    reason,
)
from facecheck.core.files import atomic_path, path_text, sha256_file, to_path, write_json
from facecheck.core.jsonable import parse_json
from facecheck.core.labels import KINDS
from facecheck.core.record import COLUMNS, Record
from facecheck.core.table_paths import absolute_paths, portable_paths
from facecheck.core.tables import check_table_suffix, read_table, write_frame
from facecheck.core.text import some_of
from facecheck.core.version import VERSION
from facecheck.core.whatis import mistaken, what_is
from facecheck.core.workspace import ROOT_VARIABLE

SPLITS = ("train", "val", "test")
#: What other tools call the splits.
SPLIT_NAMES = {
    **{name: name for name in SPLITS},
    **dict.fromkeys(("training",), "train"),
    **dict.fromkeys(("valid", "validation", "dev"), "val"),
    **dict.fromkeys(("testing", "eval", "evaluation"), "test"),
}
_NUMBERS = ("width", "height", "bytes")
_DEFAULTS = {
    field.name: field.default
    for field in dataclasses.fields(Record)
    if field.default is not dataclasses.MISSING
}
#: Which step fills a column, for the message when it is missing.
_FILLED_BY = {
    "sha256": "facecheck index",
    "pixel_hash": "facecheck index",
    "phash": "facecheck index",
    "split": "facecheck split",
}


class Manifest:
    """An immutable table of records, in file order.

    Attributes:
        frame: the records as a polars frame: the columns of :class:`Record` first, then whatever
            columns of the user's own the file held. Paths are absolute.
        root: the absolute path of the folder that paths are written relative to; None takes the
            manifest's own.
    """

    def __init__(self, frame: pl.DataFrame, root: Path | None = None) -> None:
        self.frame = frame
        self.root = root

    @classmethod
    def from_records(cls, records: Iterable[Record]) -> Manifest:
        """Return a manifest of these records, in their order."""
        rows = [dataclasses.astuple(record) for record in records]
        schema = {name: pl.Int64 if name in _NUMBERS else pl.String for name in COLUMNS}
        return cls(pl.DataFrame(rows, schema=schema, orient="row"))

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> Manifest:
        """Return a manifest of these columns, those that are missing filled with defaults."""
        missing = (column for column in COLUMNS if column not in frame.columns)
        filled = frame.with_columns(pl.lit(_DEFAULTS[column]).alias(column) for column in missing)
        return cls(filled.select(COLUMNS))

    def __len__(self) -> int:
        return self.frame.height

    def records(self) -> Iterator[Record]:
        """Yield every record, in order."""
        for row in self.frame.select(COLUMNS).iter_rows():
            yield Record(*row)

    def paths(self) -> list[Path]:
        """Return every record's absolute path, in order."""
        return [Path(path) for path in self.frame["path"]]

    def where(self, condition: pl.Expr) -> Manifest:
        """Return the records for which ``condition`` holds."""
        return Manifest(self.frame.filter(condition), self.root)

    def joined(self, other: Manifest) -> Manifest:
        """Return these records and, after them, those of another of the same columns."""
        return Manifest(pl.concat([self.frame, other.frame]), self.root)

    def in_split(self, split: str) -> Manifest:
        """Return the records of ``split`` that are not excluded."""
        return self.where((pl.col("split") == split) & (pl.col("excluded") == ""))

    def of_sources(self, names: Iterable[str]) -> Manifest:
        """Return the records of these kinds, sources or ``kind/source`` pairs; of all without any.

        Raises:
            UsageError: no record is of one of the names; the message suggests similar ones.
        """
        wanted = list(names)
        pair = pl.concat_str("kind", pl.lit("/"), "source")
        for name in wanted:
            matches = (pl.col("kind") == name) | (pl.col("source") == name) | (pair == name)
            if not self.frame.filter(matches).height:
                known = self.frame.select("kind", "source", pair.alias("pair")).unique()
                every = sorted({text for column in known.iter_columns() for text in column})
                near = did_you_mean(name, every) or f": there are {', '.join(every)}"
                raise UsageError(f"sources: no record is of {name!r}{near}")
        if not wanted:
            return self
        return self.where(
            pl.col("kind").is_in(wanted) | pl.col("source").is_in(wanted) | pair.is_in(wanted)
        )

    def sampled(self, per_source: int) -> Manifest:
        """Return at most so many records of each source, drawn by their hashes; with 0, all.

        The draw depends on the records alone, not on the order of the file, and a smaller one is
        part of a larger. The records come in an order of their own.
        """
        by_path = pl.Series(
            [hashlib.sha256(path.encode()).hexdigest() for path in self.frame["path"]],
            dtype=pl.String,
        )
        by_hash = pl.when(pl.col("sha256") != "").then("sha256").otherwise(by_path)
        ordered = self.frame.sort(by_hash, "path").group_by("kind", "source", maintain_order=True)
        return Manifest(ordered.head(per_source or self.frame.height), self.root)

    def with_columns(self, **columns: Iterable[str]) -> Manifest:
        """Return the manifest with these text columns replaced or added."""
        series = [
            pl.Series(name, values if isinstance(values, pl.Series) else list(values), pl.String)
            for name, values in columns.items()
        ]
        return Manifest(self.frame.with_columns(series), self.root)

    def require_filled(self, column: str, manifest_path: Path) -> None:
        """Raise :class:`ManifestError` if ``column`` is empty in any record."""
        empty = self.frame.filter(pl.col(column) == "").height
        if empty:
            raise ManifestError(
                f"{path_text(manifest_path)}: column {column!r} is empty in {empty:,} of "
                f"{len(self):,} records: `{_FILLED_BY.get(column, 'edit the manifest')}` fills it"
            )

    def require_files(self, manifest_path: Path) -> None:
        """Raise :class:`ManifestError` if any record's file is not there."""
        missing = [path for path in self.paths() if not path.is_file()]
        if missing:
            name = path_text(manifest_path)
            moved = (
                f"; or, if {path_text(self.root)} was moved, `facecheck convert {name} {name} "
                "--overwrite --root FOLDER`"
                if self.root
                else ""
            )
            raise ManifestError(
                f"{name}: {len(missing):,} of {len(self):,} files are not there, the first is "
                f"{path_text(missing[0])}: put them back, or run `facecheck index` again{moved}"
            )


def read_root(path: Path) -> Path | None:
    """Return the root that a manifest's ``.meta.json`` names, as an absolute path, or None.

    A manifest with a root takes another one from the variable ``FACECHECK_ROOT``.
    """
    root = read_meta(path).get("root")
    if not isinstance(root, str):
        return None
    return absolute_root(Path(os.environ.get(ROOT_VARIABLE) or root))


def absolute_root(folder: Path) -> Path:
    """Return a folder as the root of a manifest: absolute, its links resolved as ``index`` does."""
    return folder.resolve()


def base_of(path: Path) -> Path:
    """Return the folder that relative paths in the manifest at ``path`` count from."""
    return read_root(path) or path.absolute().parent


def read_manifest(path: Path | str, root: Path | str | None = None) -> Manifest:
    """Read a ``.csv`` or ``.parquet`` manifest.

    Args:
        path: the manifest.
        root: the folder that the paths of one with a root count from now; None takes its own.

    ``path``, ``source`` and ``kind`` must be there; any other column of :class:`Record` that is
    missing is filled with its default, and further columns are kept.

    Raises:
        UsageError: the file is not there, or its suffix is neither.
        ManifestError: it cannot be read, lacks a column, or holds an unknown kind or split, an
            empty path, a number that is none, or one path twice.
    """
    path = to_path(path, "a manifest")
    root = None if root is None else to_path(root, "the root")
    frame = read_table(path)
    for column in ("path", "source", "kind"):
        if column not in frame.columns:
            if what_is(path) not in ("a table", "a manifest"):
                raise UsageError(
                    mistaken(path, "a manifest", "name one that `facecheck index` wrote")
                )
            raise ManifestError(
                f"{path_text(path)}: no column {column!r} (it has {some_of(frame.columns)}): "
                "`facecheck index` writes manifests with every column, from a table of labels too "
                "(--labels)"
            )
    extra = [column for column in frame.columns if column not in COLUMNS]
    try:
        frame = frame.with_columns(
            pl.lit(default).alias(column)
            for column, default in _DEFAULTS.items()
            if column not in frame.columns
        ).select(
            *(
                pl.col(column)
                .cast(pl.Int64 if column in _NUMBERS else pl.String)
                .fill_null(0 if column in _NUMBERS else "")
                for column in COLUMNS
            ),
            *extra,
        )
    except pl.exceptions.PolarsError as error:
        raise ManifestError(f"{path_text(path)}: {reason(error)}") from None
    _check_values(frame, path)
    stored = read_root(path)
    if stored and root:
        stored = absolute_root(root)
    frame = frame.with_columns(absolute_paths(frame["path"], stored or path.absolute().parent))
    if frame["path"].n_unique() < frame.height:
        twice = frame.filter(pl.col("path").is_duplicated())["path"][0]
        raise ManifestError(
            f"{path_text(path)}: {path_text(Path(twice))} is listed more than once: remove all "
            "but one of its rows"
        )
    return Manifest(frame, stored)


def read_split_manifest(path: Path) -> Manifest:
    """Read a manifest whose records are split.

    Raises:
        UsageError, ManifestError: as :func:`read_manifest`.
        TrainingError: no record has a split.
    """
    manifest = read_manifest(path)
    if not (manifest.frame["split"] != "").any():
        raise TrainingError(
            f"{path_text(path)}: no record has a split: run `facecheck split` first"
        )
    return manifest


def _check_values(frame: pl.DataFrame, path: Path) -> None:
    checks: dict[str, tuple[pl.Expr, str]] = {
        "path": (pl.col("path") == "", "a path"),
        "kind": (~pl.col("kind").is_in(KINDS), f"one of {', '.join(KINDS)}"),
        "split": (~pl.col("split").is_in(["", *SPLITS]), f"one of {', '.join(SPLITS)}, or empty"),
    }
    for column, (is_bad, wanted) in checks.items():
        bad = frame.with_row_index("row", offset=2).filter(is_bad)
        if bad.height:
            raise ManifestError(
                f"{path_text(path)}: line {bad['row'][0]}: {column} is {bad[column][0]!r}, not "
                f"{wanted} ({bad.height:,} such rows): correct the manifest"
            )


def write_manifest(
    manifest: Manifest, path: Path | str, made_by: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Write a manifest by its suffix, and ``made_by`` to its ``.meta.json``.

    That also holds our version and the table's ``sha256``, and is written just before the table
    takes its name: a table that is there always has it, and a digest that is not the table's tells
    that a kill came between the two.

    Raises:
        UsageError: the suffix is neither ``.csv`` nor ``.parquet``.
    """
    path = to_path(path, "a manifest")
    check_table_suffix(path)
    with atomic_path(path) as temporary:
        portable = portable_paths(pl.col("path"), path, manifest.root)
        write_frame(manifest.frame.with_columns(portable), temporary)
        digest = {"sha256": sha256_file(temporary)}
        root = {"root": path_text(manifest.root)} if manifest.root else {}
        rest = {name: value for name, value in made_by.items() if name != "root"}
        write_json(meta_path(path), {"facecheck": VERSION, **rest, **root, **digest})


def meta_path(path: Path) -> Path:
    """Return where the ``.meta.json`` of the manifest at ``path`` lies."""
    return path.with_name(path.name + ".meta.json")


def read_meta(path: Path) -> dict[str, Any]:
    """Return the ``.meta.json`` of the manifest at ``path``, or ``{}`` if it has none."""
    try:
        meta = parse_json(meta_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return meta if isinstance(meta, dict) else {}


def input_meta(path: Path) -> dict[str, str]:
    """Return what a ``.meta.json`` says of an input file: its path and sha256."""
    return {"path": path_text(path), "sha256": sha256_file(path)}


def made_from(
    manifest: Path, target: Path, command: str, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the ``.meta.json`` of ``target`` is to say of how it is made from ``manifest``.

    A manifest that the same command with the same arguments has made in place was made from
    something else, and that stays its input: so a command that is run again, because a kill came
    at its very end, changes nothing.

    Args:
        manifest: what the command reads.
        target: what it will write; perhaps the same.
        command: its name.
        arguments: JSON values.
    """
    known, read = read_meta(manifest), input_meta(manifest)
    again = manifest == target and (known.get("command"), known.get("arguments")) == (
        command,
        arguments,
    )
    if again and known.get("sha256") == read["sha256"]:
        read = known.get("input", read)
    return {
        "command": command,
        "arguments": arguments,
        "input": read,
        "decode_policy": known.get("decode_policy"),
    }


def is_made_by(path: Path, made_by: Mapping[str, Any]) -> bool:
    """Return whether the manifest at ``path`` is whole and was made as ``made_by`` says."""
    known = read_meta(path)
    return (
        path.is_file()
        and all(known.get(name) == value for name, value in made_by.items())
        and known.get("sha256") == sha256_file(path)
    )
