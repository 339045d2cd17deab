"""The files that the rows of a scan name, found again by their names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

from facecheck.core.errors import FacecheckError, ImageError
from facecheck.core.files import name_text, named_path
from facecheck.core.selection import is_archive_name
from facecheck.scanner.inputs import remote
from facecheck.scanner.inputs.items import INSIDE, Item, find_inputs
from facecheck.scanner.inputs.reach import FOLDER
from facecheck.scanner.options import InputOptions
from facecheck.scanner.results.sink import read_meta

#: Archives whose members are known by name at a time.
_ARCHIVES = 4
#: Names that are tried to find out which folder they are of.
_TRIED = 1_000


def base_of(results: Path, names: Iterable[str], given: Path | None = None) -> Path:
    """Return the folder that the relative names of results are of, absolute.

    It is the one that is given; else the one that the scan ran in, by the ``.meta.json`` of the
    results, or the current one, whichever has one of the first names.

    Args:
        results: the results.
        names: of their rows.
        given: the folder, where the user says it.
    """
    if given is not None:
        return given.absolute()
    known = read_meta(results).get(FOLDER)
    told = [named_path(known)] if isinstance(known, str) and os.path.isabs(known) else []  # noqa: PTH117
    tried = [name for name in islice(names, _TRIED) if is_relative(name)]
    for base in (*told, Path.cwd()):
        if any(_lies_in(base, name) for name in tried):
            return base
    return Path.cwd()


def is_relative(name: str) -> bool:
    """Return whether a row's name is a relative path, of a file or of an archive."""
    return not (name.startswith("/") or remote.is_address(name))


def located(name: str, base: Path) -> str:
    """Return a row's name as seen from the current folder, where relative ones are of ``base``."""
    if base == Path.cwd() or not is_relative(name):
        return name
    return os.path.join(name_text(base), name)  # noqa: PTH118


def _lies_in(base: Path, name: str) -> bool:
    outer = base / named_path(name.partition(INSIDE)[0])
    return os.path.lexists(base / named_path(name)) or os.path.lexists(outer)


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
