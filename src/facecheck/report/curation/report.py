"""curation_report: a page of what a data set holds, and of what curation found in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from facecheck.core.files import path_text, to_path, write_json
from facecheck.core.labels import KINDS
from facecheck.core.manifest import SPLITS, read_meta
from facecheck.core.parallel import Progress, cpu_count, silent
from facecheck.core.tables import write_table
from facecheck.core.workspace import find_manifest
from facecheck.report.curation.data import CurationData, read_curation
from facecheck.report.curation.pictures import Pictures, write_thumbnails
from facecheck.report.curation.plots import plot_contamination, plot_shortcuts, plot_sizes
from facecheck.report.options import CurationReportOptions
from facecheck.report.page import INDEX, number_text, report_folder, write_page

#: Rows of a table on the page; the CSV next to it holds all.
_MOST = 200


@dataclass(frozen=True)
class CurationReport:
    """What ``curation_report`` made.

    Attributes:
        manifest: the manifest it describes.
        out: the report's folder.
        page: the page in it.
        records: records in the manifest.
        kinds: records by kind.
        sources: how many sources there are.
        excluded: records that take no part, by reason.
        duplicates: pairs that ``dedup`` confirmed; None where it has not been run.
        conflicts: files of pictures that carry different kinds; None likewise.
        rejected: files that ``index`` could not read.
        leaks: records on the wrong side of the split; None where there is no split.
        warnings: shortcuts that ``audit`` warns of; None where it has not been run.
        audit_is_old: whether ``audit`` was run on another state of the manifest.
        thumbnails: files that are shown.
        missing: files that could not be shown: gone, or damaged since.
    """

    manifest: Path
    out: Path
    page: Path
    records: int
    kinds: Mapping[str, int]
    sources: int
    excluded: Mapping[str, int]
    duplicates: int | None
    conflicts: int | None
    rejected: int
    leaks: int | None
    warnings: int | None
    audit_is_old: bool
    thumbnails: int
    missing: int


def curation_report(
    manifest: Path | str | None,
    out: Path | str,
    options: CurationReportOptions = CurationReportOptions(),
    *,
    limit: int = 300,
    progress: Progress = silent,
) -> CurationReport:
    """Write a page of a manifest, and of what index, dedup, split and audit left next to it.

    In the folder are ``index.html``; ``thumbs/``; ``sources.csv``, ``sizes.csv``,
    ``duplicates.csv``, ``contamination.csv``, ``conflicts.csv``, ``shortcuts.csv`` and
    ``rejects.csv``, as far as there is anything; plots as PNG; and ``summary.json``.

    Args:
        manifest: a manifest.
        out: the folder.
        options: whether a report that is at ``out`` is replaced, and by how many threads.
        limit: show so many pairs of duplicates, and so many pictures in conflict: those between
            sources first, then the least alike.
        progress: called with thumbnails done and in all.

    Raises:
        UsageError: the manifest is not there, or ``out`` is there and no report that may be
            replaced.
        ManifestError: the manifest or a table next to it cannot be read.
        FacecheckError: the manifest holds no record.
    """
    manifest, out = find_manifest(manifest), to_path(out, "out")
    data = read_curation(manifest)
    shown, disputes = data.worst_pairs(limit), data.disputes(limit)
    with report_folder(out, overwrite=options.overwrite) as folder:
        made = write_thumbnails(
            _files_of(shown, disputes), folder / "thumbs", options.workers or cpu_count(), progress
        )
        tables = data.tables()
        for name, table in tables.items():
            write_table(table, folder / f"{name}.csv")
        report = _report(manifest, out, data, made)
        write_json(folder / "summary.json", _summary(report))
        pictures = Pictures(out.absolute(), {file: i for i, file in enumerate(made)}, made)
        context = {
            **_facts_and_counts(manifest, data, report, tables),
            **_plots(tables, folder),
            "pairs": [] if shown is None else [pictures.pair(row) for row in shown.to_dicts()],
            "disputes": [pictures.dispute(files) for files in disputes.values()],
        }
        write_page(folder, "curation.html.j2", {**context, "contents": _contents(context)})
    return report


def _report(
    manifest: Path, out: Path, data: CurationData, made: Mapping[str, bool]
) -> CurationReport:
    frame = data.frame
    return CurationReport(
        manifest=manifest,
        out=out,
        page=out / INDEX,
        records=frame.height,
        kinds=_counts(frame["kind"], KINDS),
        sources=frame.select("kind", "source").n_unique(),
        excluded=_counts(frame["excluded"].replace("", None).drop_nulls()),
        duplicates=None if data.pairs is None else data.pairs.height,
        conflicts=None if data.conflicts is None else data.conflicts.height,
        rejected=0 if data.rejects is None else data.rejects.height,
        leaks=data.leaks,
        warnings=None if data.audit is None else len(data.audit["warnings"]),
        audit_is_old=data.audit_is_old,
        thumbnails=sum(made.values()),
        missing=len(made) - sum(made.values()),
    )


def _facts_and_counts(
    manifest: Path, data: CurationData, report: CurationReport, tables: Mapping[str, pl.DataFrame]
) -> dict[str, Any]:
    """Return what the page says in words, numbers and tables."""
    images = "image" if report.records == 1 else "images"
    sizes = ("source", "kind", "median", "commonest size", "sizes", "bytes each", "formats")
    between = tables.get("contamination")
    return {
        "title": f"Curation of {number_text(report.records)} {images}",
        "report": report,
        "facts": _facts(manifest),
        "kinds": [(kind, count, f"kind-{kind}") for kind, count in report.kinds.items()],
        "split": _bars(_counts(data.frame["split"], SPLITS)),
        "sources": tables["sources"].select("source", pl.exclude("source")).rows(),
        "sizes": tables["sizes"].select(sizes).rows(),
        "reasons": [] if data.pairs is None else _bars(_counts(data.pairs["why"])),
        "shared": data.pairs is not None and _shared(data.pairs),
        "by_sources": [] if between is None else between.rows(),
        "audit": data.audit,
        "guesses": [_guess_cells(guess) for guess in data.guesses()],
        "rejects": [] if data.rejects is None else data.rejects.head(_MOST).rows(),
    }


def _plots(tables: Mapping[str, pl.DataFrame], folder: Path) -> dict[str, dict[str, str] | None]:
    return {
        "sizes_plot": _plot(plot_sizes, tables["sizes"], folder / "sizes.png"),
        "contamination_plot": _plot(
            plot_contamination, tables.get("contamination"), folder / "between.png"
        ),
        "shortcuts_plot": _plot(plot_shortcuts, tables.get("shortcuts"), folder / "shortcuts.png"),
    }


def _files_of(
    pairs: pl.DataFrame | None, disputes: Mapping[str, Sequence[Mapping[str, str]]]
) -> list[str]:
    """Return each file that is to be shown, once."""
    files = (
        []
        if pairs is None
        else [file for pair in zip(pairs["dropped"], pairs["keeper"], strict=True) for file in pair]
    )
    files += [row["path"] for rows in disputes.values() for row in rows]
    return list(dict.fromkeys(files))


def _bars(counts: Mapping[str, int]) -> list[tuple[str, int, str]]:
    return [(name, count, "") for name, count in counts.items()]


def _guess_cells(guess: Mapping[str, Any]) -> list[Any]:
    names = ("question", "features", "balanced_accuracy", "auc", "shortcut_accuracy", "shortcut")
    return [guess[name] for name in names]


def _counts(values: pl.Series, order: Sequence[str] = ()) -> dict[str, int]:
    """Return how often each value is there, in this order, or the most frequent first."""
    counted = Counter(values.to_list())
    if order:
        return {name: counted[name] for name in order if counted[name]}
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _summary(report: CurationReport) -> dict[str, object]:
    names = ("out", "page")
    summary = {name: value for name, value in vars(report).items() if name not in names}
    return summary | {"manifest": path_text(report.manifest)}


def _facts(manifest: Path) -> dict[str, str]:
    """Return how the manifest was made, in words, as far as it is known."""
    meta = read_meta(manifest)
    arguments = meta.get("arguments")
    parts = [
        f"{name} {json.dumps(value, ensure_ascii=False)}"
        for name, value in (arguments.items() if isinstance(arguments, dict) else ())
        if value is not None and value is not False and value not in ([], "")
    ]
    return {
        "Manifest": path_text(manifest),
        "Version": f"facecheck {meta.get('facecheck', 'not known')}",
        "Last step": ", ".join([str(meta.get("command", "not known")), *parts]),
    }


def _shared(pairs: pl.DataFrame) -> bool:
    """Return whether any picture is in two sources."""
    return bool((pairs["dropped_source"] != pairs["keeper_source"]).any())


def _plot(draw: Any, table: pl.DataFrame | None, path: Path) -> dict[str, str] | None:
    """Draw a table for light and dark pages; return both addresses, None where it is empty."""
    if table is None or not table.height:
        return None
    return {"src": path.name, "dark": draw(table, path).name}


def _contents(context: Mapping[str, Any]) -> dict[str, str]:
    """Return the sections that there is something for, and those that a step would fill."""
    report: CurationReport = context["report"]
    sections = {
        "overview": "Overview",
        "sources": "Sources",
        "sizes": "Sizes",
        "duplicates": "Duplicates",
        "contamination": "Between sources" if context["by_sources"] else "",
        "conflicts": "Label conflicts" if report.conflicts else "",
        "shortcuts": "Shortcuts",
        "rejects": "Rejected files" if report.rejected else "",
        "made": "How it was made",
    }
    return {anchor: heading for anchor, heading in sections.items() if heading}
