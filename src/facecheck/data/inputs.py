"""What ``index`` is to measure: images in folders and in manifests, with what is said of each.

A folder says what its images are by one of three layouts: ``<kind>/<source>/…``; an ImageFolder,
``train/<class>/…`` or ``<class>/…``; or a table of labels (``--labels``) that names its files. A
manifest says it row by row.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from facecheck.core.errors import ManifestError, UsageError
from facecheck.core.files import path_text
from facecheck.core.labels import KINDS, check_kind
from facecheck.core.manifest import read_root
from facecheck.core.selection import is_archive_name, select
from facecheck.core.text import printable
from facecheck.core.tree import Skipped, no_images, place_of_file
from facecheck.data.folder_layout import (
    Command,
    Said,
    listed,
    not_laid_out,
    said_by_folders,
    split_of,
)
from facecheck.data.image_table import TABLE_ENDINGS, FilesByName, ImageTable, Named, Row, files_of
from facecheck.data.options import IndexOptions
from facecheck.data.relabel import Relabel


@dataclass(frozen=True)
class Listed:
    """One image to measure, and what is said of it.

    Attributes:
        path: absolute.
        kind: one of :data:`~facecheck.core.labels.KINDS`.
        source: the data set it comes from.
        said_by: the folder or table that says so.
        split: ``train``, ``val``, ``test``, or empty.
        sha256: of the file that a table describes, or empty.
        more: its group, why it is excluded, and columns of a table that no manifest of ours has.
    """

    path: Path
    kind: str
    source: str
    said_by: Path
    split: str = ""
    sha256: str = ""
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TableUse:
    """How a table was read.

    Attributes:
        table: its file.
        path_column: the column of paths.
        kind_column: the column of kinds or classes, or None.
        rows: how many it has.
        without_file: rows that name no image.
    """

    table: Path
    path_column: str
    kind_column: str | None
    rows: int
    without_file: int


@dataclass(frozen=True)
class Inputs:
    """What ``index`` is to measure.

    Attributes:
        images: each once, in the order of their paths.
        rejects: (path, reason) of images and rows that are left out.
        tables: how each table was read.
        unnamed: images in folders that a table of labels describes, and that no table names.
        relabelled: records of manifests that a table of labels gives another kind.
        differing: images of which two inputs say different things, by column; the first counts.
    """

    images: list[Listed]
    rejects: list[tuple[str, str]]
    tables: tuple[TableUse, ...]
    unnamed: int
    relabelled: int
    differing: Mapping[str, int]


def read_inputs(
    inputs: Sequence[Path], out: Path, options: IndexOptions, skipped: Skipped
) -> Inputs:
    """List the images of folders and manifests, with their kinds, sources and further columns.

    Args:
        inputs: folders, and tables with a row for each image.
        out: the manifest to write, for the command that an error suggests.
        options: what images are, and which are taken.
        skipped: counts what is skipped.

    Raises:
        UsageError: an input is not there or laid out in no known way, a class stands for no kind,
            a table's name of a file is ambiguous, or an option names nothing.
        ManifestError: a table cannot be read.
        FacecheckError: there is no image.
    """
    for each in inputs:
        _check_input(each)
    if options.kind is not None:
        check_kind(options.kind, "--kind")
    reading = _Reading(options, Command(inputs, out, options))
    named = Named(options.path_column, options.kind_column)
    labels = [reading.checked(ImageTable(file, named)) for file in options.labels]
    manifests = [reading.checked(ImageTable(file, named)) for file in inputs if not file.is_dir()]
    tables = [table.file for table in (*labels, *manifests)]
    files = _walk([each for each in inputs if each.is_dir()], tables, options, skipped)
    if not manifests and not any(files.values()):
        raise _no_images(files, skipped)
    located = [(table, reading.locate(table)) for table in manifests]
    reading.read_labels(labels, files, located)
    reading.read_folders(files)
    for table, rows in located:
        for row, path in rows:
            reading.add_record(row, path, table)
    return reading.result([*labels, *manifests])


def _check_input(path: Path) -> None:
    name = path_text(path)
    if path.is_dir() or (path.is_file() and path.suffix.lower() in TABLE_ENDINGS):
        return
    if not path.exists():
        raise UsageError(f"no folder at {name}: check the path")
    if is_archive_name(path.name):
        raise UsageError(
            f"{name} is an archive: unpack it with `facecheck fetch --from {shlex.quote(name)}`, "
            "or with another program"
        )
    raise UsageError(
        f"{name} is neither a folder nor a table ({', '.join(TABLE_ENDINGS)}): index the folder "
        "it lies in"
    )


def _walk(
    folders: Sequence[Path], tables: Sequence[Path], options: IndexOptions, skipped: Skipped
) -> dict[Path, list[str]]:
    """Return the images of each folder, by their absolute paths.

    Tables among the files are read, and so not counted as skipped.
    """
    selection = replace(select(options), skipped=skipped)
    read = {place_of_file(os.fspath(table.resolve())) for table in tables}
    return {
        folder: [name for name, _ in selection.walk(os.fspath(folder.resolve()), elsewhere=read)]
        for folder in folders
    }


def _no_images(folders: Mapping[Path, object], skipped: Skipped) -> UsageError:
    return UsageError(no_images(", ".join(map(path_text, folders)), skipped))


@dataclass
class _Reading:
    """What the inputs say, as far as they are read."""

    options: IndexOptions
    command: Command
    relabel: Relabel = field(init=False)
    images: dict[str, Listed] = field(default_factory=dict)
    #: Images of which two inputs say different kinds.
    disputed: dict[str, str] = field(default_factory=dict)
    rejects: list[tuple[str, str]] = field(default_factory=list)
    uses: list[TableUse] = field(default_factory=list)
    #: Classes that stand for no kind, by table.
    unknown: dict[Path, Counter[str]] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)
    differing: Counter[str] = field(default_factory=Counter)
    #: Folders whose images a table of labels describes, and images that no row of it names.
    described: set[Path] = field(default_factory=set)
    unnamed: int = 0
    #: What tables of labels say of files that manifests list.
    corrected: dict[str, Row] = field(default_factory=dict)
    relabelled: int = 0

    def __post_init__(self) -> None:
        self.relabel = Relabel(self.options.label)

    def checked(self, table: ImageTable) -> ImageTable:
        """Return a table that says kinds, unless the options do.

        Raises:
            ManifestError: nobody says them.
            UsageError: the options and the table do.
        """
        name, column, kind = path_text(table.file), table.kind_column, self.options.kind
        if column is None and kind is None:
            raise ManifestError(
                f"{name}: no column is called like one of kinds (it has "
                f"{table.columns_text}): name it with --kind-column, or pass --kind"
            )
        if column is not None and kind is not None:
            raise UsageError(
                f"--kind gives all images one kind, and {name} has kinds in its column "
                f"{printable(repr(column))}: leave --kind out"
            )
        return table

    def read_labels(
        self,
        tables: Sequence[ImageTable],
        files: Mapping[Path, list[str]],
        located: Sequence[tuple[ImageTable, list[tuple[Row, Path]]]],
    ) -> None:
        """Find the files that tables of labels name, and take their kinds.

        Args:
            tables: of labels.
            files: the images of each folder.
            located: the manifests, and which file each of their rows names.
        """
        if not tables:
            return
        in_folders = [name for inside in files.values() for name in inside]
        in_manifests = [str(path) for _, rows in located for _, path in rows]
        roots = [*files, *(table.file.parent for table, _ in located)]
        every = FilesByName(roots, [*in_folders, *in_manifests], self.options.root)
        folder_of = {name: folder for folder, inside in files.items() for name in inside}
        named: set[str] = set()
        for table in tables:
            named |= self._read_table_of_labels(table, every, folder_of)
        self.described = {folder_of[name] for name in named if name in folder_of}
        lacking = [
            name
            for name, folder in folder_of.items()
            if folder in self.described and name not in named
        ]
        names = " or ".join(path_text(table.file) for table in tables)
        self.rejects += [(path_text(name), f"not named in {names}") for name in lacking]
        self.unnamed = len(lacking)

    def _read_table_of_labels(
        self, table: ImageTable, every: FilesByName, folder_of: Mapping[str, Path]
    ) -> set[str]:
        """Take the kinds that a table gives to files of the folders; return these files."""
        name, without = path_text(table.file), 0
        roots = {folder: folder.resolve() for folder in set(folder_of.values())}
        drop_split = self.options.drop_split
        by_folder = not drop_split and table.split_column is None
        several: list[tuple[str, list[str]]] = []
        named: set[str] = set()
        for row in table.rows(drop_split=drop_split):
            found = every.find(row.path, table.file)
            if len(found) == 1 and found[0] not in folder_of:
                named.add(found[0])
                self._correct(row, found[0], table)
            elif len(found) == 1:
                named.add(found[0])
                path, root = Path(found[0]), roots[folder_of[found[0]]]
                said = replace(row, split=split_of(path, root)) if by_folder else row
                self._add_row(said, path, table, root.name)
            elif found:
                several.append((row.path, found))
            else:
                without += 1
                outside = row.path and every.is_outside(row.path, table.file)
                why = "outside the folders" if outside else "no such file"
                self.rejects.append((row.path, f"{why}, named in {name}"))
        if several:
            raise _ambiguous(table, several)
        if not named:
            raise self._nothing_found(table, every)
        self._use(table, without)
        return named

    def _correct(self, row: Row, path: str, table: ImageTable) -> None:
        """Note what a table of labels says of a file that a manifest lists."""
        known = self.corrected.setdefault(path, row)
        if known.label != row.label:
            name = path_text(table.file)
            self.disputed.setdefault(path, f"two kinds: {known.label} and {row.label} in {name}")

    def _nothing_found(self, table: ImageTable, every: FilesByName) -> UsageError:
        folders = ", ".join(map(path_text, self.command.inputs))
        column = printable(repr(table.path_column))
        first = next((row.path for row in table.rows(drop_split=True)), "")
        return UsageError(
            f"{path_text(table.file)}: not one of its {table.frame.height:,} rows names a file of "
            f"{folders}: column {column} has {printable(repr(first))}, a file is "
            f"{path_text(every.example)}: name the folder that the paths count from, or "
            "another --path-column"
        )

    def read_folders(self, files: Mapping[Path, list[str]]) -> None:
        """Take what the folders themselves say, where no table of labels describes them."""
        for folder, inside in files.items():
            if folder in self.described:
                continue
            root = folder.resolve()
            loose: list[Said] = []
            for name in inside:
                path = Path(name)
                said = said_by_folders(path, root, self.options, self.relabel)
                if said.kind:
                    self._add(Listed(path, said.kind, said.source, folder, said.split))
                else:
                    loose.append(said)
            if loose:
                raise not_laid_out(folder, loose, len(inside), self.command)

    def locate(self, table: ImageTable) -> list[tuple[Row, Path]]:
        """Return the rows of a manifest and their files, which may lie anywhere."""
        located: list[tuple[Row, Path]] = []
        without, root = 0, read_root(table.file)
        bases = [self.options.root.absolute()] if self.options.root else []
        if not (bases and root):  # a root that is given takes the place of the one there was
            bases.append(root or table.file.absolute().parent)
        if table.source_column is None and self.options.source is None:
            raise ManifestError(
                f"{path_text(table.file)}: no column 'source' (it has {table.columns_text}): pass "
                "--source NAME"
            )
        for row in table.rows(drop_split=self.options.drop_split):
            found = files_of(row.path, bases)
            if len(found) > 1:
                raise _ambiguous(table, [(row.path, list(map(str, found)))])
            if not found:
                without += 1
                self.rejects.append((row.path, f"no such file, named in {path_text(table.file)}"))
            else:
                located.append((row, found[0]))
        self._use(table, without)
        return located

    def add_record(self, row: Row, path: Path, table: ImageTable) -> None:
        """Add a record of a manifest; a table of labels that names its file decides its kind."""
        found = self.corrected.get(str(path))
        if found is not None and found.label:
            old, new = (self.relabel.kind_of_class(label) for label in (row.label, found.label))
            self.relabelled += old != new
            row = replace(
                row,
                label=found.label,
                sha256=found.sha256 or row.sha256,
                more={**row.more, **found.more},
            )
        self._add_row(row, path, table, table.file.stem)

    def _use(self, table: ImageTable, without_file: int) -> None:
        rows = table.frame.height
        use = TableUse(table.file, table.path_column, table.kind_column, rows, without_file)
        self.uses.append(use)

    def _add_row(self, row: Row, path: Path, table: ImageTable, name: str) -> None:
        source = self.options.source or row.source or path_text(name)
        kind = self.options.kind
        if kind is None:
            if not row.label:
                self.rejects.append((path_text(path), f"no kind in {path_text(table.file)}"))
                return
            self.classes.add(row.label)
            kind = self.relabel.kind_of_class(row.label)
        if kind is None:
            self.unknown.setdefault(table.file, Counter())[row.label] += 1
            return
        kind = self.relabel.kind(kind, source)
        self._add(Listed(path, kind, source, table.file, row.split, row.sha256, row.more))

    def _add(self, image: Listed) -> None:
        """Add an image; what an earlier input says of it stands, unless the kinds differ."""
        key = str(image.path)
        known = self.images.setdefault(key, image)
        if known is image:
            return
        if known.kind != image.kind:
            said = [f"{each.kind} ({path_text(each.said_by)})" for each in (known, image)]
            self.disputed.setdefault(key, f"two kinds: {' and '.join(said)}")
            return
        old = {"source": known.source, "split": known.split, **known.more}
        new = {"source": image.source, "split": image.split, **image.more}
        for column, value in new.items():
            if value and old.get(column, "") not in {"", value}:
                self.differing[column] += 1
        self.images[key] = replace(
            known, split=known.split or image.split, more={**image.more, **known.more}
        )

    def result(self, tables: Sequence[ImageTable]) -> Inputs:
        """Return what all inputs say.

        Raises:
            UsageError: a class stands for no kind, or an option names nothing.
        """
        if self.unknown:
            raise self._unknown_classes(tables)
        self.relabel.check(self.classes)
        disputed = [(path_text(path), why) for path, why in self.disputed.items()]
        images = [self.images[path] for path in sorted(self.images) if path not in self.disputed]
        return Inputs(
            *(images, [*self.rejects, *disputed], tuple(self.uses), self.unnamed),
            *(self.relabelled, dict(self.differing)),
        )

    def _unknown_classes(self, tables: Sequence[ImageTable]) -> UsageError:
        table = next(table for table in tables if table.file in self.unknown)
        every = {name for count in self.unknown.values() for name in count}
        return UsageError(
            f"{path_text(table.file)}: column {printable(repr(table.kind_column))} holds "
            f"{listed(self.unknown[table.file])}, and the kinds are {', '.join(KINDS)}: "
            f"{self.command.with_labels(every)}"
        )


def _ambiguous(table: ImageTable, several: Sequence[tuple[str, list[str]]]) -> UsageError:
    name, files = several[0]
    return UsageError(
        f"{path_text(table.file)}: {len(several):,} rows name more than one file, the first is "
        f"{printable(repr(name))} ({', '.join(map(path_text, files[:3]))}"
        f"{', …' if len(files) > 3 else ''}): write paths from the folder on"
    )
