"""Where each format keeps what it says besides its pixels: found by walking, not by searching.

Only headers of segments, chunks and boxes are read, and the blocks that matter; pixels are skipped.
Every length is a stranger's: blocks, their bytes, steps and unpacked text are bounded, and what was
found before a bound, or before the damage, still counts.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from facecheck.provenance import tiff

#: Bytes of one block, packed or unpacked, and of all blocks of a file.
MOST_BYTES = 8 << 20
MOST_IN_ALL = 24 << 20
#: Bytes of the manifests of one file.
MOST_C2PA = 32 << 20
#: Blocks of a file, and segments, chunks or boxes that are stepped over. A PNG of 200 megapixels
#: has some 70,000 chunks.
MOST_BLOCKS = 1000
MOST_STEPS = 200_000


class BlockError(ValueError):
    """A block that is too large, or of a form that it should not have."""


@dataclass(frozen=True)
class Block:
    """One piece of metadata.

    Attributes:
        kind: ``exif``, ``xmp``, ``iptc``, ``text`` or ``c2pa``.
        data: its bytes; of ``c2pa`` none, since the whole file is needed to check it.
        key: of ``text``, what it is called.
        size: bytes in the file.
    """

    kind: str
    data: bytes = b""
    key: str = ""
    size: int = 0


def read_blocks(stream: BinaryIO) -> Iterator[Block]:
    """Yield the blocks of metadata of an image file of any format.

    Args:
        stream: the file; one that is no image has none.

    Raises:
        BlockError: there are too many, or too large ones. Those before it were yielded.
    """
    total = manifests = 0
    for number, block in enumerate(_walk(stream), 1):
        if block.kind == "c2pa":
            manifests += block.size
        else:
            total += len(block.data)
        if number > MOST_BLOCKS:
            raise BlockError(f"more than {MOST_BLOCKS:,} blocks of metadata")
        if total > MOST_IN_ALL:
            raise BlockError(f"more than {MOST_IN_ALL >> 20} MB of metadata")
        if manifests > MOST_C2PA:
            raise BlockError(f"more than {MOST_C2PA >> 20} MB of C2PA manifests")
        yield block


def _walk(stream: BinaryIO) -> Iterator[Block]:
    stream.seek(0)
    head = stream.read(16)
    for matches, walk in _FORMATS:
        if matches(head):
            return walk(stream)
    return iter(())


def _read(stream: BinaryIO, length: int, what: str) -> bytes:
    if length > MOST_BYTES:
        raise BlockError(f"{what} of {length:,} bytes, more than {MOST_BYTES >> 20} MB")
    return stream.read(length)


def _steps() -> Iterator[int]:
    yield from range(MOST_STEPS)
    raise BlockError(f"more than {MOST_STEPS:,} segments, chunks or boxes")


# ---- JPEG: ISO 10918-1, and what XMP, EXIF and C2PA say of its segments ----

_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_MORE = b"http://ns.adobe.com/xmp/extension/\0"
_XMP_MORE_HEAD = len(_XMP_MORE) + 32 + 8
_PHOTOSHOP = b"Photoshop 3.0\0"
_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_END, _SCAN, _COMMENT = 0xD9, 0xDA, 0xFE
_APP1, _APP11, _APP13 = 0xE1, 0xEB, 0xED


def _jpeg(stream: BinaryIO) -> Iterator[Block]:
    stream.seek(2)
    more = b""
    for _ in _steps():
        head = stream.read(2)
        while len(head) == 2 and head[1] == 0xFF:  # fill bytes
            head = head[1:] + stream.read(1)
        if len(head) < 2 or head[0] != 0xFF or head[1] in (_SCAN, _END):
            break
        if head[1] in _STANDALONE:
            continue
        length = int.from_bytes(stream.read(2)) - 2
        if length < 0:
            break
        if head[1] not in (_APP1, _APP11, _APP13, _COMMENT):
            stream.seek(length, 1)
            continue
        data = stream.read(length)
        if head[1] == _APP1 and data.startswith(_XMP_MORE):
            more += data[_XMP_MORE_HEAD:]
            if len(more) > MOST_BYTES:
                raise BlockError(f"extended XMP of more than {MOST_BYTES >> 20} MB")
        else:
            yield from _segment(head[1], data)
    if more:
        yield Block("xmp", more)


def _segment(marker: int, data: bytes) -> Iterator[Block]:
    if marker == _COMMENT:
        yield Block("text", data, "Comment")
    elif marker == _APP11 and data[:2] == b"JP":
        yield Block("c2pa", size=len(data))
    elif data.startswith(b"Exif\0"):
        yield Block("exif", data[6:])
    elif data.startswith(_XMP_HEAD):
        yield Block("xmp", data[len(_XMP_HEAD) :])
    elif marker == _APP13 and data.startswith(_PHOTOSHOP):
        yield from _photoshop(data[len(_PHOTOSHOP) :])


def _photoshop(data: bytes) -> Iterator[Block]:
    """Yield the IPTC records among Photoshop's image resources."""
    at = 0
    while data[at : at + 4] == b"8BIM" and at + 7 <= len(data):
        number = int.from_bytes(data[at + 4 : at + 6])
        at += 6 + (data[at + 6] + 2) // 2 * 2  # a name, padded with its length to an even size
        length = int.from_bytes(data[at : at + 4])
        if number == 0x0404:
            yield Block("iptc", data[at + 4 : at + 4 + length])
        at += 4 + (length + 1) // 2 * 2


# ---- PNG: https://www.w3.org/TR/png-3/ ----

_PNG = b"\x89PNG\r\n\x1a\n"
_XMP_KEYWORD = "XML:com.adobe.xmp"
#: Profiles as ImageMagick and exiv2 write them: hexadecimal digits behind a name and a length.
_RAW_PROFILES = {
    "Raw profile type exif": "exif",
    "Raw profile type APP1": "exif",
    "Raw profile type iptc": "iptc",
    "Raw profile type xmp": "xmp",
}


def _png(stream: BinaryIO) -> Iterator[Block]:
    stream.seek(8)
    for _ in _steps():
        head = stream.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        length, name = int.from_bytes(head[:4]), head[4:]
        if name in (b"tEXt", b"zTXt", b"iTXt"):
            data = _read(stream, length, "text")
            yield from _png_text(name, data)
        elif name == b"eXIf":
            yield Block("exif", _read(stream, length, "EXIF"))
        else:
            if name == b"caBX":
                yield Block("c2pa", size=length)
            stream.seek(length, 1)
        stream.seek(4, 1)


def _png_text(name: bytes, data: bytes) -> Iterator[Block]:
    keyword, _, rest = data.partition(b"\0")
    key = keyword[:79].decode("latin-1")
    if name == b"zTXt":
        rest = _unpacked(rest[1:])
    elif name == b"iTXt":
        packed, rest = rest[:1] == b"\1", rest[2:]
        rest = rest.partition(b"\0")[2].partition(b"\0")[2]
        rest = _unpacked(rest) if packed else rest
    if key == _XMP_KEYWORD:
        yield Block("xmp", rest)
    elif key in _RAW_PROFILES:
        yield from _raw_profile(_RAW_PROFILES[key], rest)
    else:
        # A tEXt or zTXt is Latin-1 by its specification; most writers put UTF-8 there.
        yield Block("text", rest, key)


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MOST_BYTES)
    except zlib.error:
        return b""


def _raw_profile(kind: str, text: bytes) -> Iterator[Block]:
    try:
        data = bytes.fromhex("".join(text.decode("ascii").split()[2:]))
    except ValueError:
        return
    if kind == "iptc" and data.startswith(b"8BIM"):
        yield from _photoshop(data)
    elif kind == "exif" and data.startswith(_XMP_HEAD):  # APP1 may be either
        yield Block("xmp", data[len(_XMP_HEAD) :])
    else:
        yield Block(kind, data.removeprefix(b"Exif\0\0"))


# ---- WebP: https://developers.google.com/speed/webp/docs/riff_container ----

_RIFF_KINDS = {b"EXIF": "exif", b"XMP ": "xmp"}


def _webp(stream: BinaryIO) -> Iterator[Block]:
    stream.seek(12)
    for _ in _steps():
        head = stream.read(8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], "little")
        if head[:4] in _RIFF_KINDS:
            data = _read(stream, length, "metadata")
            yield Block(_RIFF_KINDS[head[:4]], data.removeprefix(b"Exif\0\0"))
        else:
            if head[:4] == b"C2PA":
                yield Block("c2pa", size=length)
            stream.seek(length, 1)
        stream.seek(length % 2, 1)


# ---- GIF: https://www.w3.org/Graphics/GIF/spec-gif89a.txt ----


def _gif(stream: BinaryIO) -> Iterator[Block]:
    head = stream.seek(10), stream.read(3)
    stream.seek(_colours(head[1][:1]), 1)
    for _ in _steps():
        start = stream.read(1)
        if start == b",":
            frame = stream.read(9)
            stream.seek(_colours(frame[8:9]) + 1, 1)
            _sub_blocks(stream, 0)
        elif start == b"!":
            yield from _gif_extension(stream)
        else:
            return


def _colours(flags: bytes) -> int:
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _gif_extension(stream: BinaryIO) -> Iterator[Block]:
    label = stream.read(1)
    if label == b"\xfe":
        yield Block("text", _sub_blocks(stream, MOST_BYTES), "Comment")
        return
    name = stream.read(int.from_bytes(stream.read(1))) if label == b"\xff" else b""
    if name == b"XMP DataXMP":
        # Written as it is, so that its own letters are the lengths: read with the lengths kept.
        data = _sub_blocks(stream, MOST_BYTES, lengths=True)
        yield Block("xmp", data[: data.rfind(b">") + 1])
        return
    size = len(_sub_blocks(stream, MOST_C2PA if name.startswith(b"C2PA_GIF") else 0))
    if size:
        yield Block("c2pa", size=size)


def _sub_blocks(stream: BinaryIO, most: int, *, lengths: bool = False) -> bytes:
    """Return the bytes of the sub-blocks up to their end; with ``most`` of 0 only skip them."""
    parts, total = [], 0
    while length := stream.read(1):
        if not length[0]:
            break
        if not most:
            stream.seek(length[0], 1)
            continue
        part = stream.read(length[0])
        parts.append(length + part if lengths else part)
        total += len(part)
        if total > most:
            raise BlockError(f"an extension of more than {most >> 20} MB")
    return b"".join(parts)


# ---- TIFF ----


def _tiff(stream: BinaryIO) -> Iterator[Block]:
    kinds = {tiff.XMP: "xmp", tiff.IPTC: "iptc"}
    wanted = dict.fromkeys((*kinds, tiff.C2PA), "")
    for tag, data in tiff.read_tags(stream, wanted, 0, MOST_BYTES):
        yield Block(kinds[tag], data) if tag in kinds else Block("c2pa", size=len(data))
    stream.seek(0)
    yield Block("exif", b"")  # the file itself is laid out as EXIF is


# ---- HEIC, AVIF, JPEG XL: boxes of ISO 14496-12 ----

_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_XMP_TYPE = b"application/rdf+xml"


def _boxes(stream: BinaryIO) -> Iterator[Block]:
    end = stream.seek(0, 2)
    at = 0
    for _ in _steps():
        head = _box(stream, at, end)
        if head is None:
            return
        name, start, stop = head
        stream.seek(start)
        if name == b"uuid":
            which = stream.read(16)
            if which == _C2PA_UUID:
                yield Block("c2pa", size=stop - start)
            elif which == _XMP_UUID:
                yield Block("xmp", _read(stream, stop - start - 16, "XMP"))
        elif name == b"jumb":
            yield Block("c2pa", size=stop - start)
        elif name == b"xml ":
            yield Block("xmp", _read(stream, stop - start, "XMP"))
        elif name == b"Exif":
            yield Block("exif", _exif_item(_read(stream, stop - start, "EXIF")))
        elif name == b"meta":
            yield from _items(stream, _read(stream, stop - start, "a box of metadata")[4:])
        at = stop


def _box(stream: BinaryIO, at: int, end: int) -> tuple[bytes, int, int] | None:
    """Return name, start and end of the contents of the box at ``at``; None where there is none."""
    stream.seek(at)
    head = stream.read(16)
    if len(head) < 8:
        return None
    size, name, start = int.from_bytes(head[:4]), head[4:8], at + 8
    if size == 1 and len(head) == 16:
        size, start = int.from_bytes(head[8:]), at + 16
    stop = end if size == 0 else at + size
    return (name, start, min(stop, end)) if stop >= start else None


def _items(stream: BinaryIO, meta: bytes) -> Iterator[Block]:
    """Yield the items of a meta box that hold EXIF or XMP."""
    inner = BytesIO(meta)
    boxes: dict[bytes, bytes] = {}
    at = 0
    for _ in range(64):
        head = _box(inner, at, len(meta))
        if head is None:
            break
        boxes[head[0]], at = meta[head[1] : head[2]], head[2]
    kinds = dict(_item_kinds(boxes.get(b"iinf", b"")))
    if not kinds:
        return
    for number, method, spans in _item_places(boxes.get(b"iloc", b""), set(kinds)):
        data = _item(stream, boxes.get(b"idat", b""), method, spans)
        exif = kinds[number] == "exif"
        yield Block(kinds[number], _exif_item(data) if exif else data)


def _item(stream: BinaryIO, inside: bytes, method: int, spans: list[tuple[int, int]]) -> bytes:
    parts = []
    for offset, length in spans:
        if method == 1:
            parts.append(inside[offset : offset + length])
        elif method == 0:
            stream.seek(offset)
            parts.append(_read(stream, length, "an item"))
    return b"".join(parts)


def _exif_item(data: bytes) -> bytes:
    """Return EXIF without the offset of its header, which stands before it."""
    return data[4 + int.from_bytes(data[:4]) :]


def _item_kinds(iinf: bytes) -> Iterator[tuple[int, str]]:
    inner, at = BytesIO(iinf), 6 if iinf[:1] == b"\0" else 8
    for _ in range(4096):
        head = _box(inner, at, len(iinf))
        if head is None:
            return
        entry, at = iinf[head[1] : head[2]], head[2]
        wide = 4 if entry[:1] == b"\3" else 2
        number = int.from_bytes(entry[4 : 4 + wide])
        kind, rest = entry[6 + wide : 10 + wide], entry[10 + wide :]
        if kind == b"Exif":
            yield number, "exif"
        elif kind == b"mime" and _XMP_TYPE in rest[:256]:
            yield number, "xmp"


def _item_places(iloc: bytes, wanted: set[int]) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Yield number, construction method and (offset, length) pairs of the items that are wanted."""
    reader = BytesIO(iloc)

    def number(size: int) -> int:
        data = reader.read(size)
        if len(data) < size:
            raise BlockError("places of items that end too early")
        return int.from_bytes(data)

    version = number(4) >> 24
    sizes = number(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    wide = 4 if version == 2 else 2
    for _ in range(min(number(wide), 4096)):
        item = number(wide)
        method = number(2) & 15 if version else 0
        number(2)
        base, spans = number(base_size), []
        for _ in range(number(2)):
            number(index_size)
            offset = base + number(offset_size)
            spans.append((offset, number(length_size)))
        if item in wanted:
            yield item, method, spans[:64]


_FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO], Iterator[Block]]], ...] = (
    (lambda head: head[:2] == b"\xff\xd8", _jpeg),
    (lambda head: head[:8] == _PNG, _png),
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", _webp),
    (lambda head: head[:6] in (b"GIF87a", b"GIF89a"), _gif),
    (lambda head: head[:4] in (b"II*\0", b"MM\0*"), _tiff),
    (lambda head: head[4:8] == b"ftyp", _boxes),
    (lambda head: head[4:12] == b"JXL \r\n\x87\n", _boxes),
)
