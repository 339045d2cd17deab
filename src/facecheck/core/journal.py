"""A file of JSON lines to which a job adds what it has done, and from which it resumes.

Whatever a kill or a power cut leaves, there is one answer: only whole lines count. A last line that
was cut short is removed before the next one is written. A whole line that is not what its reader
expects is dropped and counted; it never ends a run, nor the ones after it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from facecheck.core.files import write_text
from facecheck.core.jsonable import parse_json

Value = TypeVar("Value")

_BLOCK = 1 << 16


@dataclass(frozen=True)
class Entry(Generic[Value]):
    """A line of a journal: its value, and where in the file it ends, in bytes."""

    value: Value
    end: int


class Journal(Generic[Value]):
    """The entries of one file of JSON lines.

    Reading needs no more than the object. To write, enter it as a context: that opens the file,
    makes its folder where needed, and removes a line that was cut short.

    Args:
        path: the file; it need not exist.
        parse: makes an entry's value of the JSON value of its line. What it refuses with a
            ValueError, TypeError, KeyError or AttributeError is a bad line.

    Attributes:
        path: the file.
        dropped: bad lines that the latest reading came across.
    """

    def __init__(self, path: Path, parse: Callable[[Any], Value]) -> None:
        self.path, self.dropped = path, 0
        self._parse = parse
        self._descriptor: int | None = None

    def head(self) -> Entry[Any] | None:
        """Return the first line's JSON value, unparsed; None if there is no such line."""
        for line, end in _whole_lines(self.path, 0):
            try:
                return Entry(parse_json(line), end)
            except (ValueError, RecursionError):
                break
        return None

    def entries(self, start: int = 0) -> Generator[Entry[Value]]:
        """Yield the entries from the byte ``start``, the end of a line, to the end of the file."""
        self.dropped = 0
        for line, end in _whole_lines(self.path, start):
            try:
                value = self._parse(parse_json(line))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                self.dropped += 1
            else:
                yield Entry(value, end)

    def text(self) -> bytes:
        """Return all whole lines, for a reader that is faster with many than with each."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return b""
        return content[: content.rfind(b"\n") + 1]

    def values(self) -> list[Value]:
        """Return the values of all entries."""
        return [entry.value for entry in self.entries()]

    def replace(self, values: Iterable[Any]) -> None:
        """Write the file from scratch with these JSON values, one a line, atomically."""
        write_json_lines(self.path, values)

    def append(self, *values: Any, sync: bool = False) -> None:
        """Add JSON values, one a line; a kill of this process cannot lose them any more.

        Args:
            values: what to add.
            sync: wait until the disk has them, so that a power cut cannot lose them either.

        Raises:
            OSError: the disk is full, or does not take them.
            ValueError: the journal is not open for writing.
        """
        left = memoryview("".join(map(_line, values)).encode())
        while left:
            left = left[os.write(self._opened, left) :]
        if sync:
            self.sync()

    def truncate(self, end: int) -> None:
        """Remove everything behind the byte ``end``."""
        os.ftruncate(self._opened, end)

    def sync(self) -> None:
        """Wait until the disk has what was written."""
        os.fsync(self._opened)

    @property
    def _opened(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self.path} is not open for writing")
        return self._descriptor

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        self.truncate(_end_of_lines(self._descriptor))
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
    """Write JSON values, one a line, to ``path`` atomically."""
    write_text(path, "".join(map(_line, values)))


def _whole_lines(path: Path, start: int) -> Generator[tuple[bytes, int]]:
    """Yield each line that has its end, and where that is; nothing if there is no file."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        end = stream.seek(start)
        for line in stream:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield line, end


def _line(value: Any) -> str:
    # In ASCII: whatever a name holds, the line can be encoded and ends where it should.
    return json.dumps(value) + "\n"


def _end_of_lines(descriptor: int) -> int:
    """Return where the last whole line ends."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - _BLOCK)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
