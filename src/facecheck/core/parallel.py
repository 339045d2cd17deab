"""Work spread over threads, in order and in bounded memory, and how its progress is reported."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Called with items done, and items in all or None when not known. A job prints nothing; its
#: caller may show this.
Progress = Callable[[int, int | None], None]


def silent(*_: object) -> None:
    """Ignore what a job reports: the default of every job's ``progress`` and the like."""


def cpu_count() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_ordered(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int = 64
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in the items' order, computed by threads.

    Threads serve because image decoding, resizing and hashing release the interpreter lock. At
    most ``workers + ahead`` results are held, so a long input needs no more memory than a short
    one. An exception of ``function`` is raised at its item's place.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="facecheck") as pool:
        pending: deque[Future[Result]] = deque()
        try:
            pending.extend(
                pool.submit(function, item) for item in islice(iterator, workers + ahead)
            )
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(function, item) for item in islice(iterator, 1))
                yield result
        finally:
            for future in pending:
                future.cancel()


def chunked(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """Yield the items in order, ``size`` at a time; the last chunk may be shorter."""
    iterator = iter(items)
    while chunk := tuple(islice(iterator, size)):
        yield chunk
