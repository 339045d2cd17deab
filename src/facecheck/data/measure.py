"""What index needs of a file's content.

Imports little: each process that measures begins with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facecheck.core.errors import ImageError, reason
from facecheck.core.image import DECODE_POLICY, HASH_SIDE, frames, perceptual_hash, picture_hash

#: Files measured under another policy are measured again.
POLICY = f"decode {DECODE_POLICY}, side {HASH_SIDE}, picture 3, phash 3"


#: The largest integer a table holds; in nanoseconds it is in the year 2262.
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Stamp:
    """What tells a file from a changed one: its path, size in bytes, and time of change in ns.

    A time after the year 2262, which the table cannot hold, counts as the last one before it.
    """

    path: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Measured:
    """One file's content, under :data:`POLICY`. A file that cannot be read has a reason alone.

    Attributes:
        path: the file.
        bytes: its size.
        mtime_ns: when it was last changed, in nanoseconds.
        policy: the policy it was measured under.
        sha256: of the file's bytes.
        pixel_hash: see :func:`facecheck.core.image.picture_hash`.
        phash: see :func:`facecheck.core.image.perceptual_hash`.
        width: of the whole image once upright.
        height: likewise.
        format: by its content.
        reason: why it cannot be used, or empty.
    """

    path: str
    bytes: int
    mtime_ns: int
    policy: str = POLICY
    sha256: str = ""
    pixel_hash: str = ""
    phash: str = ""
    width: int = 0
    height: int = 0
    format: str = ""
    reason: str = ""


def stamp(path: Path) -> Stamp:
    """Return a file's stamp; one that cannot be asked has size and time 0, and is never known."""
    try:
        status = path.stat()
    except OSError:
        return Stamp(str(path), 0, 0)
    return Stamp(str(path), status.st_size, min(status.st_mtime_ns, LARGEST))


def measure(file: Stamp, known_sha256: str = "") -> Measured | None:
    """Read and decode one file; return None if its bytes are those of ``known_sha256``."""
    try:
        content = Path(file.path).read_bytes()
    except OSError as error:  # vanished or turned unreadable since it was listed
        return Measured(**vars(file), reason=_why_unread(error))
    digest = hashlib.sha256(content).hexdigest()
    if digest == known_sha256:
        return None
    try:
        further = frames(content, short_side=HASH_SIDE)
        decoded = next(further)
    except ImageError as error:
        return Measured(**vars(file), sha256=digest, reason=str(error))
    return Measured(
        **vars(file),
        sha256=digest,
        pixel_hash=picture_hash(decoded, further, content),
        phash=perceptual_hash(decoded.image),
        width=decoded.width,
        height=decoded.height,
        format=decoded.format,
    )


def measure_each(files: Sequence[tuple[Stamp, str]]) -> list[Measured | None]:
    """Return what :func:`measure` returns of each file and its known sha256."""
    return [measure(*one) for one in files]


def _why_unread(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file is not there"
    if isinstance(error, PermissionError):
        return "no permission to read the file"
    return f"cannot be read: {reason(error)}"
