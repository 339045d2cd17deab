"""The files that a curation's report shows: their thumbnails, and links to them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from facecheck.core.errors import ImageError
from facecheck.core.files import path_text
from facecheck.core.image import decode
from facecheck.core.parallel import Progress, map_ordered
from facecheck.report.thumbs import numbered

#: Longest side of a thumbnail in pixels: large enough to see what differs.
_SIDE = 192


def write_thumbnails(
    files: Sequence[str], folder: Path, workers: int, progress: Progress
) -> dict[str, bool]:
    """Write a thumbnail of each file; return of each whether it could be made."""

    def make(place: int) -> bool:
        try:
            image = decode(Path(files[place]), short_side=_SIDE).image
        except ImageError:
            return False
        image.thumbnail((_SIDE, _SIDE))
        target = folder / numbered(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target, "WEBP", quality=85)
        return True

    made = {}
    for place, done in enumerate(map_ordered(make, range(len(files)), workers=workers)):
        made[files[place]] = done
        progress(place + 1, len(files))
    return made


@dataclass(frozen=True)
class Pictures:
    """What the page shows of files: their thumbnails, and links to them.

    Attributes:
        out: the report's folder, absolute.
        places: each file's number.
        made: whether a file has a thumbnail.
    """

    out: Path
    places: Mapping[str, int]
    made: Mapping[str, bool]

    def picture(self, file: str, kind: str, source: str) -> dict[str, Any]:
        """Return a file's thumbnail, if it has one, its address and its names."""
        return {
            "src": f"thumbs/{numbered(self.places[file])}" if self.made[file] else None,
            "href": quote(os.path.relpath(file, self.out)),
            "name": path_text(Path(file).name),
            "folder": path_text(Path(file).parent),
            "kind": kind,
            "source": source,
        }

    def pair(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row of the duplicates table with both pictures, the keeper first."""
        sides = [
            self.picture(row[side], row[f"{side}_kind"], row[f"{side}_source"])
            for side in ("keeper", "dropped")
        ]
        between = row["dropped_source"] != row["keeper_source"]
        return {**row, "sides": sides, "between": between, "measures": _measures(row)}

    def dispute(self, files: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        """Return the pictures of the files of one conflict."""
        return [self.picture(row["path"], row["kind"], row["source"]) for row in files]


def _measures(row: Mapping[str, Any]) -> str:
    """Return how alike the two files of a pair are, in words; nothing of the very same pixels."""
    if row["why"] in {"same bytes", "same pixels"}:
        return ""
    facts = []
    if row["view"] != "whole":
        facts.append(f"seen {row['view']}")
    if row["distance"] is not None:
        facts.append(f"{row['distance']} bits apart")
    if row["correlation"] is not None:
        facts.append(f"correlation {row['correlation']:.3f}")
    if row["difference"] is not None:
        facts.append(f"colours differ by {row['difference']:.1f}")
    return ", ".join(facts)
