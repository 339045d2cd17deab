"""fault_report: a page that shows the worst of each fault, and lets people decide."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from facecheck.core.errors import FacecheckError, ManifestError
from facecheck.core.files import path_text, sha256_file, to_path, write_json
from facecheck.core.jsonable import parse_json
from facecheck.core.labels import KINDS
from facecheck.core.parallel import Progress, cpu_count, silent
from facecheck.core.tables import read_table
from facecheck.faults.table import SCHEMA
from facecheck.report.curation.pictures import Pictures, write_thumbnails
from facecheck.report.options import CurationReportOptions
from facecheck.report.page import INDEX, report_folder, write_page


@dataclass(frozen=True)
class FaultReport:
    """What ``fault_report`` made.

    Attributes:
        table: the table that it shows.
        out: the report's folder.
        page: the page in it.
        rows: rows of the table, by reason.
        shown: rows on the page, by reason.
        images: images on the page, neighbours among them.
        missing: images that could not be shown: gone, or damaged since.
    """

    table: Path
    out: Path
    page: Path
    rows: Mapping[str, int]
    shown: Mapping[str, int]
    images: int
    missing: int


def fault_report(
    table: Path | str,
    out: Path | str,
    options: CurationReportOptions = CurationReportOptions(),
    *,
    limit: int = 200,
    progress: Progress = silent,
) -> FaultReport:
    """Write a page of what ``check`` found: ``index.html``, ``thumbs/`` and ``summary.json``.

    Args:
        table: as ``check`` writes it.
        out: the folder.
        options: whether a report that is at ``out`` is replaced, and by how many threads.
        limit: show so many images for each reason, the worst.
        progress: called with thumbnails done and in all.

    Raises:
        UsageError: ``out`` is there and no report that may be replaced.
        ManifestError: the table cannot be read, or is not one of ``check``.
        FacecheckError: the table has no row.
    """
    table, out = to_path(table, "the table"), to_path(out, "out")
    rows = read_faults(table)
    if not rows.height:
        raise FacecheckError(f"{path_text(table)}: no rows: there is nothing to decide")
    worst = rows.group_by("reason", maintain_order=True).head(limit)
    files = _files_of(worst)
    with report_folder(out, overwrite=options.overwrite) as folder:
        workers = options.workers or cpu_count()
        made = write_thumbnails(files, folder / "thumbs", workers, progress)
        report = FaultReport(
            table=table,
            out=out,
            page=out / INDEX,
            rows=_counts(rows),
            shown=_counts(worst),
            images=len(files),
            missing=len(made) - sum(made.values()),
        )
        write_json(
            folder / "summary.json",
            {"table": path_text(table), "rows": report.rows, "shown": report.shown},
        )
        pictures = Pictures(out.absolute(), {file: i for i, file in enumerate(files)}, made)
        context = {
            "title": f"Faults in {path_text(table.name)}",
            "contents": {"overview": "Overview", "decide": "Decide", "back": "Give back"},
            "report": report,
            "kinds": KINDS,
        }
        data = _page_data(table, worst, files, pictures)
        write_page(folder, "faults.html.j2", context, data=data)
    return report


def read_faults(table: Path) -> pl.DataFrame:
    """Return a table of ``check``: absolute paths, scores and values as numbers, neighbours lists.

    Raises:
        UsageError: it is not there.
        ManifestError: it cannot be read, or a cell is not what ``check`` writes.
    """
    rows = read_table(table)
    missing = SCHEMA.keys() - set(rows.columns)
    if missing:
        raise ManifestError(
            f"{path_text(table)}: no table of `facecheck check`: it has no column {min(missing)!r}"
        )
    base = table.absolute().parent
    try:
        lists = [
            [str(each) for each in parse_json(text)] if text else [] for text in rows["neighbours"]
        ]
        return rows.with_columns(
            pl.Series("path", _absolute(rows["path"], base), pl.String),
            pl.Series("name", rows["path"], pl.String),
            pl.Series("neighbours", [_absolute(one, base) for one in lists], pl.List(pl.String)),
            pl.col("score", "value").cast(pl.Float64),
            pl.col("suggested", "excluded", "unit", "kind", "source", "sha256").fill_null(""),
        )
    except (ValueError, TypeError, pl.exceptions.PolarsError):
        raise ManifestError(f"{path_text(table)}: damaged: run `facecheck check` again") from None


def _absolute(paths: Any, base: Path) -> list[str]:
    return [os.path.normpath(base / path) for path in paths]


def _counts(rows: pl.DataFrame) -> dict[str, int]:
    return dict(rows.group_by("reason", maintain_order=True).len().iter_rows())


def _files_of(rows: pl.DataFrame) -> list[str]:
    """Return each file that is to be shown, once: those with a fault first."""
    near = (path for paths in rows["neighbours"].to_list() for path in paths)
    return list(dict.fromkeys([*rows["path"], *near]))


def _page_data(
    table: Path, rows: pl.DataFrame, files: Sequence[str], pictures: Pictures
) -> dict[str, Any]:
    """Return what the page's scripts are handed: images, and rows that name them by number."""
    known = {row["path"]: row for row in rows.unique("path").iter_rows(named=True)}
    images = []
    for file in files:
        row = known.get(file, {"kind": "", "source": "", "name": file, "sha256": ""})
        seen = pictures.picture(file, row["kind"], row["source"])
        images.append({**seen, "path": row["name"], "sha256": row["sha256"]})
    place = {file: number for number, file in enumerate(files)}
    listed = [
        {
            "image": place[row["path"]],
            "near": [place[path] for path in row["neighbours"]],
            **{name: row[name] for name in ("reason", "score", "value", "unit", "suggested")},
        }
        for row in rows.iter_rows(named=True)
    ]
    return {"identity": sha256_file(table), "kinds": KINDS, "images": images, "rows": listed}
