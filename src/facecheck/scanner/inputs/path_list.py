"""A list of paths on standard input."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BufferedIOBase

from facecheck.core.errors import FacecheckError

#: Longer than any path: what holds no separator for so long is no list of paths.
_MAX_PATH = 2**20


class Once:
    """A stream that can be taken once: a list on standard input is gone when it is read."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream: BufferedIOBase | None = stream

    def take(self) -> BufferedIOBase:
        """Return the stream.

        Raises:
            FacecheckError: it was taken before.
        """
        if self._stream is None:
            raise FacecheckError("the list on standard input can be read only once")
        stream, self._stream = self._stream, None
        return stream


def read_list(stream: BufferedIOBase, *, null: bool = False) -> Iterator[str]:
    r"""Yield the paths in a list, as they come, bytes that are not UTF-8 as surrogates.

    They are separated by newlines; by NUL if ``null``, or if one comes in the first block that
    holds a whole path. Empty ones are skipped.

    Raises:
        FacecheckError: it is no such list.
    """
    separator, rest = b"\0" if null else b"", b""
    while block := stream.read1(2**16):
        rest += block
        if not separator and (b"\0" in rest or b"\n" in rest):
            separator = b"\0" if b"\0" in rest else b"\n"
        if separator:
            *lines, rest = rest.split(separator)
            yield from (_path_of(line) for line in lines if line)
        if len(rest) > _MAX_PATH:
            raise FacecheckError(
                "standard input is no list of paths: give one a line, or separate them by NUL"
            )
    if rest:
        yield _path_of(rest)


def _path_of(line: bytes) -> str:
    if b"\0" in line:
        raise FacecheckError(
            "standard input holds both newlines and NUL: pass --null if NUL separates the paths"
        )
    return os.fsdecode(line)
