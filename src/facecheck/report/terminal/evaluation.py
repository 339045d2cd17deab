"""Results of evaluate and calibrate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from facecheck.core.text import percent
from facecheck.model.several_faces import precise
from facecheck.report.terminal.tables import (
    count_table,
    interval_text,
    make_table,
    tally_errors,
    text_line,
)

if TYPE_CHECKING:
    from facecheck.evaluation.calibrate import CalibrateResult, ErrorRate
    from facecheck.evaluation.evaluate import EvaluateResult
    from facecheck.model.metrics import Calibration, Figure, Ranking, Summary


def render_evaluate(result: EvaluateResult) -> RenderableType:
    """Render the kinds by source, real against artificial by source and overall, and confusion."""
    headings = ("images", "loss", "top-1", "95 % interval", "top-5")
    metadata = ("metadata alone",) if result.baseline else ()
    table = make_table("kind", "source", *headings, *metadata)
    for key, part in result.by_source.items():
        guess = result.baseline.get(key)
        alone = [percent(guess.kind if guess else None)] if metadata else []
        table.add_row(key[0], Text(key[1]), *_summary_cells(part), *alone)
    table.add_section()
    for kind, part in result.by_kind.items():
        table.add_row(kind, "all", *_summary_cells(part))
    table.add_section()
    table.add_row("all", "all", *_summary_cells(result.overall), style="bold")
    matrix = make_table("true \\ predicted", *result.kinds)
    for kind, row in zip(result.kinds, result.confusion, strict=True):
        matrix.add_row(kind, *(f"{count:,}" for count in row))
    verdicts = result.verdicts
    parts: list[RenderableType] = [
        text_line(f"{result.checkpoint} on split {result.split} of {result.manifest}", "bold"),
        *_headline(result),
        table,
        text_line(f"balanced accuracy {_figure(result.balanced_accuracy)}"),
        matrix,
        text_line(
            "Real against artificial; each source against all images of the other side", "bold"
        ),
        _source_figures(result),
        _figures(result.ranking, result.calibration),
        text_line(
            f"verdicts: {verdicts.wrong:,} wrong, {verdicts.uncertain:,} uncertain; "
            f"{_figure(verdicts.accuracy)} right on the {_figure(verdicts.coverage)} answered"
        ),
        _risks(result),
    ]
    if result.errors:
        parts.append(count_table("reason", tally_errors(result.errors)))
    return Group(*parts)


def _headline(result: EvaluateResult) -> list[Text]:
    """Return the four figures that matter most, a line each."""
    verdicts = result.verdicts
    figures = {
        "kind right (top-1)": f"{percent(result.overall.top1)} of {result.overall.count:,} images",
        "real against artificial (AUC)": _figure(result.ranking.auc),
        "verdicts right": f"{_figure(verdicts.accuracy)} of those given",
        "verdicts given": f"{_figure(verdicts.coverage)}; the others are uncertain",
    }
    width = max(map(len, figures)) + 2
    return [text_line(f"{name:{width}}{said}") for name, said in figures.items()]


def _source_figures(result: EvaluateResult) -> Table:
    """Return how well each source is told from all images of the opposite class."""
    headings = ("answered", "right of these", "AUC", "EER", "TPR at 1 %", "ECE")
    metadata = ("metadata alone",) if result.baseline else ()
    table = make_table("kind", "source", *headings, *metadata)
    for key, verdicts in result.verdicts_by_source.items():
        ranked, calibrated = result.ranking_by_source[key], result.calibration_by_source[key]
        shares = (verdicts.coverage, verdicts.accuracy, ranked.auc, ranked.eer, ranked.tpr_at_1)
        guess = result.baseline.get(key)
        table.add_row(
            *(key[0], Text(key[1])),
            *(_short(figure.value) for figure in shares[:2]),
            "-" if ranked.auc.value is None else f"{ranked.auc.value:.4f}",
            *(_short(figure.value) for figure in shares[3:]),
            f"{calibrated.ece.value:.4f}",
            *([_short(guess.side if guess else None)] if metadata else []),
        )
    return table


def _short(share: float | None) -> str:
    """Return a share in % with one decimal place, so that a row of them fits 80 columns."""
    return "-" if share is None else f"{100 * share:.1f} %"


def _figures(ranked: Ranking, calibrated: Calibration) -> Table:
    table = make_table("figure", "value and 95 % interval")
    best = "-" if ranked.best_threshold is None else f"{ranked.best_threshold:.4f}"
    rows = {
        "AUC": ranked.auc,
        "average precision": ranked.ap,
        "equal error rate": ranked.eer,
        "TPR at 1 % FPR": ranked.tpr_at_1,
        "TPR at 5 % FPR": ranked.tpr_at_5,
        "balanced accuracy at the checkpoint's threshold": ranked.accuracy,
        f"balanced accuracy at the best threshold ({best})": ranked.best_accuracy,
        "ECE of the kind": calibrated.ece,
        "ECE of the score": calibrated.score_ece,
        "Brier score": calibrated.brier,
    }
    for name, figure in rows.items():
        table.add_row(name, _figure(figure))
    return table


def _risks(result: EvaluateResult) -> Text:
    shown = [point for point in result.risk_coverage.points if round(20 * point[0]) in {10, 17, 20}]
    said = ", ".join(f"{percent(risk)} of the surest {coverage:.0%}" for coverage, risk in shown)
    return text_line(f"wrong: {said}; AURC {_figure(result.risk_coverage.aurc)}")


def _figure(figure: Figure) -> str:
    """Return a share with its interval as text such as ``93.42 % (91.0 to 95.1)``."""
    if figure.value is None or figure.interval is None:
        return "-"
    low, high = figure.interval
    return f"{percent(figure.value)} ({100 * low:.2f} to {100 * high:.2f})"


def _summary_cells(summary: Summary) -> list[str]:
    return [
        f"{summary.count:,}",
        f"{summary.loss:.4f}",
        percent(summary.top1),
        interval_text(summary.interval),
        percent(summary.top5),
    ]


def render_calibrate(result: CalibrateResult) -> RenderableType:
    """Render what was found, and what it costs on the val split."""
    low, high = result.thresholds
    between = f"from {high:.4f} on artificial" + (", uncertain between" if low < high else "")
    errors = make_table("verdict", "images", "wrong", "at most (95 %)", "uncertain")
    _add_rate(errors, "real called artificial", result.real)
    _add_rate(errors, "artificial called real", result.artificial)
    parts: list[RenderableType] = [
        text_line(
            f"temperature {result.temperature:.3f}: loss {result.loss_before:.4f} to "
            f"{result.loss:.4f}, ECE {result.ece_before:.4f} to {result.ece:.4f}"
        ),
        text_line(f"a score up to {low:.4f} is real, {between}"),
        text_line(_by_faces(result.artificial_from_by_faces)),
        text_line(
            "no out-of-distribution guard"
            if result.guard is None
            else f"out-of-distribution guard: limit {result.guard:.4f}; {result.guarded:,} of "
            f"{result.images:,} images are beyond it, and uncertain"
        ),
        errors,
    ]
    if max(result.real.bound, result.artificial.bound) > result.budget:
        parts.append(
            text_line(
                f"the budget of {percent(result.budget)} is kept on these images, but they are too "
                "few to prove it for new ones",
                "yellow",
            )
        )
    if result.errors:
        parts.append(count_table("reason", tally_errors(result.errors)))
    parts.append(text_line(f"calibrated on split val of {result.manifest}, in {result.out}"))
    return Group(*parts)


def _by_faces(thresholds: Mapping[str, float] | None) -> str:
    if thresholds is None:
        return "too few real images to know thresholds for files of several faces"
    several = [f"{precise(score)} ({faces})" for faces, score in list(thresholds.items())[1:]]
    return f"a file of several faces is artificial from {', '.join(several)}"


def _add_rate(table: Table, name: str, rate: ErrorRate) -> None:
    numbers = (f"{rate.images:,}", f"{rate.wrong:,}", percent(rate.bound), f"{rate.uncertain:,}")
    table.add_row(name, *numbers)
