"""A file that Pillow refuses, written again without what does not matter for its pixels.

Metadata never decides whether pixels can be read. Where Pillow refuses a file, its container is
taken apart here, and put together again from the parts that hold pixels: what is said about the
picture is kept only where it is whole. Whether pixels are missing is found out as well, so that a
file that lost some is refused and told from one that lost none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from PIL import Image

from facecheck.core.image.repair import boxes, jpeg, padding, png, tiff, webp


@dataclass(frozen=True)
class Repaired:
    """A file put together again.

    Attributes:
        content: the new file.
        note: what was wrong, such as ``no end marker``.
        lost: returns why a picture decoded from ``content`` is not whole, or an empty text.
        white_is_zero: whether samples are to be inverted, which ``content`` no longer says.
    """

    content: bytes
    note: str
    lost: Callable[[Callable[[bytes], Image.Image]], str] = lambda _: ""
    white_is_zero: bool = False


def repaired(reader: str, content: bytes) -> Iterator[Repaired]:
    """Yield ways to put a file together again, the ones that keep more metadata first.

    Args:
        reader: Pillow's name of the format.
        content: the whole file.

    Raises:
        ImageError: pixels are missing for certain, or the file is of a kind that is not read.
    """
    match reader:
        case "PNG":
            for keep in (True, False):
                yield Repaired(*png.rewritten(content, keep_metadata=keep))
        case "JPEG":
            for keep in (True, False):
                whole, note = jpeg.rewritten(content, keep_metadata=keep)
                yield Repaired(whole, note, partial(jpeg.lost, whole))
        case "WEBP":
            for keep in (True, False):
                yield Repaired(*webp.rewritten(content, keep_metadata=keep))
        case "TIFF":
            yield Repaired(*tiff.rewritten(content))
            inverted = tiff.inverted(content)
            if inverted:
                yield Repaired(*inverted, white_is_zero=True)
        case "BMP":
            yield Repaired(*padding.rewritten(content))
        case "AVIF" | "HEIF" | "JXL":
            boxes.require_whole(content)
