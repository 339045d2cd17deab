"""The sink before this one, until the job is wired to :mod:`facecheck.scanner.sink`."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO

from facecheck.core.errors import FacecheckError
from facecheck.core.files import path_text, write_json
from facecheck.core.kinds import KINDS

#: The columns of scan's results, in order. The probabilities are of all kinds, whether the
#: checkpoint knows them or not, so that results of different models stack.
COLUMNS = (
    "path",
    "status",
    "verdict",
    "kind",
    "score",
    *(f"p_{kind}" for kind in KINDS),
    "message",
)

#: The same with how far the score moves, after the score.
STABILITY_COLUMNS = (*COLUMNS[:5], "spread", *COLUMNS[5:])

Row = Sequence[str]
#: Their places are the same in both.
_TALLIED = tuple(COLUMNS.index(name) for name in ("status", "verdict", "kind"))


class CsvSink:
    """Rows appended to ``<out>.partial``, which becomes ``out`` when all are written.

    Beside it, ``<out>.partial.json`` says what the rows were made from. A sink opened again with
    the same facts and the same files continues after the rows that are there; with others it
    starts anew.

    Attributes:
        done: how many of the files had their row when it was opened.
        tally: rows by (status, verdict, kind), those that were there included.
    """

    def __init__(
        self,
        out: Path,
        facts: Mapping[str, object],
        files: Sequence[str],
        batch_size: int,
        columns: Sequence[str] = COLUMNS,
    ) -> None:
        self.out = out
        self.partial = out.with_name(f"{out.name}.partial")
        self._facts_path = out.with_name(f"{out.name}.partial.json")
        out.parent.mkdir(parents=True, exist_ok=True)
        self.done, length = 0, 0
        self.tally: Counter[tuple[str, ...]] = Counter()
        if self._read_facts() == dict(facts):
            self.done, length, self.tally = _whole_batches(self.partial, files, batch_size, columns)
        if not length:
            self.partial.unlink(missing_ok=True)
            write_json(self._facts_path, facts)
        self._stream: TextIO = self.partial.open("a", encoding="utf-8", newline="")
        self._stream.truncate(length)
        self._writer = csv.writer(self._stream, lineterminator="\n")
        if not length:
            self._writer.writerow(columns)

    def _read_facts(self) -> object:
        try:
            return json.loads(self._facts_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows and hand them to the operating system, so that a kill keeps them."""
        try:
            self._writer.writerows(rows)
            self._stream.flush()
            self.tally.update(tuple(row[column] for column in _TALLIED) for row in rows)
        except OSError as error:
            raise FacecheckError(
                f"{path_text(self.partial)}: cannot be written ({error.strerror}): free some "
                "space and run again, it goes on from the rows that are there"
            ) from None

    def finish(self) -> None:
        """Put the rows under their final name."""
        os.fsync(self._stream.fileno())
        self._stream.close()
        self.partial.replace(self.out)
        self._facts_path.unlink(missing_ok=True)

    def __enter__(self) -> CsvSink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._stream.closed:
            self._stream.close()


def _whole_batches(
    partial: Path, files: Sequence[str], batch_size: int, columns: Sequence[str]
) -> tuple[int, int, Counter[tuple[str, ...]]]:
    """Return how many files' rows can be kept, their length in bytes with the header, their tally.

    Whole batches only: a batch of other images can move the last digit of a score, and the end
    must be the bytes of an unbroken run.
    """
    kept, length = 0, 0
    tally: Counter[tuple[str, ...]] = Counter()
    try:
        with partial.open(encoding="utf-8", newline="") as stream:
            lines = _CountedLines(stream)
            reader = csv.reader(lines, strict=True)
            if tuple(next(reader, ())) != tuple(columns):
                return 0, 0, tally
            batch: list[tuple[str, ...]] = []
            for name, row in zip(files, reader, strict=False):
                if len(row) != len(columns) or not lines.ended or row[0] != name:
                    break
                batch.append(tuple(row[column] for column in _TALLIED))
                if len(batch) == batch_size:
                    kept, length = kept + batch_size, lines.count
                    tally.update(batch)
                    batch.clear()
    except (OSError, ValueError, csv.Error):
        pass  # a row cut short by a kill: what came before it stands
    return kept, length, tally


class _CountedLines:
    """The lines of a stream, with the bytes read so far and whether the last line was whole."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.count = 0
        self.ended = True

    def __iter__(self) -> _CountedLines:
        return self

    def __next__(self) -> str:
        line = next(self._stream)
        self.count += len(line.encode())
        self.ended = line.endswith("\n")
        return line
