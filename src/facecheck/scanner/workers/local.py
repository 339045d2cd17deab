"""From chunks of items to chunks of rows, on this machine.

Items are prepared in processes of their own, then the model classifies all that a chunk gave. A
chunk is classified by itself, in batches that begin with it; so its rows are the same wherever and
whenever that is done, in this process or in those of a cluster (``on_ray``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

from facecheck.core.errors import ImageError
from facecheck.core.isolate import Failed, Isolated, StartedAhead
from facecheck.core.labels import Status
from facecheck.core.parallel import cpu_count
from facecheck.provenance.read import has_manifest, without_manifest
from facecheck.scanner.chunking import Chunk
from facecheck.scanner.classifier import Classifier
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.options import ScanOptions
from facecheck.scanner.prepare import Prepared
from facecheck.scanner.results.columns import rows_of
from facecheck.scanner.results.item_rows import RowForm
from facecheck.scanner.results.sink import Rows

Made = TypeVar("Made")

#: Gives each chunk with its rows, in order; a chunk is taken when there is room for it.
ClassifyChunks = Callable[[Iterator[Chunk]], Iterator[tuple[Chunk, Rows]]]


@contextmanager
def classify_locally(
    classifier: Classifier,
    options: ScanOptions,
    form: RowForm,
    started: StartedAhead | None = None,
) -> Iterator[ClassifyChunks]:
    """Classify chunks on this machine.

    While one chunk is classified the next is being prepared; but not in a watch, where none is
    taken before the one before it is done.

    Args:
        classifier: what does it.
        options: how many items are prepared at a time, for how long, and which rows are wanted.
        form: how these are written.
        started: processes that are running already.
    """
    workers, ahead = options.workers or cpu_count(), 0 if options.watch else 1
    make = rows_maker(classifier, form, per_face=options.per_face)

    def classify(chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Rows]]:
        for chunk, prepared in prepared_chunks(chunks, safely, workers, ahead):
            yield chunk, make(prepared)

    def safely(item: Item) -> Prepared:
        return prepared_or_failed(item, isolated(item), again)

    with ExitStack() as opened:
        isolated = opened.enter_context(
            Isolated(classifier.prepare, timeout=options.timeout, ahead=started)
        )
        pixels_only = classifier.prepare_without_manifests
        again: Isolated[Item, Prepared] | None = None
        if pixels_only is not None:  # its processes start when they are needed
            again = opened.enter_context(Isolated(pixels_only, timeout=options.timeout, ahead=None))
        yield classify


def prepared_chunks(
    chunks: Iterator[Chunk], safely: Callable[[Any], Made], workers: int, ahead: int
) -> Iterator[tuple[Chunk, list[Made]]]:
    """Yield each chunk with what ``safely`` makes of its items, in order.

    Args:
        chunks: in their order.
        safely: called in threads, so many as there are ``workers``.
        workers: how many.
        ahead: chunks that are begun before the one that is yielded is done.
    """
    begun: deque[tuple[Chunk, list[Future[Made]]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="facecheck")
    try:
        for chunk in chain(chunks, [None] * ahead):
            if chunk is not None:
                begun.append((chunk, [pool.submit(safely, item) for item in chunk.items]))
            if begun and (chunk is None or len(begun) > ahead):
                first, futures = begun.popleft()
                yield first, [future.result() for future in futures]
    finally:
        # Not waiting: who interrupts a scan need not sit out a file that hangs.
        pool.shutdown(wait=False, cancel_futures=True)


def prepared_or_failed(
    item: Item,
    result: Prepared | Failed,
    again: Callable[[Item], Prepared | Failed] | None = None,
) -> Prepared:
    """Return an item as it was prepared, or as an error where its process crashed or hung.

    Where the native code that reads C2PA manifests may have been the cause, the item is prepared
    again without it, so that a hostile manifest hides no pixels.

    Args:
        item: the item.
        result: of its process.
        again: prepares it without its manifest; None where none is read.
    """
    if not isinstance(result, Failed):
        return result
    if again is not None and _is_signed(item):
        second = again(item)
        if not isinstance(second, Failed):
            why = f"its Content Credentials cannot be read: {result.reason}"
            return replace(second, provenance=without_manifest(second.provenance, why))
    return Prepared(item, Status.ERROR, result.reason)


def _is_signed(item: Item) -> bool:
    try:
        return has_manifest(item.load())
    except ImageError:
        return False


def rows_maker(
    classifier: Classifier, form: RowForm, *, per_face: bool
) -> Callable[[Sequence[Prepared]], Rows]:
    """Return what makes the rows of each item of one chunk."""
    make = form.maker()
    return lambda prepared: [
        make(rows_of(answer, per_face=per_face)) for answer in classifier.answers(prepared)
    ]
