"""explain: why two files are, or are not, duplicates of each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facecheck.core.errors import ImageError
from facecheck.core.files import path_text, sha256_file
from facecheck.core.image import decode, flat_hash, frames, perceptual_hash, picture_hash
from facecheck.core.image.likeness import (
    EDITED_CORRELATION,
    EDITED_DETAIL,
    EDITS,
    GREY_SIDE,
    PICTURE_CORRELATION,
    PICTURE_DETAIL,
    PICTURE_DIFFERENCE,
    WHOLE,
    Likeness,
    Look,
    View,
    align,
    edit_hashes,
    layers_agree,
    likeness,
    look_at_all,
)
from facecheck.data.duplicates.keepers import APART, LEVELS, WHY
from facecheck.data.options import DedupOptions


@dataclass(frozen=True)
class Explanation:
    """What ``dedup`` would make of two files, and from which measures.

    Attributes:
        first: one file.
        second: the other.
        level: the level that was asked for.
        radius: the radius in bits that was asked for.
        duplicates: whether dedup at that level and radius takes them for duplicates.
        found: the first level at which it does, at that radius; None where none does.
        same_bytes: whether the files are equal.
        same_pixels: whether they decode to equal pixels.
        flat: whether one has too little contrast to be compared by anything but its pixels.
        distance: bits between the pHashes of the whole pictures.
        edited_distance: least bits between the pHash of one, mirrored or cropped, and the
            other's.
        edited_view: the view at that distance: ``mirrored`` or ``cropped``.
        whole: likeness of the whole pictures.
        aligned: likeness once one is mirrored, cropped and moved to where it fits best.
        why: the decision in words, one reason a line.
    """

    first: Path
    second: Path
    level: str
    radius: int
    duplicates: bool
    found: str | None
    same_bytes: bool
    same_pixels: bool
    flat: bool
    distance: int
    edited_distance: int
    edited_view: str
    whole: Likeness
    aligned: Likeness
    why: tuple[str, ...]


def explain(first: Path, second: Path, options: DedupOptions = DedupOptions()) -> Explanation:
    """Compare two files as ``dedup`` does, and say what decides.

    Hashes are made afresh, so no manifest is needed.

    Args:
        first: an image file.
        second: another.
        options: those of dedup; level and radius count.

    Raises:
        ImageError: a file cannot be decoded.
    """
    level, radius = options.level, options.radius
    (one, one_pixels, one_hash), (two, two_pixels, two_hash) = _read(first), _read(second)
    same_bytes = sha256_file(first) == sha256_file(second)
    distance = (one_hash ^ two_hash).bit_count()
    met = sorted([*_met(one, two, two_hash), *_met(two, one, one_hash)], key=lambda pair: pair[0])
    edited_distance, _, _, edited_view = met[0]
    whole = likeness(one, two)
    starts = [(distance, one, two, WHOLE), (distance, two, one, WHOLE), *met]
    # What dedup would not compare is measured all the same: the reader wants to know how far off.
    reached = [start for start in starts if start[0] <= radius] or starts
    reached.sort(key=lambda start: start[0])
    aligned, *pair = max(
        ((align(viewed, other, view), viewed, other) for _, viewed, other, view in reached[:2]),
        key=lambda tried: (tried[0].same_edited, tried[0].detail),
    )
    proposed = min(distance, edited_distance) <= radius
    as_they_are = distance <= radius and whole.same_picture
    alike = {
        "bytes": same_bytes,
        "pixels": one_pixels == two_pixels,
        "picture": as_they_are,
        "edited": proposed and (whole.same_picture or aligned.same_edited),
    }
    agree = layers_agree(one, two, WHOLE)
    passed = alike | {
        "picture": as_they_are and agree,
        "edited": proposed
        and ((whole.same_picture and agree) or (aligned.same_edited and _agree(pair, aligned))),
    }
    found = next((name for name in LEVELS if passed[name]), None)
    apart = found is None and (
        any(alike.values()) or flat_hash(one_pixels) == flat_hash(two_pixels)
    )
    flat = one.flat or two.flat
    return Explanation(
        first=first,
        second=second,
        level=level,
        radius=radius,
        duplicates=found is not None and LEVELS.index(found) <= LEVELS.index(level),
        found=found,
        same_bytes=same_bytes,
        same_pixels=passed["pixels"],
        flat=flat,
        distance=distance,
        edited_distance=edited_distance,
        edited_view=edited_view.name,
        whole=whole,
        aligned=aligned,
        why=(f"{APART}: two pictures, though they look alike without",)
        if apart
        else _reasons(found, level, radius, flat, min(distance, edited_distance), whole, aligned),
    )


def _agree(pair: list[Look], aligned: Likeness) -> bool:
    return layers_agree(pair[0], pair[1], aligned.view)


def _read(path: Path) -> tuple[Look, str, int]:
    try:
        image = decode(path)
        content = path.read_bytes()
        small = frames(content, short_side=GREY_SIDE)
        first = next(small)
        seen = look_at_all(first, small)
        further = frames(content)
        next(further)
        identity = picture_hash(image, further, content)
    except ImageError as error:
        raise ImageError(f"{path_text(path)}: {error}") from None
    return seen, identity, int(perceptual_hash(image.image), 16)


def _met(viewed: Look, other: Look, other_hash: int) -> list[tuple[int, Look, Look, View]]:
    """Return how far the first picture, under each edit, is from the other whole one."""
    hashes = zip(edit_hashes(viewed), EDITS, strict=True)
    return [((shown ^ other_hash).bit_count(), viewed, other, view) for shown, view in hashes]


def _reasons(
    found: str | None,
    level: str,
    radius: int,
    flat: bool,
    nearest: int,
    whole: Likeness,
    aligned: Likeness,
) -> tuple[str, ...]:
    if found in {"bytes", "pixels"}:
        return (WHY[found],)
    if flat:
        return ("too little contrast to compare: only equal pixels would make them duplicates",)
    if found is None and nearest > radius:
        return (f"the hashes are {nearest} bits apart at best, more than the radius of {radius}",)
    if found == "picture":
        return (WHY["picture"], "correlation, details and colours all agree")
    lines = [*_misses("as they are", whole, PICTURE_CORRELATION, PICTURE_DETAIL)]
    if whole.difference > PICTURE_DIFFERENCE:
        lines.append(f"colours differ by {whole.difference:.1f}, over {PICTURE_DIFFERENCE:g}")
    if found == "edited":
        seen = "as it is" if aligned.view == WHOLE else aligned.view.name
        lines.append(f"but details agree once one is seen {seen} and aligned: {WHY['edited']}")
        if level != "edited":
            lines.append("--level edited would take them for duplicates")
        return tuple(lines)
    return (*lines, *_misses("aligned", aligned, EDITED_CORRELATION, EDITED_DETAIL))


def _misses(how: str, alike: Likeness, correlation: float, detail: float) -> list[str]:
    lines = []
    if alike.correlation < correlation:
        lines.append(f"{how}, they correlate at {alike.correlation:.3f}, under {correlation:g}")
    if alike.detail < detail:
        lines.append(f"{how}, their details correlate at {alike.detail:.3f}, under {detail:g}")
    return lines
