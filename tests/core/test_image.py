from __future__ import annotations

import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facecheck.core.errors import ImageError
from facecheck.core.image import MAX_BYTES, decode, is_image_name, pixel_hash


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def test_each_bad_file_has_its_reason_and_each_odd_one_is_read(
    bad_files: dict[str, str], tmp_path: Path
) -> None:
    for name, reason in bad_files.items():
        path = tmp_path / "bad" / name
        if reason:
            with pytest.raises(ImageError, match=reason):
                decode(path)
        else:
            assert decode(path).image.mode == "RGB", name


def test_a_missing_file_and_a_folder_have_reasons(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="not there"):
        decode(tmp_path / "nothing.jpg")
    with pytest.raises(ImageError, match="a folder"):
        decode(tmp_path)
    loop = tmp_path / "loop.jpg"
    loop.symlink_to(loop)
    with pytest.raises(ImageError, match="cannot be opened"):
        decode(loop)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    grey = Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16))
    assert np.asarray(decode(encoded(grey, "PNG")).image)[0, :, 0].tolist() == [0, 100, 255]


def test_samples_without_a_range_are_refused() -> None:
    with pytest.raises(ImageError, match="floating-point"):
        decode(encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"))
    with pytest.raises(ImageError, match="32-bit"):
        decode(encoded(Image.fromarray(np.full((4, 4), 70_000, np.int32)), "TIFF"))


def test_transparency_is_laid_over_white() -> None:
    clear = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    assert decode(encoded(clear, "PNG")).image.getpixel((0, 0)) == (255, 255, 255)
    half = Image.new("LA", (8, 8), (0, 128))
    grey = decode(encoded(half, "PNG")).image.getpixel((0, 0))
    assert isinstance(grey, tuple)
    assert abs(grey[0] - 127) <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_are_applied(orientation: int) -> None:
    upright = Image.new("RGB", (40, 24), "black")
    upright.paste("white", (0, 0, 20, 12))  # the light corner is at the top left
    undo = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encoded(stored, "JPEG", exif=exif, quality=95))
    assert (decoded.width, decoded.height) == (40, 24)
    assert decoded.image.size == (40, 24)
    assert np.asarray(decoded.image)[4, 4, 0] > 200
    assert np.asarray(decoded.image)[20, 36, 0] < 50


def test_a_large_jpeg_is_decoded_small_but_keeps_its_size() -> None:
    big = encoded(noise(1600, 1200), "JPEG")
    decoded = decode(big, short_side=64)
    assert (decoded.width, decoded.height) == (1600, 1200)
    assert 128 <= min(decoded.image.size) < 1200
    assert decode(big).image.size == (1600, 1200)


def test_the_pixel_hash_is_of_pixels_and_size_not_of_format() -> None:
    picture = noise(20, 10)
    png, bmp = decode(encoded(picture, "PNG")), decode(encoded(picture, "BMP"))
    assert pixel_hash(png.image) == pixel_hash(bmp.image)
    grey = picture.convert("L")
    assert pixel_hash(decode(encoded(grey, "PNG")).image) == pixel_hash(grey.convert("RGB"))
    blank, turned = Image.new("RGB", (10, 20)), Image.new("RGB", (20, 10))
    assert pixel_hash(blank) != pixel_hash(turned)


def test_heic_is_read_where_the_extra_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(noise(64, 48)).save(tmp_path / "a.heic")
    decoded = decode(tmp_path / "a.heic")
    assert (decoded.format, decoded.width, decoded.height) == ("HEIF", 64, 48)
    monkeypatch.delitem(Image.OPEN, "HEIF")
    with pytest.raises(ImageError, match=r"facecheck\[heif\]"):
        decode(tmp_path / "a.heic")


def test_every_thread_gets_its_own_first_decode(drawn: Path) -> None:
    paths = sorted(drawn.rglob("*.png"))
    gate = threading.Barrier(8)

    def work(path: Path) -> str:
        gate.wait()
        return pixel_hash(decode(path).image)

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, paths[:8]))
    assert together == [pixel_hash(decode(path).image) for path in paths[:8]]


def test_mutated_files_are_refused_or_read_but_never_crash(drawn: Path) -> None:
    random = np.random.default_rng(0)
    face = Image.open(drawn / "photo" / "drawn-photo" / "001.png")
    for file_format in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        whole = bytearray(encoded(face, file_format))
        for _ in range(60):
            mutated = bytearray(whole)
            for place in random.integers(0, len(whole), 8):
                mutated[place] = random.integers(0, 256)
            try:
                decode(bytes(mutated))
            except ImageError as error:
                assert "\n" not in str(error)


def test_image_names_are_told_by_their_ending() -> None:
    assert is_image_name(Path("a.JPeG"))
    assert not is_image_name(Path("a.txt"))
    assert not is_image_name(Path("jpg"))


def test_pipes_devices_and_files_too_large_to_be_images_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with (tmp_path / "huge.tif").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    for path, reason in (
        (tmp_path / "pipe.jpg", "a pipe, socket or device"),
        (Path("/dev/zero"), "a pipe, socket or device"),
        (tmp_path / "huge.tif", "too large"),
        (tmp_path, "a folder"),
    ):
        with pytest.raises(ImageError, match=reason):
            decode(path)
