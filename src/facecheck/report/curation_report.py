"""curation_report: a page of what a data set holds, and of what curation found in it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from facecheck.core.errors import FacecheckError, ImageError
from facecheck.core.files import path_text, sha256_file, write_json
from facecheck.core.image import decode
from facecheck.core.labels import KINDS
from facecheck.core.manifest import SPLITS, read_manifest, read_meta, read_table, write_table
from facecheck.core.parallel import Progress, cpu_count, map_ordered, silent
from facecheck.data.duplicates.dedup import CONFLICT, DUPLICATE
from facecheck.data.duplicates.groups import companion, duplicates_of
from facecheck.data.leaks import prove
from facecheck.report.curation_plots import plot_contamination, plot_shortcuts, plot_sizes
from facecheck.report.options import CurationReportOptions
from facecheck.report.page import INDEX, number_text, report_folder, write_page
from facecheck.report.thumbs import numbered

#: Longest side of a thumbnail in pixels: large enough to see what differs.
_SIDE = 192
#: Rows of a table on the page; the CSV next to it holds all.
_MOST = 200
#: Columns of the duplicates table, and what stands for one that an older ``dedup`` did not write.
_PAIR_DEFAULTS: Mapping[str, str] = {
    "why": "same picture", "distance": "", "correlation": "", "detail": "", "difference": "",
    "view": "whole", "kept": "false", "conflict": "false", "dropped_kind": "", "keeper_kind": "",
    "dropped_source": "", "keeper_source": "",
}  # fmt: skip


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
    manifest: Path,
    out: Path,
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
    frame = read_manifest(manifest).frame
    if not frame.height:
        raise FacecheckError(f"{path_text(manifest)}: no records: there is nothing to show")
    pairs = _pairs(manifest, frame)
    conflicts = _table(manifest, "conflicts", ("picture", "path", "kind", "source"))
    rejects = _table(manifest, "rejects", ("path", "reason"))
    audit, audit_is_old = _audit(manifest)
    shown = None if pairs is None else _worth_a_look(pairs).head(limit)
    disputes = _disputes(conflicts, limit)
    wanted = _files_of(shown, disputes)
    leaks = _leaks(manifest, frame)
    with report_folder(out, overwrite=options.overwrite) as folder:
        made = _write_thumbnails(
            wanted, folder / "thumbs", options.workers or cpu_count(), progress
        )
        sources, sizes = _by_source(frame), _sizes(frame)
        by_sources = None if pairs is None else _between_sources(pairs)
        guesses = [] if audit is None else _guesses(audit)
        for name, table in {
            "sources": sources,
            "sizes": sizes,
            "duplicates": pairs,
            "contamination": by_sources,
            "conflicts": conflicts,
            "shortcuts": pl.DataFrame(guesses) if guesses else None,
            "rejects": rejects if rejects is not None and rejects.height else None,
        }.items():
            if table is not None:
                write_table(table, folder / f"{name}.csv")
        report = CurationReport(
            manifest=manifest,
            out=out,
            page=out / INDEX,
            records=frame.height,
            kinds=_counts(frame["kind"], KINDS),
            sources=frame.select("kind", "source").n_unique(),
            excluded=_counts(frame["excluded"].replace("", None).drop_nulls()),
            duplicates=None if pairs is None else pairs.height,
            conflicts=None if conflicts is None else conflicts.height,
            rejected=0 if rejects is None else rejects.height,
            leaks=leaks,
            warnings=None if audit is None else len(audit["warnings"]),
            audit_is_old=audit_is_old,
            thumbnails=sum(made.values()),
            missing=len(made) - sum(made.values()),
        )
        write_json(folder / "summary.json", _summary(report))
        pictures = _Pictures(out.absolute(), {file: i for i, file in enumerate(made)}, made)
        context = {
            "title": f"Curation of {number_text(frame.height)} "
            f"{'image' if frame.height == 1 else 'images'}",
            "report": report,
            "facts": _facts(manifest),
            "kinds": [(kind, count, f"kind-{kind}") for kind, count in report.kinds.items()],
            "split": _bars(_counts(frame["split"], SPLITS)),
            "sources": sources.select("source", pl.exclude("source")).rows(),
            "sizes": sizes.select(
                *("source", "kind", "median", "commonest size", "sizes", "bytes each", "formats")
            ).rows(),
            "sizes_plot": _plot(plot_sizes, sizes, folder / "sizes.png"),
            "pairs": [] if shown is None else [pictures.pair(row) for row in shown.to_dicts()],
            "reasons": [] if pairs is None else _bars(_counts(pairs["why"])),
            "shared": pairs is not None and _shared(pairs),
            "by_sources": [] if by_sources is None else by_sources.rows(),
            "contamination_plot": _plot(plot_contamination, by_sources, folder / "between.png"),
            "disputes": [pictures.dispute(files) for files in disputes.values()],
            "audit": audit,
            "guesses": [_guess_cells(guess) for guess in guesses],
            "shortcuts_plot": _plot(
                plot_shortcuts,
                pl.DataFrame(guesses) if guesses else None,
                folder / "shortcuts.png",
            ),
            "rejects": [] if rejects is None else rejects.head(_MOST).rows(),
        }
        write_page(folder, "curation.html.j2", {**context, "contents": _contents(context)})
    return report


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


def _table(manifest: Path, name: str, columns: Sequence[str]) -> pl.DataFrame | None:
    """Return a table next to the manifest, all text; None where there is none of these columns."""
    path = companion(manifest, name)
    if path is None:
        return None
    table = read_table(path)
    if not set(columns) <= set(table.columns):
        return None
    return table.select(pl.col(column).cast(pl.String).fill_null("") for column in columns)


def _pairs(manifest: Path, frame: pl.DataFrame) -> pl.DataFrame | None:
    """Return the duplicates table with all its columns; kinds and sources as the manifest has them.

    Pairs of which both are kept are left out. Numbers stay text where they are not known.
    """
    path, absolute = duplicates_of(manifest)
    if path is None:
        return None
    table = read_table(path)
    known = {
        name: table[name].cast(pl.String).fill_null(default)
        if name in table.columns
        else pl.Series([default] * table.height, dtype=pl.String)
        for name, default in _PAIR_DEFAULTS.items()
    }
    found = pl.DataFrame({"dropped": absolute["one"], "keeper": absolute["two"], **known})
    found = found.filter(pl.col("kept") != "true").drop("kept")
    records = frame.select("path", "kind", "source")
    for side in ("dropped", "keeper"):
        found = found.join(
            records, left_on=side, right_on="path", how="left", maintain_order="left"
        )
        found = found.with_columns(
            pl.coalesce(column, f"{side}_{column}").alias(f"{side}_{column}")
            for column in ("kind", "source")
        ).drop("kind", "source")
    return found.with_columns(
        pl.col("conflict") == "true",
        pl.col("distance").cast(pl.Int64, strict=False),
        *(
            pl.col(name).cast(pl.Float64, strict=False)
            for name in ("correlation", "detail", "difference")
        ),
    )


def _worth_a_look(pairs: pl.DataFrame) -> pl.DataFrame:
    """Order pairs: kinds at odds first, then between sources, then the least alike."""
    return pairs.sort(
        ~pl.col("conflict"),
        pl.col("dropped_source") == pl.col("keeper_source"),
        pl.col("correlation").fill_null(1),
        "dropped",
    )


def _disputes(conflicts: pl.DataFrame | None, limit: int) -> dict[str, list[dict[str, Any]]]:
    """Return the files of each picture that carries several kinds."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in [] if conflicts is None else conflicts.iter_rows(named=True):
        found.setdefault(row["picture"], []).append(row)
    return dict(list(found.items())[:limit])


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


def _write_thumbnails(
    files: Sequence[str], folder: Path, workers: int, progress: Progress
) -> dict[str, bool]:
    """Write a thumbnail of each file; return of each whether it could be made."""

    def make(place: int) -> bool:
        try:
            image = decode(Path(files[place]), short_side=_SIDE).image
        except ImageError:
            return False
        image.thumbnail((_SIDE, _SIDE))
        target = folder / numbered(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target, "WEBP", quality=85)
        return True

    made = {}
    for place, done in enumerate(map_ordered(make, range(len(files)), workers=workers)):
        made[files[place]] = done
        progress(place + 1, len(files))
    return made


@dataclass(frozen=True)
class _Pictures:
    """What the page shows of files: their thumbnails, and links to them.

    Attributes:
        out: the report's folder, absolute.
        places: each file's number.
        made: whether a file has a thumbnail.
    """

    out: Path
    places: Mapping[str, int]
    made: Mapping[str, bool]

    def picture(self, file: str, kind: str, source: str) -> dict[str, Any]:
        return {
            "src": f"thumbs/{numbered(self.places[file])}" if self.made[file] else None,
            "href": quote(os.path.relpath(file, self.out)),
            "name": path_text(Path(file).name),
            "folder": path_text(Path(file).parent),
            "kind": kind,
            "source": source,
        }

    def pair(self, row: Mapping[str, Any]) -> dict[str, Any]:
        sides = [
            self.picture(row[side], row[f"{side}_kind"], row[f"{side}_source"])
            for side in ("keeper", "dropped")
        ]
        between = row["dropped_source"] != row["keeper_source"]
        return {**row, "sides": sides, "between": between, "measures": _measures(row)}

    def dispute(self, files: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        return [self.picture(row["path"], row["kind"], row["source"]) for row in files]


def _measures(row: Mapping[str, Any]) -> str:
    """Return how alike the two files of a pair are, in words; nothing of the very same pixels."""
    if row["why"] in {"same bytes", "same pixels"}:
        return ""
    facts = []
    if row["view"] != "whole":
        facts.append(f"seen {row['view']}")
    if row["distance"] is not None:
        facts.append(f"{row['distance']} bits apart")
    if row["correlation"] is not None:
        facts.append(f"correlation {row['correlation']:.3f}")
    if row["difference"] is not None:
        facts.append(f"colours differ by {row['difference']:.1f}")
    return ", ".join(facts)


def _by_source(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each source: its images, and what became of them."""
    used = pl.col("excluded") == ""
    return (
        frame.group_by("kind", "source")
        .agg(
            pl.len().alias("images"),
            (pl.col("excluded") == DUPLICATE).sum().alias("duplicates"),
            (pl.col("excluded") == CONFLICT).sum().alias("in conflict"),
            (~used & ~pl.col("excluded").is_in([DUPLICATE, CONFLICT])).sum().alias("excluded"),
            *((used & (pl.col("split") == split)).sum().alias(split) for split in SPLITS),
        )
        .pipe(_in_order)
    )


def _sizes(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each source: short sides in pixels, megabytes, and formats."""
    short = pl.min_horizontal("width", "height")
    size = pl.concat_str("width", pl.lit(" x "), "height")
    return (
        frame.filter(pl.col("width") > 0)
        .group_by("kind", "source")
        .agg(
            pl.len().alias("images"),
            short.min().alias("smallest"),
            short.quantile(0.05, "nearest").cast(pl.Int64).alias("5 %"),
            short.median().round().cast(pl.Int64).alias("median"),
            short.quantile(0.95, "nearest").cast(pl.Int64).alias("95 %"),
            short.max().alias("largest"),
            size.mode().sort().first().alias("commonest size"),
            size.n_unique().alias("sizes"),
            pl.col("bytes").mean().round().cast(pl.Int64).alias("bytes each"),
            pl.col("format").unique().sort().str.join(", ").alias("formats"),
        )
        .pipe(_in_order)
    )


def _in_order(table: pl.DataFrame) -> pl.DataFrame:
    """Sort by kind, in the order of kinds everywhere, then by source."""
    place = pl.col("kind").replace_strict({kind: n for n, kind in enumerate(KINDS)})
    return table.sort(place, "source")


def _between_sources(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return confirmed pairs by two sources, as ``<stem>.contamination.csv`` counts them."""
    one, two = (pl.col(f"{side}_source") for side in ("dropped", "keeper"))
    return (
        pairs.select(source=pl.min_horizontal(one, two), other_source=pl.max_horizontal(one, two))
        .group_by("source", "other_source")
        .agg(pl.len().alias("pairs"))
        .sort(pl.col("source") == pl.col("other_source"), -pl.col("pairs").cast(pl.Int64), "source")
    )


def _shared(pairs: pl.DataFrame) -> bool:
    """Return whether any picture is in two sources."""
    return bool((pairs["dropped_source"] != pairs["keeper_source"]).any())


def _leaks(manifest: Path, frame: pl.DataFrame) -> int | None:
    if not (frame["split"] != "").any():
        return None
    return len(prove(frame, duplicates_of(manifest)[1]).leaks)


def _audit(manifest: Path) -> tuple[dict[str, Any] | None, bool]:
    """Return what ``audit`` left, and whether that was of another state of the manifest."""
    path = companion(manifest, "audit", (".json",))
    if path is None:
        return None, False
    try:
        stored = json.loads(path.read_bytes())
        found = {name: stored[name] for name in ("images", "warn_above", "guesses", "warnings")}
        return found, stored["input"]["sha256"] != sha256_file(manifest)
    except (OSError, ValueError, KeyError, TypeError):
        raise FacecheckError(
            f"{path_text(path)}: not what audit writes: run `facecheck audit` again"
        ) from None


def _guesses(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each question for each set of features: most at risk first, kinds before pairs."""
    names = ("question", "features", "images", "sides", "balanced_accuracy", "auc", "shortcut",
             "shortcut_accuracy")  # fmt: skip
    rows = [{name: guess[name] for name in names} for guess in audit["guesses"]]
    whole = {"kind", "real or artificial"}
    return sorted(rows, key=lambda row: (row["question"] not in whole, -row["balanced_accuracy"]))


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
