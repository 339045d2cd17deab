"""Faces followed from frame to frame: the boxes of one person become one track.

An IoU tracker (Bochinski, Eiselein, Sikora: High-Speed Tracking-by-Detection Without Using Image
Information, AVSS 2017), for frames that lie far apart: it needs boxes alone. Since a face moves by
more than its own size in a second, boxes are compared by the distance of their centres, in sizes of
the face, rather than by how much they overlap, and by their sizes. The nearest pair is joined
first; a face that is missing for up to two intervals keeps its track.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import hypot
from typing import Any

from facecheck.core.labels import Status

#: Rows of a frame, and of a track, with the columns of a scan and those of a video.
Row = dict[str, Any]

#: Largest distance of two centres, in sizes of the face, and largest ratio of the sizes.
FARTHEST, MOST_GROWN = 1.5, 2.0
#: Intervals that a face may be missing, and half of one for frames that come late.
MISSING = 3.5


@dataclass
class Track:
    """One face in several frames.

    Attributes:
        number: from 1, in the order in which tracks begin.
        rows: of its frames.
    """

    number: int
    rows: list[Row] = field(default_factory=list)

    @property
    def box(self) -> tuple[float, float, float]:
        """Centre and size of its latest box, in pixels."""
        return _box(self.rows[-1])

    @property
    def time(self) -> float:
        """When it was last seen, in seconds."""
        return float(self.rows[-1]["time"])


def track(rows: Iterable[Row], every: float) -> Iterator[Track]:
    """Follow the faces of one video; yield each track when it has ended.

    Each row gets its track's number as ``track``.

    Args:
        rows: of its frames in the order of their times, those with a face's box alone.
        every: seconds between two frames.
    """
    alive: list[Track] = []
    begun = 0
    for time, group in groupby(rows, key=lambda row: float(row["time"])):
        faces = list(group)
        ended = [one for one in alive if time - one.time > MISSING * every]
        alive = [one for one in alive if one not in ended]
        yield from ended
        taken = _joined(alive, faces)
        for place, row in enumerate(faces):
            one = taken.get(place)
            if one is None:
                begun += 1
                one = Track(begun)
                alive.append(one)
            row["track"] = one.number
            one.rows.append(row)
    yield from alive


def _joined(alive: Sequence[Track], faces: Sequence[Row]) -> dict[int, Track]:
    """Return which face belongs to which track, the nearest pairs first."""
    pairs = []
    for old, one in enumerate(alive):
        for place, row in enumerate(faces):
            distance = _distance(one.box, _box(row))
            if distance is not None:
                pairs.append((distance, old, place))
    taken: dict[int, Track] = {}
    for _, old, place in sorted(pairs):
        if place not in taken and alive[old] not in taken.values():
            taken[place] = alive[old]
    return taken


def _distance(one: tuple[float, float, float], other: tuple[float, float, float]) -> float | None:
    """Return how far two boxes are apart, in sizes; None where they are not of one face."""
    (x, y, size), (u, v, extent) = one, other
    smaller, larger = sorted((max(size, 1.0), max(extent, 1.0)))
    far = hypot(x - u, y - v) / larger
    return far if far <= FARTHEST and larger / smaller <= MOST_GROWN else None


def _box(row: Row) -> tuple[float, float, float]:
    width, height = float(row["face_width"]), float(row["face_height"])
    centre = (row["face_left"] + width / 2, row["face_top"] + height / 2)
    return (*centre, (width * height) ** 0.5)


def row_of_track(one: Track) -> Row:
    """Return a track's one row: that of the frame with its median score.

    A single bad frame moves no median, and the row is one that a frame really had; of an even
    number it is the lower of the two in the middle. Frames without a verdict are counted, and taken
    only where there are no others.
    """
    scored = [row for row in one.rows if row["status"] == Status.OK and row["score"] is not None]
    first, last = one.rows[0]["time"], one.rows[-1]["time"]
    seen = {"track": one.number, "time": first, "time_to": last, "frames": len(one.rows)}
    if not scored:
        middle = one.rows[len(one.rows) // 2]
        return {**middle, **seen, "time_at": middle["time"]}
    ordered = sorted(scored, key=lambda row: (row["score"], row["time"]))
    middle = ordered[(len(ordered) - 1) // 2]
    said = middle["message"]
    if len(scored) > 1:
        scores = f"{ordered[0]['score']:.3f} to {ordered[-1]['score']:.3f}"
        said = "; ".join(filter(None, (said, f"median of {len(scored)} frames, scores {scores}")))
    return {**middle, **seen, "time_at": middle["time"], "message": said}
