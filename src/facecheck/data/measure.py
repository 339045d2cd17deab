"""What index must know of a file's content, and a journal of it that outlives a kill.

The journal is a file of JSON lines beside the manifest. A file that has the size and the time of
change that the journal knows is not decoded again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from facecheck.core.errors import ImageError
from facecheck.core.files import atomic_path
from facecheck.core.image import DECODE_POLICY, decode, perceptual_hash, pixel_hash
from facecheck.core.parallel import chunked, map_ordered

#: The side in pixels that images are decoded for: large JPEGs are hashed at a reduced scale, of
#: no less than twice this. It is part of the policy, since it can move a hash by a bit or two.
HASH_SIDE = 128
#: Entries of another policy are measured anew.
POLICY = f"decode {DECODE_POLICY}, side {HASH_SIDE}, phash 2"


@dataclass(frozen=True)
class Stamp:
    """What tells a file from a changed one: its path, size in bytes, and time of change in ns."""

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
        pixel_hash: see :func:`facecheck.core.image.pixel_hash`.
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


_NUMBERS = frozenset(("bytes", "mtime_ns", "width", "height"))
_SCHEMA = {
    name: pl.Int64 if name in _NUMBERS else pl.String for name in Measured.__dataclass_fields__
}


def stamp(path: Path) -> Stamp:
    """Return a file's stamp; one that cannot be asked has size and time 0, and is never known."""
    try:
        status = path.stat()
    except OSError:
        return Stamp(str(path), 0, 0)
    return Stamp(str(path), status.st_size, status.st_mtime_ns)


def measure(file: Stamp, known_sha256: str = "") -> Measured | None:
    """Read and decode one file; return None if its bytes are those of ``known_sha256``."""
    try:
        content = Path(file.path).read_bytes()
    except OSError as error:  # vanished or turned unreadable since it was listed
        return Measured(**asdict(file), reason=_reason(error))
    digest = hashlib.sha256(content).hexdigest()
    if digest == known_sha256:
        return None
    try:
        decoded = decode(content, short_side=HASH_SIDE)
    except ImageError as error:
        return Measured(**asdict(file), sha256=digest, reason=str(error))
    return Measured(
        **asdict(file),
        sha256=digest,
        pixel_hash=pixel_hash(decoded.image),
        phash=perceptual_hash(decoded.image),
        width=decoded.width,
        height=decoded.height,
        format=decoded.format,
    )


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file is not there"
    if isinstance(error, PermissionError):
        return "no permission to read the file"
    return f"cannot be read: {error.strerror or error}"


def _parse(content: bytes) -> pl.DataFrame:
    if not content.strip():
        return pl.DataFrame(schema=_SCHEMA)
    return pl.read_ndjson(io.BytesIO(content), schema=_SCHEMA)


def _is_measurement(line: bytes) -> bool:
    try:
        Measured(**json.loads(line))
    except (ValueError, TypeError):
        return False
    return True


class Journal:
    """The measurements of one manifest's files, each written as soon as it is made."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> pl.DataFrame:
        """Return what is known under the present policy, the latest measurement of each file.

        Lines that are no measurement, such as a last one cut short by a kill, are passed over.
        """
        try:
            content = self.path.read_bytes()
        except OSError:
            content = b""
        try:
            frame = _parse(content)
        except pl.exceptions.PolarsError:
            lines = content.split(b"\n")
            frame = _parse(b"\n".join(line for line in lines if _is_measurement(line)))
        latest = frame.filter(pl.col("policy") == POLICY).unique("path", keep="last")
        return latest.filter(pl.col("reason").is_not_null())

    def measure(
        self, files: Iterable[Stamp], known: Mapping[str, str], *, workers: int
    ) -> Iterator[None]:
        """Measure files and append what is found, yielding once for each.

        Args:
            files: in any order.
            known: the sha256 by path of files whose bytes decide whether they are decoded.
            workers: decoding threads.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._end_broken_line()
        # A few files a task: handing over each one alone costs a tenth of the time.
        batches = map_ordered(
            lambda batch: [measure(file, known.get(file.path, "")) for file in batch],
            chunked(files, 16),
            workers=workers,
            ahead=8,
        )
        with self.path.open("a", encoding="utf-8") as stream:
            for batch in batches:
                for row in batch:
                    if row is not None:
                        stream.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
                stream.flush()
                yield from (None for _ in batch)

    def _end_broken_line(self) -> None:
        """Keep a line that a kill cut short apart from the ones that follow."""
        if not self.path.exists():
            return
        with self.path.open("rb+") as stream:
            if not stream.seek(0, os.SEEK_END):
                return
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                stream.write(b"\n")

    def keep(self, frame: pl.DataFrame) -> None:
        """Write the journal anew with these measurements alone, atomically."""
        with atomic_path(self.path) as temporary:
            frame.select(list(_SCHEMA)).write_ndjson(temporary)
