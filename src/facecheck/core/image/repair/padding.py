"""BMP: the bytes that fill its last row up to a multiple of four hold no pixels."""

from __future__ import annotations


def rewritten(content: bytes) -> tuple[bytes, str]:
    """Return a BMP with all its padding, and what was wrong with the old one."""
    return content + bytes(3), "the padding of the last row is missing"
