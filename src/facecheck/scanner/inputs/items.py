"""What to scan: a stream of items, lazy and in one order, from all that a user may name."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import BinaryIO, cast

from facecheck.core import tree
from facecheck.core.errors import ImageError, UsageError
from facecheck.core.files import name_text, path_text
from facecheck.core.image import is_image_name, open_image
from facecheck.core.selection import Selection, is_archive_name, select
from facecheck.scanner.inputs import remote
from facecheck.scanner.inputs.archives import MAX_MEMBER, Lists, members
from facecheck.scanner.inputs.path_list import Once, as_there, read_list
from facecheck.scanner.options import InputOptions

#: An input of this name is a list of paths on standard input.
STDIN = "-"
#: What stands between an archive and the name inside it.
INSIDE = "::"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to classify. It can be sent to another process.

    Attributes:
        name: what a row calls it: a path as :func:`~facecheck.core.files.name_text` writes it,
            ``archive.zip::inside/name.jpg``, or an address.
        size: bytes; 0 where not known.
        mtime_ns: when it was last changed, for a member its archive; 0 where not known.
        source: the path of a plain file, as text, which is faster to make and to send than a Path;
            else None.
        place: how many items come before it in the whole scan; set by :func:`shard`.
    """

    name: str
    size: int
    mtime_ns: int
    source: str | None
    place: int = 0
    _read: Callable[[], Path | bytes] | None = field(default=None, repr=False, compare=False)

    def load(self) -> Path | bytes:
        """Return what the decoder takes: the path of a plain file, the bytes of anything else.

        A plain file is not opened here: the decoder does so, and says what is wrong with it.

        Raises:
            ImageError: what is not a plain file cannot be read, is too large, or its archive is
                damaged.
        """
        if self._read is not None:
            return self._read()
        assert self.source is not None  # noqa: S101
        return Path(self.source)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it to read its bytes.

        Raises:
            ImageError: it is not there, may not be read, is no regular file, is too large, or its
                archive is damaged.
        """
        content = self.load()
        if isinstance(content, bytes):
            yield BytesIO(content)
        else:
            with open_image(content) as stream:
                yield stream


@dataclass(frozen=True)
class Inputs:
    """All there is to scan; iterate for the items.

    The order depends on nothing but the inputs and the names: inputs as they were given, within a
    folder names in byte order, depth first; archives, lists and manifests in their own order.
    Iterating again looks again, but standard input can be read only once.

    Attributes:
        skipped: what was skipped so far, of the last iteration.
    """

    skipped: tree.Skipped
    _parts: tuple[Callable[[], Iterator[Item]], ...]

    def __iter__(self) -> Iterator[Item]:
        self.skipped.clear()  # in the one that all parts hold
        for part in self._parts:
            yield from part()


@dataclass(frozen=True)
class _Rules(Selection):
    """What to take, and how archives are listed."""

    lists: Lists = members


def find_inputs(
    inputs: Sequence[Path | str],
    options: InputOptions = InputOptions(),
    *,
    stdin: BufferedIOBase | None = None,
    lists: Lists = members,
    skipped: tree.Skipped | None = None,
) -> Inputs:
    """Return all there is to scan, as a stream that needs little memory however long it is.

    What is named itself is taken whatever its name: files, archives, folders and addresses in
    ``inputs``. What is found in a folder, archive or store needs the ending of an image; there
    hidden names are skipped, and the globs choose. A path in a list or manifest is a file or
    archive, taken whatever its ending; of these only the globs choose.

    A folder or file that is given twice, in whatever spelling, or lies in another one that is
    given, is listed once, in its own place. Nothing else is looked for twice: neither lists nor
    manifests, nor folders that several links lead to.

    Args:
        inputs: folders, searched in depth; files; zip and tar archives, WebDataset shards among
            them; addresses such as ``s3://bucket/folder``; and ``-`` for a list of paths and
            addresses on standard input. Where there is no such file, braces stand for several:
            ``shard-{000..010}.tar``.
        options: what to take of these, and the records of which manifest, after the inputs. Globs
            are those of :class:`~facecheck.core.globs.Globs`; links to files are always
            followed.
        stdin: where the list is read; None takes the process's own.
        lists: lists archives; another process does so in a scan.
        skipped: counts what is skipped; None: one of its own.

    Raises:
        UsageError: nothing is given, or what is given is not there; a glob or scheme is wrong.
        ManifestError: the manifest cannot be used.
        FacecheckError: a store cannot be reached, or the package for it is missing.
    """
    chosen = select(options, hidden=options.hidden, archives=options.archives)
    if skipped is not None:
        chosen = replace(chosen, skipped=skipped)
    rules = _Rules(**vars(chosen), lists=lists)
    given = [text for each in inputs for text in _expanded(_local(os.fspath(each)))]
    places = _places(given)
    elsewhere = frozenset(places.values()) if len(places) > 1 else frozenset()
    parts: dict[tree.Place | str, Callable[[], Iterator[Item]]] = {}
    for text in given:
        if text == STDIN:
            stream = stdin or cast("BufferedIOBase", sys.stdin.buffer)
            parts[text] = partial(_listed_items, Once(stream), rules, options.null)
        elif remote.is_address(text):
            parts[text] = _address_part(text, rules)
        else:
            # The first spelling of a place stands, as a key stands where it was first put.
            parts.setdefault(places.get(text, text), _path_part(text, rules, elsewhere))
    if options.manifest is not None:
        records = _manifest_part(options.manifest, options.split, rules)
        return Inputs(rules.skipped, (*parts.values(), records))
    if not parts:
        raise UsageError("nothing to scan: name folders, files, or - for a list of paths")
    return Inputs(rules.skipped, tuple(parts.values()))


def shard(items: Iterable[Item], index: int, count: int) -> Iterator[Item]:
    """Yield one of ``count`` parts of the items; together they are all items, each once.

    The part is chosen by a hash of the name, so it stays the same whatever other files come or
    go, and parts of many items are nearly equal: their sizes differ like counts of coin tosses, by
    about the square root. The machines must name the inputs alike.

    Args:
        items: all items, the same on each machine.
        index: which part, from 0.
        count: the number of parts.

    Raises:
        UsageError: there is no such part.
    """
    if not 0 <= index < count:
        raise UsageError(f"there is no shard {index} of {count}: they count from 0")
    return (
        replace(item, place=place)
        for place, item in enumerate(items)
        if _hash(item.name) % count == index
    )


def _hash(name: str) -> int:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _local(text: str) -> str:
    """Return the path in a ``file://`` address: here a path does more, and is safe from pipes."""
    return text.removeprefix("file://")


def _expanded(text: str) -> Iterable[str]:
    if "{" not in text or os.path.lexists(text):
        return [text]
    import bracex

    return bracex.iexpand(text, limit=0)


def _places(given: Sequence[str]) -> dict[str, tree.Place]:
    """Return where the folders and files among the inputs lie."""
    places = {}
    for text in given:
        if text != STDIN and not remote.is_address(text):
            status = _status(text)
            if status is not None:
                is_folder = stat.S_ISDIR(status.st_mode)
                places[text] = (tree.place_of_folder if is_folder else tree.place_of_file)(text)
    return places


def _status(path: str) -> os.stat_result | None:
    """Return the status of a named file; None where it cannot be had, as of a dangling link.

    Raises:
        UsageError: there is nothing of this name.
    """
    try:
        return os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError, ValueError):
        if "\0" in path or not os.path.lexists(path):
            raise UsageError(f"nothing to scan at {path_text(path)}: check the path") from None
        return None
    except OSError:
        return None


def _path_part(
    text: str, rules: _Rules, elsewhere: frozenset[tree.Place]
) -> Callable[[], Iterator[Item]]:
    status = _status(text)
    if status is not None and stat.S_ISDIR(status.st_mode):
        return partial(_folder_items, text, rules, elsewhere)
    return partial(_named_items, text, rules)


def _named_items(path: str, rules: _Rules) -> Iterator[Item]:
    """Yield the items of a file or archive that is named itself."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):  # told when it is loaded
        status = None
    if status is not None and stat.S_ISREG(status.st_mode) and is_archive_name(path):
        yield from _archive_items(path, status.st_size, status.st_mtime_ns, rules)
    else:
        yield _file_item(path, status)


def _file_item(path: str, status: os.stat_result | None) -> Item:
    name = name_text(path)
    size, mtime_ns = (status.st_size, status.st_mtime_ns) if status else (0, 0)
    return Item(name, size, mtime_ns, path)


def _folder_items(folder: str, rules: _Rules, elsewhere: frozenset[tree.Place]) -> Iterator[Item]:
    for path, status in rules.walk(folder, elsewhere=elsewhere):
        if status is not None and is_archive_name(path):
            yield from _archive_items(path, status.st_size, status.st_mtime_ns, rules)
        else:
            yield _file_item(path, status)


def _archive_items(place: str, size: int, mtime_ns: int, rules: _Rules) -> Iterator[Item]:
    """Yield the images in an archive; then the archive itself, if it cannot be read to its end."""
    outer = place if remote.is_address(place) else name_text(place)
    try:
        for member in rules.lists(place, mtime_ns):
            name = f"{outer}{INSIDE}{name_text(member.name)}"
            if _is_left_out(member.name, name, rules):
                continue
            if not is_image_name(member.name):  # archives in archives are not opened
                rules.skipped.count("ignored", name)
            elif rules.takes_any(member.name.removeprefix("./")):
                yield Item(name, member.size, mtime_ns, None, _read=member.read)
    except ImageError as error:
        yield Item(outer, size, mtime_ns, None, _read=partial(_fail, str(error)))


def _is_left_out(path: str, name: str, rules: _Rules) -> bool:
    """Return whether a path in an archive or store is hidden or machine-made; count it if so."""
    *folders, file = path.split("/")
    if any(map(tree.is_machine_made, folders)):
        rules.skipped.count("machine_made", name)
        return True
    dotted = (part.startswith(".") and part not in {".", ".."} for part in (*folders, file))
    if not rules.hidden and any(dotted):
        rules.skipped.count("hidden", name)
        return True
    return False


def _fail(reason: str) -> bytes:
    raise ImageError(reason)


def _address_part(address: str, rules: _Rules) -> Callable[[], Iterator[Item]]:
    found = remote.look(address)
    if found is None:
        return partial(_store_items, address, rules)
    return partial(_remote_items, found, rules)


def _store_items(folder: str, rules: _Rules) -> Iterator[Item]:
    start = len(folder.rstrip("/")) + 1

    def takes(address: str) -> bool:
        return not _is_left_out(address[start:], address, rules) and rules.takes(address, start)

    def enters(address: str) -> bool:
        path = address[start:]
        return not _is_left_out(f"{path}/", address, rules) and rules.enters(path)

    cannot_list = rules.skipped.cannot_list
    for found in remote.walk(folder, takes=takes, enters=enters, cannot_list=cannot_list):
        yield from _remote_items(found, rules)


def _remote_items(found: remote.RemoteFile, rules: _Rules) -> Iterator[Item]:
    if is_archive_name(found.address):
        yield from _archive_items(found.address, found.size, found.mtime_ns, rules)
    else:
        read = partial(remote.read, found.address, MAX_MEMBER)
        yield Item(name_text(found.address), found.size, found.mtime_ns, None, _read=read)


def _listed_items(once: Once, rules: _Rules, null: bool) -> Iterator[Item]:
    for path in map(as_there, map(_local, read_list(once.take(), null=null))):
        if not rules.takes_named(path):
            continue
        if remote.is_address(path):  # asking the store for its size would take a request each
            yield from _remote_items(remote.RemoteFile(path, 0, 0), rules)
        else:
            yield from _named_items(path, rules)


def _manifest_part(
    path: Path, splits: Sequence[str], rules: _Rules
) -> Callable[[], Iterator[Item]]:
    # Slow, and in each worker's way.
    from facecheck.core.manifest import SPLITS, base_of, read_manifest

    for split in splits:
        if split not in SPLITS:
            raise UsageError(f"no split is called {split!r}: there are {', '.join(SPLITS)}")
    manifest = read_manifest(path)
    base = os.path.join(base_of(path), "")  # noqa: PTH118
    frames = [manifest.in_split(split) for split in splits] if splits else [manifest]
    texts = [frame.frame["path"] for frame in frames]
    return lambda: (
        item
        for column in texts
        for text in column
        if rules.takes_named(text.removeprefix(base))
        for item in _named_items(text, rules)
    )
