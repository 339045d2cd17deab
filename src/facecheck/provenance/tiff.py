"""The few tags of TIFF and EXIF that say who made a file, each read by itself and bounded.

Pillow reads all tags of a directory at once: ten thousand that point to the same 8 MB would take
80 GB. Here a tag that is not asked for is not read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO

#: Tags of the main directory, by number, and of the EXIF directory.
MAIN = {270: "ImageDescription", 271: "Make", 272: "Model", 305: "Software", 315: "Artist"}
EXIF = {37510: "UserComment"}
XMP, IPTC, C2PA = 700, 33723, 52545

_EXIF_DIRECTORY = 34665
_MOST_ENTRIES = 4096
_SIZES = {1: 1, 2: 1, 4: 4, 7: 1, 13: 4}


class TagError(ValueError):
    """A directory of tags that cannot be read."""


def read_tags(
    stream: BinaryIO, wanted: Mapping[int, str], base: int, most: int
) -> Iterator[tuple[int, bytes]]:
    """Yield the tags that are wanted of the first directory and of its EXIF directory.

    Args:
        stream: holds a TIFF header at ``base``.
        wanted: their numbers.
        base: where offsets count from.
        most: bytes that are read of one tag.

    Raises:
        TagError: there is no directory.
    """
    stream.seek(base)
    head = stream.read(8)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    if order is None or len(head) < 8:
        raise TagError("EXIF without a TIFF header")
    pending = [struct.unpack(f"{order}I", head[4:])[0]]
    for offset in pending:
        for tag, kind, count, value in _entries(stream, base + offset, order):
            if tag == _EXIF_DIRECTORY and len(pending) == 1:
                pending.append(struct.unpack(f"{order}I", value)[0])
            elif tag in wanted and kind in _SIZES:
                yield tag, _value(stream, base, order, value, min(count * _SIZES[kind], most))


def _entries(stream: BinaryIO, offset: int, order: str) -> Iterator[tuple[int, int, int, bytes]]:
    stream.seek(offset)
    head = stream.read(2)
    if len(head) < 2:
        raise TagError("EXIF that ends before its tags")
    count = min(struct.unpack(f"{order}H", head)[0], _MOST_ENTRIES)
    table = stream.read(12 * count)
    for at in range(0, len(table) - 11, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", table, at)
        yield tag, kind, number, table[at + 8 : at + 12]


def _value(stream: BinaryIO, base: int, order: str, value: bytes, length: int) -> bytes:
    if length <= 4:
        return value[:length]
    stream.seek(base + struct.unpack(f"{order}I", value)[0])
    return stream.read(length)
