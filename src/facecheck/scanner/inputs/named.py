"""The files that the rows of a scan name, found again by their names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from facecheck.core.errors import FacecheckError, ImageError
from facecheck.core.files import named_path
from facecheck.core.selection import is_archive_name
from facecheck.scanner.inputs import remote
from facecheck.scanner.inputs.items import INSIDE, Item, find_inputs
from facecheck.scanner.options import InputOptions

#: Archives whose members are known by name at a time.
_ARCHIVES = 4


def load_named(name: str) -> Path | bytes:
    """Return what the decoder takes of what a row calls ``name``: as :meth:`Item.load`.

    Raises:
        ImageError: it cannot be had.
    """
    path = named_path(name)
    if os.path.lexists(path) or not (INSIDE in name or remote.is_address(name)):
        return path
    for place in _places_of(name):
        try:
            found = _items_at(place).get(name)
        except FacecheckError as error:  # no such archive; a store that cannot be reached
            raise ImageError(str(error)) from None
        if found is not None:
            return found.load()
    raise ImageError("the file is not there")


def _places_of(name: str) -> Iterator[str]:
    """Yield what a scan was given, or found, where its row is called ``name``."""
    at = name.find(INSIDE)
    while at >= 0:
        outer = name[:at]
        if remote.is_address(outer) and is_archive_name(outer):
            yield outer
        elif named_path(outer).is_file():
            yield os.fspath(named_path(outer))
        at = name.find(INSIDE, at + 1)
    if remote.is_address(name):
        yield name


@lru_cache(maxsize=_ARCHIVES)
def _items_at(place: str) -> dict[str, Item]:
    return {item.name: item for item in find_inputs([place], InputOptions(hidden=True))}
