"""scan_report: a page to look through the results of a scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facecheck.core.parallel import Progress, silent
from facecheck.report.page import report_folder, write_page
from facecheck.scanner.columns import COLUMNS
from facecheck.scanner.rows import read_rows


@dataclass(frozen=True)
class ScanReport:
    """What ``scan_report`` made.

    Attributes:
        results: the rows it tells of.
        out: the report's folder.
        page: the page in it.
        rows: how many there are.
        statuses: rows by status.
        verdicts: rows by verdict, of those that have one.
        kinds: rows by kind, likewise.
        thumbnails: rows that are shown by a thumbnail.
        missing: rows whose file could not be shown: gone, moved, damaged.
        heat_maps: rows with a heat map.
    """

    results: Path
    out: Path
    page: Path
    rows: int
    statuses: Mapping[str, int]
    verdicts: Mapping[str, int]
    kinds: Mapping[str, int]
    thumbnails: int
    missing: int
    heat_maps: int


def scan_report(
    results: Path,
    out: Path,
    *,
    thumbnails: int = 100_000,
    overwrite: bool = False,
    workers: int | None = None,
    progress: Progress = silent,
) -> ScanReport:
    """Write a page of the results of a scan to the folder ``out``.

    Raises:
        UsageError: ``out`` is there and no report that may be replaced.
        FacecheckError: the results cannot be read.
    """
    del thumbnails, workers, progress  # to come
    rows = list(read_rows(results, COLUMNS))
    counts = [
        Counter(str(row[name]) for row in rows if row[name])
        for name in ("status", "verdict", "kind")
    ]
    with report_folder(out, overwrite=overwrite) as folder:
        write_page(
            folder,
            "scan.html.j2",
            {"title": "Scan", "contents": {"counts": "Counts"}, "counts": counts},
        )
    return ScanReport(results, out, out / "index.html", len(rows), *counts, 0, 0, 0)
