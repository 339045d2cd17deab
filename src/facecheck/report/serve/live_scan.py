"""One scan as the page shows it: its rows as they come, its progress, and what people decide."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Any

from facecheck.core.errors import ImageError, UsageError
from facecheck.core.workspace import builtin_name
from facecheck.report.gallery_rows import GalleryRows
from facecheck.report.scan_facts import ScanFacts
from facecheck.report.serve.corrections import (
    Correction,
    key_of,
    read_corrections,
    write_corrections,
)
from facecheck.report.serve.pictures import Drawn, Pictures
from facecheck.report.serve.running import DONE, Progress, Running
from facecheck.scanner.inputs.named import base_of, located
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.journal import read_entries, read_head
from facecheck.scanner.results.rows import CSV, PATH, Row, header_line, read_rows
from facecheck.scanner.results.sink import _partial_path, is_published

#: A decision as the page sends it: the number of a row, and what is decided of it, or None.
Decision = tuple[int, Mapping[str, Any] | None]
# What the page says of a decision; the rest of a correction is known here.
_SAID = ("verdict", "kind", "note", "by", "at")


class LiveScan:
    """A scan that may be running, and the decisions about its rows.

    Its methods may be called by several threads.

    Args:
        results: its results, there or not yet.
        corrections: the file of decisions about it.
        pictures: draws its rows.
        folder: what it is a scan of; None for results that were only opened.
        checkpoint: the model of scans that are started here.
        per_face: whether they have a row for each face.
        base: the folder that relative paths in results are of; None: the one that the scan ran
            in, or the current one.

    Raises:
        FacecheckError: results or corrections that are there cannot be read.
    """

    def __init__(
        self,
        results: Path,
        corrections: Path,
        pictures: Pictures,
        *,
        folder: Path | None = None,
        checkpoint: Path | None = None,
        per_face: bool = False,
        base: Path | None = None,
    ) -> None:
        self.results, self.corrections, self.folder = results, corrections, folder
        self.per_face = per_face
        self._pictures, self._checkpoint = pictures, checkpoint
        self._lock = RLock()
        self._running: Running | None = None
        self._updating = False
        self._decisions = {one.key: one for one in read_corrections(corrections)}
        self._facts: ScanFacts | None = None
        self._restart()
        self._read()
        names = (self.rows.path(number) for number in range(len(self.rows)))
        self._base = base_of(results, names, base) if folder is None else Path.cwd()

    def _restart(self) -> None:
        self.rows = GalleryRows()
        self._files = 0  # that have rows
        self._end = self._read_to = 0  # in the journal, and in the file of rows
        self._head: object = None
        self._whole = False
        self._facts = None
        self.generation = getattr(self, "generation", 0) + 1

    # ---- the scan ----

    def start(self) -> None:
        """Start it, or resume it; of one that is finished, scan what is new or has changed since.

        Raises:
            UsageError: it is running, or these are results that were only opened.
        """
        with self._lock:
            if self.folder is None or self._checkpoint is None:
                raise UsageError("these are results that were opened: serve their folder instead")
            if self._running and self._running.code is None:
                raise UsageError("the scan is running")
            model = builtin_name(self._checkpoint) or str(self._checkpoint)
            arguments = ["--out", str(self.results), "--quiet", "--checkpoint", model]
            arguments += ["--per-face"] if self.per_face else []
            self._updating = self.results.exists()
            arguments += ["--update"] if self._updating else []
            done = self._updated() if self._updating else self._files
            self._running = Running(self.folder, arguments, done)

    def stop(self) -> None:
        """Stop it if it runs; its rows are kept, and it can be started again."""
        with self._lock:
            running = self._running
        if running is not None:
            running.stop()

    def progress(self) -> Progress:
        """Return how far it is, after taking up the rows that have come."""
        with self._lock:
            # First what it is, then its rows: the last ones have come when it is done.
            code = self._running.code if self._running else None
            if self._running and self._updating:
                if code not in DONE:
                    return self._running.progress(self._updated())
                self._updating = False
                self._restart()  # rows have other numbers now
            self._read()
            if self._running and (code is None or not self.results.exists()):
                return self._running.progress(self._files)
            state = "done" if self.results.exists() else "stopped" if len(self.rows) else "new"
            return Progress(state, self._files, None, None, "")

    def _updated(self) -> int:
        """Return how many files an update of finished results has gone through."""
        update = self.results.with_name(f"{self.results.name}.update")
        head = read_head(update)
        entries = read_entries(update, head.end) if head else ()
        return sum(entry.value.items for entry in entries)

    @property
    def facts(self) -> ScanFacts:
        """What is known of how it was made."""
        with self._lock:
            identity = str(self.results.absolute())
            unknown = ScanFacts({"Scan": "not started"}, identity, per_face=self.per_face)
            return self._facts or unknown

    # ---- its rows ----

    def _read(self) -> None:
        """Take up the rows that have come since."""
        if self._whole:
            return
        if self.results.exists():
            self._read_finished()
            return
        head = read_head(self.results)
        if head is None:
            return
        if head.value != self._head:
            self._restart()
            self._head, self._end = head.value, head.end
            excel = bool(dict(head.value).get("excel"))
            self._read_to = len(header_line(CSV, COLUMNS, excel=excel).encode())
            self._facts = ScanFacts.of_meta(head.value, str(self.results.absolute()), {})
        self._read_journal()

    def _read_journal(self) -> None:
        entries = list(read_entries(self.results, self._end))
        rows = _partial_path(self.results)
        if self.results.exists():  # they have just got their name
            self._read_finished()
            return
        if not rows.exists() or rows.stat().st_size < self._read_to:
            self._restart()  # it begins from scratch, or with fewer of its rows
            return
        if not entries:
            return
        with rows.open("rb") as stream:
            stream.seek(self._read_to)
            content = stream.read(entries[-1].value.end - self._read_to)
        for row in _parsed(content):
            self.rows.add(row)
        self._files += sum(entry.value.items for entry in entries)
        self._end, self._read_to = entries[-1].end, entries[-1].value.end

    def _read_finished(self) -> None:
        """Take up the rows of results, but for those that were there while it ran."""
        there = len(self.rows)
        for number, row in enumerate(read_rows(self.results, COLUMNS)):
            if number >= there:
                self.rows.add(row)
        self._facts = ScanFacts.of(self.results)
        self._files = len({self.rows.path(number) for number in range(len(self.rows))})
        self._whole = True

    def packed(self, start: int, most: int) -> dict[str, Any]:
        """Return the rows from a number on, at most so many, for a page."""
        with self._lock:
            start = min(start, len(self.rows))
            return self.rows.packed(start, min(start + most, len(self.rows)))

    def row(self, number: int) -> Row:
        """Return a row.

        Raises:
            UsageError: there is no such row.
        """
        with self._lock:
            if not 0 <= number < len(self.rows):
                raise UsageError(f"there is no row {number}")
            return self.rows[number]

    def draw(self, number: int, *, large: bool) -> Drawn:
        """Return the picture of a row.

        Raises:
            UsageError: there is no such row.
            ImageError: there is no picture.
        """
        row = self.row(number)
        there = {**row, PATH: located(str(row[PATH]), self._base)}
        return self._pictures.draw(there, large=large)

    # ---- decisions ----

    def decisions(self) -> list[list[Any]]:
        """Return the decisions about the rows that are there: numbers of rows, and values."""
        with self._lock:
            if not self._decisions:
                return []
            found = []
            for number in range(len(self.rows)):
                one = self._decisions.get(self._key(number))
                if one is not None:
                    found.append([number, {name: getattr(one, name) for name in _SAID}])
            return found

    def decide(self, decisions: Sequence[Decision]) -> None:
        """Take up decisions, and write them to the file.

        Raises:
            UsageError: there is no such row, or a value cannot be; nothing is taken up then.
            FacecheckError: they cannot be written.
        """
        made = [
            (self._key_of(number), self._correction(number, said)) for number, said in decisions
        ]
        with self._lock:
            after = dict(self._decisions)
            for key, one in made:
                after.pop(key, None)
                if one is not None:
                    after[key] = one
            write_corrections(self.corrections, after.values())
            self._decisions = after

    def _key_of(self, number: int) -> tuple[str, str]:
        self.row(number)
        with self._lock:
            return self._key(number)

    def _key(self, number: int) -> tuple[str, str]:
        return key_of(self.rows.path(number), self._face(number)[0])

    def _face(self, number: int) -> tuple[str, str]:
        """Return which face of how many a row is about, where there is a row for each."""
        return self.rows.face(number) if self.facts.per_face else ("", "")

    def _correction(self, number: int, said: Mapping[str, Any] | None) -> Correction | None:
        if said is None:
            return None
        row = self.row(number)
        texts = {name: str(said.get(name) or "") for name in _SAID}
        with self._lock:
            face, faces = self._face(number)
            before = self._decisions.get(self._key(number))
        one = Correction(str(row[PATH]), "", face, faces, **texts).checked()
        return replace(one, sha256=before.sha256 if before else self._sha256(one.path))

    def _sha256(self, name: str) -> str:
        try:
            content = self._pictures.content(located(name, self._base))
            return hashlib.sha256(content).hexdigest()
        except ImageError:
            return ""

    @property
    def decided(self) -> int:
        """How many decisions there are."""
        return len(self._decisions)

    @property
    def finished(self) -> bool:
        """Whether its results are whole."""
        return self.results.exists() and is_published(self.results)


def _parsed(content: bytes) -> Sequence[Row]:
    """Return whole rows of CSV, read as those of results are."""
    with tempfile.TemporaryDirectory(prefix="facecheck-") as folder:
        some = Path(folder) / "rows.csv"
        some.write_bytes(header_line(CSV, COLUMNS).encode() + content)
        return list(read_rows(some, COLUMNS, CSV))
