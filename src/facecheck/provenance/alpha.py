"""Text hidden in the lowest bit of a PNG's alpha channel, where NovelAI and web UIs copy settings.

The bits run down the columns, from the left: a signature, a length in bits (32 bits), and text,
which may be gzip ("stealth pnginfo", as NovelAI's own reader novelai-image-metadata reads it).
Other programs that save the picture as PNG keep it, while text chunks are often lost.

The signature lies in the first column, whose bytes can be had without the others: a row's first
pixel has no pixel to its left, so whatever its filter, it follows from the one above. So a picture
without such text costs the unpacking of its first rows, and only one with it is decoded.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

from facecheck.provenance.blocks import MOST_BYTES
from facecheck.provenance.fields import MOST_LETTERS, Field

#: What the bits begin with, and whether the text is gzip.
SIGNATURES = {b"stealth_pnginfo": False, b"stealth_pngcomp": True}
_LENGTH = 15
#: Pixels of a picture that is decoded for its text: the largest that generators make, and more.
MOST_PIXELS = 64 << 20
_PNG = b"\x89PNG\r\n\x1a\n"
#: Chunks before the pixels.
_MOST_CHUNKS = 2000


def hidden_fields(stream: BinaryIO) -> Iterator[Field]:
    """Yield ``alpha.signature`` and ``alpha.text`` of a PNG with such a text; nothing of others.

    A signature whose text is damaged, or in a picture too large, stands alone.

    Args:
        stream: the file.
    """
    signature = _signature(stream)
    if signature not in SIGNATURES:
        return
    yield Field("alpha.signature", signature.decode())
    if text := _text(stream, packed=SIGNATURES[signature]):
        yield Field("alpha.text", text)


def _signature(stream: BinaryIO) -> bytes:
    """Return what the first bits of the alpha channel spell, nothing where there is none."""
    stream.seek(0)
    head = stream.read(33)
    width, height = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    # Eight bits, with alpha, not interlaced; a lower one would begin its second column too early.
    if head[:8] != _PNG or head[24:29] != b"\x08\x06\0\0\0" or height < 8 * _LENGTH:
        return b""
    rows = _first_rows(stream, 8 * _LENGTH, 4 * width + 1)
    bits, above = [], 0
    for row in range(0, len(rows) - 4, 4 * width + 1):
        filtering = rows[row]
        before = {2: above, 3: above // 2, 4: above}.get(filtering, 0)
        above = (rows[row + 4] + before) & 0xFF
        bits.append(above & 1)
    return np.packbits(np.array(bits, np.uint8)).tobytes()


def _first_rows(stream: BinaryIO, rows: int, row: int) -> bytes:
    """Return the first rows of a PNG, filtered as they are in the file, ``row`` bytes each."""
    wanted = rows * row
    if wanted > MOST_BYTES:
        return b""
    found, unpacking = b"", zlib.decompressobj()
    for _ in range(_MOST_CHUNKS):
        head = stream.read(8)
        length, kind = int.from_bytes(head[:4]), head[4:]
        if len(head) < 8 or (found and kind != b"IDAT"):
            break
        if kind != b"IDAT":
            stream.seek(length + 4, 1)
            continue
        # Packed rows may be a little longer than the rows.
        part = stream.read(min(length, wanted + 4096))
        try:
            found += unpacking.decompress(part, wanted - len(found))
        except zlib.error:
            break
        if len(found) >= wanted:
            break
        stream.seek(4 + length - len(part), 1)
    return found[:wanted]


def _text(stream: BinaryIO, *, packed: bool) -> str:
    """Return the text behind the signature, cut to a length; empty where it cannot be read."""
    stream.seek(0)
    try:
        with Image.open(stream, formats=["PNG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                return ""
            alpha = np.asarray(image.getchannel("A"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
    data = np.packbits(alpha.T.reshape(-1) & 1)[_LENGTH:].tobytes()
    content = data[4 : 4 + int.from_bytes(data[:4]) // 8]
    if packed:
        try:
            content = zlib.decompressobj(31).decompress(content, 4 * MOST_LETTERS)
        except zlib.error:
            return ""
    return content[: 4 * MOST_LETTERS].decode("utf-8", "replace")[:MOST_LETTERS]
