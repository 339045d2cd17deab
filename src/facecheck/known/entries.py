"""What is to be added to the table of known files: from folders, files, and any tables."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from facecheck.core.csv_files import csv_form
from facecheck.core.errors import FacecheckError, ImageError, UsageError, reason
from facecheck.core.files import name_text, open_regular, path_text, safe_cell
from facecheck.core.image import (
    HASH_SIDE,
    MAX_BYTES,
    frames,
    is_layered,
    perceptual_hash,
    picture_hash,
)
from facecheck.core.jsonable import parse_json
from facecheck.core.labels import Verdict
from facecheck.core.selection import Selection
from facecheck.core.text import printable
from facecheck.known.options import MOST_NOTE, KnownAddOptions, bad_note, decided
from facecheck.known.table import THUMBNAIL_SIDE, Entry

#: What reads a file by the name that a row has for it; raises :class:`ImageError`.
Load = Callable[[str], Path | bytes]

#: Endings of tables; everything else that is named is a picture.
TABLES = (".csv", ".jsonl", ".parquet")
#: WebP quality of thumbnails.
_QUALITY = 80
# What the results of a scan have, and a table of decisions has not.
_OF_A_SCAN = {"status", "verdict", "score"}
_SHA256 = re.compile("[0-9a-f]{64}")
_GROUP = 16_384


@dataclass(frozen=True)
class Candidate:
    """A file that is to be added, before anything of it is read.

    Attributes:
        name: as rows call it; empty where only its sha256 is known.
        sha256: of its bytes, empty if not known.
        verdict: what was decided.
        kind: what it shows, or empty.
        note: in free words.
        load: reads it by its name.
        refused: why it is not to be added after all; empty if it is.
    """

    name: str
    sha256: str
    verdict: str
    kind: str
    note: str
    load: Load
    refused: str = ""


@dataclass(frozen=True)
class Refused:
    """Why a file is not added."""

    reason: str


def candidates(
    inputs: Sequence[Path],
    options: KnownAddOptions,
    selection: Selection,
    loader_of: Callable[[Path], Load],
) -> Iterator[Candidate]:
    """Yield the files of folders, of tables, and those that are named.

    Args:
        inputs: folders, pictures, and tables (:data:`TABLES`).
        options: what is decided of all of them.
        selection: which files of folders to take.
        loader_of: returns for a table what reads the files that it names.

    Raises:
        UsageError: an input is not there; nothing says what is decided of it.
        FacecheckError: a table cannot be read, or a row of it is not what it should be.
    """
    for given in inputs:
        if given.is_dir():
            found = (path for path, _ in selection.walk(os.fspath(given)))
            yield from (_of_file(path, options) for path in found)
        elif not given.is_file():
            raise UsageError(f"{path_text(given)}: no such file or folder: check the name")
        elif given.suffix.lower() in TABLES:
            yield from _of_table(given, options, loader_of(given))
        else:
            yield _of_file(os.fspath(given), options)


def _of_file(path: str, options: KnownAddOptions) -> Candidate:
    if options.verdict is None and options.kind is None:
        raise UsageError(f"{path_text(path)}: what is decided of it? pass --verdict or --kind")
    verdict, kind = options.verdict or "", options.kind or ""
    said = decided(verdict, kind, "--verdict and --kind").value
    return Candidate(name_text(path), "", said, kind, options.note, lambda _: Path(path))


def _of_table(path: Path, options: KnownAddOptions, load: Load) -> Iterator[Candidate]:
    by_file: dict[tuple[str, str], _Faces] = {}
    for place, cells in rows_of(path):
        where = f"{path_text(path)}: row {place}"
        row = _of_results(path, cells, options) if cells.keys() >= _OF_A_SCAN else cells
        found = _of_row(row, where, options, load)
        if found is None:
            continue
        if row.get("face") and options.verdict is None and options.kind is None:
            faces = by_file.setdefault((found.name, found.sha256), _Faces(0, {}))
            faces.count = max(faces.count, _count(row.get("faces", ""), f"{where}: faces"))
            number = _count(row["face"], f"{where}: face")
            twin = faces.decided.setdefault(number, found)
            if (twin.verdict, twin.kind) != (found.verdict, found.kind):
                raise FacecheckError(
                    f"{where}: face {number} was decided before, as {twin.verdict} {twin.kind}: "
                    "keep one of the two rows"
                )
        else:
            yield found
    yield from (faces.of_file() for faces in by_file.values())


def _of_row(
    row: Mapping[str, str], where: str, options: KnownAddOptions, load: Load
) -> Candidate | None:
    verdict = options.verdict or row.get("verdict", "")
    kind = options.kind or row.get("kind", "")
    name, sha256 = row.get("path", ""), row.get("sha256", "").lower()
    if not name and not sha256:
        raise FacecheckError(f"{where}: neither path nor sha256: which file is it?")
    if sha256 and not _SHA256.fullmatch(sha256):
        raise FacecheckError(f"{where}: sha256 {printable(sha256[:40])!r}: must be 64 hex digits")
    note = options.note or _signed(row)
    if why := bad_note(note):
        raise FacecheckError(f"{where}: {why}")
    if options.reviewed and not verdict:
        return None  # an error, or no face: nobody has decided
    return Candidate(name, sha256, _decided(verdict, kind, where), kind, note, load)


def _signed(row: Mapping[str, str]) -> str:
    """Return a row's note, with who decided it and when, if corrections say so and it fits."""
    note, by, day = row.get("note", ""), row.get("by", ""), row.get("at", "")[:10]
    signed = f"by {by}" + (f" on {day}" if day else "") if by else ""
    whole = "; ".join(filter(None, (note, signed)))
    return note if bad_note(whole) else whole


def _count(text: str, where: str) -> int:
    """Return a number of faces, or of one face, 1 or more.

    Raises:
        FacecheckError: it is none.
    """
    if text.isascii() and text.isdigit() and len(text) < 9 and int(text) > 0:
        return int(text)
    raise FacecheckError(f"{where} {printable(text[:40])!r}: must be a number from 1")


@dataclass
class _Faces:
    """What is decided of a file's faces, of which a table knows nothing: it knows files.

    Attributes:
        count: how many faces the scan classified.
        decided: the decision about each, by its number.
    """

    count: int
    decided: dict[int, Candidate]

    def of_file(self) -> Candidate:
        """Return the decision about the file, which is as artificial as its most artificial face.

        It is real only if every face of it was decided to be.
        """
        one, *_ = faces = list(self.decided.values())
        by_verdict = {
            verdict: [face for face in faces if face.verdict == verdict] for verdict in Verdict
        }
        verdict = next(
            each
            for each in (Verdict.ARTIFICIAL, Verdict.UNCERTAIN, Verdict.REAL)
            if by_verdict[each]
        )
        kinds = {face.kind for face in by_verdict[verdict]}
        refused = ""
        if verdict == Verdict.REAL and len(faces) < self.count:
            refused = (
                f"{len(faces)} of its {self.count} faces decided, as real: decide the others, too"
            )
        notes = dict.fromkeys(face.note for face in by_verdict[verdict])
        return replace(
            one,
            verdict=verdict.value,
            kind=kinds.pop() if len(kinds) == 1 else "",
            note="; ".join(filter(None, notes))[:MOST_NOTE],
            refused=refused,
        )


def _decided(verdict: str, kind: str, where: str) -> str:
    try:
        return decided(verdict, kind, where).value
    except UsageError as error:
        raise FacecheckError(str(error)) from None


def _of_results(path: Path, row: Mapping[str, str], options: KnownAddOptions) -> dict[str, str]:
    """Return what a row of a scan's results is taken for: what the model said is no decision."""
    kept = {"path": row.get("path", "")}
    if options.verdict or options.kind:
        return kept
    if not options.reviewed:
        raise UsageError(
            f"{path_text(path)}: its verdicts are a scan's own: pass --verdict or --kind with what "
            "you decided, or --reviewed if a person has checked every row"
        )
    return {**kept, "verdict": row.get("verdict", "")}


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a table as text by column, in lower case, each with its number.

    In CSV the header is row 1, as spreadsheets count; in the others the first row is.

    Raises:
        FacecheckError: it cannot be read, or is no table.
    """
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
    number = 0
    try:
        for number, row in readers[path.suffix.lower()](path):
            yield number, {str(name).lower(): _cell(value) for name, value in row.items()}
    except OSError as error:
        raise FacecheckError(
            f"{path_text(path)}: cannot be read ({reason(error)}): check the path"
        ) from None
    except (ValueError, TypeError, AttributeError, csv.Error, RecursionError) as error:
        raise FacecheckError(
            f"{path_text(path)}: behind row {number}: no row of a table "
            f"({printable(reason(error))[:120]}): correct it"
        ) from None


def _cell(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    form = csv_form(path)
    with path.open(encoding=form.encoding, newline="") as stream:
        lines = csv.reader(stream, strict=True, delimiter=form.separator)
        names = next(lines, [])
        for number, cells in enumerate(lines, 2):
            if cells:
                yield number, dict(zip(names, cells, strict=True))


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8", newline="\n") as stream:
        for number, line in enumerate(stream, 1):
            yield number, parse_json(line)


def _parquet_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    import polars as pl

    wanted = {"path", "sha256", "face", "faces", "verdict", "kind", "note", "by", "at"}
    wanted |= {"status", "score"}
    try:
        table = pl.scan_parquet(path)
        names = [name for name in table.collect_schema().names() if name.lower() in wanted]
        table = table.select(names)
        height: int = table.select(pl.len()).collect().item()
        for start in range(0, height, _GROUP):
            rows = table.slice(start, _GROUP).collect().iter_rows(named=True)
            yield from enumerate(rows, start + 1)
    except pl.exceptions.PolarsError as error:
        raise ValueError(reason(error)) from None


def entry_of(candidate: Candidate, *, thumbnails: bool) -> Entry | Refused:
    """Return the row of the table for a file, or why there is none.

    Of a file whose pixels cannot be read, and of one of which only the sha256 is known, it has no
    more than that: only the same bytes are known then.
    """
    own = {"verdict": candidate.verdict, "kind": candidate.kind, "note": candidate.note}
    own["path"] = safe_cell(candidate.name)
    if candidate.refused:
        return Refused(candidate.refused)
    if not candidate.name:
        return Entry(sha256=candidate.sha256, **own)
    try:
        content = _content(candidate.load(candidate.name))
    except ImageError as error:
        return Refused(str(error))
    except OSError as error:
        return Refused(reason(error))
    digest = hashlib.sha256(content).hexdigest()
    if candidate.sha256 not in {"", digest}:
        return Refused("the file has changed: its sha256 is another")
    return Entry(sha256=digest, **own, **_of_pixels(content, thumbnails=thumbnails))


def _content(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    with open_regular(source) as stream:
        if os.fstat(stream.fileno()).st_size > MAX_BYTES:
            raise ImageError(f"larger than {MAX_BYTES:,} bytes")
        return stream.read()


def _of_pixels(content: bytes, *, thumbnails: bool) -> dict[str, str]:
    try:
        further = frames(content, short_side=HASH_SIDE)
        first = next(further)
        pixel_hash = picture_hash(first, further, content)
    except ImageError:
        return {}
    found = {"pixel_hash": pixel_hash, "phash": perceptual_hash(first.image)}
    if thumbnails and not is_layered(pixel_hash):
        found["thumbnail"] = _thumbnail(first.image)
    return found


def _thumbnail(image: Image.Image) -> str:
    """Return a thumbnail as text; its sides are not in proportion, as those compared are not."""
    size = (min(THUMBNAIL_SIDE, image.width), min(THUMBNAIL_SIDE, image.height))
    target = BytesIO()
    image.resize(size, Image.Resampling.BOX).save(target, "WEBP", quality=_QUALITY)
    return base64.b64encode(target.getvalue()).decode()
