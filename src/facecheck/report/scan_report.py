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
from facecheck.core.files import name_text, path_text, sha256_file, write_json
from facecheck.core.jsonable import parse_json
from facecheck.core.labels import KINDS, Basis, Status, Verdict
from facecheck.core.parallel import Progress, silent
from facecheck.model.facts import CAUTION, ModelFacts, knowledge, state_text
from facecheck.report.options import ScanReportOptions
from facecheck.report.page import number_text, report_folder, write_page
from facecheck.report.plots import plot_scores
from facecheck.report.thumbs import numbered, write_thumbnails
from facecheck.scanner.inputs.items import INSIDE
from facecheck.scanner.inputs.reach import Reach, reach_of
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import PATH, Row, read_rows

#: Draws heat maps: given rows, yields for each a picture of what was classified with the heat map
#: over it, or None where there can be none.
HeatMaps = Callable[[Sequence[Row]], Iterable[Image.Image | None]]

STATUSES = tuple(status.value for status in Status)
# Those first that a reader looks for.
VERDICTS = (Verdict.ARTIFICIAL.value, Verdict.UNCERTAIN.value, Verdict.REAL.value)
VIEWS = ("face", "whole")
BASES = tuple(basis.value for basis in Basis)
_BINS = 40
# Columns whose values are few; in the page a row has the place of its value, -1 for none.
_FEW: Mapping[str, Sequence[str]] = {
    "status": STATUSES,
    "verdict": VERDICTS,
    "kind": KINDS,
    "basis": BASES,
    "view": VIEWS,
}
# Texts, of which many rows have the same; in the page a row has the place of its own.
_TEXTS = ("message", "provenance", "generator")
# Numbers that are not whole, which results hold with six decimals; in the page in millionths.
_MILLIONTHS = tuple(name for name, kind in COLUMNS.items() if kind is float)
_WHOLE = tuple(name for name, kind in COLUMNS.items() if kind is int)


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
        results: as ``scan`` writes them. Names in them that are relative are of the current
            folder, as for the scan.
        out: the folder.
        options: how many thumbnails and heat maps; a thumbnail takes about 3 kB.
        draw_heat: draws them; None draws none.
        reach: which files the results may name; the others are not opened, and shown without a
            thumbnail. None: what their ``.meta.json`` says was scanned. Of results that you
            trust: ``EVERYWHERE``.
        progress: called with thumbnails done, and how many there will be.

    Raises:
        UsageError: ``out`` is there and no report that may be replaced.
        FacecheckError: the results cannot be read, or hold no row.
    """
    rows = list(read_rows(results, COLUMNS))
    if not rows:
        raise FacecheckError(f"{path_text(results)}: no rows: there is nothing to show")
    tally = Counter(tuple(str(row[name]) for name in ("status", "verdict", "kind")) for row in rows)
    with report_folder(out, overwrite=options.overwrite) as folder:
        wanted = min(options.thumbnails, len(rows))
        made = list(
            write_thumbnails(
                islice(rows, wanted),
                folder / "thumbs",
                reach=reach or reach_of(results),
                workers=options.workers,
                progress=lambda done, _: progress(done, wanted),
            )
        )
        heated = _write_heat(rows, folder / "heat", options.heat_maps, draw_heat)
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
            heat_maps=len(heated),
        )
        write_json(folder / "summary.json", _summary(report))
        write_page(
            folder,
            "scan.html.j2",
            _context(report, _facts(results), dark=dark),
            data=_page_data(rows, made, heated, out),
        )
    return report


def _marginal(
    tally: Mapping[tuple[str, ...], int], position: int, order: Sequence[str]
) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for key, count in tally.items():
        sums[key[position]] += count
    return {name: sums[name] for name in order if sums[name]}


def _scores(rows: Sequence[Row]) -> tuple[list[float], dict[str, list[int]]]:
    """Return the edges of equal bins from 0 to 1, and by verdict the rows in each."""
    edges = np.linspace(0, 1, _BINS + 1)
    by_verdict = {
        verdict: [
            row["score"] for row in rows if row["verdict"] == verdict and row["score"] is not None
        ]
        for verdict in VERDICTS
    }
    counts = {
        verdict: np.histogram(np.asarray(scores, float), edges)[0].tolist()
        for verdict, scores in by_verdict.items()
        if scores
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


def _facts(results: Path) -> dict[str, str]:
    """Return what the results were made from, in words, as far as it is known."""
    facts = {"Results": path_text(results.name)}
    try:
        meta = parse_json(results.with_name(f"{results.name}.meta.json").read_bytes())
        known = dict(_facts_of(meta))
    except (OSError, ValueError, TypeError, AttributeError):
        return facts | {"Scan": "not known: no .meta.json next to the results"}
    if meta.get("sha256") != sha256_file(results):
        facts["Changed"] = "the results have been changed since the scan"
    return facts | known


def _facts_of(meta: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Version", f"facecheck {meta.get('facecheck', 'not known')}"
    yield "Checkpoint", f"sha256 {str(meta.get('checkpoint_sha256'))[:16]}"
    yield from _model_facts(meta.get("model"))
    detector = meta.get("face_detector_sha256")
    yield "Face detector", f"sha256 {str(detector)[:16]}" if detector else "none: images whole"
    if meta.get("known_sha256"):
        yield "Known files", f"sha256 {str(meta['known_sha256'])[:16]}"
    yield "Device", str(meta.get("device", "not known"))
    if meta.get("per_face"):
        yield "Rows", "one for each face"
    if meta.get("only"):
        yield "Only", ", ".join(map(str, meta["only"]))
    if meta.get("stability"):
        yield "Stability", f"{meta['stability']} variants"
    if meta.get("threshold") is not None:
        yield "Threshold", str(meta["threshold"])
    if meta.get("provenance") == "off":
        yield "Provenance", "not read: verdicts are by the pixels alone"


def _model_facts(stored: Any) -> Iterator[tuple[str, str]]:
    """Yield what the model knows and does not; nothing for results of older versions."""
    if not isinstance(stored, Mapping):
        return
    known = {name: stored[name] for name in ModelFacts.__dataclass_fields__ if name in stored}
    model = ModelFacts(**known)
    yield "Model", state_text(model)
    yield from knowledge(model)


def _context(report: ScanReport, facts: Mapping[str, str], *, dark: str) -> dict[str, Any]:
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
        "facts": facts,
        "dark": dark,
        "caution": f"{CAUTION[0].upper()}{CAUTION[1:]}.",
    }


def _page_data(
    rows: Sequence[Row], made: Sequence[bool], heated: Sequence[int], out: Path
) -> dict[str, Any]:
    """Return the rows as columns, as gallery.js reads them."""
    places = [_inner(str(row[PATH])) for row in rows]
    names = [str(row[PATH]) for row in rows]
    folders, folder = _indexed(name[:at] for name, at in zip(names, places, strict=True))
    texts = {column: _indexed(str(row[column]) for row in rows) for column in _TEXTS}
    return {
        "columns": list(COLUMNS),
        "few": _FEW,
        "rows": len(rows),
        "folders": folders,
        "folder": folder,
        "name": [name[at:] for name, at in zip(names, places, strict=True)],
        "texts": {column: distinct for column, (distinct, _) in texts.items()},
        **{column: which for column, (_, which) in texts.items()},
        **{column: _coded(rows, column, values) for column, values in _FEW.items()},
        **{column: _numbers(rows, column, 1_000_000) for column in _MILLIONTHS},
        **{column: _numbers(rows, column, 1) for column in _WHOLE},
        "thumbnails": len(made),
        "missing": [number for number, there in enumerate(made) if not there],
        "heat": heated,
        # From the report to where relative names are of.
        "base": name_text(os.path.relpath(Path.cwd(), out.absolute())),
        "millionths": _MILLIONTHS,
    }


def _inner(name: str) -> int:
    """Return where the last part of a name begins: behind a slash, or within an archive."""
    return max(name.rfind("/") + 1, name.rfind(INSIDE) + len(INSIDE) if INSIDE in name else 0)


def _indexed(texts: Iterable[str]) -> tuple[list[str], list[int]]:
    """Return the distinct texts, and of each text which of them it is."""
    known: dict[str, int] = {}
    places = [known.setdefault(text, len(known)) for text in texts]
    return list(known), places


def _coded(rows: Sequence[Row], column: str, values: Sequence[str]) -> list[int]:
    codes = {value: code for code, value in enumerate(values)}
    return [codes.get(str(row[column]), -1) for row in rows]


def _numbers(rows: Sequence[Row], column: str, unit: int) -> list[int | None] | None:
    """Return a column in whole units, not of a millionth; None where no row has a value."""
    values = [row[column] for row in rows]
    if not any(value is not None for value in values):
        return None
    return [None if value is None else round(float(value) * unit) for value in values]
