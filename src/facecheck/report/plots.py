"""Results as PNG files, drawn without a display."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from facecheck.core.files import atomic_path
from facecheck.report.palette import OKABE_ITO, VERDICT_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from facecheck.evaluation.studies.study import StudyResult
    from facecheck.evaluation.studies.summary import VariantRow
    from facecheck.training.lr_find import LrFindResult

_PAPER = "#000000"
_STYLE: Any = {
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.08,
    "text.parse_math": False,  # a variant's name may hold dollar signs
}
# What differs in a plot that stands on a page in dark mode; colours as in assets/page.css.
_DARK: Any = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), "#C9D1D9"),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "#181C22"),
    "axes.edgecolor": "#56606C",
    "grid.color": "#2B323B",
}
_TOP1 = "top-1 on the test split, %"


def plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers at its powers, and with none between them.

    Matplotlib's own labels are mathematical text, which these plots do not parse.
    """
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")


def plot_themes(
    path: Path, draw: Callable[[Figure], None], *, size: tuple[float, float] = (8, 4.5)
) -> Path:
    """Draw one plot as two PNGs, for pages in light and in dark mode; return the dark one's path.

    Args:
        path: of the light one; the dark one is next to it, as ``<stem>-dark.png``.
        draw: draws on a figure. Black it must not name: text and lines have their theme's colour.
        size: width and height in inches, of 150 pixels.
    """
    dark = path.with_name(f"{path.stem}-dark{path.suffix}")
    for target, style in ((path, _STYLE), (dark, _STYLE | _DARK)):
        with rc_context(style):
            figure = Figure(figsize=size, layout="constrained")
            draw(figure)
            with atomic_path(target) as temporary, warnings.catch_warnings():
                # A name in a script that the font lacks shows as boxes: no news for stderr.
                warnings.filterwarnings("ignore", "Glyph .* missing from")
                figure.savefig(temporary, format="png", dpi=150)
    return dark


def plot_scores(edges: Sequence[float], counts: Mapping[str, Sequence[int]], path: Path) -> Path:
    """Draw how many rows of a scan have which score, for light and dark; return the dark one.

    Args:
        edges: of the bins, one more than there are bins.
        counts: rows in each bin, by verdict.
        path: of the PNG for light mode.
    """

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for verdict, rows in counts.items():
            colour = VERDICT_COLOURS[verdict]
            bars = axes.bar(
                edges[:-1], rows, np.diff(edges), align="edge", color=colour, label=verdict
            )
            for bar, count in zip(bars, rows, strict=True):
                bar.set_zorder(2 + 1 / (1 + count))  # where verdicts share a bin, fewer in front
        axes.set_yscale("symlog", linthresh=1)
        axes.yaxis.set_major_formatter("{x:,.0f}")  # the usual one needs parse_math
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("score: probability that the face is artificial")
        axes.set_ylabel("rows, logarithmic")
        if counts:
            figure.legend(loc="outside upper right", ncols=3, frameon=False)

    return plot_themes(path, draw, size=(11, 3))


def plot_study(result: StudyResult, path: Path) -> None:
    """Draw a study as a PNG: each run a point, each variant its mean and 95 % interval.

    The interval is over seeds (Student's t), or the Wilson interval where a variant has one run.
    Variants lie below one another, or along a logarithmic axis where they differ in one number.
    """
    with rc_context(_STYLE):
        height = 4.5 if result.axis else 1.9 + 0.5 * len(result.variants)
        figure = Figure(figsize=(8, height), layout="constrained")
        axes = figure.add_subplot()
        if result.axis:
            _draw_lines(axes, result)
        else:
            _draw_rows(axes, result)
        axes.set_title(result.title, loc="left")
        # Below the plot, where it hides no point.
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150)


def _draw_rows(axes: Axes, result: StudyResult) -> None:
    rows = result.variants
    places = np.arange(len(rows))
    axes.errorbar(
        _means(rows),
        places,
        xerr=_reach(rows),
        fmt="o",
        color=OKABE_ITO[0],
        capsize=4,
        markersize=7,
        label=_mean_label(rows),
    )
    seeds = [(100 * run.top1, _place(rows, run.variant) + 0.22) for run in result.runs]
    across, down = np.transpose(seeds)
    axes.scatter(across, down, s=18, color=OKABE_ITO[1], label="one run")
    paper = [(100 * row.paper, place) for place, row in enumerate(rows) if row.paper is not None]
    _draw_paper(axes, paper, "the paper")
    axes.set_yticks(places, [row.variant for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the first at the top, as in the table
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(_TOP1)


def _draw_lines(axes: Axes, result: StudyResult) -> None:
    series = list(dict.fromkeys(row.series for row in result.variants))
    is_named = False  # the paper's figures have one line in the legend, whichever series come first
    for number, name in enumerate(series):
        rows = sorted(
            (row for row in result.variants if row.series == name), key=lambda row: row.at or 0
        )
        colour = OKABE_ITO[number % len(OKABE_ITO)]
        label = ": ".join(part for part in (name, _mean_label(rows)) if part)
        places = [row.at or 0 for row in rows]
        axes.errorbar(
            places,
            _means(rows),
            yerr=_reach(rows),
            fmt="o-",
            color=colour,
            capsize=4,
            markersize=9,
            label=label,
        )
        paper = [(row.at or 0, 100 * row.paper) for row in rows if row.paper is not None]
        _draw_paper(axes, paper, None if is_named else "the paper")
        is_named = is_named or bool(paper)
    at = {row.variant: row.at or 0 for row in result.variants}
    seeds = [(at[run.variant], 100 * run.top1) for run in result.runs]
    across, down = np.transpose(seeds)
    axes.scatter(across, down, s=18, color="#777777", label="one run", zorder=3)
    axes.set_xscale("log", base=2)
    values = sorted({row.at for row in result.variants if row.at is not None})
    plain_numbers(axes.xaxis)
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.set_xlabel((result.axis or "").replace("_", " "))
    axes.set_ylabel(_TOP1)


def _means(rows: Sequence[VariantRow]) -> list[float]:
    return [100 * row.top1 for row in rows]


def _reach(rows: Sequence[VariantRow]) -> list[list[float]]:
    """Return how far each interval reaches below and above its mean, shape (2, rows)."""
    bounds = [row.interval or row.pooled for row in rows]
    below = [100 * max(0.0, row.top1 - low) for row, (low, _) in zip(rows, bounds, strict=True)]
    above = [100 * max(0.0, high - row.top1) for row, (_, high) in zip(rows, bounds, strict=True)]
    return [below, above]


def _mean_label(rows: Sequence[VariantRow]) -> str:
    return "mean, 95 % over seeds" if rows[0].interval else "top-1, 95 % Wilson"


def _place(rows: Sequence[VariantRow], variant: str) -> int:
    return next(place for place, row in enumerate(rows) if row.variant == variant)


def _draw_paper(axes: Axes, points: Sequence[tuple[float, float]], label: str | None) -> None:
    if points:
        across, down = np.transpose(points)
        axes.scatter(
            across,
            down,
            marker="D",
            s=55,
            facecolors="none",
            edgecolors=_PAPER,
            label=label,
            zorder=4,
        )


def plot_lr_find(result: LrFindResult, path: Path) -> None:
    """Draw the loss over the learning rate as a PNG, with the two suggestions."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        draw_lr_find(figure, result)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150)


def draw_lr_find(figure: Figure, result: LrFindResult) -> None:
    """Draw the loss over the learning rate, with the two suggestions."""
    axes = figure.add_subplot()
    axes.plot(result.rates, result.losses, color="#AAAAAA", linewidth=1, label="each batch")
    axes.plot(result.rates, result.smoothed, color=OKABE_ITO[0], linewidth=2, label="smoothed")
    for rate, colour, dashes, name in (
        (result.steep, OKABE_ITO[2], "-", "steepest fall"),
        (result.tenth, OKABE_ITO[5], "--", "a tenth of the lowest loss's rate"),
    ):
        axes.axvline(rate, color=colour, linestyle=dashes, label=f"{name}: {rate:.1e}")
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    axes.xaxis.set_major_formatter("{x:.0e}")
    # A diverging end would press the fall flat.
    low, high = (
        min(*result.losses, *result.smoothed),
        max(result.losses[: _before_rise(result)]),
    )
    axes.set_ylim(low - 0.05 * (high - low), high + 0.25 * (high - low))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.set_title(f"{result.arch}, from weights: {result.weights}", loc="left")
    # Below the plot, where it hides nothing.
    figure.legend(loc="outside lower center", ncols=2, frameon=False)


def _before_rise(result: LrFindResult) -> int:
    """Return how many steps there are up to the lowest smoothed loss."""
    return result.smoothed.index(min(result.smoothed)) + 1
