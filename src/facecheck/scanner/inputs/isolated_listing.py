"""The members of archives, listed by a process of its own: a bomb or a hang costs one row.

That process alone holds a zip's table; the scan has the members of one batch at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice

from facecheck.core.errors import ImageError
from facecheck.core.isolate import Failed, Isolated
from facecheck.scanner.inputs.archives import Member, members

#: Members that are handed over together, at most; fewer where they take longer than a second.
BATCH = 1_000
_SOON = 1.0
#: Seconds that opening an archive, or finding its next member, may take.
LONGEST = 300.0


@dataclass(frozen=True)
class _Ask:
    """Which members of which archive: those from ``start`` on. Each listing has its ``number``."""

    place: str
    stamp: int
    number: int
    start: int = 0


@dataclass(frozen=True)
class _Batch:
    """Members in their order; whether there may be more; why there are no more, if not the end."""

    members: tuple[Member, ...]
    more: bool
    error: str = ""


class _Lister:
    """Lists one archive after another, and keeps its place in the one it is at."""

    def __init__(self) -> None:
        self._at = (-1, 0)
        self._rest: Iterator[Member] = iter(())

    def __call__(self, ask: _Ask) -> _Batch:
        if self._at != (ask.number, ask.start):
            self._rest = islice(members(ask.place, ask.stamp), ask.start, None)
        self._at = (-1, 0)  # nowhere, unless there is more
        found: list[Member] = []
        until = time.monotonic() + _SOON
        try:
            for member in self._rest:
                found.append(member)
                if len(found) == BATCH or time.monotonic() > until:
                    self._at = ask.number, ask.start + len(found)
                    return _Batch(tuple(found), more=True)
        except ImageError as error:
            return _Batch(tuple(found), more=False, error=str(error))
        return _Batch(tuple(found), more=False)


class IsolatedListing:
    """What :func:`~facecheck.scanner.inputs.archives.members` gives, from another process.

    Close it, or use it in a ``with`` block; the process is started when the first archive is
    listed.

    Args:
        timeout: seconds that opening an archive, or finding its next member, may take.
    """

    def __init__(self, timeout: float = LONGEST) -> None:
        self._isolated: Isolated[_Ask, _Batch] = Isolated(_Lister(), timeout=timeout)
        self._numbers = count()

    def __call__(self, place: str, stamp: int) -> Iterator[Member]:
        """Yield the files in an archive; arguments and errors as of ``members``.

        Raises:
            ImageError: besides, listing it took too long or crashed.
        """
        ask = _Ask(place, stamp, next(self._numbers))
        while True:
            batch = self._isolated(ask)
            if isinstance(batch, Failed):
                raise ImageError(f"the archive cannot be listed: {batch.reason}")
            yield from batch.members
            if batch.error:
                raise ImageError(batch.error)
            if not batch.more:
                return
            ask = replace(ask, start=ask.start + len(batch.members))

    def __enter__(self) -> IsolatedListing:
        return self

    def __exit__(self, *_: object) -> None:
        self._isolated.close()
