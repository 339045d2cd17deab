"""Unpack archives from strangers: nothing leaves the folder, nothing runs, nothing is unbounded."""

from __future__ import annotations

import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from facecheck.core.errors import SourceError
from facecheck.core.files import path_text

MAX_FILES = 2_000_000
MAX_BYTES = 500 * 2**30
#: Unpacked bytes for each byte of the archive. Images hardly shrink; a bomb grows a thousandfold.
MAX_RATIO = 200

_WINDOWS_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def is_archive(path: Path) -> bool:
    """Return whether ``path`` is a zip or tar archive, by its content."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the regular files of a zip or tar archive into an empty ``folder``.

    Raises:
        SourceError: it is no such archive, is damaged or encrypted; a member's name is absolute,
            climbs out by ``..``, is reserved on Windows, or differs from another's by case alone;
            a member is a link or device; or it is larger than the limits of this module.
    """
    limit = min(MAX_BYTES, MAX_RATIO * max(archive.stat().st_size, 2**20))
    seen: dict[str, str] = {}
    total = 0
    try:
        with _members(archive) as members:
            for name, stream in members:
                target = folder / _safe_name(name, archive)
                _check_collision(name, seen, archive)
                target.parent.mkdir(parents=True, exist_ok=True)
                with stream, target.open("xb") as out:
                    while block := stream.read(2**20):
                        total += len(block)
                        if total > limit:
                            raise SourceError(
                                f"{path_text(archive)}: unpacks to over {limit:,} bytes, more than "
                                "an archive of images would: it may be a bomb"
                            )
                        out.write(block)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, ValueError) as error:
        raise SourceError(
            f"{path_text(archive)}: damaged or encrypted ({error}): get it again"
        ) from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise SourceError(
            f"{path_text(archive)}: two members share the name {error.filename}"
        ) from None


def _check_collision(name: str, seen: dict[str, str], archive: Path) -> None:
    twin = seen.setdefault(name.casefold(), name)
    if len(seen) > MAX_FILES:
        raise SourceError(f"{path_text(archive)}: holds over {MAX_FILES:,} files")
    if twin != name:
        raise SourceError(
            f"{path_text(archive)}: {name!r} and {twin!r} differ by case alone and would be one "
            "file on some systems: unpack and rename by hand, then fetch the folder"
        )


def _safe_name(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    parts = path.parts
    bad = (
        path.is_absolute()
        or not parts
        or ".." in parts
        or "\0" in name
        or ":" in parts[0]
        or any(_WINDOWS_RESERVED.match(part) for part in parts)
    )
    if bad:
        raise SourceError(f"{path_text(archive)}: unsafe member name {name!r}: nothing was kept")
    return path


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Yield the (name, content) of each regular file; folders are implied, the rest is refused."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as bundle:
            yield _zip_members(bundle, archive)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as bundle:
            yield _tar_members(bundle, archive)
    else:
        raise SourceError(f"{path_text(archive)}: neither a zip nor a tar archive")


def _zip_members(bundle: zipfile.ZipFile, archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    for member in bundle.infolist():
        mode = member.external_attr >> 16
        if member.is_dir():
            continue
        if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
            raise SourceError(f"{path_text(archive)}: {member.filename!r} is a link or device")
        yield member.filename, bundle.open(member)


def _tar_members(bundle: tarfile.TarFile, archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    for member in bundle:
        if member.isdir():
            continue
        stream = bundle.extractfile(member) if member.isreg() else None
        if stream is None:
            raise SourceError(f"{path_text(archive)}: {member.name!r} is a link or device")
        yield member.name, stream


def copy_tree(origin: Path, folder: Path, files: list[Path]) -> None:
    """Copy ``files``, all under ``origin``, to the same places under ``folder``."""
    for file in files:
        target = folder / file.relative_to(origin)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
