"""One image file, decoded at the scale that is asked of it."""

from __future__ import annotations

from math import ceil
from pathlib import Path

from PIL import Image

from facecheck.core.image import decode

_TRANSPOSES = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


class Picture:
    """An image file, and its pixels at the smallest scale that has served so far.

    A large JPEG is decoded at a reduced scale, and again only when more is asked for. The policy
    is one for whole images and for faces: what will be scaled to n pixels a side is decoded to no
    less than 2n, or to all that the file holds.

    Args:
        source: as :func:`facecheck.core.image.decode` takes it.
        short_side: the side in pixels that the whole image will be scaled to.
        frame: which frame or page, from 0.

    Attributes:
        whole: the whole image for that, RGB and upright: what evaluation decodes.
        width: pixels across of the image in full.
        height: pixels down.
        frame: which frame or page it is, from 0.
        frames: how many frames or pages the file holds.
        notes: what a user should know of the file, as of :class:`~facecheck.core.image.Decoded`.

    Raises:
        ImageError: the file cannot be decoded.
    """

    def __init__(self, source: Path | bytes, short_side: int, frame: int = 0) -> None:
        self._source, self.frame = source, frame
        decoded = decode(source, short_side=short_side, frame=frame)
        self.whole: Image.Image = decoded.image
        self.width, self.height = decoded.width, decoded.height
        self.frames, self.notes = decoded.frames, decoded.notes
        self._finest = self.whole

    def at(self, scale: float) -> Image.Image:
        """Return the whole image at ``scale`` or more of its full size, at most 1.

        Raises:
            ImageError: the file cannot be decoded again: it has changed, or is damaged where a
                reduced scale does not look.
        """
        if self._finest.width < min(scale, 1) * self.width:
            # Decoded to no less than twice this side: the search for faces will want it finer next,
            # and of 12 megapixels half the scale takes 41 ms where a quarter takes 34.
            side = ceil(min(scale, 1) * min(self.width, self.height))
            self._finest = self.whole  # not to hold both: 50 megapixels take 200 MB
            self._finest = decode(self._source, short_side=side, frame=self.frame).image
        return self._finest

    def turned(self, degrees: int) -> Picture:
        """Return the picture turned counter-clockwise by 0, 90, 180 or 270 degrees."""
        return _Turned(self, degrees) if degrees else self


class _Turned(Picture):
    """A picture whose pixels are turned as they are asked for."""

    def __init__(self, original: Picture, degrees: int) -> None:
        self._original, self._transpose = original, _TRANSPOSES[degrees]
        self.whole = original.whole.transpose(self._transpose)
        self.width, self.height = original.width, original.height
        if degrees != 180:
            self.width, self.height = original.height, original.width
        self.frame, self.frames, self.notes = original.frame, original.frames, original.notes
        self._of, self._finest = original.whole, self.whole

    def at(self, scale: float) -> Image.Image:
        image = self._original.at(scale)
        if image is not self._of:
            self._of, self._finest = image, image.transpose(self._transpose)
        return self._finest
