"""What ``check`` measures in one image, and a journal of it that survives a kill.

Thresholds come later, so that other ones need nothing to be measured again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import atan, atan2, degrees, hypot
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image
from scipy.ndimage import uniform_filter1d

from facecheck.core.errors import ImageError, reason
from facecheck.core.image import DECODE_POLICY
from facecheck.core.isolate import Failed, Isolated
from facecheck.core.journal import Journal
from facecheck.core.parallel import Progress, map_ordered
from facecheck.data.measure import Stamp
from facecheck.data.measurements import journal_table
from facecheck.scanner.faces.boxes import Box
from facecheck.scanner.faces.detector import Detection, detect
from facecheck.scanner.faces.search import find_faces
from facecheck.scanner.picture import Picture

#: Raised by one whenever a change here can move a number.
VERSION = 1
#: Short side in pixels at which an image is measured; a smaller one is measured as it is.
SIDE = 256
#: Side of the grey copy whose information is counted, and how many greys it has.
_COPY_SIDE, _GREYS = 64, 32
#: Width in pixels of the blur that an image is compared with.
_BLUR = 9
#: Side of the close view of a face, in pixels and in units of its box's longer side.
_VIEW, _AROUND = 160, 2.0
#: How far a nose stands out, in units of the distance between the eyes.
_NOSE = 0.5


@dataclass(frozen=True)
class Quantities:
    """One image, measured. One that cannot be read has a reason alone.

    Attributes:
        path: the file.
        bytes: its size.
        mtime_ns: when it was last changed.
        policy: what it was measured by, see :func:`policy_of`; empty where its process failed.
        sha256: of its bytes.
        reason: why it could not be measured, or empty.
        width: pixels across of the upright image.
        height: pixels down.
        highlights: brightness that 95 % of the pixels do not exceed, 0 to 1.
        lowlights: brightness that 75 % of the pixels exceed, in the whole image or in its middle,
            whichever is darker.
        information: bits a pixel that a grey copy of 64 x 64 pixels holds: the entropy of the
            differences of neighbours.
        blur: the blur effect, 0 to 1 (Crete et al. 2007): how little changes when the image is
            blurred. It does not depend on contrast.
        colour: mean difference between the largest and the smallest of R, G and B, 0 to 255.
        faces: how many there are; None where they were not searched for, as all that follow.
        resembles: whether something resembles a face, though none was found.
        face: short side of the largest face's box in pixels, 0 without a face.
        second: width of the second largest face, as a share of the largest's; 0 without one.
        outside: share of the largest face's box that is outside the image.
        roll: by how many degrees the largest face is turned in the plane, 0 to 180.
        yaw: by how many degrees it looks aside, roughly, 0 to 90, from where its nose is.
    """

    path: str
    bytes: int
    mtime_ns: int
    policy: str = ""
    sha256: str = ""
    reason: str = ""
    width: int = 0
    height: int = 0
    highlights: float = 0.0
    lowlights: float = 0.0
    information: float = 0.0
    blur: float = 0.0
    colour: float = 0.0
    faces: int | None = None
    resembles: bool | None = None
    face: int | None = None
    second: float | None = None
    outside: float | None = None
    roll: float | None = None
    yaw: float | None = None


def policy_of(detector: bytes | None) -> str:
    """Return what decides the quantities of a file, but for its content.

    What is measured with faces begins with the policy of what is measured without, and serves it.
    """
    faces = "" if detector is None else f" faces {hashlib.sha256(detector).hexdigest()[:16]}"
    return f"decode {DECODE_POLICY}, check {VERSION},{faces}"


@dataclass(frozen=True)
class Measurer:
    """Measures files; it can be sent to the processes that do so.

    Attributes:
        detector: what is in the face detector's file; None searches for no faces.
        policy: of :func:`policy_of`.
    """

    detector: bytes | None
    policy: str

    def __call__(self, file: Stamp) -> Quantities:
        """Return a file's quantities."""
        try:
            content = Path(file.path).read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            picture = Picture(content, SIDE)
            found: dict[str, Any] = measure_pixels(picture.whole)
            if self.detector is not None:
                found |= _measure_faces(picture, self.detector)
        except (ImageError, OSError) as error:
            return Quantities(**asdict(file), policy=self.policy, reason=reason(error))
        return Quantities(
            **asdict(file), policy=self.policy, sha256=digest,
            width=picture.width, height=picture.height, **found,
        )  # fmt: skip


def measure_pixels(image: Image.Image) -> dict[str, float]:
    """Return the quantities of an image's pixels, by name.

    Args:
        image: RGB, of any size.
    """
    scale = SIDE / min(image.size)
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    rgb = np.asarray(image, np.float32)
    bright = brightness(rgb)
    return {
        "highlights": _rounded(np.percentile(bright, 95)),
        "lowlights": _rounded(min(np.percentile(part, 25) for part in (bright, _middle(bright)))),
        "information": _rounded(information(image)),
        "blur": _rounded(blur_effect(bright)),
        "colour": _rounded((rgb.max(axis=2) - rgb.min(axis=2)).mean()),
    }


def brightness(rgb: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return perceived brightness, shape (height, width), 0 to 1 (Finley's HSP model, 2006)."""
    weights = np.array([0.241, 0.691, 0.068], np.float32)
    seen: npt.NDArray[np.float32] = np.sqrt(rgb**2 @ weights) / 255
    return seen


def _middle(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the middle half of the rows and columns."""
    height, width = values.shape
    top, left = height // 4, width // 4
    return values[top : height - top, left : width - left]


def information(image: Image.Image) -> float:
    """Return how many bits a pixel a small grey copy of an image holds.

    They are the entropy of the differences of neighbours, in 32 greys, across or down, whichever
    has more. Nearly flat images have under 0.6, the simplest of 900 drawn avatars 0.8, photographs
    2 to 4.
    """
    small = image.convert("L").resize((_COPY_SIDE, _COPY_SIDE), Image.Resampling.BOX)
    greys = np.asarray(small, np.int64) * _GREYS // 256
    return max(_entropy(np.diff(greys, axis=axis) + _GREYS) for axis in (0, 1))


def _entropy(values: npt.NDArray[np.int64]) -> float:
    shares = np.bincount(values.ravel()) / values.size
    shares = shares[shares > 0]
    return abs(float((shares * np.log2(shares)).sum()))


def blur_effect(grey: npt.NDArray[np.float32]) -> float:
    """Return the blur effect, 0 for sharp to 1, in the direction that has more of it.

    F. Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual
    blur metric", SPIE 6492 (2007): the share of the differences of neighbours that stays when the
    image is blurred. A flat image has 1.

    Args:
        grey: shape (height, width), any range.
    """
    return max(_blur_along(grey, axis) for axis in (0, 1))


def _blur_along(grey: npt.NDArray[np.float32], axis: int) -> float:
    own = np.abs(np.diff(grey, axis=axis))
    left = np.abs(np.diff(uniform_filter1d(grey, _BLUR, axis=axis), axis=axis))
    total = float(own.sum())
    return 1.0 - float(np.maximum(0, own - left).sum()) / total if total else 1.0


def _measure_faces(picture: Picture, detector: bytes) -> dict[str, Any]:
    found = find_faces(picture, detector)
    sizes = sorted((face.box.area for face in found.faces), reverse=True)
    facts: dict[str, Any] = {"faces": len(sizes), "resembles": found.faint, "face": 0,
                             "second": 0.0, "outside": 0.0, "roll": 0.0, "yaw": 0.0}  # fmt: skip
    if found.largest is None:
        return facts
    facts["face"] = found.largest.box.short_side
    facts["second"] = _rounded((sizes[1] / sizes[0]) ** 0.5 if len(sizes) > 1 else 0)
    upright = picture.turned(found.turn)
    box = found.largest.box.turned(found.turn, picture.width, picture.height)
    seen, lean = _seen_closely(upright, box, detector), 0.0
    if seen is not None:
        facts["outside"] = _rounded(_outside(seen, upright))
        lean, facts["yaw"] = pose(seen.landmarks)
    # What would have to be turned back for the face to be upright: the picture, then the face.
    facts["roll"] = round(abs((found.turn + lean + 180) % 360 - 180), 1)
    return facts


def _seen_closely(picture: Picture, box: Box, detector: bytes) -> Detection | None:
    """Return what the detector sees of one face with room around it, even outside the image.

    So its box is not held back by the image's edge, and its landmarks are as exact as they get.

    Returns:
        in pixels of the picture; None where it is not seen again.
    """
    side = _AROUND * max(box.width, box.height)
    left, top = box.left + (box.width - side) / 2, box.top + (box.height - side) / 2
    image = picture.at(_VIEW / side)
    scale = image.width / picture.width
    step = side * scale / _VIEW
    view = image.transform(
        (_VIEW, _VIEW),
        Image.Transform.AFFINE,
        (step, 0, left * scale, 0, step, top * scale),
        Image.Resampling.BILINEAR,
    )
    seen = [each for each in detect(np.asarray(view), detector) if _is_in_the_middle(each)]
    if not seen:
        return None
    best, unit = max(seen, key=lambda each: each.confidence), side / _VIEW
    return Detection(
        left=left + best.left * unit,
        top=top + best.top * unit,
        width=best.width * unit,
        height=best.height * unit,
        confidence=best.confidence,
        landmarks=tuple((left + x * unit, top + y * unit) for x, y in best.landmarks),
    )


def _is_in_the_middle(seen: Detection) -> bool:
    middle = _VIEW / 2
    return (
        seen.left < middle < seen.left + seen.width and seen.top < middle < seen.top + seen.height
    )


def _outside(seen: Detection, picture: Picture) -> float:
    """Return the share of a box that is outside the picture."""
    inside = [
        max(0.0, min(limit, start + length) - max(0.0, start))
        for start, length, limit in (
            (seen.left, seen.width, picture.width),
            (seen.top, seen.height, picture.height),
        )
    ]
    return max(0.0, 1 - inside[0] * inside[1] / (seen.width * seen.height))


def pose(landmarks: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return how a face leans and how far it looks aside, in degrees.

    Args:
        landmarks: eye, eye, nose, corner and corner of the mouth; of each two the one that is
            further left in an upright face first.

    Returns:
        roll, -180 to 180, clockwise; and yaw, 0 to 90, from how far the nose is from the middle
        between the eyes along the line through them, as a head of common shape has it.
    """
    (left_x, left_y), (right_x, right_y), nose, *_ = landmarks
    across, down = right_x - left_x, right_y - left_y
    apart = hypot(across, down)
    if not apart:
        return 0.0, 90.0
    from_middle = nose[0] - (left_x + right_x) / 2, nose[1] - (left_y + right_y) / 2
    along = abs(from_middle[0] * across + from_middle[1] * down) / apart
    return degrees(atan2(down, across)), round(degrees(atan(along / apart / _NOSE)), 1)


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 4)


_TYPES: Mapping[str, tuple[type[pl.DataType], tuple[type, ...]]] = {
    "str": (pl.String, (str,)),
    "int": (pl.Int64, (int,)),
    "float": (pl.Float64, (float, int)),
    "int | None": (pl.Int64, (int, type(None))),
    "float | None": (pl.Float64, (float, int, type(None))),
    "bool | None": (pl.Boolean, (bool, type(None))),
}
_SCHEMA = {each.name: _TYPES[str(each.type)][0] for each in fields(Quantities)}
_STAMP = {name: _SCHEMA[name] for name in ("path", "bytes", "mtime_ns")}
_FILLED = [each.name for each in fields(Quantities) if "None" not in str(each.type)]


def _parsed(value: Any) -> Quantities:
    """Return the quantities that a line of the journal holds.

    Raises:
        TypeError: it holds something else.
    """
    row = Quantities(**value)
    for each in fields(Quantities):
        if type(getattr(row, each.name)) not in _TYPES[str(each.type)][1]:
            raise TypeError(each.name)
    return row


class QuantityJournal:
    """The quantities of a manifest's files, each written as soon as it is measured.

    Args:
        path: the journal's file.
        measurer: measures what it does not know.

    Attributes:
        dropped: bad lines; their files are measured again.
    """

    def __init__(self, path: Path, measurer: Measurer) -> None:
        self._journal = Journal(path, _parsed)
        self._measurer = measurer
        self.dropped = self._lines = 0

    def measure(
        self, files: Sequence[Stamp], *, workers: int, timeout: float, progress: Progress
    ) -> pl.DataFrame:
        """Return the quantities of files, a row each, in any order; measure those not known.

        Args:
            files: distinct; one that has changed since it was measured is measured again.
            workers: processes that measure. One that a file crashes costs that file alone.
            timeout: seconds that one file may take.
            progress: called with files done and in all.

        Raises:
            FacecheckError: a process cannot be started.
            CheckpointError: the face detector cannot be used.
        """
        wanted = pl.DataFrame([asdict(file) for file in files], schema=_STAMP)
        before = self._read()
        todo = wanted.join(before, on=list(_STAMP), how="anti", maintain_order="left")
        failed: list[Quantities] = []
        done = wanted.height - todo.height
        with self._journal:
            for row in self._measured([Stamp(*row) for row in todo.iter_rows()], workers, timeout):
                if row.policy:
                    self._journal.append(asdict(row))
                else:  # not kept: on a busy machine it may only be slow
                    failed.append(row)
                done += 1
                progress(done, wanted.height)
        current = self._read().join(wanted, on=list(_STAMP), how="semi")
        if self.dropped or current.height < self._lines:
            self._journal.replace(current.iter_rows(named=True))
        return pl.concat([current, pl.DataFrame(failed, schema=_SCHEMA)])

    def _read(self) -> pl.DataFrame:
        """Return what is known under the present policy, the latest row of each file."""
        table, self.dropped = journal_table(self._journal, _SCHEMA, _FILLED)
        self._lines = table.height
        serves = pl.col("policy").str.starts_with(self._measurer.policy)
        return table.filter(serves).unique("path", keep="last")

    def _measured(
        self, files: Sequence[Stamp], workers: int, timeout: float
    ) -> Iterator[Quantities]:
        if not files:
            return
        with Isolated(self._measurer, timeout=timeout) as isolated:
            for file, row in zip(files, map_ordered(isolated, files, workers=workers), strict=True):
                yield (
                    Quantities(**asdict(file), reason=row.reason)
                    if isinstance(row, Failed)
                    else row
                )
