"""watch: the files of a folder that fills up, each once it has come to rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from facecheck.core.image import is_image_name
from facecheck.core.tree import walk_files

#: Seconds between two looks.
INTERVAL = 1.0

Stamp = tuple[int, int]


@dataclass(frozen=True)
class Arrived:
    """A file that has come to rest.

    Attributes:
        path: the file.
        size: bytes.
        mtime_ns: when it was changed.
    """

    path: Path
    size: int
    mtime_ns: int


def watch(
    folders: list[Path], stop: Event, *, interval: float = INTERVAL
) -> Iterator[Arrived | None]:
    """Yield the images of ``folders`` as they come to rest, until ``stop`` is set.

    A file has come to rest when two looks, ``interval`` seconds apart, find it with one size and
    one time of change; a file that changes later comes again. Files of one look come in the order
    of the folders and of names. A None ends each look, so that what has come is judged without
    waiting for more. After ``stop`` no file that was found is held back, but none is looked for.

    The folders are listed anew each time, rather than asking the system for changes: that works
    on every system and network disk, and misses nothing. Memory grows by some 200 bytes for each
    file in the folders.

    Args:
        folders: searched in depth; hidden files are passed over. One that is not there is empty.
        stop: set it, from a signal handler or another thread, to end cleanly.
        interval: seconds, above 0.
    """
    seen: dict[str, Stamp] = {}
    given: dict[str, Stamp] = {}
    while not stop.is_set():
        found: dict[str, Stamp] = {}
        for path, stamp in _look(folders):
            name = str(path)
            found[name] = stamp
            if seen.get(name) == stamp and given.get(name) != stamp:
                given[name] = stamp
                yield Arrived(path, *stamp)
        # What is gone is forgotten: it may come again.
        given = {name: stamp for name, stamp in given.items() if name in found}
        seen = found
        yield None
        stop.wait(interval)


def _look(folders: list[Path]) -> Iterator[tuple[Path, Stamp]]:
    for folder in folders:
        if not folder.is_dir():
            continue
        for path in walk_files(folder):
            if is_image_name(path):
                try:
                    known = path.stat()
                except OSError:  # gone between listing and looking
                    continue
                yield path, (known.st_size, known.st_mtime_ns)
