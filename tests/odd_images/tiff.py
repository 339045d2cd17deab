"""TIFFs, written by hand, since Pillow writes few of their depths."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageCms

from tests.odd_images.common import (
    Odd,
    alpha_samples,
    colour_samples,
    encoded,
    grey_samples,
    over_white,
    picture,
    rgb_of,
    triple,
)

SHORT, LONG, UNDEFINED = 3, 4, 7


def tiff(
    samples: npt.NDArray[Any],
    depth: int,
    photometric: int,
    *,
    order: str = "<",
    extra: tuple[int, ...] = (),
    sample_format: int = 1,
    tags: tuple[tuple[int, int, bytes], ...] = (),
) -> bytes:
    """Return an unpacked TIFF of one strip; ``tags`` are further (number, type, value)."""
    height, width, channels = samples.shape
    if depth >= 8:
        types = {1: "u", 2: "i", 3: "f"}
        data = samples.astype(f"{order}{types[sample_format]}{depth // 8}").tobytes()
    else:
        flat = samples.reshape(height, -1)
        bits = (flat[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1
        data = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1).tobytes()

    def short(*values: int) -> tuple[int, bytes]:
        return SHORT, struct.pack(f"{order}{len(values)}H", *values)

    def long(value: int) -> tuple[int, bytes]:
        return LONG, struct.pack(f"{order}I", value)

    entries = {
        256: long(width), 257: long(height), 258: short(*[depth] * channels), 259: short(1),
        262: short(photometric), 273: long(8), 277: short(channels), 278: long(height),
        279: long(len(data)), 339: short(*[sample_format] * channels),
    }  # fmt: skip
    if extra:
        entries[338] = short(*extra)
    entries |= {number: (kind, value) for number, kind, value in tags}
    at = 8 + len(data) + len(data) % 2
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at)
    listed = struct.pack(order + "H", len(entries))
    behind = b""
    first = at + 2 + 12 * len(entries) + 4
    for number, (kind, value) in sorted(entries.items()):
        size = {SHORT: 2, LONG: 4}.get(kind, 1)
        place = value.ljust(4, b"\0")
        if len(value) > 4:
            place = struct.pack(order + "I", first + len(behind))
            behind += value + b"\0" * (len(value) % 2)
        listed += struct.pack(order + "HHI", number, kind, len(value) // size) + place
    return head + data + b"\0" * (len(data) % 2) + listed + bytes(4) + behind


def tiff_depths() -> Iterator[Odd]:
    """TIFFs of all depths and colours, in both byte orders, black or white as zero."""
    grey, colours, alpha = grey_samples(), colour_samples(), alpha_samples()
    for order in "<>":
        end = "le" if order == "<" else "be"
        for depth in (1, 2, 4, 8, 16):
            most = 2**depth - 1
            samples = (grey * most) // 255
            shown = triple((samples * 255) // most)
            made = tiff(samples[:, :, None], depth, 1, order=order)
            yield Odd(f"grey{depth}-{end}.tif", made, shown, opencv=depth in {1, 8, 16})
            made = tiff((most - samples)[:, :, None], depth, 0, order=order)
            says = "white is zero" if depth == 16 and end == "be" else ""
            yield Odd(f"white{depth}-{end}.tif", made, shown, says=says)
        for depth in (8, 16):
            wide = 257 if depth == 16 else 1
            made = tiff(colours * wide, depth, 2, order=order)
            yield Odd(f"rgb{depth}-{end}.tif", made, colours.astype(np.uint8), opencv=True)
            made = tiff(np.dstack([colours, alpha]) * wide, depth, 2, order=order, extra=(2,))
            yield Odd(f"rgba{depth}-{end}.tif", made, over_white(colours, alpha), 0.6)
            inks = np.dstack([255 - colours, np.zeros_like(grey)]) * wide
            made = tiff(inks, depth, 5, order=order)
            if depth == 8 or end == "le":
                yield Odd(f"cmyk{depth}-{end}.tif", made, colours.astype(np.uint8), 1)
        made = tiff(np.dstack([grey, alpha]), 8, 1, order=order, extra=(2,))
        yield Odd(f"la8-{end}.tif", made, over_white(triple(grey), alpha), 0.6)
        made = tiff((grey * 257)[:, :, None], 32, 1, order=order, sample_format=2)
        yield Odd(f"int32-{end}.tif", made, triple(grey))
        made = tiff(grey[:, :, None], 32, 1, order=order, sample_format=2)
        yield Odd(f"int32-small-{end}.tif", made, triple(grey))
        made = tiff((grey * 65536)[:, :, None], 32, 1, order=order, sample_format=2)
        yield Odd(f"int32-large-{end}.tif", made, None, says="no agreed brightness range")
        made = tiff((grey - 128)[:, :, None], 16, 1, order=order, sample_format=2)
        yield Odd(f"int16-signed-{end}.tif", made, None, says="no agreed brightness range")
        made = tiff((grey / 255)[:, :, None], 32, 1, order=order, sample_format=3)
        yield Odd(f"float-{end}.tif", made, None, says="no agreed brightness range")
    image = picture()
    for packing in ("tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits"):
        made = encoded(image, "TIFF", compression=packing)
        yield Odd(f"{packing}.tif", made, rgb_of(image), opencv=True)
    made = encoded(image, "TIFF", compression="jpeg", quality=95)
    yield Odd("jpeg.tif", made, rgb_of(image), 8)
    made = encoded(image, "TIFF", big_tiff=True)
    yield Odd("big.tif", made, rgb_of(image))
    lab = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    yield Odd("lab.tif", encoded(lab, "TIFF"), rgb_of(image), 1.5)
