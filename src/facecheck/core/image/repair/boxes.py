"""AVIF, HEIC and JPEG XL: files of boxes (ISO/IEC 14496-12), each with its length before it."""

from __future__ import annotations

from facecheck.core.errors import ImageError


def require_whole(content: bytes) -> None:
    """Raise :class:`ImageError` if a box is longer than the file."""
    at = 0
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4])
        if length == 1:
            length = int.from_bytes(content[at + 8 : at + 16])
        if length < 8:  # 0: up to the end of the file
            return
        at += length
    if at > len(content) and content[4:8] in {b"ftyp", b"JXL "}:
        missing = f"{at - len(content):,} of {at:,} bytes are missing"
        raise ImageError(f"truncated: {missing}")
