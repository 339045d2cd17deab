from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facecheck.provenance.alpha import hidden_fields
from facecheck.provenance.read import read_provenance

NOVELAI = json.dumps(
    {"Description": "1girl", "Software": "NovelAI", "Source": "NovelAI Diffusion V4"}
)
WEBUI = "a face\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"


def hidden(text: bytes, signature: bytes, size: tuple[int, int] = (160, 200)) -> Image.Image:
    """Return a picture with a text in the lowest bits of its alpha channel, column by column."""
    rng = np.random.default_rng(0)
    width, height = size
    pixels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    content = signature + (8 * len(text)).to_bytes(4) + text
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    alpha = pixels[..., 3].T.reshape(-1).copy()
    alpha[: len(bits)] = (alpha[: len(bits)] & 0xFE) | bits
    pixels[..., 3] = alpha.reshape(width, height).T
    return Image.fromarray(pixels, "RGBA")


def saved(image: Image.Image) -> bytes:
    made = io.BytesIO()
    image.save(made, "PNG")
    return made.getvalue()


@pytest.mark.parametrize(
    ("signature", "text", "short"),
    [
        (b"stealth_pngcomp", gzip.compress(NOVELAI.encode(), mtime=0), "mark:novelai"),
        (b"stealth_pnginfo", NOVELAI.encode(), "mark:novelai"),
        (b"stealth_pnginfo", WEBUI.encode(), "mark:stable-diffusion-webui"),
        (b"stealth_pngcomp", b"\x1f\x8bnot gzip", "mark:stealth-pnginfo"),
        (b"stealth_pngcomp", gzip.compress(bytes(50_000_000), mtime=0), "mark:stealth-pnginfo"),
    ],
)
def test_a_text_in_the_alpha_channel_is_found(signature: bytes, text: bytes, short: str) -> None:
    content = saved(hidden(text, signature, (700, 620)))
    found = read_provenance(content)
    assert short in {f"mark:{each.name}" for each in found.findings}
    assert not found.errors


@pytest.mark.parametrize("filtering", range(5))
def test_each_filter_of_png_gives_the_first_column(filtering: int) -> None:
    """A PNG by hand, each of whose rows is filtered in one way."""
    pixels = np.asarray(hidden(NOVELAI.encode(), b"stealth_pnginfo")).astype(np.int16)
    height, width, _ = pixels.shape
    rows = pixels.reshape(height, width * 4)
    left = np.pad(rows, ((0, 0), (4, 0)))[:, : width * 4]
    above = np.pad(rows, ((1, 0), (0, 0)))[:height]
    corner = np.pad(left, ((1, 0), (0, 0)))[:height]
    guess = left + above - corner
    distances = [abs(guess - each) for each in (left, above, corner)]
    nearest = np.argmin(np.stack(distances), axis=0)
    paeth = np.choose(nearest, [left, above, corner])
    before = [np.zeros_like(rows), left, above, (left + above) // 2, paeth][filtering]
    filtered = ((rows - before) & 0xFF).astype(np.uint8)
    raw = b"".join(bytes([filtering]) + row.tobytes() for row in filtered)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packed = zlib.compress(raw)
    half = len(packed) // 3
    content = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
        + chunk(b"IDAT", packed[:half])
        + chunk(b"IDAT", packed[half:])
        + chunk(b"IEND", b"")
    )
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), pixels)
    assert {field.place: field.value for field in hidden_fields(io.BytesIO(content))} == {
        "alpha.signature": "stealth_pnginfo",
        "alpha.text": NOVELAI,
    }


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    marked = hidden(NOVELAI.encode(), b"stealth_pnginfo")
    whole = saved(marked)
    others = {
        "no alpha": saved(marked.convert("RGB")),
        "another text": saved(hidden(NOVELAI.encode(), b"stealth_pngnope")),
        "too low": saved(marked.resize((160, 100))),
        "cut in its first rows": whole[:400],
        "no PNG": b"GIF89a" + whole,
        "empty": b"",
        "a width of millions": whole[:16] + (2**31 - 1).to_bytes(4) + whole[20:],
    }
    for name, content in others.items():
        assert list(hidden_fields(io.BytesIO(content))) == [], name
    # The text is behind the cut, the signature before it.
    cut = list(hidden_fields(io.BytesIO(whole[: len(whole) - 2000])))
    assert [field.place for field in cut] == ["alpha.signature"]
