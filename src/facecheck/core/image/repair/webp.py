"""WebP: only the chunks that hold pixels must be whole (RFC 9649, "WebP Image Format")."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from facecheck.core.errors import ImageError

_PIXELS = frozenset((b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"))
#: Chunks of metadata, and the bits of the VP8X header that announce them.
_METADATA = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}


def rewritten(content: bytes, *, keep_metadata: bool) -> tuple[bytes, str]:
    """Return a WebP of the same pixels, and what was wrong with the old one.

    Args:
        content: the whole file.
        keep_metadata: keep the colour profile and EXIF.

    Raises:
        ImageError: pixels are missing.
    """
    body, found, header = b"", 0, b""
    for name, held, length in _chunks(content):
        if name in _PIXELS:
            if len(held) < length:
                missing = f"{length - len(held):,} of {length:,} bytes of pixels are missing"
                raise ImageError(f"truncated: {missing}")
            body += _packed(name, held)
        elif name == b"VP8X" and len(held) >= 10:
            header = held
        elif keep_metadata and name in _METADATA and len(held) == length and name != b"XMP ":
            packed = _packed(name, held)
            body = packed + body if name == b"ICCP" else body + packed
            found |= _METADATA[name]
    if not body:
        raise ImageError("truncated: the WebP ends before its pixels")
    if header:
        flags = header[0] & ~sum(_METADATA.values()) | found
        body = _packed(b"VP8X", bytes((flags,)) + header[1:]) + body
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body, "damaged metadata"


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield name, content and length of each chunk; the content may be shorter at the end."""
    at = 12
    while at + 8 <= len(content):
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        yield content[at : at + 4], content[at + 8 : at + 8 + length], length
        at += 8 + length + length % 2


def _packed(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
