"""What the folders above an image say of it, and what to do where they say nothing."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from facecheck.core.errors import UsageError
from facecheck.core.files import path_text
from facecheck.core.labels import KINDS, kind_called, near_kind
from facecheck.core.manifest import SPLIT_NAMES
from facecheck.core.text import printable
from facecheck.core.workspace import MANIFEST
from facecheck.data.image_table import TABLE_ENDINGS
from facecheck.data.options import IndexOptions
from facecheck.data.relabel import Relabel

#: How many names a message lists.
_SHOWN = 8
#: What Hugging Face and FiftyOne put next to their images.
_DESCRIPTIONS = ("metadata.jsonl", "metadata.csv", "labels.json")


@dataclass(frozen=True)
class Said:
    """What folders say of an image.

    Attributes:
        kind: one of :data:`~facecheck.core.labels.KINDS`; empty where its folder stands for none.
        source: the data set it comes from.
        split: ``train``, ``val``, ``test``, or empty.
        label: the folder's name where it stands for no kind.
    """

    kind: str
    source: str
    split: str = ""
    label: str = ""


def said_by_folders(path: Path, root: Path, options: IndexOptions, relabel: Relabel) -> Said:
    """Return what the folders from ``root`` on, or the options, say of an image.

    Raises:
        UsageError: an image in a folder that was given, and is named after a kind, has no source.
    """
    kind, source = options.kind, options.source
    if kind and source:
        return Said(relabel.kind(kind, source), source)
    folders = path.relative_to(root).parts[:-1]
    if not kind and root.name in KINDS and (not folders or folders[0] not in KINDS):
        folders = (root.name, *folders)
    if kind is None:
        if not folders or folders[0] not in KINDS:
            return _in_image_folder(folders, root, options, relabel)
        kind, folders = folders[0], folders[1:]
    if source is None:
        source = folders[0] if folders else root.name
        if source in KINDS:
            raise UsageError(
                f"{path_text(path)}: no source folder under {source}/: lay folders out "
                "<kind>/<source>/, or pass --source NAME"
            )
    return Said(relabel.kind(kind, source), source)


def _in_image_folder(
    folders: Sequence[str], root: Path, options: IndexOptions, relabel: Relabel
) -> Said:
    """Read ``train/<class>/…``, at whatever depth; the folder may itself be that of a split."""
    names = (root.name, *folders) if root.name.lower() in SPLIT_NAMES else folders
    at = _split_at(names)
    split = "" if at is None else SPLIT_NAMES[names[at].lower()]
    classes = [name for i, name in enumerate(names) if i != at]
    label = next((name for name in classes if relabel.kind_of_class(name)), None)
    source = options.source or (root.parent if names is not folders else root).name
    if label is None:
        behind = names[at + 1 :] if at is not None else classes
        return Said("", source, split, next(iter([*behind, *classes]), ""))
    kind = relabel.kind_of_class(label) or ""
    return Said(relabel.kind(kind, source), source, "" if options.drop_split else split)


def split_of(path: Path, root: Path) -> str:
    """Return the split that the folders from ``root`` on say an image is in, or nothing."""
    names = (root.name, *path.relative_to(root).parts[:-1])
    at = _split_at(names)
    return "" if at is None else SPLIT_NAMES[names[at].lower()]


def _split_at(names: Sequence[str]) -> int | None:
    """Return which of some folders is called like a split, the first if several are."""
    return next((i for i, name in enumerate(names) if name.lower() in SPLIT_NAMES), None)


def not_laid_out(
    root: Path,
    said: Sequence[Said],
    images: int,
    command: Command,
) -> UsageError:
    """Return the error that says how to read a folder whose images have no kind.

    Args:
        root: the folder.
        said: what its folders say of each image that has none.
        images: how many it has in all.
        command: the command that was given.
    """
    name = path_text(root)
    head = f"{name}: {len(said):,} of {images:,} images"
    described = _described(root)
    if described is not None:
        how = shlex.join(["facecheck", "convert", name, path_text(command.out)])
        return UsageError(
            f"{head} have no kind, but {path_text(described)} describes them: run `{how}`, with "
            "--label CLASS=KIND for each class"
        )
    count = Counter(each.label for each in said)
    if set(count) == {""}:
        return UsageError(f"{head} lie in no folder that says what they are: {_flat(root)}")
    near = near_kind(said[0].label) if len(count) == 1 else ""
    splits = [split for split in dict.fromkeys(SPLIT_NAMES.values()) if any(
        each.split == split for each in said
    )]  # fmt: skip
    with_splits = f" in {', '.join(splits)}" if splits else ""
    head = f"{head} are not under a folder named after a kind ({', '.join(KINDS)}){near}"
    if not splits and not all(map(kind_called, count)):
        tables = _tables(root)
        table = f"if {tables[0]} says what they are, pass --labels {tables[0]}; " if tables else ""
        return UsageError(
            f"{head}: their folders are {listed(count)}: {table}{command.with_labels(count)}; or "
            "lay folders out <kind>/<source>/, or pass --kind and --source"
        )
    return UsageError(
        f"{head}: it looks like an ImageFolder with the classes {listed(count)}{with_splits}: "
        f"{command.with_labels(count)}"
    )


def _described(root: Path) -> Path | None:
    folders = [root, *(child for child in sorted(root.iterdir()) if child.is_dir())]
    files = (folder / name for folder in folders for name in _DESCRIPTIONS)
    return next((file for file in files if file.is_file()), None)


def _tables(root: Path) -> list[str]:
    """Return the tables in a folder, as the command line takes them."""
    files = (file for file in sorted(root.iterdir()) if file.suffix.lower() in TABLE_ENDINGS)
    return [printable(shlex.quote(path_text(file))) for file in files]


def _flat(root: Path) -> str:
    tables = _tables(root)
    if tables:
        return f"if {tables[0]} does, pass --labels {tables[0]}"
    return (
        "pass --labels TABLE if a table does, lay folders out <kind>/<source>/, or pass --kind and "
        "--source"
    )


def listed(count: Mapping[str, int]) -> str:
    """Return names with their counts, the most frequent first, as far as a line holds them."""
    most = sorted(count, key=lambda name: (-count[name], name))
    shown = [f"{name or '(none)'} ({count[name]:,})" for name in most[:_SHOWN]]
    return printable(", ".join([*shown, *(["…"] if len(most) > _SHOWN else [])]))


@dataclass(frozen=True)
class Command:
    """The call of ``index`` that an error takes up, to say what would work.

    Attributes:
        inputs: folders and tables.
        out: the manifest.
        options: as given.
    """

    inputs: Sequence[Path]
    out: Path
    options: IndexOptions

    def with_labels(self, classes: Iterable[str]) -> str:
        """Return the advice to call again with a kind for each of some classes."""
        kinds = {name: kind_called(name) or "KIND" for name in sorted(classes) if name}
        options = self.options
        words = ["facecheck", "index", *map(path_text, self.inputs)]
        for file in options.labels:
            words += ["--labels", path_text(file)]
        for flag, value in (
            ("--path-column", options.path_column),
            ("--kind-column", options.kind_column),
            ("--source", options.source),
            ("--root", options.root and path_text(options.root)),
        ):
            words += [flag, value] if value else []
        for name, kind in (*options.label, *kinds.items()):
            words += ["--label", f"{name}={kind}"]
        for flag, values in (
            ("--pair", [":".join(pair) for pair in options.pair]),
            ("--include", options.include),
            ("--exclude", options.exclude),
        ):
            words += [word for value in values for word in (flag, value)]
        for flag, given in (
            ("--follow", options.follow),
            ("--drop-split", options.drop_split),
            ("--overwrite", options.overwrite),
        ):
            words += [flag] if given else []
        words += ["--out", path_text(self.out)] if self.out != MANIFEST else []
        sure = "KIND" not in kinds.values()
        return f"{'run' if sure else 'say what each is, as in'} `{printable(shlex.join(words))}`"
