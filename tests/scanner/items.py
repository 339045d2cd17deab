"""Stand-ins for the items of a scan, and rows of them, for the tests of sinks."""

from __future__ import annotations

import ctypes
import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facecheck.core.errors import ImageError
from facecheck.core.parallel import Progress, silent
from facecheck.scanner.chunking import Chunk, cut, without_rows
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.options import ResultOptions
from facecheck.scanner.results.item_rows import ItemRows
from facecheck.scanner.results.rows import Row, Value
from facecheck.scanner.results.sink import FileSink, StreamSink

if TYPE_CHECKING:
    from threading import Event

    from facecheck.scanner.job import ScanResult
    from facecheck.scanner.prepare import Prepared

COLUMNS: dict[str, type] = {
    "path": str, "status": str, "verdict": str, "kind": str, "score": float, "faces": int,
    "message": str,
}  # fmt: skip
FACTS: dict[str, Any] = {"facecheck": "0", "checkpoint_sha256": "ab" * 32, "stability": 0}
HOSTILE = (
    "a.jpg", 'b "q", x.jpg', "c\nd.jpg", "e\rf.jpg", "=cmd().jpg", "-rf.jpg", "@x.jpg", "\tt.jpg",
    "caf\\xe9.jpg", "back\\x5cx41.jpg", "日本.jpg", "x" * 251 + ".jpg", "z.zip::=in/side.jpg",
    "s3://bucket/a b.jpg", "/abs/=x.jpg",
)  # fmt: skip


def fake(
    name: str, *, size: int = 10, mtime_ns: int = 1, place: int = 0, content: bytes | None = b"jpg"
) -> Item:
    """Return an item of this content; None: it cannot be had."""
    return Item(name, size, mtime_ns, None, place, partial(_give, content))


def holding(item: Item, content: bytes | None) -> Item:
    """Return an item of another content, and all else the same."""
    return replace(item, _read=partial(_give, content))


def _give(content: bytes | None) -> bytes:
    if content is None:
        raise ImageError("the file is not there")
    return content


def named(names: Iterable[str]) -> list[Item]:
    return [fake(name, place=place) for place, name in enumerate(names)]


def rows_of(item: Item) -> list[Row]:
    """Rows that depend on the name alone: one, or of some items two."""
    number = int(hashlib.sha256(item.name.encode()).hexdigest()[:8], 16)
    score = number / 0xFFFFFFFF
    if number % 7 == 0:
        return [{"path": item.name, "status": "error", "message": "damaged, they say"}]
    verdict = "artificial" if score > 0.5 else "real"
    row: dict[str, Value] = {
        "path": item.name, "status": "ok", "verdict": verdict, "kind": "photo", "score": score,
        "faces": number % 3,
    }  # fmt: skip
    return [row, {**row, "score": score / 3}] if number % 5 == 0 else [row]


def judged(chunk: Chunk, sink: FileSink | StreamSink) -> list[ItemRows]:
    return list(map(sink.form.maker(), map(rows_of, chunk.items)))


#: Items in a chunk of these tests.
SIZE = 4


def open_sink(
    out: Path,
    *,
    facts: dict[str, Any] = FACTS,
    shard: tuple[int, int] | None = None,
    **options: Any,
) -> FileSink:
    return FileSink(out, COLUMNS, facts, ResultOptions(**options), shard=shard)


def chunks_of(sink: FileSink, items: Iterable[Item], **options: Any) -> Iterator[Chunk]:
    """Yield the chunks that have no rows yet, as a scan does."""
    verify = options.pop("verify", False)
    chunks = cut(items, SIZE, contents=verify, **options)
    return without_rows(chunks, sink.journal, verify=verify)


def write_some(
    sink: FileSink, items: Iterable[Item], most: int | None = None, **options: Any
) -> bool:
    """Write the rows that are missing, at most so many chunks; return whether these were all."""
    for count, chunk in enumerate(chunks_of(sink, items, **options)):
        if count == most:
            return False
        sink.write(chunk, judged(chunk, sink))
    return True


def scan_with(
    inputs: Sequence[Path | str],
    out: Path,
    model: Path,
    *,
    stop: Event | None = None,
    progress: Progress = silent,
    **options: Any,
) -> ScanResult:
    """Scan with these options."""
    from facecheck.scanner.job import scan
    from facecheck.scanner.options import ScanOptions

    return scan(inputs, out, model, ScanOptions(**options), stop=stop, progress=progress)


def prepare_or_not(item: Item, **options: Any) -> Prepared:
    """Prepare an item, but crash or hang on one that is named so."""
    from facecheck.scanner.prepare import prepare

    name = item.name.rpartition("/")[2]
    if "crash" in name:
        ctypes.string_at(0)
    if "hang" in name:
        time.sleep(600)
    return prepare(item, **options)


def prepare_slowly(item: Item, **options: Any) -> Prepared:
    """Prepare an item, and take a tenth of a second at least."""
    from facecheck.scanner.prepare import prepare

    time.sleep(0.1)
    return prepare(item, **options)


def prepare_together(item: Item, **options: Any) -> Prepared:
    """Prepare an item once a second worker does so, too; each leaves a file in ``met``."""
    from facecheck.scanner.prepare import prepare

    Path("met", str(os.getppid())).touch()
    while len(os.listdir("met")) < 2:
        time.sleep(0.01)
    return prepare(item, **options)
