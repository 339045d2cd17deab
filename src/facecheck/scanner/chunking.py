"""The stream of items, cut into chunks: what is classified together, written together, resumed.

A scan that begins again compares its items with the journal of the one before, chunk by chunk, as
they are found: neither items nor rows are ever in memory together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
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
FIRST_CHUNK = 8


@dataclass(frozen=True)
class Chunk:
    """Items that are classified together and whose rows are written together.

    Attributes:
        number: chunks before it.
        items: in their order; at least one.
        stat: digest of their names, sizes and times of change; in a shard of their places too.
        content: digest of their names and contents; empty unless that was asked for.
    """

    number: int
    items: tuple[Item, ...]
    stat: str
    content: str = ""


def cut(
    items: Iterable[Item | None],
    size: int,
    *,
    first: int = 0,
    sharded: bool = False,
    contents: bool = False,
) -> Iterator[Chunk]:
    """Yield the items in chunks.

    Args:
        items: in their order. A None ends a chunk early: who waits for files sends it.
        size: items in a chunk, 1 or more; the first has :data:`FIRST_CHUNK` at most.
        first: the number of the first chunk.
        sharded: the items are a part of a scan, and their places in the whole one count.
        contents: read the files, and know them by their contents.
    """
    for number, group in enumerate(_groups(items, size), first):
        stat = _digest(_stat(item, placed=sharded) for item in group)
        content = ""
        if contents:
            content = _digest(map_ordered(_content, group, workers=cpu_count()))
        yield Chunk(number, group, stat, content)


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
            known.update(entry.value.arrived)
            journal.keep(entry)
    journal.drop_the_rest("")
    new = (item for item in items if item is None or arrival_of(item) not in known)
    yield from cut(new, size, first=journal.chunks)
    journal.complete = True


def arrival_of(item: Item) -> str:
    """Return the digest by which a file that arrived is known again."""
    return _digest([_stat(item, placed=False)])


def _groups(items: Iterable[Item | None], size: int) -> Iterator[tuple[Item, ...]]:
    """Yield ``size`` items at a time; fewer at first, at the end, and where a None says so."""
    group: list[Item] = []
    wanted = min(FIRST_CHUNK, size)
    for item in chain(items, [None]):
        if item is not None:
            group.append(item)
        if group and (item is None or len(group) == wanted):
            yield tuple(group)
            group, wanted = [], size


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
    first, last = (repr(item.name) for item in (chunk.items[0], chunk.items[-1]))
    return f"between {first} and {last} files are new, gone or changed"


def _stat(item: Item, *, placed: bool) -> list[object]:
    place = [item.place] if placed else []
    return [item.name, item.size, item.mtime_ns, *place]


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
