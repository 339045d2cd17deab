"""The images in zip and tar archives, read in place: nothing is unpacked to disk."""

from __future__ import annotations

import copy
import os
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from io import BufferedIOBase, BytesIO
from typing import IO, cast

from facecheck.core.errors import ImageError, reason
from facecheck.core.files import open_regular
from facecheck.core.image import image_errors
from facecheck.data.sources.archive import DAMAGE, zip_name
from facecheck.data.sources.listing import (
    HARMLESS,
    MAX_RATIO,
    kind_of,
    open_zip,
    read_zip_member,
    tar_members,
    unpacked,
    why_not_unpacked,
)
from facecheck.scanner.inputs import remote

#: A member, or a file of an object store, is held in memory as a whole by each worker: 256 MB.
MAX_MEMBER = 2**28
#: What is kept of a compressed tar behind the point it is unpacked to, for workers that come late.
_BEHIND = 2**26
_BLOCK = 2**20


@dataclass(frozen=True)
class Member:
    """One file in an archive.

    Attributes:
        name: its path in the archive, bytes that are not UTF-8 as surrogates.
        size: bytes it says it has once unpacked.
        read: returns its bytes; raises :class:`ImageError`. It can be sent to another process.
    """

    name: str
    size: int
    read: Callable[[], bytes]


#: Lists an archive: :func:`members`, or another process's.
Lists = Callable[[str, int], Iterator[Member]]


def members(place: str, stamp: int) -> Iterator[Member]:
    """Yield the files in an archive in its own order, folders left out.

    A link, which has no bytes of its own, is yielded too: reading it says so.

    Args:
        place: the path or address of the archive.
        stamp: when it was last changed, in ns, so that a changed one is opened again.

    Raises:
        ImageError: it cannot be opened, is damaged, or is cut short: after the members before that.
    """
    with _reasons(), _opened(place) as stream:
        kind = kind_of(stream)
        if kind is None:
            raise ImageError("the archive is damaged from its beginning, or neither zip nor tar")
        yield from (_zip_members if kind == "zip" else _tar_members)(place, stamp, stream)


@contextmanager
def _reasons() -> Iterator[None]:
    try:
        with image_errors():
            yield
    except DAMAGE as error:
        raise ImageError(f"the archive is damaged or encrypted: {reason(error)}") from None


def _opened(place: str) -> IO[bytes]:
    return remote.open_file(place) if remote.is_address(place) else open_regular(place)


def _zip_members(place: str, stamp: int, stream: IO[bytes]) -> Iterator[Member]:
    # The table of members is this process's alone: what is read elsewhere knows its own entry.
    del stamp
    for info in open_zip(stream).filelist:
        if not info.is_dir():
            yield Member(zip_name(info), info.file_size, partial(_read_zip, place, _bare(info)))


_opening = threading.Lock()


def _bare(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Return a member without what only its directory needs, to be sent to other processes."""
    info.extra = info.comment = b""
    return info


def _read_zip(place: str, entry: zipfile.ZipInfo) -> bytes:
    with _reasons():
        if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG}:
            raise ImageError("a link or device in the archive, not a file")
        if why := why_not_unpacked(entry):
            raise ImageError(why)
        limit = min(MAX_MEMBER, max(HARMLESS, MAX_RATIO * entry.compress_size))
        _check_size(entry.file_size, limit)
        with read_zip_member(*_around(place, entry)) as stream:
            content = stream.read(limit + 1)
        _check_size(len(content), limit)
        return content


def _around(place: str, entry: zipfile.ZipInfo) -> tuple[IO[bytes], zipfile.ZipInfo]:
    """Return a stream that holds a member, and the member as it lies there; one request of a store.

    The header in front of the bytes has 30 of its own, a name and attributes.
    """
    if not remote.is_address(place):
        return open_regular(place), entry
    there = copy.copy(entry)
    there.header_offset = 0
    size = 30 + 2 * 2**16 + entry.compress_size
    return BytesIO(remote.read_range(place, entry.header_offset, size)), there


def _tar_members(place: str, stamp: int, stream: IO[bytes]) -> Iterator[Member]:
    plain = unpacked(stream)
    for member in tar_members(plain):
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            read: Callable[[], bytes] = partial(
                _refuse, "a link, sparse file or device in the archive"
            )
        elif plain is not stream:
            read = partial(_read_packed, place, stamp, member.offset_data, member.size)
        else:
            read = partial(_read_plain, place, member.offset_data, member.size)
        yield Member(member.name, member.size, read)


def _read_plain(place: str, offset: int, size: int) -> bytes:
    _check_size(size, MAX_MEMBER)
    with _reasons():
        if remote.is_address(place):
            return _whole(remote.read_range(place, offset, size), size)
        with open_regular(place) as stream:
            return _whole(os.pread(stream.fileno(), size, offset), size)


def _whole(content: bytes, size: int) -> bytes:
    if len(content) != size:
        raise ImageError("the archive is cut short")
    return content


def _read_packed(place: str, stamp: int, offset: int, size: int) -> bytes:
    _check_size(size, MAX_MEMBER)
    with _reasons():
        with _opening:
            window = _window(place, stamp, os.getpid())
        return window.read(offset, size)


class _Window:
    """A compressed stream, unpacked once from front to back while its readers go forward.

    Threads ask for members nearly in order, so the last :data:`_BEHIND` bytes are kept for who
    comes a little late; who comes later still makes it begin again.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._stream = cast("BufferedIOBase", unpacked(_opened(self._place)))
        self._start, self._held = 0, bytearray()

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset`` of the unpacked stream."""
        with self._lock:
            if offset < self._start:
                self._begin()
            while self._start + len(self._held) < offset + size:
                block = self._stream.read1(_BLOCK)  # what comes before damage, and not the error
                if not block:
                    raise ImageError("the archive is cut short")
                self._held += block
                surplus = min(len(self._held) - _BEHIND, offset - self._start)
                if surplus > 0:
                    del self._held[:surplus]
                    self._start += surplus
            begin = offset - self._start
            return bytes(self._held[begin : begin + size])


@lru_cache(maxsize=2)
def _window(place: str, stamp: int, process: int) -> _Window:  # noqa: ARG001
    return _Window(place)


def _refuse(reason: str) -> bytes:
    raise ImageError(reason)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ImageError(f"too large: unpacks to {size:,} bytes, over {limit:,}: maybe a bomb")
