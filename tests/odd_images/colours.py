"""Pictures with colour profiles, wide ones and some that are none."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from tests.odd_images.common import Odd, Pixels, alpha_samples, encoded, over_white, picture, rgb_of
from tests.odd_images.png import chunk, png


def matrix_profile(primaries: npt.NDArray[Any], gamma: float, *, space: bytes = b"RGB ") -> bytes:
    """Return an ICC profile (version 2) of a gamma, and of primaries as columns of XYZ at D50."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(values: npt.NDArray[Any]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(fixed(float(value)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    white = np.array([0.9642, 1.0, 0.8249])
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(79)
    tags = {b"desc": text, b"wtpt": xyz(white), b"cprt": b"text\0\0\0\0none\0\0\0\0"}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        for name, column in zip((b"r", b"g", b"b"), primaries.T, strict=True):
            tags[name + b"XYZ"], tags[name + b"TRC"] = xyz(column), curve
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)  # noqa: PLW2901
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value
    head = bytearray(128)
    head[0:4] = struct.pack(">I", start + len(body))
    head[8:12], head[12:16], head[16:20] = b"\x02\x40\0\0", b"mntr", space
    head[20:24], head[36:40] = b"XYZ ", b"acsp"
    head[68:80] = b"".join(fixed(float(value)) for value in white)
    return bytes(head) + table + body


#: Columns are red, green and blue, adapted to D50 (Bradford); and the gamma.
SPACES = {
    "p3": (np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666],
                     [-0.0011, 0.0419, 0.7841]]), 2.2),
    "adobe": (np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632],
                        [0.0195, 0.0609, 0.7446]]), 2.2),
    "prophoto": (np.array([[0.7977, 0.1352, 0.0313], [0.2880, 0.7119, 0.0001],
                           [0.0, 0.0, 0.8249]]), 1.8),
}  # fmt: skip
_SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])


def in_space(pixels: Pixels, name: str, depth: int = 8) -> npt.NDArray[np.int64]:
    """Return the numbers in another colour space that mean the colours of sRGB pixels."""
    share = pixels / 255
    light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    primaries, gamma = SPACES[name]
    other = light @ _SRGB.T @ np.linalg.inv(primaries).T
    numbers: npt.NDArray[np.float64] = other.clip(0, 1) ** (1 / gamma) * (2**depth - 1)
    return numbers.round().astype(np.int64)


def profiles() -> Iterator[Odd]:
    """The picture in wide colour spaces with their profiles, and with profiles that are none."""
    image = picture()
    wanted = rgb_of(image)
    clear = alpha_samples()
    for name, (primaries, gamma) in SPACES.items():
        numbers = Image.fromarray(in_space(wanted, name).astype(np.uint8))
        icc = matrix_profile(primaries, gamma)
        for ending, kind, options, tolerance in (
            ("png", "PNG", {}, 2), ("tif", "TIFF", {}, 2), ("webp", "WEBP", {"lossless": True}, 2),
            ("jpg", "JPEG", {"quality": 98, "subsampling": 0}, 4),
            ("avif", "AVIF", {"quality": 98, "subsampling": "4:4:4"}, 5),
        ):  # fmt: skip
            made = encoded(numbers, kind, icc_profile=icc, **options)
            yield Odd(f"{name}.{ending}", made, wanted, tolerance)
        both = numbers.copy()
        both.putalpha(Image.fromarray(clear.astype(np.uint8)))
        made = encoded(both, "PNG", icc_profile=icc)
        yield Odd(f"{name}-clear.png", made, over_white(wanted, clear), 2.5)
        few = numbers.quantize(64)
        yield Odd(f"{name}-palette.png", encoded(few, "PNG", icc_profile=icc), wanted, 12)
        iccp = chunk(b"iCCP", b"icc\0\0" + zlib.compress(icc))
        made = png(in_space(wanted, name, 16), 16, 2, before=iccp)
        yield Odd(f"{name}16.png", made, wanted, 2)
        bad = chunk(b"tEXt", b"a\0b", spoil=1)
        made = png(in_space(wanted, name), 8, 2, before=iccp + bad)
        yield Odd(f"{name}-bad-text.png", made, wanted, 2, says="repaired")
        whole = encoded(numbers, "JPEG", icc_profile=icc, quality=98, subsampling=0)
        yield Odd(f"{name}-no-eoi.jpg", whole[:-2], wanted, 4, says="no end marker")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey = image.convert("L")
    grey_profile = matrix_profile(_SRGB, 1.8, space=b"GRAY")
    share = np.asarray(grey) / 255
    light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    numbers = Image.fromarray((light ** (1 / 1.8) * 255).round().astype(np.uint8))
    yield Odd(
        "grey-gamma.png", encoded(numbers, "PNG", icc_profile=grey_profile), rgb_of(grey), 1.5
    )
    for ending, kind, options in (("png", "PNG", {}), ("tif", "TIFF", {})):
        for name, icc, says in (
            ("srgb", srgb, ""), ("garbage", b"garbage" * 40, "ICC profile is damaged"),
            ("cut", srgb[:200], "ICC profile is damaged"),
            ("grey", grey_profile, "of other colours"),
        ):  # fmt: skip
            made = encoded(image, kind, icc_profile=icc, **options)
            yield Odd(f"profile-{name}.{ending}", made, wanted, says=says)
        made = encoded(grey, kind, icc_profile=srgb, **options)
        yield Odd(f"profile-of-colour-on-grey.{ending}", made, rgb_of(grey))
