"""scan_report: a page to look through the results of a scan."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facecheck.core.csv_files import safe_text
from facecheck.core.errors import FacecheckError
from facecheck.core.files import name_text, path_text, to_path, write_json
from facecheck.core.labels import KINDS
from facecheck.core.parallel import Progress, silent
from facecheck.report.gallery_rows import STATUSES, VERDICTS, GalleryRows
from facecheck.report.options import ScanReportOptions
from facecheck.report.page import number_text, report_folder, write_page
from facecheck.report.plots import plot_scores
from facecheck.report.scan_facts import ScanFacts
from facecheck.report.thumbs import UNREAD, numbered, write_thumbnails
from facecheck.scanner.inputs.named import base_of, is_relative, located
from facecheck.scanner.inputs.reach import Reach, reach_of
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import PATH, Row, read_rows

#: Draws heat maps: given rows, yields for each a picture of what was classified with the heat map
#: over it, or None where there can be none.
HeatMaps = Callable[[Sequence[Row]], Iterable[Image.Image | None]]

_BINS = 40
# What is counted together.
_TALLIED = ("status", "verdict", "kind")


@dataclass(frozen=True)
class ScanReport:
    """What ``scan_report`` made.

    Attributes:
        results: the rows it shows.
        out: the report's folder.
        page: the page in it.
        rows: how many there are.
        statuses: rows by status.
        verdicts: rows by verdict, of those that have one.
        kinds: rows by kind, likewise.
        thumbnails: rows that are shown by a thumbnail.
        missing: rows for which none could be made: errors of the scan, files gone or changed.
        reasons: these rows by why.
        base: the folder that relative paths are of.
        hint: what to do where no picture was found; empty where one was.
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
    reasons: Mapping[str, int]
    base: Path
    hint: str
    heat_maps: int


def scan_report(
    results: Path | str,
    out: Path | str,
    options: ScanReportOptions = ScanReportOptions(),
    *,
    draw_heat: HeatMaps | None = None,
    reach: Reach | None = None,
    progress: Progress = silent,
) -> ScanReport:
    """Write a page of the results of a scan to the folder ``out``.

    In the folder are ``index.html``, with all rows in it; ``thumbs/``; ``heat/``, where heat maps
    are drawn; ``scores.png`` and ``scores.csv``, how many rows have which score; ``counts.csv``,
    how many rows are of each status, verdict and kind; and ``summary.json``.

    Args:
        results: as ``scan`` writes them.
        out: the folder.
        options: how many thumbnails and heat maps; a thumbnail takes about 3 kB. And which folder
            relative names in the results are of: by default the one that the scan ran in, or the
            current one, whichever has them.
        draw_heat: draws them; None draws none.
        reach: which files the results may name; the others are not opened, and shown without a
            thumbnail. None: what their ``.meta.json`` says was scanned. Of results that you
            trust: ``EVERYWHERE``. The folder of ``options.base`` is in reach.
        progress: called with thumbnails done, and how many there will be.

    Raises:
        UsageError: ``out`` is there and no report that may be replaced.
        FacecheckError: the results cannot be read, or hold no row.
    """
    results, out = to_path(results, "the results"), to_path(out, "out")
    tally: Counter[tuple[str, ...]] = Counter()
    rows = GalleryRows(_counted(read_rows(results, COLUMNS), tally))
    if not rows:
        raise FacecheckError(f"{path_text(results)}: no rows: there is nothing to show")
    scan = ScanFacts.of(results)
    base = base_of(results, (str(row[PATH]) for row in rows), options.base)
    there = _Located(rows, base)
    with report_folder(out, overwrite=options.overwrite) as folder:
        wanted = min(options.thumbnails, len(rows))
        missing = list(
            write_thumbnails(
                islice(there, wanted),
                folder / "thumbs",
                reach=reach or reach_of(results, named_bases(options)),
                workers=options.workers,
                progress=lambda done, _: progress(done, wanted),
            )
        )
        reasons = Counter(filter(None, missing))
        made = [not why for why in missing]
        heated = _write_heat(there, folder / "heat", options.heat_maps, draw_heat)
        edges, scores = _scores(rows)
        dark = plot_scores(edges, scores, folder / "scores.png").name
        _write_tables(folder, edges, scores, tally)
        report = ScanReport(
            results=results,
            out=out,
            page=out / "index.html",
            rows=len(rows),
            statuses=_marginal(tally, 0, STATUSES),
            verdicts=_marginal(tally, 1, VERDICTS),
            kinds=_marginal(tally, 2, KINDS),
            thumbnails=sum(made),
            missing=wanted - sum(made),
            reasons=dict(reasons.most_common()),
            base=base,
            hint="" if any(made) else why_none(results, rows, base, reasons),
            heat_maps=len(heated),
        )
        write_json(folder / "summary.json", _summary(report))
        write_page(
            folder,
            "scan.html.j2",
            _context(report, scan, dark=dark),
            data={**rows.packed(), **_page_data(made, heated, out, base), **scan.page_data()},
        )
    return report


def _counted(rows: Iterable[Row], tally: Counter[tuple[str, ...]]) -> Iterator[Row]:
    for row in rows:
        tally[tuple(str(row[name]) for name in _TALLIED)] += 1
        yield row


def named_bases(options: ScanReportOptions) -> list[Path]:
    """Return the folder that the user says relative paths are of: results may name its files."""
    return [] if options.base is None else [options.base]


class _Located(Sequence[Row]):
    """Rows whose names are as seen from the current folder, made when they are asked for."""

    def __init__(self, rows: Sequence[Row], base: Path) -> None:
        self._rows, self._base = rows, base

    def __getitem__(self, place: Any) -> Any:
        row = self._rows[place]
        return {**row, PATH: located(str(row[PATH]), self._base)}

    def __len__(self) -> int:
        return len(self._rows)


def why_none(results: Path, rows: Sequence[Row], base: Path, reasons: Mapping[str, int]) -> str:
    """Return why no picture is shown, and what to do; empty where none was to be."""
    why = [reason for reason in reasons if reason != UNREAD]
    if not why:
        return ""
    if any(is_relative(str(row[PATH])) for row in rows[:1000]):
        return (
            f"no picture was found in {path_text(base)} ({why[0]}): paths in "
            f"{path_text(results)} are relative to where the scan ran: pass --base DIR"
        )
    return f"no picture could be shown ({why[0]}): check that the files are where they were"


def _marginal(
    tally: Mapping[tuple[str, ...], int], position: int, order: Sequence[str]
) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for key, count in tally.items():
        sums[key[position]] += count
    return {name: sums[name] for name in order if sums[name]}


def _scores(rows: GalleryRows) -> tuple[list[float], dict[str, list[int]]]:
    """Return the edges of equal bins from 0 to 1, and by verdict the rows in each."""
    edges = np.linspace(0, 1, _BINS + 1)
    counts = {
        verdict: np.histogram(scores, edges)[0].tolist()
        for verdict in VERDICTS
        if len(scores := rows.scores(verdict))
    }
    return edges.round(6).tolist(), counts


def _write_tables(
    folder: Path,
    edges: Sequence[float],
    scores: Mapping[str, Sequence[int]],
    tally: Mapping[tuple[str, ...], int],
) -> None:
    bins = zip(edges[:-1], edges[1:], *scores.values(), strict=True)
    _write_csv(folder / "scores.csv", ("from", "to", *scores), bins)
    counts = ((*key, count) for key, count in sorted(tally.items()))
    _write_csv(folder / "counts.csv", ("status", "verdict", "kind", "rows"), counts)


def _write_csv(path: Path, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        for row in (headings, *rows):
            lines.writerow([safe_text(cell) if isinstance(cell, str) else cell for cell in row])


def _summary(report: ScanReport) -> dict[str, object]:
    names = ("rows", "statuses", "verdicts", "kinds", "thumbnails", "missing", "heat_maps")
    return {"results": path_text(report.results)} | {name: getattr(report, name) for name in names}


def _write_heat(rows: Sequence[Row], folder: Path, number: int, draw: HeatMaps | None) -> list[int]:
    """Write heat maps to ``folder``; return the numbers of the rows that have one, in order."""
    if draw is None or not number:
        return []
    chosen = heat_rows(rows, number)
    done = []
    for place, picture in zip(chosen, draw([rows[place] for place in chosen]), strict=True):
        if picture is not None:
            target = folder / numbered(place)
            target.parent.mkdir(parents=True, exist_ok=True)
            picture.save(target, "WEBP", quality=85)
            done.append(place)
    return sorted(done)


def heat_rows(rows: Sequence[Row], number: int) -> list[int]:
    """Return the places of the rows most worth a heat map, the surest artificial ones first.

    They are ``number`` rows of the highest scores, then ``number`` of the others whose score is
    nearest to a half.
    """
    scored = [
        (float(row["score"]), place) for place, row in enumerate(rows) if row["score"] is not None
    ]
    surest = [place for _, place in sorted(scored, key=lambda pair: -pair[0])[:number]]
    taken = set(surest)
    others = sorted((abs(score - 0.5), place) for score, place in scored if place not in taken)
    return surest + [place for _, place in others[:number]]


def _context(report: ScanReport, scan: ScanFacts, *, dark: str) -> dict[str, Any]:
    none = report.rows - sum(report.verdicts.values())
    verdicts = [(name, report.verdicts.get(name, 0), f"verdict-{name}") for name in VERDICTS]
    return {
        "title": f"Scan of {number_text(report.rows)} {'row' if report.rows == 1 else 'rows'}",
        "contents": {"overview": "Overview", "gallery": "Gallery", "scan": "How it was made"},
        "report": report,
        "verdicts": [*verdicts, ("none", none, "verdict-none")],
        "kinds": [(name, count, f"kind-{name}") for name, count in report.kinds.items()],
        "statuses": [
            (name.replace("_", " "), count, "") for name, count in report.statuses.items()
        ],
        "scan": scan,
        "dark": dark,
        "kinds_known": KINDS,
        "live": False,
    }


def _page_data(
    made: Sequence[bool], heated: Sequence[int], out: Path, base: Path
) -> dict[str, Any]:
    """Return what gallery.js needs to know besides the rows and their scan."""
    return {
        "thumbnails": len(made),
        "missing": [number for number, there in enumerate(made) if not there],
        "heat": heated,
        # From the report to where relative names are of.
        "base": name_text(os.path.relpath(base, out.absolute())),
    }
