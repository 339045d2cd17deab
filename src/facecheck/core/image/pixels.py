"""Pixels that are in memory already, as a file that the one decoder reads.

What a program holds as a Pillow image or an array becomes a binary PPM (P6): a header before the
bytes of the pixels, so that nothing is lost and little is computed, and every later step is that of
a file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from facecheck.core.errors import ImageError, UsageError
from facecheck.core.image.decoding import upright_rgb

#: What to pass instead, by the number of axes of an array that is not an image.
_AXES = {
    2: "a grey image: pass numpy.stack([image] * 3, axis=-1)",
    4: "several images: pass them one by one, or use check_many",
}


def image_file(image: Image.Image) -> bytes:
    """Return a Pillow image as the content of a file: upright, sRGB, over white.

    What :func:`~facecheck.core.image.decode` does with a file's EXIF orientation, ICC profile,
    depth and transparency is done with the image's. The image itself stays as it is.

    Raises:
        ImageError: its pixels cannot be read, or have no agreed brightness range.
    """
    shown = upright_rgb(image)
    return _ppm(*shown.size, shown.tobytes())


def array_file(array: npt.NDArray[Any]) -> bytes:
    """Return an array as the content of a file.

    Args:
        array: shape (height, width, 3), uint8, RGB, 0 to 255.

    Raises:
        UsageError: the array has another shape or type.
    """
    wanted = "an image is (height, width, 3), uint8, RGB, 0 to 255"
    has = f"array of shape {array.shape} and type {array.dtype}"
    if array.ndim != 3 or array.shape[2] != 3:
        raise UsageError(f"{has}: {wanted}; {_of_another_shape(array.shape)}")
    if 0 in array.shape:
        raise UsageError(f"{has}: it has no pixels; {wanted}")
    if array.dtype != np.uint8:
        raise UsageError(f"{has}: {wanted}; {_of_another_type(array)}")
    height, width, _ = array.shape
    return _ppm(width, height, array.tobytes())


def _ppm(width: int, height: int, pixels: bytes) -> bytes:
    if not width or not height:
        raise ImageError("the image has no pixels")
    return b"P6\n%d %d\n255\n" % (width, height) + pixels


def _of_another_shape(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] == 3:
        return "its channels come first: pass image.transpose(1, 2, 0)"
    if len(shape) == 3 and shape[2] == 4:
        return "it has transparency: pass PIL.Image.fromarray(image), or image[..., :3]"
    return f"this is {_AXES.get(len(shape), 'something else')}"


def _of_another_type(array: npt.NDArray[Any]) -> str:
    if np.issubdtype(array.dtype, np.floating):
        return "for values from 0 to 1 pass (255 * image).round().astype('uint8')"
    return "scale its values to 0 to 255, then pass image.astype('uint8')"
