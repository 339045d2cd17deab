"""PNG: only the chunks that hold pixels must be whole (ISO/IEC 15948, "Portable Network Graphics").

A chunk is a length, four letters, the content and a checksum. A lower-case first letter says that
a decoder may leave the chunk out. The pixels are one zlib stream over all IDAT chunks, with a
checksum of its own.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from facecheck.core.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Chunks that pixels need; of the rest, those that say how to show them, and so may be kept.
_PIXELS = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT"))
_METADATA = frozenset((b"iCCP", b"eXIf", b"iTXt", b"tEXt", b"zTXt"))
#: Texts that may hold how the picture is to be turned.
_TURNS = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")
#: What a chunk of metadata may unpack to: Pillow takes no more.
_MOST_UNPACKED = 2**20
#: Names of chunks, to find the next one after one whose length is wrong.
_NAMES = re.compile(
    rb"PLTE|IDAT|IEND|tRNS|acTL|fcTL|fdAT|iCCP|eXIf|iTXt|tEXt|zTXt|gAMA|cHRM|sRGB|sBIT|bKGD|hIST"
    rb"|pHYs|sPLT|tIME|cICP|mDCV|cLLI|caBX|oFFs|pCAL|sCAL|sTER"
)
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: Where each of the seven passes of an interlaced picture begins, and its steps (x, y, dx, dy).
_PASSES = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    content: bytes
    intact: bool


def rewritten(content: bytes, *, keep_metadata: bool) -> tuple[bytes, str]:
    """Return a PNG of the same pixels, and what was wrong with the old one.

    Args:
        content: the whole file.
        keep_metadata: keep what tells colours and turns, where it is whole.

    Raises:
        ImageError: pixels are missing or damaged, or the header or palette is.
    """
    if not content.startswith(SIGNATURE):
        raise ImageError("damaged: the PNG's signature (a transfer as text breaks it so)")
    chunks = list(_chunks(content))
    header = next((chunk.content for chunk in chunks if chunk.name == b"IHDR"), b"")
    if len(header) != 13:
        raise ImageError("damaged: the PNG has no header")
    for chunk in chunks:
        if chunk.name == b"PLTE" and not chunk.intact and header[9] == 3:
            raise ImageError("damaged: the checksum of the PNG's palette is wrong")
    _require_pixels(header, [chunk for chunk in chunks if chunk.name == b"IDAT"])
    kept = [chunk for chunk in chunks if _keeps(chunk, keep_metadata)]
    if not _animation_is_whole(kept):
        kept = [chunk for chunk in kept if chunk.name not in {b"acTL", b"fcTL", b"fdAT"}]
    body = b"".join(_packed(chunk.name, chunk.content) for chunk in kept)
    broken = [chunk.name.decode() for chunk in chunks if not chunk.intact]
    gone = {chunk.name.decode() for chunk in chunks} - {chunk.name.decode() for chunk in kept}
    what = ", ".join(sorted(set(broken) or gone - {"IEND"})) or "IEND"
    return SIGNATURE + body + _packed(b"IEND", b""), f"a damaged or oversized chunk ({what})"


def _chunks(content: bytes) -> Iterator[_Chunk]:
    """Yield the chunks; after one whose length is wrong, from the next that is whole."""
    at = len(SIGNATURE)
    while at + 8 <= len(content):
        end, name = _end(content, at), content[at + 4 : at + 8]
        if end is not None and _checksum_is_right(content, at, end):
            yield _Chunk(name, content[at + 8 : end - 4], True)
            at = end
            continue
        # The checksum alone may be wrong: then the next chunk is where it should be.
        if end is None or not (end == len(content) or _end(content, end) is not None):
            end = _next_whole(content, at + 8)
            if name not in _PIXELS | _METADATA and not _NAMES.fullmatch(name):
                at = end
                continue
        # A file that is cut has no checksum there; else its bytes behind the pixels do no harm.
        yield _Chunk(name, content[at + 8 : end if end == len(content) else end - 4], False)
        at = end


def _end(content: bytes, at: int) -> int | None:
    """Return where the chunk at a place ends; None where none can be there."""
    if at + 12 > len(content) or not content[at + 4 : at + 8].isalpha():
        return None
    end = at + 12 + int.from_bytes(content[at : at + 4])
    return end if end <= len(content) else None


def _checksum_is_right(content: bytes, at: int, end: int) -> bool:
    return zlib.crc32(memoryview(content)[at + 4 : end - 4]) == int.from_bytes(
        content[end - 4 : end]
    )


def _next_whole(content: bytes, start: int) -> int:
    """Return where the next whole chunk begins, or the end of the file."""
    for found in _NAMES.finditer(content, start + 4):
        at = found.start() - 4
        end = _end(content, at)
        if end is not None and _checksum_is_right(content, at, end):
            return at
    return len(content)


def _keeps(chunk: _Chunk, keep_metadata: bool) -> bool:
    if chunk.name in {b"IHDR", b"PLTE", b"IDAT"}:
        return True  # their content is checked otherwise
    if chunk.name in _PIXELS:
        return chunk.intact and chunk.name != b"IEND"
    return keep_metadata and chunk.intact and _is_useful(chunk)


def _is_useful(chunk: _Chunk) -> bool:
    """Return whether a chunk tells colours or the turn, and Pillow takes it."""
    if chunk.name not in _METADATA or len(chunk.content) > _MOST_UNPACKED:
        return False
    if chunk.name not in {b"eXIf", b"iCCP"} and not chunk.content.startswith(_TURNS):
        return False
    packed = chunk.name in {b"iCCP", b"zTXt"}
    return not packed or _unpacks(chunk.content.partition(b"\0")[2][1:])


def _unpacks(packed: bytes) -> bool:
    """Return whether a chunk's packed content is whole and not too large."""
    stream = zlib.decompressobj()
    try:
        stream.decompress(packed, _MOST_UNPACKED)
    except zlib.error:
        return False
    return stream.eof


def _animation_is_whole(kept: list[_Chunk]) -> bool:
    """Return whether the frames that an APNG announces are there, numbered without a gap."""
    numbered = [chunk for chunk in kept if chunk.name in {b"fcTL", b"fdAT"}]
    announced = [chunk for chunk in kept if chunk.name == b"acTL"]
    if len(announced) != bool(numbered):
        return False
    numbers = [int.from_bytes(chunk.content[:4]) for chunk in numbered]
    controls = sum(chunk.name == b"fcTL" for chunk in numbered)
    wanted = int.from_bytes(announced[0].content[:4]) if announced else 0
    return numbers == list(range(len(numbers))) and controls == wanted


def _packed(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(content, zlib.crc32(name)))
    return struct.pack(">I", len(content)) + name + content + check


def _require_pixels(header: bytes, chunks: list[_Chunk]) -> None:
    """Raise :class:`ImageError` unless every row can be unpacked, and nothing denies its checksum.

    Where every checksum of a chunk is right, that of the whole stream is not needed; where the
    file ends behind the last row, none contradicts.
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _CHANNELS.get(colour, 0)
    if not (width and height and bits):
        raise ImageError("damaged: the PNG's header")
    row = 1 + (width * bits + 7) // 8
    needed = _interlaced_size(width, height, bits) if interlaced == 1 else row * height
    got, fault = _unpacked_size([chunk.content for chunk in chunks], needed)
    if got < needed:
        missing = f"{height - got // row} of {height} rows are"
        if interlaced == 1:
            missing = f"{needed - got:,} of {needed:,} bytes of pixels are"
        why = f"damaged: pixels cannot be unpacked ({fault}): " if fault else "truncated: "
        raise ImageError(f"{why}{missing} missing")
    if fault and not all(chunk.intact for chunk in chunks):
        raise ImageError(f"damaged: the pixels do not match their checksums ({fault})")


def _unpacked_size(parts: list[bytes], needed: int) -> tuple[int, str]:
    """Return how many bytes a stream unpacks to, ``needed`` at most, and what zlib refused."""
    stream, got = zlib.decompressobj(), 0
    try:
        for part in parts:
            waiting = part
            while waiting and not stream.eof:
                # One byte more than is needed lets zlib come to the checksum.
                got += len(stream.decompress(waiting, min(2**20, needed + 1)))
                waiting = stream.unconsumed_tail
                if got > needed:
                    return needed, ""
    except zlib.error as error:
        return min(got, needed), " ".join(str(error).split())
    return min(got, needed), ""


def _interlaced_size(width: int, height: int, bits: int) -> int:
    total = 0
    for left, top, across, down in _PASSES:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total
