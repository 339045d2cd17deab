"""Features: what can be measured in an image without looking at the face.

Three sets. ``metadata`` is what the file's header says; ``pixels`` is what a crude look says:
colour, sharpness, an 8 x 8 thumbnail; ``provenance`` is what the file says of its own origin. A
model that recognises kinds by these has learned how the
images were stored, not what they show.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, JpegImagePlugin

from facecheck.core.image import FORMATS, decode
from facecheck.data.options import Normalise
from facecheck.provenance.evidence import Claim
from facecheck.provenance.read import provenance_of

#: Side in pixels of the crude thumbnail.
THUMBNAIL_SIDE = 8
#: Sum of the luminance quantisation table that the JPEG standard gives as an example (ITU-T T.81,
#: table K.1), which libjpeg scales by its quality setting.
_STANDARD_SUM = 3688
_MODES = ("L", "P", "RGB", "RGBA", "CMYK")
#: What Pillow's get_sampling returns.
_SAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}

#: Features that are yes or no, and how they are worded.
FLAGS = {
    **{f"format {name}": name for name in FORMATS},
    **{f"subsampling {name}": f"JPEG {name}" for name in (*_SAMPLINGS.values(), "none")},
    **{f"mode {name}": f"of mode {name}" for name in _MODES},
    "EXIF": "with EXIF",
    "grey": "grey",
    f"provenance {Claim.GENERATED}": "marked as generated",
    f"provenance {Claim.COMPOSITE}": "marked as composite",
    f"provenance {Claim.CAPTURE}": "claimed to be captured",
    f"provenance {Claim.OTHER}": "naming a program or signer",
}
#: What the strongest finding in a file claims, one flag each.
PROVENANCE = tuple(f"provenance {claim}" for claim in Claim)
METADATA = (
    *(f"format {name}" for name in FORMATS),
    *(f"subsampling {name}" for name in (*_SAMPLINGS.values(), "none")),
    *(f"mode {name}" for name in _MODES),
    *("EXIF", "width", "height", "aspect ratio", "bytes per pixel"),
    *("JPEG quality", "JPEG luminance table", "JPEG chrominance table"),
)
#: The pixel features that have a name of their own; the thumbnail's follow.
NAMED_PIXELS = ("grey", "colourfulness", "mean red", "mean green", "mean blue", "log sharpness")
PIXELS = (
    *NAMED_PIXELS,
    *(f"thumbnail {place}" for place in range(3 * THUMBNAIL_SIDE**2)),
)


@dataclass(frozen=True)
class Features:
    """The features of one image.

    Attributes:
        metadata: shape (len(METADATA),), flags as 0 and 1; JPEG features are 0 in other formats.
        pixels: shape (len(PIXELS),), colours from 0 to 255.
        provenance: shape (len(PROVENANCE),), 0 and 1.
    """

    metadata: npt.NDArray[np.float32]
    pixels: npt.NDArray[np.float32]
    provenance: npt.NDArray[np.float32]


def measure_features(data: bytes) -> Features:
    """Return the features of one image file's bytes.

    Raises:
        ImageError: it cannot be decoded.
    """
    decoded = decode(data)  # before the header: this makes Pillow ready for threads
    with Image.open(io.BytesIO(data), formats=FORMATS) as header:
        metadata = _metadata(header, len(data), decoded.width, decoded.height)
    claim = f"provenance {provenance_of(data).claim}"
    said = np.array([name == claim for name in PROVENANCE], dtype=np.float32)
    return Features(metadata, _pixels(decoded.image), said)


def _metadata(header: Image.Image, size: int, width: int, height: int) -> npt.NDArray[np.float32]:
    values: dict[str, float] = {
        f"format {header.format}": 1,
        f"mode {header.mode}": 1,
        "EXIF": "exif" in header.info,
        "width": width,
        "height": height,
        "aspect ratio": width / height,
        "bytes per pixel": size / (width * height),
    }
    if isinstance(header, JpegImagePlugin.JpegImageFile):
        tables = [sum(table) for table in header.quantization.values()]
        sampling = _SAMPLINGS.get(JpegImagePlugin.get_sampling(header), "none")
        values |= {
            f"subsampling {sampling}": 1,
            "JPEG quality": jpeg_quality(tables[0]) if tables else 0,
            "JPEG luminance table": tables[0] if tables else 0,
            "JPEG chrominance table": tables[-1] if len(tables) > 1 else 0,
        }
    return np.array([values.get(name, 0) for name in METADATA], dtype=np.float32)


def jpeg_quality(table_sum: int) -> float:
    """Return the libjpeg quality, 1 to 100, whose luminance table has about this sum of entries.

    libjpeg multiplies the standard's table by (200 - 2 quality) percent above 50, and by 5000 /
    quality percent below (``jpeg_quality_scaling``). Below 25 it also cuts entries off at 255, and
    the estimate comes out too high.
    """
    percent = 100 * table_sum / _STANDARD_SUM
    return float(np.clip(5000 / percent if percent > 100 else (200 - percent) / 2, 1, 100))


def _pixels(image: Image.Image) -> npt.NDArray[np.float32]:
    rgb = np.asarray(image, dtype=np.float32)
    colourfulness = float((rgb.max(axis=2) - rgb.min(axis=2)).mean())
    small = image.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    named = [
        float(colourfulness < 2),  # JPEG leaves a trace of colour in grey images
        colourfulness,
        *rgb.mean(axis=(0, 1)),
        np.log1p(sharpness(rgb.mean(axis=2))),
    ]
    return np.concatenate([named, np.asarray(small, dtype=np.float32).ravel()]).astype(np.float32)


def sharpness(grey: npt.NDArray[np.float32]) -> float:
    """Return the variance of the Laplacian (Pech-Pacheco et al. 2000), 0 for a flat image.

    Args:
        grey: shape (height, width), 0 to 255; under 3 pixels a side there is no Laplacian: 0.
    """
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return float(laplacian.var())


def normalise(image: Image.Image, settings: Normalise, seed: bytes) -> bytes:
    """Return an upright RGB image as the bytes of a file with no container features.

    The largest square in the middle is scaled to one size, blurred and encoded, without EXIF.

    Args:
        image: RGB.
        settings: what to draw from.
        seed: decides what is drawn: the same image and seed give the same bytes.
    """
    random = np.random.default_rng(list(hashlib.sha256(seed).digest()))
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    square = square.resize((settings.size, settings.size), Image.Resampling.BICUBIC)
    square = square.filter(ImageFilter.GaussianBlur(random.uniform(*settings.blur)))
    stream = io.BytesIO()
    low, high = settings.quality
    # A new image: what Pillow read next to the pixels must not be written again.
    Image.fromarray(np.asarray(square)).save(
        stream,
        format=settings.formats[random.integers(len(settings.formats))],
        quality=int(random.integers(low, high + 1)),
    )
    return stream.getvalue()


def wording(feature: str, threshold: float, shares: Sequence[tuple[str, float]]) -> str:
    """Say in words how one feature separates two sides.

    Args:
        feature: a name of :data:`METADATA`, :data:`PIXELS` or :data:`PROVENANCE`.
        threshold: where it separates them; at or below is one side of it.
        shares: for each side, its name and the share of its images at or below ``threshold``.
    """
    if feature in FLAGS:
        said = [f"{name} is {100 - 100 * share:.0f} % {FLAGS[feature]}" for name, share in shares]
        return f"{feature.split(maxsplit=1)[0]} alone: {', '.join(said)}"
    value = f"{threshold:.2f}" if abs(threshold) < 10 else f"{threshold:.0f}"
    said = [f"{100 * share:.0f} % of {name}" for name, share in shares]
    return f"{feature} alone: at most {value} in {', '.join(said)}"


def read_features(path: Path, settings: Normalise | None) -> tuple[Features, Features | None]:
    """Return the features of a file, and those it has left once normalised, None without settings.

    Raises:
        ImageError: it cannot be decoded.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    found = measure_features(data)
    if settings is None:
        return found, None
    return found, measure_features(normalise(decode(data).image, settings, data))
