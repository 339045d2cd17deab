"""A list of paths on standard input."""

from __future__ import annotations

import codecs
import os
import unicodedata
from collections.abc import Iterator
from io import BufferedIOBase

from facecheck.core.csv_files import encoding_of
from facecheck.core.errors import FacecheckError

#: Longer than any path: what holds no separator for so long is no list of paths.
_MAX_PATH = 2**20
#: Bytes that say how a list is encoded.
_ENOUGH = 8


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
    holds a whole path. Empty ones are skipped. A byte order mark is taken off; UTF-16, as Windows
    PowerShell writes it, is read as that, without such a mark if the first path begins in ASCII
    and ``null`` is not given.

    Raises:
        FacecheckError: it is no such list.
    """
    separator, rest = b"\0" if null else b"", b""
    for block in _blocks(stream, may_be_wide=not null):
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


def _blocks(stream: BufferedIOBase, *, may_be_wide: bool) -> Iterator[bytes]:
    """Yield a list as UTF-8, or as the bytes it is made of, in blocks."""
    start = b""
    while len(start) < _ENOUGH and (block := stream.read1(2**16)):
        start += block
    encoding = encoding_of(start)
    if encoding == "utf-8-sig" or not (may_be_wide or encoding == "utf-16"):
        yield start.removeprefix(codecs.BOM_UTF8)
        while block := stream.read1(2**16):
            yield block
        return
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    yield decoder.decode(start).encode()
    while block := stream.read1(2**16):
        yield decoder.decode(block).encode()


def as_there(path: str) -> str:
    """Return a path of a list as the file that is there spells it.

    What the list says stands if there is such a file. Else a carriage return, spaces and quotes
    around it are taken off, as lists made on Windows have them, and the two Unicode forms of its
    letters are tried: a Mac's archive may name ``é`` in another one than the list.
    """
    if os.path.lexists(path):
        return path
    bare = path.strip(" \t\r")
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'":
        bare = bare[1:-1]
    forms = (unicodedata.normalize(form, bare) for form in ("NFC", "NFD"))
    return next((each for each in (bare, *forms) if os.path.lexists(each)), bare)


def _path_of(line: bytes) -> str:
    if b"\0" in line:
        raise FacecheckError(
            "standard input holds both newlines and NUL: pass --null if NUL separates the paths"
        )
    return os.fsdecode(line)
