"""PNGs, written by hand, since Pillow writes few of their depths."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.odd_images.common import (
    HEIGHT,
    WIDTH,
    Odd,
    alpha_samples,
    colour_samples,
    encoded,
    exif_of,
    grey_samples,
    over_white,
    picture,
    rgb_of,
    triple,
)


def chunk(name: bytes, content: bytes = b"", *, spoil: int = 0) -> bytes:
    check = zlib.crc32(name + content) ^ spoil
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def packed_rows(samples: npt.NDArray[Any], depth: int) -> bytes:
    """Return PNG rows without filters; ``samples`` are of shape (h, w, channels)."""
    height = samples.shape[0]
    flat = samples.reshape(height, -1)
    if depth == 16:
        rows = flat.astype(">u2").view(np.uint8).reshape(height, -1)
    elif depth == 8:
        rows = flat.astype(np.uint8)
    else:
        bits = (flat[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    return b"".join(b"\0" + row.tobytes() for row in rows)


def png(
    samples: npt.NDArray[Any],
    depth: int,
    colour: int,
    *,
    before: bytes = b"",
    after: bytes = b"",
    idat: bytes | None = None,
    interlace: bool = False,
) -> bytes:
    """Return a PNG of samples, shape (h, w, channels), with further chunks around the pixels."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    if interlace:
        steps = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
        passes = [samples[y::dy, x::dx] for x, y, dx, dy in (*steps, (0, 1, 1, 2))]
        rows = b"".join(packed_rows(part, depth) for part in passes if part.size)
    else:
        rows = packed_rows(samples, depth)
    data = chunk(b"IDAT", zlib.compress(rows)) if idat is None else idat
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + before + data + after + chunk(b"IEND")


def png_depths() -> Iterator[Odd]:
    """PNGs of all colour types and depths, with and without a colour that is clear."""
    grey, colours, alpha = grey_samples(), colour_samples(), alpha_samples()
    for interlace in (False, True):
        way = "-interlaced" if interlace else ""
        for depth in (1, 2, 4, 8, 16):
            most = 2**depth - 1
            samples = (grey * most) // 255
            shown = (samples * 255) // most
            made = png(samples[:, :, None], depth, 0, interlace=interlace)
            yield Odd(f"grey{depth}{way}.png", made, triple(shown), opencv=True)
            clear = int(samples[30, 30])
            trns = chunk(b"tRNS", struct.pack(">H", clear))
            made = png(samples[:, :, None], depth, 0, before=trns, interlace=interlace)
            white = np.where(samples == clear, 255, shown)
            yield Odd(f"grey{depth}-clear{way}.png", made, triple(white))
        for depth in (8, 16):
            wide = 257 if depth == 16 else 1
            made = png(colours * wide, depth, 2, interlace=interlace)
            yield Odd(f"rgb{depth}{way}.png", made, colours.astype(np.uint8), opencv=True)
            clear = colours[30, 30]
            trns = chunk(b"tRNS", struct.pack(">HHH", *(clear * wide).tolist()))
            made = png(colours * wide, depth, 2, before=trns, interlace=interlace)
            white = np.where((colours == clear).all(axis=2)[:, :, None], 255, colours)
            yield Odd(f"rgb{depth}-clear{way}.png", made, white.astype(np.uint8))
            both = np.dstack([colours, alpha]) * wide
            made = png(both, depth, 6, interlace=interlace)
            yield Odd(f"rgba{depth}{way}.png", made, over_white(colours, alpha), 0.6)
            made = png(np.dstack([grey, alpha]) * wide, depth, 4, interlace=interlace)
            yield Odd(f"la{depth}{way}.png", made, over_white(triple(grey), alpha), 0.6)
        for depth in (1, 2, 4, 8):
            yield from _palette(depth, way, interlace)
    # A neighbour of the clear colour in the low byte alone is not clear.
    near = np.tile(np.array([[0x1234, 0x1235]]), (HEIGHT, WIDTH // 2))
    trns = chunk(b"tRNS", struct.pack(">H", 0x1234))
    made = png(near[:, :, None], 16, 0, before=trns)
    yield Odd("grey16-clear-low.png", made, triple(np.where(near == 0x1234, 255, 0x12)))
    trns = chunk(b"tRNS", struct.pack(">HHH", *[0x1234] * 3))
    made = png(np.repeat(near[:, :, None], 3, axis=2), 16, 2, before=trns)
    yield Odd("rgb16-clear-low.png", made, triple(np.where(near == 0x1234, 255, 0x12)))


def _palette(depth: int, way: str, interlace: bool) -> Iterator[Odd]:
    count = min(2**depth, 200)
    palette = np.random.default_rng(depth).integers(0, 256, (count, 3))
    samples = (grey_samples() * (count - 1)) // 255
    plte = chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    made = png(samples[:, :, None], depth, 3, before=plte, interlace=interlace)
    yield Odd(f"palette{depth}{way}.png", made, palette[samples].astype(np.uint8), opencv=True)
    alpha = np.linspace(0, 255, count).astype(np.uint8)
    trns = chunk(b"tRNS", alpha.tobytes())
    made = png(samples[:, :, None], depth, 3, before=plte + trns, interlace=interlace)
    white = over_white(palette[samples], alpha[samples])
    yield Odd(f"palette{depth}-clear{way}.png", made, white, 0.6)


def png_damages() -> Iterator[Odd]:
    image = picture()
    wanted, colours = rgb_of(image), colour_samples()
    bomb = zlib.compress(b"workflow" * 400_000)
    large = bytes(2 << 20)
    held = {
        "ztxt-bomb": chunk(b"zTXt", b"workflow\0\0" + bomb),
        "itxt-bomb": chunk(b"iTXt", b"workflow\0\1\0\0\0" + bomb),
        "iccp-bomb": chunk(b"iCCP", b"icc\0\0" + zlib.compress(large)),
        "iccp-garbage": chunk(b"iCCP", b"icc\0\0garbage"),
        "iccp-method": chunk(b"iCCP", b"icc\0\7garbage"),
        "iccp-empty": chunk(b"iCCP"),
        "iccp-no-name": chunk(b"iCCP", b"icc"),
        "texts": b"".join(
            chunk(b"zTXt", b"a%d\0\0" % i + zlib.compress(b"x" * 1_000_000)) for i in range(80)
        ),
        "text-no-value": chunk(b"tEXt", b"alone"),
        "text-bad-crc": chunk(b"tEXt", b"a\0b", spoil=255),
        "itxt-cut": chunk(b"iTXt", b"key\0\1"),
        "ztxt-garbage": chunk(b"zTXt", b"key\0\0garbage"),
        "ztxt-method": chunk(b"zTXt", b"key\0\7garbage"),
        "gama-bad-crc": chunk(b"gAMA", struct.pack(">I", 45455), spoil=1),
        "gama-short": chunk(b"gAMA", b"\0"),
        "chrm-short": chunk(b"cHRM", b"\0\1\2"),
        "chrm-bad-crc": chunk(b"cHRM", bytes(32), spoil=7),
        "srgb-empty": chunk(b"sRGB"),
        "srgb-bad-crc": chunk(b"sRGB", b"\0", spoil=3),
        "phys-short": chunk(b"pHYs", b"\0\0"),
        "phys-bad-crc": chunk(b"pHYs", bytes(9), spoil=9),
        "time-short": chunk(b"tIME", b"\7"),
        "exif-garbage": chunk(b"eXIf", b"\0\x08\0\2\1\x12\0\3"),
        "exif-empty": chunk(b"eXIf"),
        "exif-cut": chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff"),
        "exif-loop": chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\0\0\0\0\x08"),
        "exif-bad-crc": chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0", spoil=2),
        "bkgd-short": chunk(b"bKGD", b"\0"),
        "unknown": chunk(b"prVt", b"whatever"),
        "unknown-bad-crc": chunk(b"prVt", b"whatever", spoil=5),
        "actl-short": chunk(b"acTL", b"\0"),
        "actl-none": chunk(b"acTL", bytes(8)),
        "actl-many": chunk(b"acTL", struct.pack(">II", 0xFFFFFFFF, 0)),
        "text-long": struct.pack(">I", 70_000) + b"tEXta\0b" + bytes(4),
        "text-short": struct.pack(">I", 1) + b"tEXta\0bcdefghij" + bytes(4),
        "text-huge": struct.pack(">I", 0xFFFFFFF0) + b"tEXta\0b" + bytes(4),
    }  # fmt: skip
    for name, before in held.items():
        yield Odd(f"{name}.png", png(colours, 8, 2, before=before), wanted, says="?")
        if name not in {"text-huge", "text-long", "text-short"}:
            made = png(colours, 8, 2, after=before)
            yield Odd(f"{name}-behind.png", made, wanted, says="?")
    rows = zlib.compress(packed_rows(colours, 8))
    spoilt = chunk(b"IDAT", rows, spoil=1)
    yield Odd("idat-bad-crc.png", png(colours, 8, 2, idat=spoilt), wanted, says="?")
    parts = [rows[at : at + 500] for at in range(0, len(rows), 500)]
    mixed = b"".join(chunk(b"IDAT", part, spoil=at == 1) for at, part in enumerate(parts))
    yield Odd("idat-one-bad-crc.png", png(colours, 8, 2, idat=mixed), wanted, says="?")
    empty = chunk(b"IDAT") + chunk(b"IDAT", rows) + chunk(b"IDAT")
    yield Odd("idat-empty.png", png(colours, 8, 2, idat=empty), wanted, says="?")
    whole = png(colours, 8, 2)
    yield Odd("no-iend.png", whole[:-12], wanted, says="?")
    yield Odd("iend-cut.png", whole[:-5], wanted, says="?")
    yield Odd("iend-bad-crc.png", whole[:-1] + b"\0", wanted, says="?")
    yield Odd("idat-no-crc.png", whole[:-16], wanted, says="?")
    yield Odd("idat-no-adler.png", whole[:-20], wanted, says="?")
    yield Odd("garbage-behind.png", whole + b"garbage" * 100, wanted)
    header_spoilt = whole[:29] + bytes([whole[29] ^ 1]) + whole[30:]
    yield Odd("ihdr-bad-crc.png", header_spoilt, wanted, says="repaired")
    turned = encoded(image.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif_of(6))
    bad_text = turned[:33] + chunk(b"tEXt", b"a\0b", spoil=1) + turned[33:]
    yield Odd("turned-with-bad-text.png", bad_text, wanted, says="repaired")
    # Lost pixels.
    for share in (0.2, 0.5, 0.9):
        cut = whole[: int(len(whole) * share)]
        yield Odd(f"cut{share}.png", cut, None, says="truncated")
        made = png(colours, 8, 2, interlace=True)
        cut = made[: int(len(made) * share)]
        yield Odd(f"cut{share}-interlaced.png", cut, None, says="truncated")
        short = chunk(b"IDAT", rows[: int(len(rows) * share)])
        yield Odd(f"short{share}.png", png(colours, 8, 2, idat=short), None, says="truncated")
    hurt = bytearray(rows)
    hurt[len(hurt) // 2] ^= 0xFF
    broken = chunk(b"IDAT", bytes(hurt), spoil=1)
    yield Odd("idat-broken.png", png(colours, 8, 2, idat=broken), None, says="damaged")
    yield Odd("no-idat.png", png(colours, 8, 2, idat=b""), None, says="truncated")
    yield Odd("signature.png", whole[:8], None, says="damaged")
    yield Odd("as-text.png", whole.replace(b"\r\n", b"\n"), None, says="text")
