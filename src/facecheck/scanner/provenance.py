"""provenance: what files say of their own origin, without a model; a table of it where asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from facecheck.core.errors import ImageError, UsageError
from facecheck.core.files import atomic_path, path_text, refuse_to_overwrite
from facecheck.core.isolate import Failed, Isolated
from facecheck.core.parallel import Progress, cpu_count, map_ordered, silent
from facecheck.core.tree import Skipped
from facecheck.provenance.evidence import NOTHING, Provenance
from facecheck.provenance.read import (
    Evidence,
    has_manifest,
    load_evidence,
    provenance_of,
    without_manifest,
)
from facecheck.scanner.inputs.items import Item, find_inputs
from facecheck.scanner.options import ProvenanceTableOptions
from facecheck.scanner.results.rows import Row, format_of, tidy, write_rows

#: The columns of the table.
COLUMNS: Mapping[str, type] = {
    "path": str,
    "claim": str,
    "provenance": str,
    "generator": str,
    "signer": str,
    "evidence": str,
    "message": str,
}
#: Files whose findings are in the result itself; the table has all.
MOST_SHOWN = 100


@dataclass(frozen=True)
class FileProvenance:
    """What one file says of its origin.

    Attributes:
        path: the file, as a scan's row names it.
        provenance: what was found.
        message: why the file cannot be read; else empty.
    """

    path: str
    provenance: Provenance
    message: str = ""


@dataclass(frozen=True)
class ProvenanceResult:
    """What ``provenance`` found.

    Attributes:
        out: the table; None where none was asked for.
        files: how many were read.
        errors: how many could not be read.
        claims: files by what their strongest finding says: ``generated``, ``composite``,
            ``capture``, ``other``, or ``nothing``.
        findings: files by their findings in short, those that say something.
        skipped: what was skipped in folders.
        shown: the first :data:`MOST_SHOWN` files that say something or cannot be read; where there
            is one file, that one.
    """

    out: Path | None
    files: int
    errors: int
    claims: Mapping[str, int]
    findings: Mapping[str, int]
    skipped: Skipped
    shown: tuple[FileProvenance, ...]


def provenance(
    inputs: Sequence[Path | str],
    out: Path | None = None,
    options: ProvenanceTableOptions = ProvenanceTableOptions(),
    *,
    progress: Progress = silent,
) -> ProvenanceResult:
    """Read what files say of their own origin: C2PA, IPTC, XMP, EXIF and generators' marks.

    No pixel is decoded, and nothing is fetched. The files are read in processes of their own, so
    that a hostile one costs its own row.

    Args:
        inputs: as for :func:`~facecheck.scanner.job.scan`.
        out: a table with a row for each file, ``.csv``, ``.jsonl`` or ``.parquet``; None writes
            none.
        options: which files, and what they are checked against.
        progress: told files done.

    Raises:
        UsageError: an input is missing, or ``out`` exists or has another ending.
        ConfigError: the certificates or marks that the options name cannot be read.
        FacecheckError: there is no image, or the table cannot be written.
    """
    file_format = "" if out is None else format_of(out)
    if out is not None:
        refuse_to_overwrite(out, overwrite=options.overwrite)
    found = find_inputs(inputs, options)
    tally = _Tally(progress)
    with ExitStack() as opened:
        files = tally.counted(_read_all(iter(found), load_evidence(options), options, opened))
        target = opened.enter_context(nullcontext() if out is None else atomic_path(out))
        if target is None:
            for _ in files:
                pass
        else:
            rows = (tidy(row_of(file), COLUMNS) for file in files)
            write_rows(target, rows, COLUMNS, file_format)
        if not tally.files:
            raise UsageError(
                f"no images in {', '.join(path_text(str(each)) for each in inputs)}: check the "
                "folder, or the endings of its files"
            )
    shown = tally.shown or ([tally.last] if tally.files == 1 and tally.last else [])
    return ProvenanceResult(
        out=out,
        files=tally.files,
        errors=tally.errors,
        claims=dict(tally.claims),
        findings=dict(tally.findings),
        skipped=found.skipped,
        shown=tuple(shown),
    )


class _Tally:
    """Counts files as they go by."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.files = self.errors = 0
        self.claims: Counter[str] = Counter()
        self.findings: Counter[str] = Counter()
        self.shown: list[FileProvenance] = []
        self.last: FileProvenance | None = None

    def counted(self, files: Iterator[FileProvenance]) -> Iterator[FileProvenance]:
        for file in files:
            self.files += 1
            self.errors += bool(file.message)
            self.last = file
            if not file.message:
                self.claims[file.provenance.claim or "nothing"] += 1
            words = file.provenance.short
            if words:
                self.findings[words] += 1
            if (words or file.message) and len(self.shown) < MOST_SHOWN:
                self.shown.append(file)
            self._progress(self.files, None)
            yield file


def _read_all(
    items: Iterator[Item], evidence: Evidence, options: ProvenanceTableOptions, opened: ExitStack
) -> Iterator[FileProvenance]:
    """Yield each file as it is read, in order, in processes that end with ``opened``."""
    read = opened.enter_context(
        Isolated(partial(_read, evidence=evidence), timeout=options.timeout)
    )
    workers = options.workers or cpu_count()
    return map_ordered(lambda item: _safely(item, evidence, read), items, workers=workers)


def _read(item: Item, evidence: Evidence) -> FileProvenance:
    try:
        return FileProvenance(item.name, provenance_of(item.load(), evidence))
    except ImageError as error:
        return FileProvenance(item.name, NOTHING, str(error))


def _safely(
    item: Item,
    evidence: Evidence,
    read: Callable[[Item], FileProvenance | Failed],
) -> FileProvenance:
    result = read(item)
    if not isinstance(result, Failed):
        return result
    # Whatever crashed or hung was native code; what is ours is bounded, and reads the rest.
    without = Evidence(evidence.trust, evidence.marks, manifests=False)
    rest = _read(item, without)
    if rest.message or not has_manifest(item.load()):
        return FileProvenance(item.name, rest.provenance, rest.message or result.reason)
    why = f"its Content Credentials cannot be read: {result.reason}"
    return FileProvenance(item.name, without_manifest(rest.provenance, why))


def row_of(file: FileProvenance) -> Row:
    """Return a file's row of the table; ``evidence`` names the places and what is written there."""
    findings = file.provenance.findings
    said = [f"{each.where}: {each.value}" for each in findings]
    return {
        "path": file.path,
        "claim": file.provenance.claim,
        "provenance": file.provenance.short,
        "generator": file.provenance.generator,
        "signer": next((each.signer for each in findings if each.signer), ""),
        "evidence": "; ".join(said),
        "message": "; ".join(filter(None, (file.message, *file.provenance.errors))),
    }
