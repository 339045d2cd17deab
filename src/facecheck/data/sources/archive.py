"""Unpack archives from strangers: nothing leaves the folder, nothing runs, nothing is unbounded."""

from __future__ import annotations

import hashlib
import lzma
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from facecheck.core.errors import SourceError, reason
from facecheck.core.files import numbered, path_text, require_space
from facecheck.data.sources.listing import (
    MAX_FILES,
    MAX_RATIO,
    LimitError,
    TarContent,
    kind_of,
    open_zip,
    tar_members,
    unpacked,
    why_not_unpacked,
)

MAX_BYTES = 500 * 2**30
#: Bytes of one name that every common file system takes, less room for a mark of ours.
MAX_NAME = 240
MAX_DEPTH = 64

_RESERVED_STEM = re.compile(r"(?i)^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])[. ]*(\.|$)")
_RESERVED_CHARACTER = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
_DRIVE = re.compile(r"^[A-Za-z]:")
_UTF8_FLAG = 0x800
#: Formats that are recognised and not read, by their first bytes.
_OTHER_FORMATS = {
    b"7z\xbc\xaf'\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x28\xb5\x2f\xfd": "zstd",
}
#: What Python's readers raise on damaged, encrypted or unknown content.
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, RuntimeError, ValueError, OverflowError, IndexError, KeyError, AttributeError),
)


class DamagedArchiveError(SourceError):
    """The archive's bytes are not what its makers packed; another copy may be whole."""


@dataclass(frozen=True)
class Renamed:
    """A member whose name could not be kept: as it was, and as it is on disk."""

    was: str
    now: str


@dataclass(frozen=True)
class Unpacked:
    """What ``unpack`` wrote: files, their bytes in all, and the names that had to change."""

    files: int
    bytes: int
    renamed: tuple[Renamed, ...]


def is_archive(path: Path) -> bool:
    """Return whether ``path`` is a zip or tar archive, by its content."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            kind = kind_of(stream)
            if kind == "tar":  # or a single packed file
                next(tar_members(unpacked(stream)), None)
            return kind is not None
    except LimitError:  # it is one, and unpacking it says what is wrong with it
        return True
    except (*DAMAGE, OSError):
        return False


def other_format(path: Path) -> str | None:
    """Return the name of an archive format that facecheck recognises but does not read."""
    with path.open("rb") as stream:
        start = stream.read(8)
    return next((name for mark, name in _OTHER_FORMATS.items() if start.startswith(mark)), None)


def nothing() -> None:
    """Do nothing: the default of what is called all along."""


def unpack(archive: Path, folder: Path, *, tick: Callable[[], None] = nothing) -> Unpacked:
    """Unpack the regular files of a zip or tar archive into an empty ``folder``.

    Names that some system cannot hold are changed and reported: characters and device names that
    Windows reserves, names that differ by case alone from an earlier one, bytes in no known
    encoding, names that are too long. ``tick`` is called all along, and may raise to stop.

    Raises:
        SourceError: it is no such archive, is damaged or encrypted; a member's name is absolute or
            climbs out by ``..``; a member is a link or device; it is larger than the limits of
            this module, or than the disk's free space.
    """
    names = SafeNames(path_text(archive))
    total = 0
    limit = min(MAX_BYTES, MAX_RATIO * max(archive.stat().st_size, 2**20))
    try:
        with _removed_on_error(folder), _members(archive, folder) as members:
            for name, stream in members:
                tick()
                target = folder / names.safe(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with stream, target.open("xb") as out:
                    while block := stream.read(2**20):
                        tick()
                        total += len(block)
                        if total > limit:
                            raise SourceError(
                                f"{path_text(archive)}: unpacks to over {limit:,} bytes, more than "
                                "an archive of images would: it may be a bomb"
                            )
                        out.write(block)
    except DAMAGE as error:
        raise DamagedArchiveError(
            f"{path_text(archive)}: damaged or encrypted ({reason(error)}): get it again"
        ) from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise SourceError(
            f"{path_text(archive)}: a file and a folder share the name "
            f"{path_text(Path(str(error.filename)))}: unpack it by hand, then fetch the folder"
        ) from None
    except OSError as error:
        # gzip and bz2 report damage so, without a number; a full disk has one
        kind = SourceError if error.errno else DamagedArchiveError
        raise kind(
            f"{path_text(archive)}: cannot be unpacked to {path_text(folder)}: {reason(error)}"
        ) from None
    return Unpacked(len(names.taken), total, tuple(names.renamed))


@contextmanager
def _removed_on_error(folder: Path) -> Iterator[None]:
    """Remove what was unpacked when the archive is refused: a bomb must not lie on the disk."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


class SafeNames:
    """The names given out so far in one archive or folder, no two of them one file anywhere.

    Attributes:
        holder: what the names come from, for messages.
        taken: the names given out, as a file system that ignores case and form sees them.
        renamed: those that could not be kept.
    """

    def __init__(self, holder: str) -> None:
        self.holder = holder
        self.taken: set[str] = set()
        self.renamed: list[Renamed] = []

    def safe(self, name: str) -> PurePosixPath:
        """Return a relative path for a member, unlike all earlier ones even without case.

        Raises:
            SourceError: the name would leave the folder, is empty, or is nested too deep.
        """
        parts = self._parts(name)
        path = PurePosixPath(*(_portable(part) for part in parts))
        path = next(free for free in numbered(path) if _key(free) not in self.taken)
        self.taken.add(_key(path))
        if len(self.taken) > MAX_FILES:
            raise SourceError(f"{self.holder}: holds over {MAX_FILES:,} files")
        if path.parts != parts:
            self.renamed.append(Renamed(_shown(name), str(path)))
        return path

    def _parts(self, name: str) -> tuple[str, ...]:
        path = PurePosixPath(name.replace("\\", "/"))
        outside = path.is_absolute() or ".." in path.parts or _DRIVE.match(name)
        if outside or not path.parts or len(path.parts) > MAX_DEPTH:
            raise SourceError(
                f"{self.holder}: unsafe member name {_shown(name)!r}: nothing was kept"
            )
        return path.parts


def _key(path: PurePosixPath) -> str:
    """Return what two names share when a file system that ignores case or form confuses them."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())


def _portable(part: str) -> str:
    """Return one name as every common system can hold it."""
    name = part.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if name != part:  # bytes in no known encoding: keep them apart by spelling them out
        name = "".join(f"%{ord(c) & 0xFF:02X}" if "\udc80" <= c <= "\udcff" else c for c in part)
        name = name.encode("utf-8", "replace").decode("utf-8")
    name = _RESERVED_CHARACTER.sub("_", name)
    if name[-1:] in {".", " "}:
        name = f"{name.rstrip('. ')}_"
    if _RESERVED_STEM.match(name):
        name = f"_{name}"
    if len(name.encode()) > MAX_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        suffix = PurePosixPath(name).suffix[:16]
        head = name.encode()[: MAX_NAME - 20 - len(suffix.encode())].decode("utf-8", "ignore")
        name = f"{head.rstrip('. ')}~{digest}{suffix}"
    return name


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def _members(archive: Path, folder: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Yield the (name, content) of each regular file; folders are implied, the rest is refused."""
    with archive.open("rb") as stream:
        kind = kind_of(stream)
        if kind == "zip":
            with open_zip(stream) as bundle:
                size = sum(member.file_size for member in bundle.infolist())
                # A size that no disk holds is a lie or a bomb; the limit on bytes written says
                # which.
                require_space(folder, min(size, MAX_RATIO * archive.stat().st_size), "unpacking it")
                yield _zip_members(bundle, archive)
            return
        if kind == "tar":
            yield _tar_members(unpacked(stream), archive)
            return
        name = other_format(archive)
        raise SourceError(
            f"{path_text(archive)}: a {name} archive, which facecheck does not read: unpack it "
            "with another program, then fetch the folder with --from"
            if name
            else f"{path_text(archive)}: neither a zip nor a tar archive"
        )


def _zip_members(bundle: zipfile.ZipFile, archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    for member in bundle.infolist():
        mode = member.external_attr >> 16
        if member.is_dir():
            continue
        if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
            raise SourceError(
                f"{path_text(archive)}: {member.filename!r} is a link or device: nothing was kept"
            )
        if why := why_not_unpacked(member):
            raise SourceError(f"{path_text(archive)}: {member.filename!r}: {why}: nothing was kept")
        yield zip_name(member), bundle.open(member)


def zip_name(member: zipfile.ZipInfo) -> str:
    """Return a member's name; without the UTF-8 flag many programs write UTF-8 all the same."""
    if member.flag_bits & _UTF8_FLAG:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def _tar_members(stream: IO[bytes], archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    for member in tar_members(stream):
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            raise SourceError(
                f"{path_text(archive)}: {_shown(member.name)!r} is a link, sparse file or device: "
                "nothing was kept"
            )
        yield member.name, cast("IO[bytes]", TarContent(stream, member))
