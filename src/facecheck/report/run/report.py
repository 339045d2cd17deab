"""The report of a run or an evaluation: its figures, their numbers, and one page.

The numbers are those of ``evaluate``, by the same functions, from one pass over the split. What
cannot be shown (the filters of an ONNX file, the log of a checkpoint without its run) is left out,
and the page says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from facecheck.core.files import path_text, sha256_file, to_path, write_json
from facecheck.core.jsonable import jsonable
from facecheck.core.parallel import Progress, silent
from facecheck.core.text import percent
from facecheck.core.workspace import builtin_name, find_checkpoint, find_manifest
from facecheck.engines.load import load_predictor
from facecheck.evaluation.evaluate import EvaluateResult, evaluated, metadata_baseline
from facecheck.evaluation.robustness import TABLE
from facecheck.model.checkpoint import Header
from facecheck.model.metrics import Figure
from facecheck.model.outputs import predict_split
from facecheck.report.options import RunReportOptions
from facecheck.report.page import number_text, report_folder, write_page
from facecheck.report.run.context import ReportContext, Section, run_facts
from facecheck.report.run.images import error_cards, face_map
from facecheck.report.run.network import network_section
from facecheck.report.run.robustness import read_benchmark, robustness_section
from facecheck.report.run.scores import kinds_section, scores_section, source_table, sources_section
from facecheck.report.run.training import augmentation_section, training_section


@dataclass(frozen=True)
class RunReport:
    """What a run's report holds, and where.

    Attributes:
        folder: the report.
        page: its ``index.html``.
        result: what ``evaluate`` says of the same images; all of it is in ``evaluation.json``.
        images: images tested.
        points: faces on the map.
        figures: the figures' PNG files, in the page's order.
        tables: the files with their numbers.
        left_out: what is not shown, (section, why).
    """

    folder: Path
    page: Path
    result: EvaluateResult
    images: int
    points: int
    figures: tuple[str, ...]
    tables: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


#: The page's sections, in order.
_CONTENTS = {
    "kinds": "Kinds",
    "sources": "Sources",
    "scores": "Scores",
    "robustness": "Robustness",
    "errors": "Most confident errors",
    "map": "Map of faces",
    "training": "Training",
    "augmentation": "Augmentation",
    "network": "Inside the network",
    "made": "How it was made",
}


def run_report(
    run_or_checkpoint: Path | str | None,
    out: Path | str,
    options: RunReportOptions = RunReportOptions(),
    *,
    progress: Progress = silent,
) -> RunReport:
    """Test a run's best checkpoint, or one alone, on one split, and show all there is to see.

    Args:
        run_or_checkpoint: a run folder, a checkpoint, an export of one, or ``builtin``; None
            takes the newest run.
        out: the folder to make.
        options: what it is evaluated on. Without an audit, the manifest's own is read, or made, as
            ``evaluate`` does.
        progress: called with images done, and in all.

    Raises:
        UsageError: a file is not there, or ``out`` is no report that may be replaced.
        CheckpointError: the checkpoint cannot be used.
        ManifestError: the manifest cannot be read.
        FacecheckError: as ``evaluate``.
    """
    checkpoint, out = find_checkpoint(run_or_checkpoint), to_path(out, "out")
    run = checkpoint.parent if (checkpoint.parent / "log.jsonl").is_file() else None
    chosen = find_manifest(options.manifest or _manifest_of(run))
    table = _benchmark(options.benchmark, run)
    with report_folder(out, overwrite=options.overwrite) as folder:
        predictor = load_predictor(checkpoint, options.device, features=True)
        found = predict_split(
            *(predictor, checkpoint, chosen, options.split, ()),
            batch_size=options.batch_size,
            workers=options.workers,
            progress=progress,
            per_source=options.per_source,
        )
        result = evaluated(
            *(found, predictor.header, checkpoint, chosen, options.split),
            baseline=metadata_baseline(chosen, report=options.audit, workers=options.workers),
        )
        context = ReportContext(folder, run, predictor, found, result, options.workers)
        sections, points = _sections(context, table)
        write_json(folder / "evaluation.json", jsonable(result))
        page = _page(context, sections, points, options.per_source)
        write_page(folder, "run.html.j2", page, data=points or {})
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    return RunReport(
        folder=out,
        page=out / "index.html",
        result=result,
        images=result.overall.count,
        points=len(points["names"]) if points else 0,
        figures=tuple(f"{plot.name}.png" for part in sections.values() for plot in part.plots),
        tables=tuple(name for name in names if name.endswith((".csv", ".json", ".npy"))),
        left_out=tuple((name, why) for name, part in sections.items() for why in part.left_out),
    )


def _sections(
    context: ReportContext, benchmark: pl.DataFrame | None
) -> tuple[dict[str, Section], dict[str, Any] | None]:
    """Draw every section; return them by name, and the data of the map of faces."""
    map_section, points = face_map(context)
    return {
        "kinds": kinds_section(context),
        "sources": sources_section(context),
        "scores": scores_section(context),
        "robustness": robustness_section(context, benchmark),
        "map": map_section,
        "training": training_section(context),
        "augmentation": augmentation_section(context),
        "network": network_section(context),
    }, points


def _page(
    context: ReportContext,
    sections: Mapping[str, Section],
    points: dict[str, Any] | None,
    per_source: int,
) -> dict[str, Any]:
    """Return what the page's template needs; writes the tables of predictions and of errors."""
    result, header = context.result, context.predictor.header
    return {
        "title": _title(result.checkpoint, context.run),
        "contents": _CONTENTS,
        "lead": _lead(result, per_source),
        "tiles": _tiles(result),
        "facts": _facts(context),
        "warnings": _warnings(header, result),
        "sections": sections,
        "kind_rows": [{"kind": kind, **jsonable(part)} for kind, part in result.by_kind.items()],
        "source_rows": source_table(result).to_dicts(),
        "result": result,
        "wrong": result.overall.count - round(result.overall.top1 * result.overall.count),
        "errors": error_cards(context),
        "points": points,
    }


def _manifest_of(run: Path | None) -> Path | None:
    """Return the manifest a run was trained on, where it was, or next to the folder of runs."""
    named = run_facts(run).get("manifest", {}).get("path")
    if run is None or not named:
        return None
    places = (Path(named), run.absolute().parent.parent / named)
    return next((path for path in places if path.is_file()), None)


def _benchmark(benchmark: Path | None, run: Path | None) -> pl.DataFrame | None:
    if benchmark is not None:
        return read_benchmark(benchmark)
    own = run / "benchmark" if run else None
    return read_benchmark(own) if own and (own / TABLE).is_file() else None


def _title(checkpoint: Path, run: Path | None) -> str:
    name = builtin_name(checkpoint)
    if name:
        return f"The built-in model {name}"
    return f"Run {path_text(run.absolute().name)}" if run else path_text(checkpoint.name)


def _lead(result: EvaluateResult, per_source: int) -> str:
    part = f"at most {per_source:,} images of each source in " if per_source else ""
    return f"Tested on {part}the {result.split} split of {path_text(result.manifest)}."


def _tiles(result: EvaluateResult) -> list[tuple[str, str]]:
    verdicts = result.verdicts
    return [
        ("images", number_text(result.overall.count)),
        ("kinds right (top-1)", percent(result.overall.top1, 1)),
        ("AUC, real against artificial", number_text(result.ranking.auc.value)),
        ("images with a verdict", percent(verdicts.coverage.value, 1)),
        (
            f"right of the {verdicts.right + verdicts.wrong:,} verdicts given",
            percent(verdicts.accuracy.value, 1),
        ),
        ("ECE of the score", number_text(result.calibration.score_ece.value, 3)),
    ]


def figure_text(figure: Figure, digits: int = 2) -> str:
    """Return a share with its interval, as ``93.42 % (91.00 to 95.10)``."""
    if figure.value is None or figure.interval is None:
        return "-"
    low, high = (100 * bound for bound in figure.interval)
    return f"{percent(figure.value, digits)} ({low:.{digits}f} to {high:.{digits}f})"


def _facts(context: ReportContext) -> dict[str, Any]:
    header, result, run = context.predictor.header, context.result, context.facts
    low, high = header.thresholds
    transform = header.transform
    name = builtin_name(result.checkpoint) or path_text(result.checkpoint)
    return {
        "checkpoint": name,
        "architecture": header.arch,
        "kinds": ", ".join(header.kinds),
        "input": f"{transform.image_size} px of {transform.resize}, {transform.crops} crop"
        + "s" * (transform.crops > 1),
        "epoch kept": f"{header.epoch:,}",
        "initial weights": run.get("weights", "-"),
        "trained on": run.get("gpu") or run.get("device", "-"),
        "temperature": f"{header.temperature:.3f}",
        "thresholds": f"{low:.4f} and {high:.4f}" if low < high else f"{low:.4f}",
        "out-of-distribution guard": "none"
        if header.guard is None
        else f"limit {header.guard.limit:.4f}",
        "manifest": path_text(result.manifest),
        "its sha256": sha256_file(result.manifest),
        "made by": f"facecheck {header.facecheck}",
    }


def _warnings(header: Header, result: EvaluateResult) -> list[str]:
    warnings = []
    if header.manifest_sha256 and header.manifest_sha256 != sha256_file(result.manifest):
        warnings.append(
            "The manifest is not the one that the model was trained on, or has changed since: "
            "images tested here may have been trained on."
        )
    if result.split != "test":
        warnings.append(
            f"These are figures of the {result.split} split: the model was "
            + ("trained on it." if result.split == "train" else "chosen and calibrated by it.")
        )
    if not header.calibration:
        warnings.append(
            "The checkpoint is not calibrated: `facecheck calibrate` makes scores probabilities."
        )
    if result.errors:
        warnings.append(f"{len(result.errors):,} files could not be read, and are not counted.")
    return warnings
