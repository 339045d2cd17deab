"""Files as pixels, and what tells one picture from another."""

from facecheck.core.formats import FORMATS, SUFFIXES, is_image_name
from facecheck.core.image.decoding import (
    DECODE_POLICY,
    MAX_BYTES,
    Decoded,
    decode,
    frames,
    image_errors,
    open_image,
)
from facecheck.core.image.hashes import (
    HASH_SIDE,
    LAYERED,
    flat_hash,
    is_layered,
    perceptual_hash,
    picture_hash,
    pixel_hash,
)
from facecheck.core.image.pixels import array_file, image_file

__all__ = [
    "DECODE_POLICY",
    "FORMATS",
    "HASH_SIDE",
    "LAYERED",
    "MAX_BYTES",
    "SUFFIXES",
    "Decoded",
    "array_file",
    "decode",
    "flat_hash",
    "frames",
    "image_errors",
    "image_file",
    "is_image_name",
    "is_layered",
    "open_image",
    "perceptual_hash",
    "picture_hash",
    "pixel_hash",
]
