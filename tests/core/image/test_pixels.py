"""Pixels in memory become a file that the one decoder reads to the same pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from facecheck.core.errors import ImageError, UsageError
from facecheck.core.image import array_file, decode, image_file
from tests.odd_images.colours import profiles

RANDOM = np.random.default_rng(0)


def array(height: int = 40, width: int = 60, channels: int = 3) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, channels), dtype=np.uint8)


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(decode(content).image)


def test_an_array_is_decoded_to_itself_however_it_lies_in_memory() -> None:
    image = array()
    assert (pixels(array_file(image)) == image).all()
    for view in (image[..., ::-1], image[::2, 5:], np.asfortranarray(image)):
        assert (pixels(array_file(view)) == view).all()


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (array()[..., 0], "grey image: pass numpy.stack"),
        (array()[..., :1], "is \\(height, width, 3\\)"),
        (array(channels=4), "PIL.Image.fromarray"),
        (array().transpose(2, 0, 1), "transpose\\(1, 2, 0\\)"),
        (array()[None], "check_many"),
        (array() / 255, "\\(255 \\* image\\)"),
        (array().astype(np.int64), "astype"),
        (array() > 9, "astype"),
        (array()[:0], "no pixels"),
    ],
)
def test_other_shapes_and_types_are_refused_with_what_to_pass(wrong: np.ndarray, hint: str) -> None:
    with pytest.raises(UsageError, match=hint) as refused:
        array_file(wrong)
    assert str(wrong.shape) in str(refused.value)
    assert str(wrong.dtype) in str(refused.value)


def saved(image: Image.Image, file_format: str, **more: object) -> bytes:
    out = io.BytesIO()
    image.save(out, file_format, **more)
    return out.getvalue()


def files() -> dict[str, bytes]:
    colour = Image.fromarray(array())
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = Image.fromarray(array(channels=4))
    grey = Image.fromarray(RANDOM.integers(0, 2**16, (40, 60), dtype=np.uint16))
    return {
        "rgb": saved(colour, "PNG"),
        "turned": saved(colour, "JPEG", exif=turned),
        "clear": saved(clear, "PNG"),
        "palette": saved(colour.convert("P"), "PNG", transparency=3),
        "16 bits": saved(grey, "PNG"),
        "cmyk": saved(colour.convert("CMYK"), "JPEG"),
        "grey": saved(colour.convert("L"), "PNG"),
        "one bit": saved(colour.convert("1"), "PNG"),
        "second frame": saved(colour, "GIF", save_all=True, append_images=[clear.convert("RGB")]),
    }


@pytest.mark.parametrize("name", files())
def test_an_open_image_has_the_pixels_of_its_file(name: str) -> None:
    content = files()[name]
    frame = 1 if name == "second frame" else 0
    with Image.open(io.BytesIO(content)) as image:
        image.seek(frame)
        before = image.copy()
        shown = pixels(image_file(image))
        assert image.tobytes() == before.tobytes()
        assert (image.mode, image.info.keys()) == (before.mode, before.info.keys())
    assert (shown == np.asarray(decode(content, frame=frame).image)).all()


def test_a_profile_is_applied_and_the_image_left_as_it_is() -> None:
    wide = [each for each in profiles() if each.name in {"adobe.png", "adobe-clear.png"}]
    assert len(wide) == 2
    for odd in wide:
        with Image.open(io.BytesIO(odd.content)) as image:
            before = image.copy().tobytes()
            shown = pixels(image_file(image))
            assert image.tobytes() == before
        assert (shown == pixels(odd.content)).all()
        assert image.mode != "RGB" or shown.tobytes() != before


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (Image.new("F", (4, 4)), "no agreed brightness range"),
        (Image.new("RGB", (0, 4)), "no pixels"),
    ],
)
def test_an_image_without_usable_pixels_is_an_error(image: Image.Image, why: str) -> None:
    with pytest.raises(ImageError, match=why):
        image_file(image)


def test_a_truncated_image_is_an_error() -> None:
    content = saved(Image.fromarray(array(400, 400)), "PNG")
    with pytest.raises(ImageError, match="truncated"):
        image_file(Image.open(io.BytesIO(content[: len(content) // 2])))
