"""The stream of items, cut into chunks: what is classified together, written together, resumed.

A scan that begins again compares its items with the journal of the one before, chunk by chunk, as
they are found: neither items nor rows are ever in memory together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, BinaryIO

from facecheck.core.errors import ImageError
from facecheck.core.parallel import cpu_count, map_ordered
from facecheck.scanner.inputs.items import Item

if TYPE_CHECKING:
    from facecheck.scanner.results.journal import Line, RowJournal

#: Consecutive items whose rows are written together.
CHUNK = 64
#: Items of the first chunk at most, so that the first rows come at once.
FIRST_CHUNK = 4
#: Items of a chunk of which few are to be classified: a bound on memory.
MOST_ITEMS = 4096


@dataclass(frozen=True)
class Chunk:
    """Items that are classified together and whose rows are written together.

    Attributes:
        number: chunks before it.
        items: in their order; at least one, but for files that are gone.
        stat: digest of their names, sizes and times of change; in a shard of their places too.
        content: digest of their names and contents; empty unless that was asked for.
        keys: of each item, its :func:`key_of`.
    """

    number: int
    items: tuple[Item, ...]
    stat: str
    content: str = ""
    keys: tuple[str, ...] = ()


def cut(
    items: Iterable[Item | None],
    size: int,
    *,
    first: int = 0,
    sharded: bool = False,
    contents: bool = False,
    work: Callable[[Item], int] = lambda _: 1,
) -> Iterator[Chunk]:
    """Yield the items in chunks.

    Args:
        items: in their order. A None ends a chunk early: who waits for files sends it.
        size: items in a chunk, 1 or more; the first has :data:`FIRST_CHUNK` at most.
        first: the number of the first chunk.
        sharded: the items are a part of a scan, and their places in the whole one count.
        contents: read the files, and know them by their contents.
        work: how much an item counts towards the size of a chunk.
    """
    for number, group in enumerate(_groups(items, size, work), first):
        keys = tuple(map(key_of, group))
        places = [item.place for item in group] if sharded else []
        content = ""
        if contents:
            content = _digest(map_ordered(_content, group, workers=cpu_count()))
        yield Chunk(number, group, stat_of(keys, places), content, keys)


def key_of(item: Item) -> str:
    """Return 32 hex digits: the first half is of the item's name, the rest of size and time."""
    name = hashlib.blake2b(item.name.encode("utf-8", "surrogatepass"), digest_size=8)
    stamp = hashlib.blake2b(f"{item.size} {item.mtime_ns}".encode(), digest_size=8)
    return name.hexdigest() + stamp.hexdigest()


def stat_of(keys: Sequence[str], places: Sequence[int] = ()) -> str:
    """Return the digest of a chunk whose items have these keys, and in a shard these places."""
    return _digest([list(keys), list(places)])


def without_rows(chunks: Iterator[Chunk], journal: RowJournal, *, verify: bool) -> Iterator[Chunk]:
    """Yield the chunks that have no rows yet, after comparing the others with the journal.

    The first chunk with an item that is new, gone or changed loses its rows, as do all behind it.

    Args:
        chunks: all, in their order.
        journal: of the scan before; told which rows are kept, and of the end of the stream.
        verify: compare contents instead of sizes and times of change.
    """
    differing: list[Chunk] = []
    why = ""
    with closing(journal.stored()) as stored:
        for entry in stored:
            found = list(islice(chunks, 1))
            why = _why_differs(entry.value, found, verify=verify)
            if why:
                differing = found
                break
            journal.keep(entry)
    journal.drop_the_rest(why)
    yield from chain(differing, chunks)
    journal.complete = True


def not_seen_before(
    items: Iterable[Item | None], journal: RowJournal, size: int
) -> Iterator[Chunk]:
    """Yield chunks of the items that have no rows yet, whatever order they arrive in.

    Args:
        items: as of :func:`cut`.
        journal: of the watch before.
        size: items in a chunk, 1 or more.
    """
    known: set[str] = set()
    with closing(journal.stored()) as stored:
        for entry in stored:
            known.update(entry.value.files)
            journal.keep(entry)
    journal.drop_the_rest("")
    new = (item for item in items if item is None or key_of(item) not in known)
    yield from cut(new, size, first=journal.chunks)
    journal.complete = True


def _groups(
    items: Iterable[Item | None], size: int, work: Callable[[Item], int]
) -> Iterator[tuple[Item, ...]]:
    """Yield ``size`` items at a time; fewer at first, at the end, and where a None says so."""
    group: list[Item] = []
    wanted, there = min(FIRST_CHUNK, size), 0
    for item in chain(items, [None]):
        if item is not None:
            group.append(item)
            there += work(item)
        if group and (item is None or there >= wanted or len(group) >= MOST_ITEMS):
            yield tuple(group)
            group, wanted, there = [], size, 0


def _why_differs(line: Line, found: Sequence[Chunk], *, verify: bool) -> str:
    """Return why a chunk's rows cannot be kept; empty if they can."""
    if not found:
        return "the files after them are gone"
    chunk = found[0]
    if verify and not line.content:
        return "the others were not made with --verify"
    same = line.content == chunk.content if verify else line.stat == chunk.stat
    if same:
        return ""
    if not chunk.items:  # an update's, of files that are gone
        return "other files are gone"
    first, last = (repr(item.name) for item in (chunk.items[0], chunk.items[-1]))
    return f"between {first} and {last} files are new, gone or changed"


def _content(item: Item) -> list[object]:
    try:
        with item.open() as stream:
            known = _sha256(stream)
    except (OSError, ImageError) as error:  # its row will say so; if that changes, so does this
        known = f"{type(error).__name__}: {error}"
    return [item.name, known]


def _sha256(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _digest(values: Iterable[list[object]]) -> str:
    """Return 32 hex digits; JSON keeps apart what no separator would, whatever names hold."""
    digest = hashlib.blake2b(digest_size=16)
    for value in values:
        digest.update(json.dumps(value).encode() + b"\n")
    return digest.hexdigest()
