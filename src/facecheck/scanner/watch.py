"""watch: the files of folders that fill up, each once it has come to rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import Event

from facecheck.scanner.inputs.items import Item

#: Seconds between two looks.
INTERVAL = 1.0

Stamp = tuple[int, int]


def watch(
    items: Iterable[Item], stop: Event, *, interval: float = INTERVAL
) -> Iterator[Item | None]:
    """Yield the items as they come to rest, until ``stop`` is set.

    An item has come to rest when two looks, ``interval`` seconds apart, find it with one size and
    one time of change; one that changes later comes again. Those of one look come in their order.
    A None ends each look, so that what has come need not wait for more. After ``stop``
    nothing that was found is held back, but no other look is begun.

    All are listed again each time, rather than asking the system for changes: that works on every
    system and network disk, and misses nothing. Memory grows by some 200 bytes for each item.

    Args:
        items: looked through again and again, as
            :class:`~facecheck.scanner.inputs.items.Inputs` can be.
        stop: set it, from another thread, to end cleanly.
        interval: seconds, above 0.
    """
    seen: dict[str, Stamp] = {}
    given: dict[str, Stamp] = {}
    while not stop.is_set():
        found: dict[str, Stamp] = {}
        for item in items:
            stamp = found[item.name] = (item.size, item.mtime_ns)
            if seen.get(item.name) == stamp and given.get(item.name) != stamp:
                given[item.name] = stamp
                yield item
        # What is gone is forgotten: it may come again.
        given = {name: stamp for name, stamp in given.items() if name in found}
        seen = found
        yield None
        stop.wait(interval)
