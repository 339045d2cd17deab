"""The sections on kinds, sources and scores."""

from __future__ import annotations

from functools import partial

import numpy as np
import polars as pl

from facecheck.core.labels import Kind
from facecheck.evaluation.evaluate import EvaluateResult
from facecheck.model.metrics import Flags, Floats, ranking_curve, reliability
from facecheck.report.run import figures
from facecheck.report.run.context import Plot, ReportContext, Section, join_sections, plotted


def kinds_section(context: ReportContext) -> Section:
    """Draw the confusion matrix."""
    result = context.result
    counts = np.array(result.confusion, dtype=np.float64)
    table = pl.DataFrame(
        {
            "true": [true for true in result.kinds for _ in result.kinds],
            "predicted": list(result.kinds) * len(result.kinds),
            "count": counts.ravel().astype(int),
            "share": (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).ravel(),
        }
    )
    plot = Plot(
        "confusion",
        "Confusion matrix: images by true and predicted kind.",
        "Images by true kind (rows) and predicted kind (columns), with their share of the true "
        "kind. Shades follow the root of the share, so that rare errors show.",
        "confusion.csv",
    )
    draw = partial(figures.draw_confusion, kinds=result.kinds, counts=counts)
    return plotted(
        context, plot, draw, (1.4 + 0.95 * len(result.kinds), 0.9 + 0.8 * len(result.kinds)), table
    )


def source_table(result: EvaluateResult) -> pl.DataFrame:
    """Return a row for each source: how often it is right, and how often by metadata alone."""
    rows = []
    for key, part in result.by_source.items():
        verdicts, ranked = result.verdicts_by_source[key], result.ranking_by_source[key]
        guess = result.baseline.get(key)
        rows.append(
            {
                **{"kind": key[0], "source": key[1], "images": part.count},
                **{"top1": part.top1, "top1_low": part.interval[0], "top1_high": part.interval[1]},
                **{"top5": part.top5, "loss": part.loss},
                "metadata_top1": guess.kind if guess else None,
                "verdict_right": verdicts.right / verdicts.count,
                "verdict_right_low": verdicts.interval[0],
                "verdict_right_high": verdicts.interval[1],
                "uncertain": verdicts.uncertain / verdicts.count,
                "metadata_verdict_right": guess.side if guess else None,
                "auc": ranked.auc.value,
                "eer": ranked.eer.value,
                "ece": result.calibration_by_source[key].ece.value,
            }
        )
    numbers = (
        *("top1", "top1_low", "top1_high", "top5", "loss", "metadata_top1"),
        *("verdict_right", "verdict_right_low", "verdict_right_high", "uncertain"),
        *("metadata_verdict_right", "auc", "eer", "ece"),
    )
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(numbers, pl.Float64))


def sources_section(context: ReportContext) -> Section:
    """Draw each source's accuracy, with the metadata-only baseline."""
    table = source_table(context.result)
    plot = Plot(
        "sources",
        "Accuracy of each source with its interval, and what metadata alone gets right.",
        "Where the diamond lies near the dot, the files' headers tell the source as well as the "
        "model does, without the face: there the figure says little about faces. An uncertain "
        "verdict counts as not right.",
        "sources.csv",
    )
    draw = partial(figures.draw_sources, table=table)
    drawn = plotted(context, plot, draw, (10, 1.9 + 0.36 * table.height), table)
    if context.result.baseline:
        return drawn
    return join_sections(
        drawn,
        Section(
            left_out=(
                "Metadata-only baseline: the manifest has too few real or artificial images to "
                "be audited.",
            )
        ),
    )


def scores_section(context: ReportContext) -> Section:
    """Draw scores, reliability, ROC, precision and recall, and risk by coverage."""
    header = context.predictor.header
    artificial = context.found.labels != header.kinds.index(Kind.PHOTO)
    scores = 1 - context.probabilities[:, header.kinds.index(Kind.PHOTO)]
    return join_sections(
        _histogram(context, scores, artificial),
        _reliability(context, scores, artificial),
        _ranking(context, scores, artificial),
        _risk(context),
    )


def _histogram(context: ReportContext, scores: Floats, artificial: Flags) -> Section:
    edges = np.linspace(0, 1, 41)
    table = pl.DataFrame(
        {
            "from": edges[:-1],
            "to": edges[1:],
            "real": np.histogram(scores[~artificial], edges)[0],
            "artificial": np.histogram(scores[artificial], edges)[0],
        }
    )
    low, high = thresholds = context.predictor.header.thresholds
    plot = Plot(
        "scores",
        "Histogram of the scores of photographs and of artificial faces.",
        f"How many images have which score, on a logarithmic scale. A score up to {low:.3f} is "
        f"called real, from {high:.3f} on artificial.",
        "scores.csv",
    )
    draw = partial(
        figures.draw_scores,
        real=scores[~artificial],
        artificial=scores[artificial],
        thresholds=thresholds,
    )
    return plotted(context, plot, draw, (8, 3.8), table)


def _ranking(context: ReportContext, scores: Floats, artificial: Flags) -> Section:
    curve = ranking_curve(scores, artificial)
    if curve is None:
        return Section(left_out=("ROC and precision: the split holds only one class.",))
    table = pl.DataFrame(
        {
            "threshold": curve.thresholds,
            "false_positive_rate": curve.fpr,
            "true_positive_rate": curve.tpr,
            "precision": curve.precision,
        }
    )
    plot = Plot(
        "ranking",
        "ROC curve, and precision over recall.",
        "Left: the share of artificial faces found over the share of false alarms, on a "
        "logarithmic scale since what counts happens far left; dotted: 1 %. Right: precision "
        "over recall.",
        "ranking.csv",
    )
    draw = partial(figures.draw_ranking, curve=curve, result=context.result)
    return plotted(context, plot, draw, (10, 4.4), table)


def _risk(context: ReportContext) -> Section:
    coverage, risk = zip(*context.result.risk_coverage.points, strict=True)
    plot = Plot(
        "risk_coverage",
        "Share of wrong answers among the surest images.",
        "How wrong the answers are when only the surest images are answered, by their "
        "probability, without the out-of-distribution guard.",
        "risk_coverage.csv",
    )
    draw = partial(figures.draw_risk, result=context.result)
    table = pl.DataFrame({"coverage": coverage, "risk": risk})
    return plotted(context, plot, draw, (8, 3.8), table)


def _reliability(context: ReportContext, scores: Floats, artificial: Flags) -> Section:
    probabilities = context.probabilities
    right = probabilities.argmax(axis=1) == context.found.labels
    bins = {
        "kind": reliability(probabilities.max(axis=1), right),
        "score": reliability(scores, artificial),
    }
    table = pl.DataFrame(
        [
            {
                **{"of": name, "from": item.low, "to": item.high, "images": item.count},
                **{"confidence": item.confidence, "right": item.right.value},
            }
            for name, items in bins.items()
            for item in items
        ],
        schema_overrides={"confidence": pl.Float64, "right": pl.Float64},
    )
    ece = context.result.calibration
    plot = Plot(
        "reliability",
        "Reliability diagrams of the kind's probability and of the score.",
        "Below the dashed line the model is surer than it should be. Expected calibration error: "
        f"{ece.ece.value:.4f} of the kind, {ece.score_ece.value:.4f} of the score.",
        "reliability.csv",
    )
    draw = partial(figures.draw_reliability, kind=bins["kind"], score=bins["score"])
    return plotted(context, plot, draw, (10, 5.4), table)
