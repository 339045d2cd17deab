from __future__ import annotations

from pathlib import Path

import numpy as np

from facecheck.scanner.picture import Picture
from tests.scanner.conftest import jpeg, pasted, png


def test_the_pixels_are_as_fine_as_asked(portraits: list[Path]) -> None:
    image = pasted((2000, 1000), [(portraits[0], 0, 0, 900)])
    picture = Picture(jpeg(image), 50)
    assert (picture.width, picture.height) == (2000, 1000)
    assert picture.whole.size == (250, 125)  # an eighth, and no less than twice 50
    assert picture.at(0.1).size == (250, 125)
    assert picture.at(0.125).size == (250, 125)
    assert picture.at(0.13).size == (1000, 500)  # an eighth is too little, and more will be asked
    assert picture.at(7).size == (2000, 1000)
    assert picture.at(0.1).size == (2000, 1000)  # what is there serves
    assert picture.whole.size == (250, 125)
    exact = Picture(png(image), 50)
    assert np.array_equal(np.asarray(exact.at(1)), np.asarray(image))


def test_a_turned_picture_is_the_picture_turned(portraits: list[Path]) -> None:
    image = pasted((600, 400), [(portraits[0], 30, 40, 256)])
    picture = Picture(png(image), 50)
    for degrees in (90, 180, 270):
        turned = picture.turned(degrees)
        expected = image.rotate(degrees, expand=True)
        assert (turned.width, turned.height) == expected.size
        assert np.array_equal(np.asarray(turned.at(1)), np.asarray(expected))
    assert picture.turned(0) is picture
