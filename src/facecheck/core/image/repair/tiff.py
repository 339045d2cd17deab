"""TIFF: only the tags that say where and how the pixels are must be whole (Adobe, TIFF 6.0)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from facecheck.core.errors import ImageError

#: Tags of the first page that its pixels need: size, depth, packing, colours, strips and tiles, the
#: turn, the palette, inks, extra samples, JPEG tables and the parameters of YCbCr.
_PIXELS = frozenset((
    254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323,
    324, 325, 332, 334, 338, 339, 347, 529, 530, 531, 532,
))  # fmt: skip
_PHOTOMETRIC, _WHITE_IS_ZERO, _BLACK_IS_ZERO = 262, 0, 1


class _Tags(NamedTuple):
    order: str  # of bytes, and the types of the number of tags and of a place in the file
    number: str
    place: str
    at: int
    entries: list[bytes]


def rewritten(content: bytes) -> tuple[bytes, str]:
    """Return a TIFF of one page with the same pixels, and what was wrong with the old one.

    Raises:
        ImageError: there is no list of tags.
    """
    return _written(content, _tags(content)), "damaged metadata"


def inverted(content: bytes) -> tuple[bytes, str] | None:
    """Return a TIFF whose white is zero as one whose black is: Pillow reads more depths so.

    The caller inverts. None where white is not zero.

    Raises:
        ImageError: there is no list of tags.
    """
    tags = _tags(content)
    white = struct.pack(tags.order + "HH", _PHOTOMETRIC, 3)
    for number, entry in enumerate(tags.entries):
        value = 12 if len(entry) == 20 else 8
        if entry.startswith(white) and entry[value : value + 2] == bytes(2):
            black = struct.pack(tags.order + "H", _BLACK_IS_ZERO)
            tags.entries[number] = entry[:value] + black + entry[value + 2 :]
            return _written(content, tags), "white is zero, which is unusual at this depth"
    return None


def _tags(content: bytes) -> _Tags:
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in {b"+\0", b"\0+"}
    place, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    try:
        (at,) = struct.unpack_from(order + place, content, 8 if big else 4)
        (number,) = struct.unpack_from(order + count, content, at)
    except struct.error:
        raise ImageError("truncated: the TIFF ends before its list of tags") from None
    first = at + struct.calcsize(count)
    most = min(number, (len(content) - first) // entry)
    entries = [content[first + entry * i : first + entry * (i + 1)] for i in range(most)]
    return _Tags(order, count, place, at, entries)


def _written(content: bytes, tags: _Tags) -> bytes:
    """Return a file whose list of tags is shorter, with no page behind it."""
    kept = [
        entry for entry in tags.entries if struct.unpack(tags.order + "H", entry[:2])[0] in _PIXELS
    ]
    number = struct.pack(tags.order + tags.number, len(kept))
    # Behind the last tag stands where the next page is: nowhere.
    new = number + b"".join(kept) + bytes(struct.calcsize(tags.place))
    return content[: tags.at] + new + content[tags.at + len(new) :]
