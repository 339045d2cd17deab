"""What people decide about a scan's rows, in a file that is written as they decide.

The file is the CSV of docs/review.md, the same that a page exports (report/assets/decisions.js).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path

from facecheck.core.csv_files import exact_text, safe_text
from facecheck.core.errors import FacecheckError, UsageError, reason
from facecheck.core.files import path_text, safe_cell, write_text
from facecheck.known.entries import rows_of
from facecheck.known.options import bad_note, decided

#: A name is no longer than this.
_MOST_NAME = 100
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True)
class Correction:
    """A decision: the fields are the columns of corrections, in order; all are text.

    Attributes:
        path: the file, as the results name it.
        sha256: of its bytes, in hex; empty if not known.
        face: the number of the face; empty for the whole file.
        faces: how many faces of the file have a row; empty for the whole file.
        verdict: ``real``, ``artificial`` or ``uncertain``.
        kind: one of :data:`~facecheck.core.labels.KINDS`, or empty.
        note: in free words.
        by: who decided.
        at: when, in UTC.
    """

    path: str
    sha256: str
    face: str
    faces: str
    verdict: str
    kind: str
    note: str
    by: str
    at: str

    @property
    def key(self) -> tuple[str, str]:
        """What was decided about: the file, and the face if it was one."""
        return key_of(self.path, self.face)

    def checked(self) -> Correction:
        """Return itself.

        Raises:
            UsageError: a value cannot be.
        """
        decided(self.verdict, self.kind, "decision")
        if why := bad_note(self.note):
            raise UsageError(f"decision: {why}")
        if len(self.by) > _MOST_NAME or not (self.at == "" or _TIME.fullmatch(self.at)):
            raise UsageError("decision: not a name, or not a time, of a decision")
        return self


def key_of(path: str, face: str) -> tuple[str, str]:
    """Return what decisions about a file, or a face of it, are known by."""
    return safe_cell(path), face


#: The columns of corrections, in order.
COLUMNS = tuple(field.name for field in fields(Correction))


def read_corrections(path: Path) -> list[Correction]:
    """Return the decisions in a file; none where there is no file.

    Raises:
        FacecheckError: it is no table of corrections.
    """
    if not path.exists():
        return []
    found = []
    for number, row in rows_of(path):
        try:
            texts = {name: exact_text(row.get(name, "")) for name in COLUMNS if name != "path"}
            found.append(Correction(path=row["path"], **texts).checked())
        except (KeyError, UsageError) as error:
            raise FacecheckError(
                f"{path_text(path)}: row {number}: no correction ({reason(error)}): move the file"
            ) from None
    return found


def write_corrections(path: Path, corrections: Iterable[Correction]) -> None:
    """Write decisions to a file, which is replaced at once.

    Raises:
        FacecheckError: it cannot be written.
    """
    text = StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for one in corrections:
        others = (safe_text(getattr(one, name)) for name in COLUMNS[1:])
        lines.writerow([safe_cell(one.path), *others])
    try:
        write_text(path, text.getvalue())
    except OSError as error:
        raise FacecheckError(
            f"{path_text(path)}: cannot be written ({reason(error)}): free space, or check the "
            "folder"
        ) from None
