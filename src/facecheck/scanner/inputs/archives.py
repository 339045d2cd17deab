"""The images in zip and tar archives, read in place: nothing is unpacked to disk."""

from __future__ import annotations

import os
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from io import BufferedIOBase
from typing import IO, cast

from facecheck.core.errors import ImageError, reason
from facecheck.core.files import open_regular
from facecheck.core.image import image_errors
from facecheck.data.sources.archive import DAMAGE, MAX_RATIO, zip_name
from facecheck.scanner.inputs import remote

#: A member, or a file of an object store, is held in memory as a whole by each worker: 256 MB.
MAX_MEMBER = 2**28
#: Below this nobody asks how well a member was packed.
_HARMLESS = 2**26
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
        start = stream.read(2)
        stream.seek(0)
        if start == b"PK":  # not zipfile.is_zipfile: it takes a tar for the zip at the end of it
            yield from _zip_members(place, stamp)
        else:
            yield from _tar_members(place, stamp, stream)


@contextmanager
def _reasons() -> Iterator[None]:
    try:
        with image_errors():
            yield
    except DAMAGE as error:
        raise ImageError(f"the archive is damaged or encrypted: {reason(error)}") from None


def _opened(place: str) -> IO[bytes]:
    return remote.open_file(place) if remote.is_address(place) else open_regular(place)


def _zip_members(place: str, stamp: int) -> Iterator[Member]:
    for number, info in enumerate(_directory(place, stamp, os.getpid()).infolist()):
        if not info.is_dir():
            read = partial(_read_zip, place, stamp, number, info.filename)
            yield Member(zip_name(info), info.file_size, read)


# One for all threads of a process, which zipfile allows; a forked child shares the position in
# the file with its parent, so it opens its own.
@lru_cache(maxsize=4)
def _directory(place: str, stamp: int, process: int) -> zipfile.ZipFile:  # noqa: ARG001
    return zipfile.ZipFile(_opened(place))


_opening = threading.Lock()


def _read_zip(place: str, stamp: int, number: int, name: str) -> bytes:
    with _reasons():
        with _opening:
            bundle = _directory(place, stamp, os.getpid())
        entries = bundle.infolist()
        if number >= len(entries) or entries[number].filename != name:
            raise ImageError("the archive has changed since it was listed")
        entry = entries[number]
        if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG}:
            raise ImageError("a link or device in the archive, not a file")
        limit = min(MAX_MEMBER, max(_HARMLESS, MAX_RATIO * entry.compress_size))
        _check_size(entry.file_size, limit)
        with bundle.open(entry) as stream:
            content = stream.read(limit + 1)
        _check_size(len(content), limit)
        return content


def _tar_members(place: str, stamp: int, stream: IO[bytes]) -> Iterator[Member]:
    plain = _unpacked(stream)
    with tarfile.open(fileobj=plain, mode="r:") as bundle:
        while (member := bundle.next()) is not None:
            bundle.members.clear()  # type: ignore[attr-defined]  # kept else, a kilobyte each
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
        # tarfile takes a damaged header for the end: a true end is of zeros, or nothing more.
        plain.seek(bundle.offset)
        if any(plain.read(tarfile.BLOCKSIZE)):
            raise ImageError("the archive is damaged: what follows its last member is no tar")


def _unpacked(stream: IO[bytes]) -> IO[bytes]:
    """Return what a compressed stream unpacks to, or the stream itself."""
    import bz2
    import gzip
    import lzma

    start = stream.read(6)
    stream.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
    if start.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.BZ2File(stream))
    return cast("IO[bytes]", lzma.LZMAFile(stream)) if start == b"\xfd7zXZ\0" else stream


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
        self._stream = cast("BufferedIOBase", _unpacked(_opened(self._place)))
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
