"""Tables that say what images are: a vendor's labels, somebody's manifest, or ours."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from facecheck.core.errors import ManifestError, UsageError, did_you_mean
from facecheck.core.files import path_text
from facecheck.core.formats import is_image_name
from facecheck.core.jsonable import parse_json
from facecheck.core.manifest import SPLIT_NAMES
from facecheck.core.record import COLUMNS
from facecheck.core.tables import read_csv, read_parquet
from facecheck.core.text import printable

#: What people call the column of files and the one of classes, the surest name first.
PATH_NAMES = (
    *("path", "image_path", "img_path", "file_path", "filepath", "file_name", "filename"),
    *("image_name", "img_name", "file", "image", "img", "image_id", "name", "id"),
)
KIND_NAMES = ("kind", "label", "class", "class_name", "category", "target")
SOURCE_NAMES = ("source", "dataset")
SPLIT_COLUMNS = ("split", "subset", "partition")

_LINES = (".jsonl", ".ndjson")
#: The endings of tables that can be read.
TABLE_ENDINGS = (".csv", ".tsv", ".parquet", *_LINES)
#: Columns that say what somebody decided, and so are taken over with the row.
_TAKEN = ("group", "excluded")
#: Columns that tell the results of a scan from a table of labels.
_RESULTS = {"status", "verdict", "score"}
_DRIVE = re.compile(r"[A-Za-z]:/")


@dataclass(frozen=True)
class Row:
    """What a table says of one image.

    Attributes:
        path: the image as the table calls it.
        label: its class, perhaps no kind of ours; empty where the table does not say.
        source: the data set it comes from, or empty.
        split: ``train``, ``val``, ``test``, or empty.
        sha256: of the file that the table describes, or empty.
        more: its group, why it is excluded, and the columns that no manifest of ours has.
    """

    path: str
    label: str
    source: str
    split: str
    sha256: str
    more: Mapping[str, str]


@dataclass(frozen=True)
class Named:
    """Which columns of a table to read; None takes the first that has a usual name."""

    path: str | None = None
    kind: str | None = None


class ImageTable:
    """A table with a row for each image.

    Attributes:
        file: where it lies.
        frame: all of it, as text.
        path_column: the column of paths.
        kind_column: the column of classes, None where there is none.
    """

    def __init__(self, file: Path, named: Named) -> None:
        """Read a table.

        Raises:
            UsageError: a column that was named is not there, or these are results of a scan.
            ManifestError: it cannot be read, or no column is named like one of paths.
        """
        self.file = file
        self.frame = _as_text(_read(file), file)
        path = self._column("--path-column", named.path, PATH_NAMES)
        if path is None:
            raise ManifestError(
                f"{path_text(file)}: no column is called like one of file names (it has "
                f"{self.columns_text}): name it with --path-column"
            )
        self.path_column = path
        if named.kind is None and set(self.frame.columns) >= _RESULTS:
            raise UsageError(
                f"{path_text(file)} looks like the results of a scan, whose kinds are a model's "
                "guesses: name the column of true ones with --kind-column"
            )
        self.kind_column = self._column("--kind-column", named.kind, KIND_NAMES)

    @property
    def columns_text(self) -> str:
        """The names of all columns, for a message."""
        return printable(", ".join(map(repr, self.frame.columns)))

    def _column(self, flag: str, named: str | None, usual: Sequence[str]) -> str | None:
        if named is not None:
            if named not in self.frame.columns:
                near = did_you_mean(named, self.frame.columns)
                raise UsageError(
                    f"{flag} {named!r}: {path_text(self.file)} has no such column{near} (it has "
                    f"{self.columns_text})"
                )
            return named
        found = {name.strip().casefold().replace(" ", "_"): name for name in self.frame.columns}
        return next((found[name] for name in usual if name in found), None)

    @cached_property
    def source_column(self) -> str | None:
        """The column that names data sets."""
        return self._column("", None, SOURCE_NAMES)

    @cached_property
    def split_column(self) -> str | None:
        """The column whose every value is the name of a split, or empty; None if there is none."""
        column = self._column("", None, SPLIT_COLUMNS)
        if column is None:
            return None
        foreign = set(self.frame[column].str.to_lowercase()) - {"", *SPLIT_NAMES}
        if not foreign:
            return column
        if column not in COLUMNS:
            return None
        raise ManifestError(
            f"{path_text(self.file)}: column 'split' holds {printable(repr(min(foreign)))}: its "
            f"values are {', '.join(SPLIT_NAMES)}; correct it, or pass --drop-split"
        )

    @property
    def own_columns(self) -> list[str]:
        """The columns that no manifest of ours has, but for the paths."""
        known = {*COLUMNS, self.path_column, self.source_column, ""}
        return [name for name in self.frame.columns if name not in known]

    def rows(self, *, drop_split: bool) -> Iterator[Row]:
        """Yield what the table says, row by row.

        Args:
            drop_split: leave out which split an image is in.
        """
        split = None if drop_split else self.split_column
        taken = [name for name in _TAKEN if name in self.frame.columns]
        own = [name for name in self.own_columns if not (drop_split and name in SPLIT_COLUMNS)]
        names = (self.path_column, self.kind_column, self.source_column, split)
        for row in self.frame.iter_rows(named=True):
            path, label, source, part = (row[name].strip() if name else "" for name in names)
            more = {name: row[name] for name in (*taken, *own) if row[name]}
            part = SPLIT_NAMES.get(part.lower(), "")
            yield Row(path, label, source, part, row.get("sha256", ""), more)


def _read(file: Path) -> pl.DataFrame:
    ending = file.suffix.lower()
    if ending not in TABLE_ENDINGS:
        raise UsageError(
            f"{path_text(file)}: a table's name must end in {', '.join(TABLE_ENDINGS[:-1])} or "
            f"{TABLE_ENDINGS[-1]}"
        )
    if file.is_dir() or not file.is_file():
        raise UsageError(f"no table at {path_text(file)}: check the path")
    if ending in _LINES:
        return _read_lines(file)
    return read_parquet(file) if ending == ".parquet" else read_csv(file)


def _read_lines(file: Path) -> pl.DataFrame:
    """Read JSON lines; a value that is neither text nor a number stays as JSON."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        rows = [parse_json(line) for line in text.split("\n") if line.strip()]
        names = dict.fromkeys(name for row in rows for name in dict.keys(row))
        columns = {name: [_text(row.get(name)) for row in rows] for name in names}
        return pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ManifestError(
            f"{path_text(file)}: not JSON lines, an object in each: {error}"
        ) from None


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _as_text(frame: pl.DataFrame, file: Path) -> pl.DataFrame:
    """Return a table with every value as text; whole numbers without decimals, nothing as empty."""
    columns = []
    for column in frame:
        values = column
        if column.dtype.is_float():
            whole = column.drop_nulls().drop_nans()
            if (whole == whole.round(0)).all() and (whole.abs() < 2**53).all():
                values = column.fill_nan(None).cast(pl.Int64)
        elif column.dtype.is_nested() or column.dtype == pl.Binary:
            raise ManifestError(
                f"{path_text(file)}: column {printable(repr(column.name))} holds "
                f"{column.dtype}, not text or numbers: leave it out of the table"
            )
        columns.append(values.cast(pl.String).fill_null(""))
    return pl.DataFrame(columns)


def as_read(name: str) -> str:
    """Return a name as people compare it: ``É.png`` of a Mac's archive and ``é.png`` are one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class FilesByName:
    """Files that were found in folders, by whatever a table may call them.

    A table's word opens nothing: it can only choose among these files.

    Args:
        roots: the folders, as the user named them, and those that paths of manifests count from.
        files: absolute paths of the files, in folders whose links are resolved.
        base: another folder that paths may count from.
    """

    def __init__(
        self, roots: Sequence[Path], files: Sequence[str], base: Path | None = None
    ) -> None:
        self._base = [] if base is None else [os.path.normpath(base.absolute())]
        self._roots = [os.path.normpath(root.absolute()) for root in roots]
        self._real = [os.fspath(root.resolve()) for root in roots]
        self._files = set(files)

    @property
    def example(self) -> str:
        """One of the files, for a message; empty if there is none."""
        return min(self._files, default="")

    def find(self, text: str, table: Path) -> list[str]:
        """Return the files that a table may mean, by the surest way that finds any.

        A path counts from the table's folder, from one of the folders, or from the one above such
        a folder; it may have backslashes. After that, case and Unicode form count no more, a bare
        name may be of a file in any subfolder, and last of all the ending may be missing.

        Args:
            text: the file as the table calls it.
            table: where the table lies.

        Returns:
            absolute paths; several where the name is ambiguous.
        """
        for name in dict.fromkeys((text, text.replace("\\", "/"))):
            places = self._places(name, table)
            found = [place for place in places if place in self._files]
            found = found or [f for place in places for f in self._folded.get(as_read(place), ())]
            if not found and "/" not in name:
                found = self._names.get(as_read(name), [])
            if not found and not is_image_name(PurePosixPath(name)):
                found = self._without_ending(name, places)
            if found:
                return sorted(set(found))
        return []

    def is_outside(self, text: str, table: Path) -> bool:
        """Return whether a path leads out of all the folders."""
        tops = [os.path.join(top, "") for top in self._real]  # noqa: PTH118
        places = self._places(text.replace("\\", "/"), table)
        return not any(place.startswith(top) for place in places for top in tops)

    def _places(self, name: str, table: Path) -> list[str]:
        """Return where a path may lead, without asking the disk."""
        if name.startswith("/") or _DRIVE.match(name):
            places = [os.path.normpath(name)]
        else:
            above = [os.path.dirname(root) for root in self._roots]  # noqa: PTH120
            bases = [
                *(os.path.normpath(table.absolute().parent), *self._base),
                *(*self._roots, *above),
            ]
            places = [os.path.normpath(f"{base}/{name}") for base in bases]
        return list(dict.fromkeys(self._resolved(place) for place in places))

    def _resolved(self, place: str) -> str:
        """Return a path below a folder as the walk spells it."""
        for root, real in zip(self._roots, self._real, strict=True):
            if place.startswith(f"{root}/"):
                return real + place.removeprefix(root)
        return place

    # Most tables name their files exactly, and so do without the others.

    @cached_property
    def _folded(self) -> dict[str, list[str]]:
        """The files by their whole paths, as people compare them."""
        return self._by(as_read)

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """The files by their bare names."""
        return self._by(lambda file: as_read(file).rpartition("/")[2])

    @cached_property
    def _bare(self) -> dict[str, list[str]]:
        """The files by their whole paths without an ending."""
        return self._by(lambda file: as_read(os.path.splitext(file)[0]))  # noqa: PTH122

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        """The files by their bare names without an ending."""
        return self._by(lambda file: as_read(os.path.splitext(file)[0]).rpartition("/")[2])  # noqa: PTH122

    def _by(self, key: Callable[[str], str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for file in self._files:
            found.setdefault(key(file), []).append(file)
        return found

    def _without_ending(self, name: str, places: Sequence[str]) -> list[str]:
        found = [file for place in places for file in self._bare.get(as_read(place), ())]
        return found or ([] if "/" in name else self._stems.get(as_read(name), []))


def files_of(text: str, bases: Sequence[Path]) -> list[Path]:
    """Return the files that a manifest may name, perhaps with backslashes, and that are there."""
    for name in dict.fromkeys((text, text.replace("\\", "/"))):
        places = dict.fromkeys(Path(os.path.normpath(base / name)) for base in bases)
        found = [place for place in places if name and _is_there(place)]
        if found:
            return found
    return []


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:  # who measures it says so
        return True
    except (OSError, ValueError):  # a name that no file can have
        return False
