"""What the catalogue offers: its sources, which are there already, and what the others would take.

It imports nothing of what fetches: ``facecheck sources`` answers at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from facecheck.core.errors import UsageError
from facecheck.data.options import CatalogOptions
from facecheck.data.sources.catalog import Source, choose, read_catalog
from facecheck.data.sources.marker import marker_path
from facecheck.data.sources.platforms import platform_of

#: Bytes a second that `--dry-run` reckons with: a connection of 50 Mbit/s.
ASSUMED_SPEED = 6_250_000


@dataclass(frozen=True)
class Listed:
    """One source of the catalogue, as ``list_sources`` shows it.

    Attributes:
        source: its entry.
        where: where it lives, for people.
        fetched: whether it is in the raw folder.
        seconds: about how long its download takes at :data:`ASSUMED_SPEED`; None when its size
            is not known.
    """

    source: Source
    where: str
    fetched: bool
    seconds: float | None


@dataclass(frozen=True)
class Listing:
    """Sources of the catalogue, and what fetching those not yet there would take.

    Attributes:
        sources: one row each.
        bytes: about how much is still to be downloaded, of those whose size is known.
        unknown: how many of those still to be fetched have no known size.
        free: bytes free where the raw folder lies.
    """

    sources: tuple[Listed, ...]
    bytes: int
    unknown: int
    free: int


def list_sources(
    names: str | Sequence[str] | None = None, options: CatalogOptions = CatalogOptions()
) -> Listing:
    """Return sources of the catalogue, without asking any server.

    Args:
        names: which; none at all stands for the default set, None for the whole catalogue.
        options: the user's own catalogue, and the raw folder.

    Raises:
        UsageError: a name is unknown.
        ConfigError: the catalogue is wrong.
    """
    known = read_catalog(options.catalog)
    chosen = list(known.values()) if names is None else choose(known, names_of(names))
    rows = tuple(
        Listed(
            source,
            platform_of(source).where(source),
            marker_path(options.root, source.name).is_file(),
            None if source.bytes is None else source.bytes / ASSUMED_SPEED,
        )
        for source in chosen
    )
    missing = [row.source for row in rows if not row.fetched]
    place = next(path for path in (options.root, *options.root.absolute().parents) if path.exists())
    return Listing(
        rows,
        sum(source.bytes or 0 for source in missing),
        sum(source.bytes is None for source in missing),
        shutil.disk_usage(place).free,
    )


def names_of(names: str | Sequence[str]) -> Sequence[str]:
    """Return names of sources as a list.

    Raises:
        UsageError: one is no text.
    """
    given = [names] if isinstance(names, str) or not isinstance(names, Iterable) else list(names)
    for name in given:
        if not isinstance(name, str):
            raise UsageError(f"sources are named by text, not {name!r:.80}: see list_sources()")
    return given
