from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from facecheck.core.image import decode
from facecheck.faults.quantities import blur_effect, brightness, information, measure_pixels, pose
from tests.conftest import RealImages

UPRIGHT = ((0.0, 0.0), (10.0, 0.0), (5.0, 6.0), (1.0, 12.0), (9.0, 12.0))


def turned(degrees: float) -> list[tuple[float, float]]:
    angle = np.radians(degrees)
    return [
        (x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle))
        for x, y in UPRIGHT
    ]


@pytest.mark.parametrize("degrees", [0, 15, -40, 90, 170])
def test_the_line_through_the_eyes_says_how_a_face_leans(degrees: float) -> None:
    roll, yaw = pose(turned(degrees))
    assert roll == pytest.approx(degrees, abs=0.01)
    assert yaw == pytest.approx(0, abs=0.1)


def test_a_nose_beyond_an_eye_is_a_profile() -> None:
    eyes, rest = UPRIGHT[:2], UPRIGHT[3:]
    assert pose((*eyes, (10.0, 6.0), *rest))[1] == pytest.approx(45, abs=0.1)
    assert pose((*eyes, (0.0, 6.0), *rest))[1] == pytest.approx(45, abs=0.1)
    assert pose(((3.0, 3.0), (3.0, 3.0), (9.0, 9.0), *rest)) == (0.0, 90.0)


def test_blur_grows_with_the_blur_and_not_with_contrast(real_images: RealImages) -> None:
    image = decode(real_images("photo/ffhq-256/", 1)[0]).image
    seen = [
        blur_effect(brightness(np.asarray(image.filter(ImageFilter.GaussianBlur(r)), np.float32)))
        for r in (0, 1, 2, 4)
    ]
    assert seen == sorted(seen)
    assert seen[0] < 0.5 < 0.75 < seen[-1]
    pale = brightness(np.asarray(image, np.float32)) * 0.3
    assert blur_effect(pale) == pytest.approx(seen[0], abs=1e-4)


def test_what_is_flat_holds_no_information() -> None:
    assert information(Image.new("RGB", (300, 200), "teal")) == 0
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    assert information(Image.fromarray(noise)) > 4
    stripes = np.tile(np.array([[0], [255]], np.uint8), (32, 64))  # no difference across
    assert information(Image.fromarray(stripes)) > 0.9


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (3000, 2)])
def test_any_size_is_measured(size: tuple[int, int]) -> None:
    found = measure_pixels(Image.new("RGB", size, "black"))
    assert found["highlights"] == found["lowlights"] == found["information"] == 0
    assert np.isfinite(list(found.values())).all()
