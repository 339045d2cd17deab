"""The words that tables, checkpoints and results files use for what an image shows."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from facecheck.core.errors import UsageError, did_you_mean


class Kind(StrEnum):
    """What an image shows: a photograph of a real human face, or one kind of artificial face.

    ``generated``: made by a GAN or a diffusion model; ``composite``: edited from photographs, such
    as a face with another one's eyes. The order is that of the kinds in every table, checkpoint and
    results file.
    """

    PHOTO = "photo"
    CARTOON = "cartoon"
    SKETCH = "sketch"
    PAINTING = "painting"
    SCULPTURE = "sculpture"
    GENERATED = "generated"
    COMPOSITE = "composite"


class Verdict(StrEnum):
    """What facecheck decides about one face; ``uncertain`` makes no claim."""

    REAL = "real"
    ARTIFICIAL = "artificial"
    UNCERTAIN = "uncertain"


class Basis(StrEnum):
    """What a verdict rests on.

    ``pixels``: what the model makes of them; ``known``: an entry for this very file in a table of
    files that people have decided; ``provenance``: what the file itself says of its origin.
    """

    PIXELS = "pixels"
    KNOWN = "known"
    PROVENANCE = "provenance"


class Status(StrEnum):
    """What became of one file; only ``ok`` comes with a verdict.

    ``no_face``: no face was found, and the image does not look like a drawing, painting or
    sculpture, which a face detector may miss. ``too_small``: every face, or the whole image, has
    too few pixels. ``error``: the file cannot be read.
    """

    OK = "ok"
    NO_FACE = "no_face"
    TOO_SMALL = "too_small"
    ERROR = "error"


#: The values of :class:`Kind`, in their order.
KINDS: tuple[str, ...] = tuple(kind.value for kind in Kind)

#: What people call kinds that have another name here.
_OTHER_NAMES: Mapping[str, Kind] = {
    **dict.fromkeys(("real", "photograph", "photos"), Kind.PHOTO),
    **dict.fromkeys(("anime", "avatar", "comic", "manga"), Kind.CARTOON),
    **dict.fromkeys(("drawing", "pencil"), Kind.SKETCH),
    **dict.fromkeys(("art", "artwork", "portrait"), Kind.PAINTING),
    **dict.fromkeys(("bust", "statue"), Kind.SCULPTURE),
    **dict.fromkeys(("ai", "diffusion", "fake", "gan", "stylegan", "synthetic"), Kind.GENERATED),
    **dict.fromkeys(
        ("edited", "manipulated", "morph", "photomontage", "photoshop", "photoshopped", "spliced"),
        Kind.COMPOSITE,
    ),
}


def kind_called(name: str) -> str | None:
    """Return the kind that people call ``name``, such as ``photo`` for ``real``, or None."""
    lower = name.lower()
    return lower if lower in KINDS else _OTHER_NAMES.get(lower)


def near_kind(name: str) -> str:
    """Return ``"; did you mean 'composite'?"`` for ``photoshopped`` and the like, or ``""``."""
    other = _OTHER_NAMES.get(name.lower())
    return did_you_mean(other or name.lower(), KINDS)


def check_kind(kind: str, where: str) -> str:
    """Return ``kind`` if it is one of :data:`KINDS`.

    Raises:
        UsageError: it is not; the message names ``where`` and the nearest kind.
    """
    if kind not in KINDS:
        raise UsageError(
            f"unknown kind {kind!r} in {where}: the kinds are {', '.join(KINDS)}" + near_kind(kind)
        )
    return kind
