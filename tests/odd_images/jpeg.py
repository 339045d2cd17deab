"""JPEGs that are damaged: some lose pixels by it, most do not."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

from PIL import Image

from tests.odd_images.common import Odd, encoded, exif_of, picture, rgb_of


def jpeg_damages() -> Iterator[Odd]:
    image = picture()
    ways: dict[str, dict[str, Any]] = {
        "": {"subsampling": 0}, "-420": {"subsampling": 2}, "-progressive": {"progressive": True},
        "-restart": {"restart_marker_rows": 1},
    }  # fmt: skip
    for kind, options in ways.items():
        whole = encoded(image, "JPEG", quality=95, **options)
        wanted = rgb_of(Image.open(io.BytesIO(whole)))
        yield Odd(f"no-eoi{kind}.jpg", whole[:-2], wanted, says="no end marker")
        yield Odd(f"half-eoi{kind}.jpg", whole[:-1], wanted, says="no end marker")
        yield Odd(f"zeros-for-eoi{kind}.jpg", whole[:-2] + bytes(500), wanted, says="no end marker")
        yield Odd(f"garbage-for-eoi{kind}.jpg", whole[:-2] + b"garbage!", wanted, says="no end")
        yield Odd(f"garbage-behind{kind}.jpg", whole + b"garbage" * 99, wanted)
        yield Odd(f"zeros-behind{kind}.jpg", whole + bytes(999), wanted)
        yield Odd(f"second-behind{kind}.jpg", whole + whole, wanted)
        for share in (0.4, 0.6, 0.8, 0.95):
            cut = whole[: int(len(whole) * share)]
            yield Odd(f"cut{share}{kind}.jpg", cut, None, says="truncated")
            yield Odd(
                f"cut{share}-zeros{kind}.jpg", cut.ljust(len(whole), b"\0"), None, says="trunc"
            )
        for share in (0.6, 0.8):
            if kind != "-progressive":
                ended = whole[: int(len(whole) * share)] + b"\xff\xd9"
                yield Odd(f"ended{share}{kind}.jpg", ended, None, says="truncated")
    yield from _that_end_in_255(image)
    whole = encoded(image, "JPEG", quality=95, subsampling=0)
    wanted = rgb_of(Image.open(io.BytesIO(whole)))

    def with_segment(marker: int, content: bytes, length: int | None = None) -> bytes:
        size = len(content) + 2 if length is None else length
        return whole[:2] + bytes((0xFF, marker)) + struct.pack(">H", size) + content + whole[2:]

    held = {
        "app14-short": with_segment(0xEE, b"Adobe"),
        "app14-cut": with_segment(0xEE, b"Adobe\0d\0\0"),
        "jfif-short": with_segment(0xE0, b"JFIF\0"),
        "jfif-cut": with_segment(0xE0, b"JFIF\0\1"),
        "app0-empty": with_segment(0xE0, b""),
        "exif-empty": with_segment(0xE1, b"Exif\0\0"),
        "exif-garbage": with_segment(0xE1, b"Exif\0\0garbage garbage"),
        "exif-cut": with_segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff"),
        "exif-type": with_segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\x02\0\0\0\1a\0\0\0"),
        "xmp-garbage": with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta"),
        "icc-short": with_segment(0xE2, b"ICC_PROFILE\0"),
        "icc-one-of-two": with_segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(200)),
        "icc-zero": with_segment(0xE2, b"ICC_PROFILE\0\0\0" + bytes(200)),
        "mpf-garbage": with_segment(0xE2, b"MPF\0garbage"),
        "mpf-empty": with_segment(0xE2, b"MPF\0"),
        "mpf-cut": with_segment(0xE2, b"MPF\0MM\0*\0\0\0\x08\0\3\xb0\0\0\7\0\0\0\x04"),
        "photoshop-cut": with_segment(0xED, b"Photoshop 3.0\0008BIM\4\4\0\0\0\0\xff\xff"),
        "photoshop-resolution": with_segment(0xED, b"Photoshop 3.0\0008BIM\3\xed\0\0\0\0\0\2ab"),
        "comment-empty": with_segment(0xFE, b""),
        "length-0": with_segment(0xE5, b"", 0),
        "length-1": with_segment(0xE5, b"", 1),
        "bytes-between": whole[:2] + b"stray bytes" + whole[2:],
        "fill-bytes": whole[:2] + b"\xff" * 40 + whole[2:],
        "app-many": whole[:2] + (b"\xff\xe7\0\x06abcd" * 500) + whole[2:],
    }
    for name, made in held.items():
        yield Odd(f"{name}.jpg", made, wanted, says="?")
    turned = encoded(
        image.transpose(Image.Transpose.ROTATE_90),
        "JPEG",
        quality=95,
        subsampling=0,
        exif=exif_of(6),
    )
    yield Odd("turned-no-eoi.jpg", turned[:-2], rgb_of(image), 3, says="no end marker")
    made = turned[:2] + b"\xff\xee\0\x07Adobe" + turned[2:]
    yield Odd("turned-app14-short.jpg", made, rgb_of(image), 3, says="?")
    yield Odd("only-start.jpg", whole[:3], None, says="truncated")
    yield Odd("only-head.jpg", whole[:300], None, says="truncated")
    frame = whole.index(b"\xff\xc0")
    lossless = whole[: frame + 1] + b"\xc3" + whole[frame + 2 :]
    yield Odd("lossless.jpg", lossless, None, says="lossless")
    deep = whole[: frame + 4] + b"\x0c" + whole[frame + 5 :]
    yield Odd("deep.jpg", deep, None, says="more than 8 bits")
    yield Odd("behind-bytes.jpg", b"\n\n" + whole, None, says="behind 2 other bytes")


def _that_end_in_255(image: Image.Image) -> Iterator[Odd]:
    """Yield JPEGs without an end whose packed pixels end in 255 and the zero that goes with it."""
    ways = (encoded(image, "JPEG", quality=each, progressive=True) for each in range(50, 101))
    whole = next(each for each in ways if each.endswith(b"\xff\0\xff\xd9"))
    wanted = rgb_of(Image.open(io.BytesIO(whole)))
    for name, behind in {"no": b"", "half": b"\xff", "zeros-for": bytes(500)}.items():
        yield Odd(f"{name}-eoi-255.jpg", whole[:-2] + behind, wanted, says="no end marker")
