"""Files in object stores (``s3://``, ``gs://``, ``az://`` …) through fsspec, of extra ``cloud``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, cast

from facecheck.core.errors import FacecheckError, ImageError, UsageError, did_you_mean, reason
from facecheck.core.image import image_errors
from facecheck.core.install import extra_hint

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
#: What the stores call the time of the last change.
_CHANGED = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


@dataclass(frozen=True)
class RemoteFile:
    """One file in a store: its address, bytes and last change in ns, each 0 if not known."""

    address: str
    size: int
    mtime_ns: int


def is_address(text: str) -> bool:
    """Return whether ``text`` is an address such as ``s3://bucket/folder``, and not a path."""
    return _ADDRESS.match(text) is not None


def look(address: str) -> RemoteFile | None:
    """Return the file at an address, or None for a folder.

    Raises:
        UsageError: the scheme is unknown, or nothing is there.
        FacecheckError: a package for this store is missing, or the store cannot be reached.
    """
    with _reasons(address):
        filesystem, path = _connected(address)
        info = filesystem.info(path)
    return None if info["type"] == "directory" else _described(address, info)


def walk(
    folder: str,
    *,
    takes: Callable[[str], bool],
    enters: Callable[[str], bool],
    cannot_list: Callable[[str, Exception], None],
) -> Iterator[RemoteFile]:
    """Yield the files at and below an address, depth first, names in byte order, lazily.

    Args:
        folder: where to begin.
        takes: whether to yield a file, by its address.
        enters: whether to enter a folder, by its address.
        cannot_list: called for each folder below ``folder`` that cannot be listed.

    Raises:
        FacecheckError: ``folder`` itself cannot be listed.
    """
    folder = folder.rstrip("/")
    with _reasons(folder):
        names = _listed(folder)
    way = [(folder, names)]
    while way:
        above, names = way[-1]
        if not names:
            way.pop()
            continue
        name, info = names.pop()
        address = f"{above}/{name}"
        if info["type"] == "file":
            if takes(address):
                yield _described(address, info)
        elif info["type"] == "directory" and enters(address):
            try:
                way.append((address, _listed(address)))
            except Exception as error:  # each store has a tree of errors of its own
                cannot_list(address, error)


def _listed(address: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the names and facts of what is in one folder, the last first."""
    filesystem, path = _connected(address)
    found: list[dict[str, Any]] = filesystem.ls(path, detail=True)
    filesystem.invalidate_cache(path)  # which would keep every listing until the end
    named = (
        (info["name"].rstrip("/").rpartition("/")[2], info)
        for info in found
        if info["name"].strip("/") != path.strip("/")  # stores mark folders by empty files
    )
    return sorted(named, key=lambda pair: pair[0].encode("utf-8", "surrogateescape"), reverse=True)


def read(address: str, limit: int) -> bytes:
    """Return the bytes of one file.

    Raises:
        ImageError: it cannot be had, or has more than ``limit`` bytes.
    """
    with _image_reasons():
        filesystem, path = _connected(address)
        with filesystem.open(path, "rb") as stream:
            content: bytes = stream.read(limit + 1)
    if len(content) > limit:
        raise ImageError(f"too large: over {limit:,} bytes")
    return content


def read_range(address: str, offset: int, size: int) -> bytes:
    """Return ``size`` bytes from ``offset`` of one file, in one request.

    Raises:
        ImageError: they cannot be had.
    """
    with _image_reasons():
        filesystem, path = _connected(address)
        return cast(bytes, filesystem.cat_file(path, start=offset, end=offset + size))


def open_file(address: str) -> BinaryIO:
    """Open one file to be read at any position.

    Raises:
        ImageError: it cannot be opened.
    """
    with _image_reasons():
        filesystem, path = _connected(address)
        return cast(BinaryIO, filesystem.open(path, "rb"))


def _connected(address: str) -> tuple[Any, str]:
    """Return the filesystem of an address, which fsspec keeps and gives again, and the path."""
    from fsspec.core import url_to_fs

    filesystem, path = url_to_fs(address)
    return filesystem, str(path)


@contextmanager
def _reasons(address: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise FacecheckError(extra_hint(f"{address}: {error}: the address", "cloud")) from None
    except FileNotFoundError:
        raise UsageError(f"nothing to scan at {address}: check the address") from None
    except Exception as error:  # each store has a tree of errors of its own
        scheme = address.partition("://")[0]
        if not _is_known(scheme):
            near = did_you_mean(scheme, _schemes()) or ": fsspec knows s3, gs, az, hf and others"
            raise UsageError(f"{address}: no store is called {scheme!r}{near}") from None
        raise FacecheckError(
            f"{address}: {reason(error)}: check the address and the store's own credentials"
        ) from None


@contextmanager
def _image_reasons() -> Iterator[None]:
    try:
        with image_errors():
            yield
    except ImageError:
        raise
    except Exception as error:  # as above
        raise ImageError(f"cannot be fetched: {reason(error)}") from None


def _schemes() -> list[str]:
    from fsspec import available_protocols

    return cast("list[str]", available_protocols())


def _is_known(scheme: str) -> bool:
    return scheme in _schemes()


def _described(address: str, info: dict[str, Any]) -> RemoteFile:
    changed = next((info[key] for key in _CHANGED if info.get(key)), 0)
    return RemoteFile(address, int(info.get("size") or 0), _nanoseconds(changed))


def _nanoseconds(changed: object) -> int:
    if isinstance(changed, str):
        try:
            changed = datetime.fromisoformat(changed)
        except ValueError:
            return 0
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    return round(changed * 1e9) if isinstance(changed, int | float) else 0
