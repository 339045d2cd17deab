"""From what a platform brought to the workspace's layout: ``<kind>/<source>/…``."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from facecheck.core.errors import SourceError
from facecheck.core.files import numbered, path_text, sha256_file
from facecheck.core.labels import KINDS
from facecheck.core.selection import Selection, everything
from facecheck.data.relabel import Relabel
from facecheck.data.sources.archive import (
    DamagedArchiveError,
    Renamed,
    SafeNames,
    Unpacked,
    is_archive,
    nothing,
    other_format,
    unpack,
)
from facecheck.data.sources.catalog import Source
from facecheck.data.sources.marker import Archive
from facecheck.data.sources.platforms import Download
from facecheck.data.sources.rules import Rule, place

_ARCHIVE_ENDINGS = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


@dataclass(frozen=True)
class Placed:
    """What ``arrange`` put under its folder.

    Attributes:
        folders: the ``<kind>/<source>`` folders, in order.
        kinds: files by kind.
        files: files in all.
        bytes: their size.
        left_out: files that no rule places, or that are not in a kind's folder.
        renamed: members of archives whose names could not be kept.
        notes: what the user should know, in sentences.
    """

    folders: tuple[str, ...]
    kinds: Mapping[str, int]
    files: int
    bytes: int
    left_out: int
    renamed: tuple[Renamed, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Item:
    """One file: where it lies, its path within the source, and whether it may be moved."""

    path: Path
    inner: PurePosixPath
    ours: bool


def measure(download: Download, selection: Selection | None = None) -> Archive:
    """Return a download's size and sha256; of a folder, those of the list of its files."""
    if download.path.is_dir():
        files = list(_files(download.path, selection or everything()))
        sizes = [file.stat().st_size for file in files]
        lines = [
            f"{path_text(file.relative_to(download.path))} {size}\n"
            for file, size in zip(files, sizes, strict=True)
        ]
        digest = hashlib.sha256("".join(lines).encode()).hexdigest()
        return Archive(download.path.name, sum(sizes), digest)
    name = str(download.inner or download.path.name)
    return Archive(name, download.path.stat().st_size, sha256_file(download.path))


def arrange(
    source: Source,
    downloads: Sequence[Download],
    unpacked: Path,
    ready: Path,
    *,
    selection: Selection | None = None,
    labels: Sequence[tuple[str, str]] = (),
    tick: Callable[[], None] = nothing,
) -> Placed:
    """Unpack downloads to the empty folder ``unpacked``, and lay their files out under ``ready``.

    Files of ours are moved, the user's are copied. With rules each file goes to
    ``<kind>/<source>/<its path within the source>``; a source without rules is laid out
    ``<kind>/<source>/…`` itself, directly or below one top folder.

    Args:
        source: its entry in the catalogue.
        downloads: what was downloaded, or the user's own.
        unpacked: an empty folder to unpack to.
        ready: where the files are laid out.
        selection: chooses among the files by their paths within the source, and counts what is
            skipped; None takes all.
        labels: kinds of sources that lie in another kind's folder; only without rules.
        tick: called all along; may raise to stop the work.

    Raises:
        SourceError: an archive is unsafe or damaged, a download is neither archive nor image, or
            nothing in it fits.
        UsageError: a label is of a source that is not there.
    """
    renamed: list[Renamed] = []
    selection = selection or everything()
    items = list(_items(source, downloads, unpacked, renamed, selection, tick))
    targets = _by_rules(source, items) if source.rules else _by_layout(items, labels)
    kinds: Counter[str] = Counter()
    size = 0
    for item, target in targets.placed:
        tick()
        # Nothing is overwritten.
        destination = next(free for free in numbered(ready / target) if not os.path.lexists(free))
        destination.parent.mkdir(parents=True, exist_ok=True)
        if item.ours:
            item.path.rename(destination)
        else:
            shutil.copy2(item.path, destination)
        size += destination.stat().st_size
        kinds[target.parts[0]] += 1
    if not targets.placed:
        raise SourceError(_nothing_fits(source, items, downloads))
    folders = {"/".join(target.parts[:2]) for _, target in targets.placed}
    return Placed(
        folders=tuple(sorted(folders)),
        kinds={kind: kinds[kind] for kind in KINDS if kinds[kind]},
        files=len(targets.placed),
        bytes=size,
        left_out=len(items) - len(targets.placed),
        renamed=tuple(renamed),
        notes=targets.notes,
    )


@dataclass(frozen=True)
class _Targets:
    placed: list[tuple[_Item, PurePosixPath]]
    notes: tuple[str, ...] = ()


def _items(
    source: Source,
    downloads: Sequence[Download],
    unpacked: Path,
    renamed: list[Renamed],
    selection: Selection,
    tick: Callable[[], None],
) -> Iterator[_Item]:
    names = SafeNames(source.name)
    alone = len(downloads) == 1
    for number, download in enumerate(downloads, 1):
        top = unpacked / str(number)
        inner = names.safe(str(download.inner or download.path.name))
        if download.path.is_dir():
            for file in _files(download.path, selection):
                inside = PurePosixPath(file.relative_to(download.path))
                yield _Item(file, inside, download.ours)
        elif is_archive(download.path):
            result = _unpacked(download, top, tick)
            renamed += result.renamed
            # Of several archives each keeps to a folder, so that equal names do not meet.
            prefix = PurePosixPath() if alone else inner.with_name(_bare(inner.name))
            for item in _folder_items(source, top, prefix, renamed, selection, tick):
                if selection.takes_any(str(item.inner)):
                    yield item
        else:
            _refuse_other(download)
            yield _Item(download.path, inner, download.ours)
    renamed += names.renamed


def _files(folder: Path, selection: Selection) -> Iterator[Path]:
    """Yield the files of a folder that are there and chosen, whatever their endings."""
    for name, status in selection.walk(os.fspath(folder), every_ending=True):
        if status is not None:
            yield Path(name)


def _unpacked(download: Download, folder: Path, tick: Callable[[], None]) -> Unpacked:
    try:
        return unpack(download.path, folder, tick=tick)
    except DamagedArchiveError:
        if download.ours:  # else every later run would find it, and stumble again
            download.path.unlink()
        raise


def _folder_items(
    source: Source,
    folder: Path,
    prefix: PurePosixPath,
    renamed: list[Renamed],
    selection: Selection,
    tick: Callable[[], None],
) -> Iterator[_Item]:
    """Yield what an archive held; with ``nested``, what the archives in it hold instead of them."""
    unpacked = everything(selection.skipped)  # the globs choose by whole paths in the source
    for file in list(_files(folder, unpacked)) if folder.is_dir() else ():
        inner = prefix / PurePosixPath(file.relative_to(folder))
        if source.nested and file.name.lower().endswith(_ARCHIVE_ENDINGS) and is_archive(file):
            inside = file.with_name(f".{file.name}.unpacked")
            renamed += unpack(file, inside, tick=tick).renamed
            file.unlink()
            for child in _files(inside, unpacked):
                rest = PurePosixPath(child.relative_to(inside))
                yield _Item(child, inner.with_name(_bare(inner.name)) / rest, ours=True)
        else:
            yield _Item(file, inner, ours=True)


def _bare(name: str) -> str:
    """Return an archive's name without its endings."""
    endings = sorted(_ARCHIVE_ENDINGS, key=len, reverse=True)
    ending = next((end for end in endings if name.lower().endswith(end)), "")
    return name.removesuffix(name[len(name) - len(ending) :]) if len(name) > len(ending) else name


def _refuse_other(download: Download) -> None:
    """Raise for a download that is a web page, or an archive of an unsupported format."""
    with download.path.open("rb") as stream:
        start = stream.read(1024).lstrip().lower()
    page = start.startswith((b"<!doctype html", b"<html"))
    name = other_format(download.path)
    if not page and not name:
        return
    if page and download.ours:
        download.path.unlink()
    raise SourceError(
        f"{path_text(download.path)}: a {name} archive, which facecheck does not read: unpack it "
        "with another program, then fetch the folder with --from"
        if name
        else f"a web page came instead of {path_text(Path(download.path.name))}, and was not "
        "kept: open the address in a browser to see what it asks for"
    )


def _by_rules(source: Source, items: Sequence[_Item]) -> _Targets:
    placed = []
    used: Counter[int] = Counter()
    for item in items:
        placement = place(source.rules, item.inner)
        if placement is None:
            continue
        used[placement.rule] += 1
        if placement.kind is not None:
            placed.append((item, PurePosixPath(placement.kind, source.name) / item.inner))
    idle = [rule for number, rule in enumerate(source.rules) if not used[number]]
    notes = [f"no file fits the rule {rule.files}" for rule in idle if rule.kind]
    return _Targets(placed, (*notes, *_count_notes(source, placed)))


def _count_notes(source: Source, placed: list[tuple[_Item, PurePosixPath]]) -> list[str]:
    found = Counter(target.parts[0] for _, target in placed)
    return [
        f"{found[kind]:,} images of kind {kind} were found, and {count:,} expected"
        for kind, count in source.expect.items()
        if found[kind] != count
    ]


def _by_layout(items: Sequence[_Item], labels: Sequence[tuple[str, str]]) -> _Targets:
    relabel = Relabel(labels)
    tops = {item.inner.parts[0] for item in items}
    # Archives often hold one folder named after themselves.
    strip = len(tops) == 1 and not tops & set(KINDS)
    placed = []
    for item in items:
        inner = PurePosixPath(*item.inner.parts[1:]) if strip else item.inner
        if len(inner.parts) > 2 and inner.parts[0] in KINDS:
            kind, source, *rest = inner.parts
            placed.append((item, PurePosixPath(relabel.kind(kind, source), source, *rest)))
    if placed:
        relabel.check()
    return _Targets(placed)


def _nothing_fits(source: Source, items: Sequence[_Item], downloads: Sequence[Download]) -> str:
    folders = Counter(item.inner.parent.as_posix() for item in items)
    most = ", ".join(f"{folder}/ ({count:,})" for folder, count in folders.most_common(5))
    held = f"it holds {most}" if most else "it holds no files"
    if source.rules:
        return (
            f"{source.name}: no image in it fits the catalogue's rules: {held}: correct the rules "
            "with an entry of your own (--catalog)"
        )
    return (
        f"{path_text(downloads[0].path)}: no <kind>/<source>/ folders in it (the kinds are "
        f"{', '.join(KINDS)}): {held}: lay it out like that, pass --kind and --source, or unpack "
        "it for `facecheck index`, which reads ImageFolders and tables of labels"
    )


def missing_parts(rules: Sequence[Rule], placed: Placed) -> list[str]:
    """Return the kinds that the rules speak of and that no file was placed under."""
    return [
        kind for kind in KINDS if any(r.kind == kind for r in rules) and not placed.kinds.get(kind)
    ]
