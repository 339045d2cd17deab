"""One image file, decoded at the scale that is asked of it."""

from __future__ import annotations

from math import ceil
from pathlib import Path

from PIL import Image

from facecheck.core.image import decode


class Picture:
    """An image file, and its pixels at the smallest scale that has served so far.

    A large JPEG is decoded at a reduced scale, and again only when more is asked for. The policy
    is one for whole images and for faces: what will be scaled to n pixels a side is decoded to no
    less than 2n, or to all that the file holds.

    Args:
        source: as :func:`facecheck.core.image.decoding` takes it.
        short_side: the side in pixels that the whole image will be scaled to.

    Attributes:
        whole: the whole image for that, RGB and upright: what evaluation decodes.
        width: pixels across of the image in full.
        height: pixels down.
        notes: what a user should know of the file, as of :class:`~facecheck.core.image.Decoded`.

    Raises:
        ImageError: the file cannot be decoded.
    """

    def __init__(self, source: Path | bytes, short_side: int) -> None:
        self._source = source
        decoded = decode(source, short_side=short_side)
        self.whole: Image.Image = decoded.image
        self.width, self.height = decoded.width, decoded.height
        self.notes = decoded.notes
        self._finest = self.whole

    def at(self, scale: float) -> Image.Image:
        """Return the whole image at ``scale`` or more of its full size, at most 1.

        Raises:
            ImageError: the file cannot be decoded again: it has changed, or is damaged where a
                reduced scale does not look.
        """
        if self._finest.width < min(scale, 1) * self.width:
            # Decoded to no less than twice this side: who seeks a face will want it finer next, and
            # of 12 megapixels half the scale takes 41 ms where a quarter takes 34.
            side = ceil(min(scale, 1) * min(self.width, self.height))
            self._finest = decode(self._source, short_side=side).image
        return self._finest
