"""The one colour that is clear in a PNG, for depths at which Pillow takes it for another.

A tRNS chunk of a grey or RGB picture names a colour in the file's own depth (ISO/IEC 15948,
11.3.1.1); Pillow compares it with samples that it has scaled to 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

#: What a grey sample of 2 and 4 bits is multiplied by.
_SCALES = {"L;2": 85, "L;4": 17}


def match_transparency(
    image: Image.Image, tile: Any, again: Callable[[], Image.Image]
) -> Image.Image:
    """Return a loaded PNG whose transparency is right, whatever the depth of its samples.

    Args:
        image: with ``transparency`` in its info.
        tile: Pillow's description of how its pixels are packed.
        again: opens the file once more.
    """
    packing, clear = tile[3], image.info["transparency"]
    if packing in _SCALES:
        image.info["transparency"] = clear * _SCALES[packing]
    elif packing == "RGB;16B" and isinstance(clear, tuple):
        low = again()
        low.tile = [(*tile[:3], "RGB;16L")]  # type: ignore[attr-defined]  # the lower bytes
        wanted = np.array(clear)
        match = (np.asarray(image) == wanted >> 8) & (np.asarray(low) == wanted & 0xFF)
        image.putalpha(Image.fromarray(np.where(match.all(axis=2), 0, 255).astype(np.uint8)))
        del image.info["transparency"]
    return image
