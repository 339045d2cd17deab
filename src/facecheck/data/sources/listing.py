"""What is in a stranger's zip or tar archive, within limits on memory, headers and what it holds.

``zipfile`` and ``tarfile`` read headers of any length into memory, and unpack without an end. All
archives are opened by way of this module: those that are fetched and those that are scanned.
"""

from __future__ import annotations

import bz2
import io
import lzma
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, Literal, cast

#: Unpacked bytes for each byte of the archive. Images hardly shrink; a bomb grows a thousandfold.
MAX_RATIO = 200
#: Below this nobody asks how well something was packed.
HARMLESS = 2**26
#: Files in one archive.
MAX_FILES = 2_000_000
#: Bytes of one header that extends another: a long name, or attributes.
MAX_HEADER = 2**20
#: Bytes of a zip's directory: a million files with names of 80 bytes.
MAX_DIRECTORY = 2**27
# What unpacking xz may take; its highest preset takes 65 MB.
_XZ_MEMORY = 2**28
_BLOCK = 2**13
_TAR_BLOCK = tarfile.BLOCKSIZE
#: How members of a zip may be packed; the names of other ways.
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_OTHER_WAYS = {9: "Deflate64", 93: "Zstandard", 95: "XZ", 96: "JPEG", 98: "PPMd", 99: "AES"}
_MAGIC: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(31),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY),
}
_RECORD = re.compile(rb"(\d{1,7}) [^=\n]+=")


class LimitError(tarfile.ReadError, zipfile.BadZipFile):
    """An archive goes beyond a limit of this module; readers of damaged ones catch it, too."""


def kind_of(stream: IO[bytes]) -> Literal["zip", "tar"] | None:
    """Return what kind of archive a seekable stream holds, by its content; None for neither.

    A tar that holds a zip at its end is a tar; a zip behind other bytes, as in a program that
    unpacks itself, is a zip.
    """
    stream.seek(0)
    start = stream.read(_TAR_BLOCK)
    stream.seek(0)
    if start.startswith(b"PK"):
        return "zip"
    if any(map(start.startswith, _MAGIC)) or _is_tar_header(start):
        return "tar"
    found = zipfile.is_zipfile(stream)
    stream.seek(0)
    return "zip" if found else None


def _is_tar_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # zeros: a tar without members
        return len(block) == _TAR_BLOCK
    except tarfile.HeaderError:
        return False
    return True


def open_zip(stream: IO[bytes]) -> zipfile.ZipFile:
    """Open a zip whose directory is of a sensible size.

    Raises:
        LimitError: its directory is too large.
        zipfile.BadZipFile: it is damaged.
    """
    end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]
    if end and end[5] > MAX_DIRECTORY:  # the size of the directory, in bytes
        raise LimitError(f"its directory has {end[5]:,} bytes, over {MAX_DIRECTORY:,}")
    stream.seek(0)
    bundle = zipfile.ZipFile(stream)
    if len(bundle.filelist) > MAX_FILES:
        raise LimitError(f"holds over {MAX_FILES:,} files")
    return bundle


def why_not_unpacked(member: zipfile.ZipInfo) -> str:
    """Return why a member of a zip cannot be unpacked; empty if it can."""
    if member.flag_bits & 0x1:
        return "it is encrypted: unpack it with its password"
    if member.compress_type not in _PACKED:
        way = _OTHER_WAYS.get(member.compress_type, f"method {member.compress_type}")
        return f"this compression ({way}) is not supported: pack it again"
    return ""


def read_zip_member(stream: IO[bytes], member: zipfile.ZipInfo) -> IO[bytes]:
    """Return the unpacked bytes of a member as a stream, without the directory of its zip.

    Args:
        stream: the zip; it is closed with what is returned.
        member: as its directory describes it.

    Raises:
        zipfile.BadZipFile: something else is there now.
    """
    stream.seek(member.header_offset)
    header = stream.read(30)
    if len(header) < 30 or not header.startswith(b"PK\3\4"):
        raise zipfile.BadZipFile("the archive has changed since it was listed")
    name, extra = struct.unpack("<HH", header[26:30])
    is_utf8 = struct.unpack("<H", header[6:8])[0] & 0x800
    if stream.read(name).decode("utf-8" if is_utf8 else "cp437") != member.orig_filename:
        raise zipfile.BadZipFile("the archive has changed since it was listed")
    stream.seek(extra, os.SEEK_CUR)
    return cast("IO[bytes]", zipfile.ZipExtFile(stream, "r", member, None, True))


def unpacked(stream: IO[bytes]) -> IO[bytes]:
    """Return what a packed stream (gzip, bzip2, xz) unpacks to, or the stream itself."""
    start = stream.read(6)
    stream.seek(0)
    make = next((make for magic, make in _MAGIC.items() if start.startswith(magic)), None)
    return stream if make is None else io.BufferedReader(_Unpacked(stream, make), 2**16)


class _Unpacked(io.RawIOBase):
    """A packed stream, unpacked from front to back.

    Reading raises :class:`LimitError` behind :data:`MAX_RATIO` times the bytes of the whole.
    """

    def __init__(self, packed: IO[bytes], make: Callable[[], Any]) -> None:
        self._packed, self._make = packed, make
        self._most = max(HARMLESS, MAX_RATIO * packed.seek(0, os.SEEK_END))
        self._begin()

    def _begin(self) -> None:
        self._packed.seek(0)
        self._unpack, self._at = self._make(), 0
        self._is_further = self._is_done = False
        self._left = b""  # packed bytes that the decompressor has not taken

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        content = self._some(len(view))
        view[: len(content)] = content
        self._at += len(content)
        if self._at > self._most:
            raise LimitError(f"unpacks to over {self._most:,} bytes: maybe a bomb")
        return len(content)

    def _some(self, most: int) -> bytes:
        while not self._is_done:
            if self._unpack.eof and not self._next_stream():
                break
            needs = getattr(self._unpack, "needs_input", not self._left)
            packed = self._left
            if needs and not packed:
                packed = self._packed.read(_BLOCK)
                if not packed:
                    raise EOFError("it is cut short")
            if content := self._decompressed(packed, most):
                return content
        return b""

    def _decompressed(self, packed: bytes, most: int) -> bytes:
        """Return the next bytes; none where something else follows the last stream."""
        try:
            content: bytes = self._unpack.decompress(packed, most)
        except (OSError, lzma.LZMAError):
            if not self._is_further:
                raise
            self._is_done, content = True, b""
        self._is_further = False
        # zlib hands back what it did not take; the others keep it.
        self._left = getattr(self._unpack, "unconsumed_tail", b"")
        return content

    def _next_stream(self) -> bool:
        """Begin with the stream behind one that has ended; return whether there is one."""
        rest: bytes = self._unpack.unused_data
        while not (rest := rest.lstrip(b"\0")):  # files are padded to blocks of a tape
            if not (rest := self._packed.read(_BLOCK)):
                return False
        self._unpack, self._left, self._is_further = self._make(), rest, True
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        target = offset + (self._at if whence == os.SEEK_CUR else 0)
        if whence == os.SEEK_END:
            raise io.UnsupportedOperation("from the end")
        if target < self._at:
            self._begin()
        block = bytearray(2**16)
        while self._at < target:
            if not self.readinto(memoryview(block)[: min(len(block), target - self._at)]):
                break
        return self._at


def tar_members(stream: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """Yield the members of an unpacked tar, each before the next header is read; memory stays flat.

    Raises:
        LimitError: it has too many members, or a header is too long.
        tarfile.ReadError: it is damaged: what follows the last member is no tar.
    """
    with tarfile.open(fileobj=stream, mode="r:", tarinfo=_Info) as bundle:
        count = 0
        while (member := bundle.next()) is not None:
            bundle.members.clear()  # type: ignore[attr-defined]  # kept else, a kilobyte each
            count += 1
            if count > MAX_FILES:
                raise LimitError(f"holds over {MAX_FILES:,} files")
            yield member
        # tarfile takes a damaged header for the end: a true end is of zeros, or nothing more.
        stream.seek(bundle.offset)
        if any(stream.read(_TAR_BLOCK)):
            raise tarfile.ReadError("what follows its last member is no tar")


class TarContent(io.RawIOBase):
    """The bytes of one member of a tar, to be read before the next member is asked for.

    Raises:
        EOFError: when reading, the tar is cut short.
    """

    def __init__(self, stream: IO[bytes], member: tarfile.TarInfo) -> None:
        stream.seek(member.offset_data)
        self._stream, self._left = stream, member.size

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as there are bytes; return how many."""
        content = self._stream.read(min(len(buffer), self._left))
        if self._left and buffer and not content:
            raise EOFError("it is cut short")
        buffer[: len(content)] = content
        self._left -= len(content)
        return len(content)


class _Info(tarfile.TarInfo):
    """A member whose extended headers are no longer than :data:`MAX_HEADER`, and well formed.

    ``_proc_member`` is where the standard library lets a subclass in.
    """

    def _proc_member(self, bundle: Any) -> tarfile.TarInfo:
        extends = self.type in {
            *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE),
            *(tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
        }
        if extends and not 0 <= self.size <= MAX_HEADER:
            raise LimitError(f"a header of {self.size:,} bytes, over {MAX_HEADER:,}: maybe a bomb")
        if self.size < 0:
            raise tarfile.ReadError("a member of negative size")
        found: tarfile.TarInfo = super()._proc_member(bundle)  # type: ignore[misc]
        return found

    def _proc_pax(self, bundle: Any) -> tarfile.TarInfo:
        before = bundle.fileobj
        text = before.read(self._block(self.size))  # type: ignore[attr-defined]
        _check_records(text[: self.size])
        if self.type == tarfile.XGLTYPE:  # kept until the end, and copied to each member
            bundle.global_bytes = getattr(bundle, "global_bytes", 0) + self.size
            if bundle.global_bytes > MAX_HEADER:
                raise LimitError(f"global headers of over {MAX_HEADER:,} bytes: maybe a bomb")
        bundle.fileobj = _Before(text, before)
        try:
            found: tarfile.TarInfo = super()._proc_pax(bundle)  # type: ignore[misc]
        finally:
            bundle.fileobj = before
        return found

    def _proc_sparse(self, bundle: Any) -> tarfile.TarInfo:
        """Skip the map of a sparse file, which has no end: nobody reads such a file here."""
        _, is_extended, size = self._sparse_structs  # type: ignore[attr-defined]
        while is_extended:
            block = bundle.fileobj.read(_TAR_BLOCK)
            is_extended = len(block) == _TAR_BLOCK and bool(block[504])
        self._mark_sparse(self)
        self.offset_data = bundle.fileobj.tell()
        bundle.offset = self.offset_data + self._block(self.size)  # type: ignore[attr-defined]
        self.size = size
        return self

    def _proc_gnusparse_10(self, member: tarfile.TarInfo, *_: Any) -> None:
        self._mark_sparse(member)

    @staticmethod
    def _mark_sparse(member: Any) -> None:
        member.sparse = [(0, 0)]


def _check_records(text: bytes) -> None:
    """Raise for attributes whose lengths do not follow each other: they would take hours."""
    at = 0
    while at < len(text) and text[at]:
        record = _RECORD.match(text, at)
        length = int(record[1]) if record else 0
        end = at + length
        if record is None or end < record.end() or text[end - 1 : end] != b"\n":
            raise tarfile.ReadError("an extended header is damaged")
        at = end


class _Before:
    """Bytes that were read from a stream, and then the rest of it."""

    def __init__(self, content: bytes, stream: Any) -> None:
        self._content, self._stream = content, stream

    def read(self, size: int) -> bytes:
        """Read from the bytes while there are any; ``size`` never spans both."""
        if self._content:
            content, self._content = self._content[:size], self._content[size:]
            return content
        rest: bytes = self._stream.read(size)
        return rest

    def tell(self) -> int:
        return int(self._stream.tell()) - len(self._content)
