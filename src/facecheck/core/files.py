"""Files and their names: atomic writing, hashing, and paths as text."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path, PurePath
from typing import Any, BinaryIO, TypeVar

from facecheck.core.errors import FacecheckError, UsageError

AnyPath = TypeVar("AnyPath", bound=PurePath)

# How the names begin that files and folders have until they are whole.
_TEMPORARY = ".facecheck-"
#: In bytes, on every common file system.
LONGEST_NAME = 255
# Bytes that are read at a time.
_BLOCK = 2**18
# A cell that begins with one of these is run as a formula by spreadsheets, and "-" is read as an
# option by shells.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
# How a byte that is not UTF-8 is written, and a backslash that would be read as one.
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")
_LOOKS_ESCAPED = re.compile(rb"\\(?=x[0-9a-f]{2})")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path`` that replaces it when the block ends without error.

    A crash or a full disk leaves the old file whole. The parent folder is made if needed. The
    temporary path is the same each time, so that the next run uses up what a kill has left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, handle = _temporary_file(path)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        # It is private so far; give the result the permissions any new file would have.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder next to ``path``, at :func:`temporary_name`, removed in the end.

    What a kill has left there is removed first. The parent folder is made if needed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder, handle = _temporary_folder(path)
    try:
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def temporary_name(path: Path) -> Path:
    """Return where what will be at ``path`` is made: next to it, hidden, the same each time."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]
    return path.with_name(f"{_TEMPORARY}{digest}{path.suffix[:32]}")


def _temporary_file(path: Path) -> tuple[Path, int]:
    """Return an empty file to write to, and a handle that holds its lock.

    Where another process is writing to the usual name, or it cannot be locked, it is one of its
    own.
    """
    usual = temporary_name(path)
    with suppress(OSError):
        handle = os.open(usual, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if _holds(handle, usual):
            os.truncate(handle, 0)
            return usual, handle
    handle, name = tempfile.mkstemp(prefix=_TEMPORARY, suffix=usual.suffix, dir=path.parent)
    return Path(name), handle


def _temporary_folder(path: Path) -> tuple[Path, int]:
    """Return a folder to fill, and a handle that holds its lock; as of a file."""
    usual = temporary_name(path)
    reading = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
    with suppress(OSError):
        usual.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(usual, reading)
        if _holds(handle, usual):
            return usual, handle
    own = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=path.parent))
    return own, os.open(own, reading)


def _holds(handle: int, path: Path) -> bool:
    """Lock an open file that is at ``path``; close it and return False where that cannot be."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The one before may have renamed or removed the file between our opening and locking it.
        if os.path.samestat(os.fstat(handle), path.stat()):
            return True
    except OSError:
        pass
    os.close(handle)
    return False


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 ``text`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON to ``path`` atomically; paths become text."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def sha256_file(path: Path) -> str:
    """Return the hex sha256 of the bytes of ``path``, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_stream(stream: BinaryIO) -> str:
    """Return the hex sha256 of what is left of an open file, read in blocks."""
    digest = hashlib.sha256()
    while block := stream.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def to_path(given: Path | str, what: str) -> Path:
    """Return what a caller gave as a path.

    Args:
        given: a ``str`` or a path.
        what: what it names, such as ``the results``.

    Raises:
        UsageError: it is neither, or empty.
    """
    if not isinstance(given, str | os.PathLike) or not isinstance(os.fspath(given), str):
        raise UsageError(f"{what}: {given!r:.80} is not a path: pass a str or a Path")
    if not os.fspath(given):
        raise UsageError(f"{what}: the path is empty: name a file or folder")
    return Path(given)


def to_paths(given: Path | str | Iterable[Path | str], what: str) -> list[Path]:
    """Return what a caller gave as one path or several.

    Raises:
        UsageError: one is no path.
    """
    if isinstance(given, str | os.PathLike) or not isinstance(given, Iterable):
        return [to_path(given, what)]
    return [to_path(each, what) for each in given]


def path_text(path: Path | str) -> str:
    r"""Return ``path`` as text that is safe to put in a table.

    Bytes that are not UTF-8 become ``\xNN``. A relative name that a spreadsheet would run as a
    formula, or a shell read as an option, gets ``./`` in front: it still names the same file.
    """
    return safe_cell(os.fsencode(path).decode("utf-8", "backslashreplace"))


def name_text(path: Path | str) -> str:
    r"""Return the exact name of ``path`` as UTF-8 text; :func:`named_path` is the way back.

    Bytes that are not UTF-8 become ``\xNN``. That a name may hold those four characters itself,
    its backslash becomes ``\x5c`` there, and only there.
    """
    if isinstance(path, str) and path.isascii() and "\\" not in path:  # as nearly all are
        return path
    return _LOOKS_ESCAPED.sub(rb"\\x5c", os.fsencode(path)).decode("utf-8", "backslashreplace")


def named_path(text: str) -> Path:
    """Return the path that :func:`name_text` wrote as ``text``, with ``./`` in front or without."""
    escaped = text.encode("utf-8", "surrogateescape")
    return Path(os.fsdecode(_ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), escaped)))


def safe_cell(name: str) -> str:
    """Return ``name`` with ``./`` in front if a spreadsheet would run it as a formula.

    What starts so is a relative path, of a file or of an archive: an absolute one starts with a
    slash or a drive's letter, and the scheme of a URL with a letter (RFC 3986). So the result
    still names the same thing.
    """
    return f"./{name}" if name.startswith(FORMULA_STARTS) else name


def numbered(path: AnyPath) -> Iterator[AnyPath]:
    """Yield ``path``, then ``name~2.jpg``, ``name~3.jpg`` and so on, none longer than names may be.

    Whoever looks for a free name takes the first that is not taken.
    """
    yield path
    for number in count(2):
        yield path.with_name(marked_name(path.name, f"~{number}"))


def marked_name(name: str, mark: str) -> str:
    """Return a file name with ``mark`` before its ending, no longer than names may be.

    Its stem is shortened where that is needed.
    """
    stem, ending = Path(name).stem, f"{mark}{Path(name).suffix}"
    while stem and len(os.fsencode(stem + ending)) > LONGEST_NAME:
        stem = stem[:-1]
    return stem + ending


def open_regular(path: Path | str) -> BinaryIO:
    """Open a regular file to read its bytes; never wait for a pipe, never touch a device.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    try:
        _require_regular(Path(path).stat())  # opening some devices already does something
    except ValueError:  # a NUL, which no name holds
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
    # Should a pipe have taken the file's place since, the open returns at once, and it is found.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _require_regular(os.fstat(descriptor))
        return open(descriptor, "rb")  # noqa: PTH123
    except BaseException:
        os.close(descriptor)
        raise


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "a pipe, socket or device, not a file")


def is_utf8(path: Path) -> bool:
    """Return whether a table can name ``path`` exactly: its name is UTF-8, and read as such.

    Where the locale is not UTF-8, and Python not in its UTF-8 mode, names other than ASCII are not.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def unnameable_reason() -> str:
    """Return why :func:`is_utf8` says no, and what to do."""
    if sys.getfilesystemencoding() == "utf-8":
        return "the file name is not UTF-8: rename it"
    return "the locale cannot read the file name: set LC_ALL=C.UTF-8"


def refuse_to_overwrite(path: Path, *, overwrite: bool, or_else: str = "") -> None:
    """Raise :class:`UsageError` if ``path`` exists and ``overwrite`` was not asked for.

    Args:
        path: what would be replaced.
        overwrite: whether that was asked for.
        or_else: what else may be wanted, and the flag for it.
    """
    if path.exists() and not overwrite:
        or_else = f", or {or_else}" if or_else else ""
        raise UsageError(f"{path_text(path)} exists: pass --overwrite to replace it{or_else}")


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise :class:`FacecheckError` unless ``needed`` bytes are free where ``folder`` lies."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise FacecheckError(
            f"{path_text(there)}: {purpose} needs {needed / 1e9:,.2f} GB and {free / 1e9:,.2f} GB "
            "are free: make room, or choose another folder"
        )
