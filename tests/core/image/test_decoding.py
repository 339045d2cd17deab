from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facecheck.core.errors import ImageError
from facecheck.core.image import decode, frames, picture_hash, pixel_hash
from tests.conftest import png_header
from tests.odd_images import odd_images
from tests.odd_images.common import Odd, encoded, exif_of, picture, rgb_of
from tests.odd_images.png import chunk
from tests.scanner.test_faults import mutated

ODD = odd_images()


@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("odd", ODD, ids=[odd.name for odd in ODD])
def test_an_odd_file_gives_its_pixels_or_its_reason(odd: Odd) -> None:
    if odd.pixels is None:
        with pytest.raises(ImageError) as caught:
            decode(odd.content)
        assert odd.says == "?" or odd.says in str(caught.value)
        assert "\n" not in str(caught.value)
        return
    decoded = decode(odd.content)
    pixels = np.asarray(decoded.image)
    assert pixels.shape == odd.pixels.shape
    assert (decoded.height, decoded.width) == pixels.shape[:2]
    assert np.abs(pixels.astype(int) - odd.pixels).mean() <= odd.tolerance
    said = "; ".join(decoded.notes)
    if odd.says != "?":
        assert odd.says in said
        assert bool(odd.says) == bool(said)


def test_opencv_reads_the_same_pixels() -> None:
    cv2 = pytest.importorskip("cv2")
    checked = [odd for odd in ODD if odd.opencv]
    assert len(checked) > 30
    for odd in checked:
        theirs = cv2.imdecode(np.frombuffer(odd.content, np.uint8), cv2.IMREAD_COLOR)
        assert theirs is not None, odd.name
        ours = np.asarray(decode(odd.content).image).astype(int)
        assert np.abs(theirs[:, :, ::-1] - ours).max() <= 1, odd.name


def test_damage_is_read_at_a_reduced_scale_too(tmp_path: Path) -> None:
    large = picture().resize((1152, 896))
    for options in ({}, {"progressive": True}):
        whole = encoded(large, "JPEG", quality=90, **options)
        decoded = decode(whole[:-2], short_side=56)
        assert decoded.image.size == (144, 112)
        assert (decoded.width, decoded.height) == (1152, 896)
        assert decoded.notes == ("repaired: no end marker",)
        (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) * 3 // 4])
        with pytest.raises(ImageError, match="truncated"):
            decode(tmp_path / "cut.jpg", short_side=56)


def test_missing_rows_are_counted() -> None:
    whole = encoded(picture().resize((720, 560)), "JPEG", quality=90)
    with pytest.raises(ImageError, match=r"truncated: (\d+) of 560 rows are missing") as caught:
        decode(whole[: len(whole) * 3 // 4])
    assert 30 < int(str(caught.value).split()[1]) < 300
    noise = np.random.default_rng(0).integers(0, 256, (100, 80, 3), np.uint8)
    png = encoded(Image.fromarray(noise), "PNG", compress_level=1)
    with pytest.raises(ImageError, match=r"truncated: (\d+) of 100 rows are missing") as caught:
        decode(png[: len(png) // 2])
    assert 45 <= int(str(caught.value).split()[1]) <= 55


def test_a_picture_with_a_bottom_of_one_colour_is_whole() -> None:
    image = picture()
    image.paste("white", (0, 30, *image.size))
    for options in ({}, {"progressive": True}, {"restart_marker_rows": 1}):
        whole = encoded(image, "JPEG", quality=90, **options)
        assert decode(whole).notes == ()
        assert decode(whole[:-2]).notes == ("repaired: no end marker",)


def test_a_jpeg_of_200_megapixels_is_decoded_at_a_reduced_scale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    huge = encoded(Image.new("L", (16_320, 12_240), 99), "JPEG", quality=50)
    decoded = decode(huge, short_side=128)
    assert (decoded.width, decoded.height) == (16_320, 12_240)
    assert decoded.image.size == (2040, 1530)
    # What is too large in full is decoded at the finest scale that there is memory for.
    whole = encoded(picture().resize((1152, 896)), "JPEG")
    monkeypatch.setattr("facecheck.core.image.decoding.MAX_BYTES", 1152 * 896)
    decoded = decode(whole)
    assert decoded.image.size == (576, 448)
    assert decoded.width == 1152


def test_the_limit_is_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = png_header(13_376, 13_376)
    header = deep[16:24] + bytes((16, 6, 0, 0, 0))
    deep = deep[:8] + chunk(b"IHDR", header) + deep[33:]
    with pytest.raises(ImageError, match=r"too large: decoding 13,376 x 13,376 .* over 1,074 MB"):
        decode(deep)
    image = picture()
    clear = image.copy()
    clear.putalpha(99)
    pixels = image.width * image.height
    for made, kind, cost, options in (
        (image, "PNG", 4, {}), (image.convert("L"), "PNG", 5, {}), (clear, "PNG", 9, {}),
        (image, "PNG", 8, {"exif": exif_of(6)}), (image, "WEBP", 12, {}), (image, "TIFF", 7, {}),
    ):  # fmt: skip
        content = encoded(made, kind, **options)
        monkeypatch.setattr("facecheck.core.image.decoding.MAX_BYTES", cost * pixels)
        decode(content)
        monkeypatch.setattr("facecheck.core.image.decoding.MAX_BYTES", cost * pixels - 1)
        with pytest.raises(ImageError, match="too large"):
            decode(content)


def test_faults_of_our_own_are_not_called_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*_: object, **__: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr("facecheck.core.image.decoding.to_rgb", faulty)
    with pytest.raises(KeyError, match="of ours"):
        decode(encoded(picture(), "PNG"))


def test_what_a_library_does_not_change_in_the_process() -> None:
    before = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    decode(encoded(picture(), "PNG"))
    assert (list(warnings.filters), Image.MAX_IMAGE_PIXELS) == before


def test_native_messages_do_not_reach_the_terminal() -> None:
    code = (
        "import io, numpy as np, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "from facecheck.core.errors import ImageError\n"
        "from facecheck.core.image import decode\n"
        "from tests.odd_images.common import encoded, picture\n"
        "chance, read = np.random.default_rng(0), 0\n"
        "for packing in ('tiff_lzw', 'tiff_deflate', 'jpeg', 'packbits'):\n"
        "    whole = encoded(picture(), 'TIFF', compression=packing)\n"
        "    for _ in range(60):\n"
        "        mutated = bytearray(whole)\n"
        "        for place in chance.integers(8, len(whole), 6):\n"
        "            mutated[place] = chance.integers(0, 256)\n"
        "        try:\n"
        "            decode(bytes(mutated)); read += 1\n"
        "        except ImageError:\n"
        "            pass\n"
        "print(read)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert 0 < int(done.stdout) < 240
    assert done.stderr == ""


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP", "AVIF"])
def test_each_frame_can_be_had(kind: str) -> None:
    several = [picture(seed) for seed in range(4)]
    lossless: dict[str, dict[str, Any]] = {
        "WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }  # fmt: skip
    made = encoded(
        several[0], kind, save_all=True, append_images=several[1:], **lossless.get(kind, {})
    )
    found = list(frames(made))
    assert [frame.notes for frame in found] == [(f"frame {n} of 4",) for n in (1, 2, 3, 4)]
    for number, (frame, image) in enumerate(zip(found, several, strict=True)):
        assert np.abs(np.asarray(frame.image).astype(int) - rgb_of(image)).mean() < 6
        assert pixel_hash(decode(made, frame=number).image) == pixel_hash(frame.image)
    assert len({pixel_hash(frame.image) for frame in found}) == 4
    with pytest.raises(ImageError, match="there is no frame 5: the file has 4"):
        decode(made, frame=4)


def test_a_second_picture_of_a_jpeg_is_a_frame_only_if_it_says_so() -> None:
    # Pillow writes pictures of one scene; phones write previews, depths and gain maps.
    stereo = encoded(picture(), "MPO", save_all=True, append_images=[picture(1)])
    assert decode(stereo).frames == 1


def identity(content: bytes) -> str:
    further = frames(content)
    return picture_hash(next(further), further, content)


def test_the_hash_of_a_picture_covers_alpha_and_frames() -> None:
    image = picture()
    plain = identity(encoded(image, "PNG"))
    assert plain == pixel_hash(image)
    opaque = image.copy()
    opaque.putalpha(255)
    assert identity(encoded(opaque, "PNG")) == plain
    inks = []
    for left in (5, 25, 45):
        ink = Image.new("RGBA", image.size, (255, 255, 255, 0))
        ink.paste("white", (left, 5, left + 10, 40))
        inks.append(identity(encoded(ink, "PNG")))
        assert identity(encoded(ink, "WEBP", lossless=True)) == inks[-1]
    assert len(set(inks)) == 3
    assert len({ink.partition("-")[2] for ink in inks}) == 1
    for kind in ("GIF", "PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        animations = [
            encoded(image, kind, save_all=True, append_images=[picture(seed)], **options)
            for seed in (1, 2, 1)
        ]
        one, two, again = map(identity, animations)
        assert one == again != two
        assert plain not in {one, two}


def test_frames_too_many_or_damaged_are_told_apart_by_their_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    several = [picture(seed) for seed in range(5)]
    whole = encoded(several[0], "TIFF", save_all=True, append_images=several[1:])
    same = whole + b"\0"
    assert identity(whole) == identity(same)
    monkeypatch.setattr("facecheck.core.image.hashes.MOST_FRAMES", 4)
    assert identity(whole) != identity(same)


def test_a_stream_is_decoded_as_a_file_is(tmp_path: Path) -> None:
    for odd in ODD[::7]:
        if odd.pixels is not None and "damages" not in odd.name:
            (tmp_path / "a").write_bytes(odd.content)
            image = decode(tmp_path / "a").image
            assert pixel_hash(image) == pixel_hash(decode(odd.content).image)


def test_heic_and_jpeg_xl_are_recognised_by_any_brand(monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    pillow_heif.from_pillow(picture()).save(stream, quality=95)
    whole = stream.getvalue()
    brands = (
        b"heic",
        b"heix",
        b"heim",
        b"heis",
        b"hevc",
        b"hevx",
        b"hevm",
        b"hevs",
        b"mif1",
        b"msf1",
    )
    for brand in brands:
        decoded = decode(whole[:8] + brand + whole[12:])
        assert np.abs(np.asarray(decoded.image).astype(int) - rgb_of(picture())).mean() < 8
    for share in (0.3, 0.9):
        with pytest.raises(ImageError, match=r"truncated: [\d,]+ of [\d,]+ bytes are missing"):
            decode(whole[: int(len(whole) * share)])
    monkeypatch.delitem(Image.OPEN, "HEIF")
    for brand in brands:
        with pytest.raises(ImageError, match=r"HEIC needs the extra heif: .*facecheck\[heif\]"):
            decode(whole[:8] + brand + whole[12:])


def test_jpeg_xl_is_read_where_the_extra_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pillow_jxl")
    bare = encoded(picture(), "JXL", lossless=True)
    assert np.array_equal(np.asarray(decode(bare).image), rgb_of(picture()))
    with pytest.raises(ImageError, match="damaged|truncated"):
        decode(bare[: len(bare) // 2])
    monkeypatch.delitem(Image.OPEN, "JXL")
    for start in (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"):
        with pytest.raises(ImageError, match=r"JPEG XL needs the extra jxl: .*facecheck\[jxl\]"):
            decode(start + bytes(40))


@pytest.mark.filterwarnings("ignore:::PIL")
def test_mutations_of_odd_files_are_read_or_refused() -> None:
    """FUZZ=20000 makes more of them."""
    chance = random.Random(3)
    contents = [odd.content for odd in ODD if 100 < len(odd.content) < 100_000]
    read = refused = 0
    for _ in range(int(os.environ.get("FUZZ", "600"))):
        content, other = chance.sample(contents, 2)
        changed = mutated(content, other, chance)
        try:
            further = frames(changed, short_side=chance.choice([None, 20]))
            first = next(further)
            picture_hash(first, further, changed)
            read += 1
            assert first.image.mode == "RGB"
            assert first.alpha is None or first.alpha.size == first.image.size
        except ImageError as error:
            assert "\n" not in str(error)
            if changed.startswith((b"\xff\xd8", b"\x89PNG")):
                assert "not an image" not in str(error)
            refused += 1
    assert min(read, refused) > 50


def test_no_reader_is_loaded_that_reads_nothing_here() -> None:
    code = (
        "import sys; from facecheck.core.image import decode\n"
        "from facecheck.core.image import FORMATS; from PIL import Image\n"
        "decode(b'P6 1 1 255\\n\\0\\0\\0')\n"
        "print({*FORMATS} - {*Image.OPEN}, 'PIL.EpsImagePlugin' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set() False\n"
