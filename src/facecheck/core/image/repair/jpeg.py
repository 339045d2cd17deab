"""JPEG: only what the decoder needs must be whole (ITU T.81, "Digital compression and coding").

A file is a row of segments, each a marker and a length; behind a start-of-scan segment come the
packed pixels, up to the next marker. Segments of applications (APP0 to APP15) and comments are
metadata, but for what JFIF and Adobe's say of colours. libjpeg fills pixels that are missing with
grey and says so to nobody, so that it takes a trial to find out whether any are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from facecheck.core.errors import ImageError

_START, END = b"\xff\xd8", b"\xff\xd9"
_SCAN, _COMMENT = 0xDA, 0xFE
#: Frames of which libjpeg decodes none: lossless, differential and JPEG-LS ones.
_UNREAD = frozenset((0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7))
_FRAMES = frozenset((0xC0, 0xC1, 0xC2, 0xC9, 0xCA))
_PROGRESSIVE = frozenset((0xC2, 0xCA))
#: The next marker: no stuffed byte, no restart and no filling.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
#: Packed pixels that belong to no picture: put behind a scan, they show only where it was short.
_NOISE = bytes(value % 255 for value in np.random.default_rng(0).integers(0, 255, 512).tolist())


@dataclass(frozen=True)
class _Segment:
    marker: int
    start: int
    content: bytes


def rewritten(content: bytes, *, keep_metadata: bool) -> tuple[bytes, str]:
    """Return a JPEG of the same packed pixels, and what was wrong with the old one.

    Args:
        content: the whole file.
        keep_metadata: keep EXIF, XMP and the colour profile, where their segments are whole.

    Raises:
        ImageError: the file ends before its pixels, or is of a kind that libjpeg does not decode.
    """
    head, scan = [], 0
    for segment in _segments(content):
        if segment.marker in _UNREAD:
            raise ImageError("a lossless JPEG, which is not read: convert it")
        if segment.marker in _FRAMES and segment.content[:1] != b"\x08":
            raise ImageError("a JPEG of more than 8 bits a sample, which is not read: convert it")
        if segment.marker == _SCAN:
            scan = segment.start
            break
        if _keeps(segment, keep_metadata):
            length = (len(segment.content) + 2).to_bytes(2)
            head.append(bytes((0xFF, segment.marker)) + length + segment.content)
    if not scan:
        raise ImageError("truncated: the JPEG ends before its pixels")
    end = _end(content, scan)
    note = "a damaged segment" if end else "no end marker"
    body = content[scan : end or len(content)]
    if not end:
        body = _without_filling(body)
    return _START + b"".join(head) + body + END, note


def _without_filling(body: bytes) -> bytes:
    """Return packed pixels without what a download leaves behind them: zeros, half a marker."""
    packed = body.rstrip(b"\0")
    if not packed.endswith(b"\xff"):
        return packed
    # A zero behind 255 belongs to the pixels; without it, 255 is the first half of a marker.
    return packed + b"\0" if len(packed) < len(body) else packed[:-1]


def has_end(content: bytes) -> bool:
    """Return whether a JPEG has an end marker behind its pixels."""
    scan = next((each.start for each in _segments(content) if each.marker == _SCAN), 0)
    return scan > 0 and _end(content, scan) > 0


def _segments(content: bytes) -> Iterator[_Segment]:
    """Yield the segments up to the first scan's, as libjpeg finds them: what is none is skipped."""
    at = 2
    while found := _MARKER.search(content, at):
        marker, at = found[0][1], found.end()
        if marker in {0x01, 0xD8} or marker == 0xD9:
            continue
        length = int.from_bytes(content[at : at + 2])
        if at + length > len(content):
            return
        yield _Segment(marker, found.start(), content[at + 2 : at + max(length, 2)])
        if marker == _SCAN:
            return
        at += max(length, 2)


def _keeps(segment: _Segment, keep_metadata: bool) -> bool:
    content = segment.content
    match segment.marker:
        case 0xE0:
            return content.startswith(b"JFIF\0") and len(content) >= 14
        case 0xEE:
            return content.startswith(b"Adobe") and len(content) >= 12
        case 0xE1:
            turns = (b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0")
            return keep_metadata and content.startswith(turns)
        case 0xE2:
            return keep_metadata and content.startswith(b"ICC_PROFILE\0") and len(content) > 14
        case other:
            return not (0xE3 <= other <= 0xEF or other == _COMMENT)


def _scans(content: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Yield every marker behind the first scan's start, and where it is, up to the end marker."""
    while found := _MARKER.search(content, at):
        marker, at = found[0][1], found.end()
        yield marker, found.start()
        if marker == 0xD9:
            return
        if marker != 0x01:
            at += int.from_bytes(content[at : at + 2])


def _end(content: bytes, scan: int) -> int:
    """Return where the end marker is, or 0 where there is none."""
    return next((place for marker, place in _scans(content, scan) if marker == 0xD9), 0)


def lost(content: bytes, decode: Callable[[bytes], Image.Image]) -> str:
    """Return why a picture is not whole, or an empty text if it is.

    Behind the last scan noise is put: where pixels are missing it is decoded in their place, and
    the two pictures differ from there on.

    Args:
        content: a JPEG with an end marker.
        decode: gives the pixels of one, at any scale; of a progressive one in full, since its last
            scans may not show otherwise.
    """
    scan = next((each.start for each in _segments(content) if each.marker == _SCAN), 0)
    end = _end(content, scan)
    if not scan or not end:
        return "truncated: the JPEG ends before its pixels"
    if _is_progressive(content) and not _has_all_scans(content, scan):
        return "truncated: the last scans of the progressive JPEG are missing"
    as_is = np.asarray(decode(content))
    noisy = np.asarray(decode(content[:end] + _NOISE + content[end:]))
    if as_is.shape != noisy.shape:
        return "truncated: rows are missing"
    differ = np.flatnonzero((as_is != noisy).reshape(len(as_is), -1).any(axis=1))
    if not len(differ):
        return ""
    height = _height(content) or len(as_is)
    missing = height - int(differ[0]) * height // len(as_is)
    return f"truncated: {missing} of {height} rows are missing"


def _frame(content: bytes) -> _Segment | None:
    return next((each for each in _segments(content) if each.marker in _FRAMES), None)


def _is_progressive(content: bytes) -> bool:
    """Return whether a JPEG's pixels come in several scans, each finer than the last."""
    frame = _frame(content)
    return frame is not None and frame.marker in _PROGRESSIVE


def _height(content: bytes) -> int:
    frame = _frame(content)
    return int.from_bytes(frame.content[1:3]) if frame else 0


def _has_all_scans(content: bytes, scan: int) -> bool:
    """Return whether every coefficient of every component is given to its last bit."""
    frame = _frame(content)
    assert frame is not None  # noqa: S101
    names = frame.content[6::3]
    bits = {name: np.full(64, 99) for name in names}
    for marker, place in _scans(content, scan):
        if marker != _SCAN:
            continue
        length = int.from_bytes(content[place + 2 : place + 4])
        header = content[place + 4 : place + 2 + length]
        if not header or len(header) < 4 + 2 * header[0]:
            return False
        first, last, precision = header[1 + 2 * header[0] :][:3]
        for name in header[1 : 1 + 2 * header[0] : 2]:
            if name in bits:
                bits[name][first : last + 1] = precision & 15
    return all((known == 0).all() for known in bits.values())
