"""From a chunk of items to its rows: they are prepared, then the model judges all that they gave.

A chunk is judged by itself, in batches that begin with it; so its rows are the same wherever and
whenever it is judged, in this process or in those of a cluster (``on_ray``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import numpy as np

from facecheck.core.labels import Status
from facecheck.core.parallel import chunked
from facecheck.model.predict import Prediction, Predictor
from facecheck.model.stability import flag_unstable
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.isolate import Failed, Isolated
from facecheck.scanner.prepare import Crop, Prepared, settle
from facecheck.scanner.results.columns import row_of
from facecheck.scanner.results.rows import Row
from facecheck.scanner.results.sink import Chunk

#: The rows of each item of a chunk.
Rows = list[list[Row]]
#: Gives each chunk with its rows, in order; a chunk is taken when there is room for it.
Judging = Callable[[Iterator[Chunk]], Iterator[tuple[Chunk, Rows]]]


@dataclass(frozen=True)
class Work:
    """What is done with the items of a chunk.

    Attributes:
        prepare: makes one item ready for the model, in a process of its own; may be pickled.
        timeout: seconds that this may take.
        predictor: judges what it gives.
        batch_size: images a step, 1 or more.
        per_face: a row for each face, not one for each item.
    """

    prepare: Callable[[Item], Prepared]
    timeout: float
    predictor: Predictor
    batch_size: int
    per_face: bool


@contextmanager
def here(work: Work, workers: int, ahead: int) -> Iterator[Judging]:
    """Judge chunks on this machine.

    Args:
        work: as above.
        workers: items that are prepared at a time.
        ahead: chunks that are being prepared while one is judged; with 0 none is taken before the
            one before it was judged.
    """

    def judging(chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Rows]]:
        for chunk, prepared in _prepared_chunks(chunks, isolated, workers, ahead):
            yield chunk, judged(prepared, work.predictor, work.batch_size, per_face=work.per_face)

    with Isolated(work.prepare, timeout=work.timeout) as isolated:
        yield judging


def _prepared_chunks(
    chunks: Iterator[Chunk], isolated: Isolated[Item, Prepared], workers: int, ahead: int
) -> Iterator[tuple[Chunk, list[Prepared]]]:
    def safely(item: Item) -> Prepared:
        return prepared_or_failed(item, isolated(item))

    begun: deque[tuple[Chunk, list[Future[Prepared]]]] = deque()
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


def prepared_or_failed(item: Item, result: Prepared | Failed) -> Prepared:
    """Return an item as it was prepared, or as an error where its process crashed or hung."""
    return Prepared(item, Status.ERROR, result.reason) if isinstance(result, Failed) else result


def judged(
    prepared: Sequence[Prepared], predictor: Predictor, batch_size: int, *, per_face: bool
) -> Rows:
    """Return the rows of each item of one chunk."""
    crops = [crop for one in prepared for crop in one.crops]
    verdicts = _verdicts(crops, predictor, batch_size)
    return [
        [
            row_of(answer)
            for answer in settle(one, [next(verdicts) for _ in one.crops], per_face=per_face)
        ]
        for one in prepared
    ]


def _verdicts(crops: Sequence[Crop], predictor: Predictor, batch_size: int) -> Iterator[Prediction]:
    """Yield a verdict for each crop, in the light of its variants."""
    inputs = [pixels for crop in crops for pixels in crop.inputs]
    answers = predictor.all_predictions(np.stack(batch) for batch in chunked(inputs, batch_size))
    for crop in crops:
        yield flag_unstable([next(answers) for _ in crop.inputs])
