"""The figures of a run's report: each function fills an empty one.

:func:`~facecheck.report.plots.plot_themes` makes the files, for light pages and for dark ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from facecheck.model.metrics import Bin, Floats, RankingCurve
from facecheck.report.palette import KIND_COLOURS, OKABE_ITO
from facecheck.report.plots import plain_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from facecheck.evaluation.evaluate import EvaluateResult
    from facecheck.model.inspection import Gates

Pixels = npt.NDArray[np.uint8]

_REAL, _ARTIFICIAL = OKABE_ITO[0], OKABE_ITO[1]
_GREY = "#888888"
#: Letters of a source's name.
_LONGEST = 36


def short_name(kind: str, source: str) -> str:
    """Return a source's name on one line that leaves room for the plot."""
    name = " ".join(f"{kind}/{source}".split())
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _percent(axes: Axes, *which: str) -> None:
    for axis in which:
        getattr(axes, f"{axis}axis").set_major_formatter(PercentFormatter(1, symbol=" %"))


def _below(figure: Figure, columns: int, *, enlarged: float = 1) -> None:
    """Put one legend for all axes under them, where it hides no point."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=columns,
        frameon=False, markerscale=enlarged,
    )  # fmt: skip


def draw_schedule(figure: Figure, planned: pl.DataFrame, logged: pl.DataFrame | None) -> None:
    """Draw the learning rate over the epochs, as planned, and as it was at each one's end.

    Args:
        figure: an empty one.
        planned: columns ``epoch`` and ``rate``.
        logged: columns ``epoch`` and ``lr``; None without a log.
    """
    axes = figure.add_subplot()
    axes.plot(planned["epoch"], planned["rate"], color=OKABE_ITO[0], label="planned")
    if logged is not None:
        axes.plot(logged["epoch"], logged["lr"], "o", color=OKABE_ITO[1], label="at epoch's end")
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=False)
    axes.set_xlabel("epoch")
    axes.set_ylabel("learning rate of the head")
    axes.set_ylim(bottom=0)
    _below(figure, 2)


_PARTS = {"train": OKABE_ITO[0], "val": OKABE_ITO[1], "test": OKABE_ITO[2]}


def draw_curves(figure: Figure, log: pl.DataFrame, best_epoch: int) -> None:
    """Draw loss and accuracy over the epochs, of every split that the log knows."""
    losses, tops = figure.subplots(1, 2)
    for part, colour in _PARTS.items():
        for axes, name, dashes in ((losses, "loss", "-"), (tops, "top1", "-"), (tops, "top5", ":")):
            column = f"{part}_{name}"
            if column in log.columns and log[column].is_not_null().any():
                label = part if name != "top5" else f"{part}, top-5"
                axes.plot(log["epoch"], log[column], dashes, marker="o", color=colour, label=label)
    for axes in (losses, tops):
        axes.axvline(best_epoch, color=_GREY, linestyle="--", linewidth=1, label="epoch kept")
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    losses.set_title("cross-entropy, nats", loc="left")
    losses.set_ylim(bottom=0)
    tops.set_title("accuracy: share of kinds right", loc="left")
    _percent(tops, "y")
    _below(figure, 4)


def draw_confusion(figure: Figure, kinds: Sequence[str], counts: Floats) -> None:
    """Draw the counts by true and predicted kind, coloured by their share of the true kind."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes = figure.add_subplot()
    # A root, since the diagonal takes nearly all and errors would all look alike.
    axes.imshow(np.sqrt(shares), cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(counts.shape):
        if counts[row].sum():
            label = f"{counts[row, column]:,.0f}\n{100 * shares[row, column]:.1f} %"
            ink = "black" if shares[row, column] > 0.3 else "white"
            axes.text(column, row, label, ha="center", va="center", color=ink, fontsize=10)
    axes.set_xticks(range(len(kinds)), list(kinds))
    axes.set_yticks(range(len(kinds)), list(kinds))
    axes.set_xlabel("predicted kind")
    axes.set_ylabel("true kind")
    axes.grid(visible=False)


def draw_sources(figure: Figure, table: pl.DataFrame) -> None:
    """Draw each source's accuracy with its interval, and what metadata alone gets right of it.

    Args:
        figure: an empty one.
        table: by :func:`facecheck.report.run.scores.source_table`.
    """
    kind, side = figure.subplots(1, 2, sharey=True)
    names = [short_name(*row) for row in table.select("kind", "source").iter_rows()]
    places = np.arange(len(names))
    for axes, name, title in (
        (kind, "top1", "which kind (top-1)"),
        (side, "verdict_right", "real or artificial (verdict)"),
    ):
        value, low, high = (table[f"{name}{end}"].to_numpy() for end in ("", "_low", "_high"))
        reach = np.maximum([value - low, high - value], 0)
        axes.errorbar(
            value, places, xerr=reach, fmt="o", color=OKABE_ITO[0], capsize=3,
            label="this model, with 95 % interval",
        )  # fmt: skip
        alone = table[f"metadata_{name}"].cast(pl.Float64).to_numpy()
        if np.isfinite(alone).any():
            axes.plot(
                alone, places, "D", color=OKABE_ITO[5], markerfacecolor="none",
                label="metadata alone",
            )  # fmt: skip
        axes.set_title(title, loc="left")
        axes.set_xlim(-0.03, 1.03)
        _percent(axes, "x")
    kind.set_yticks(places, names)
    kind.set_ylim(len(names) - 0.5, -0.5)
    _below(figure, 2)


def draw_reliability(figure: Figure, kind: Sequence[Bin], score: Sequence[Bin]) -> None:
    """Draw what is right at each confidence, and how many images have it."""
    rows = figure.subplots(2, 2, sharex=True, height_ratios=(3, 1))
    for column, (bins, across, down) in enumerate(
        (
            (kind, "probability of the kind", "share of kinds right"),
            (score, "score", "share artificial"),
        )
    ):
        filled = [item for item in bins if item.confidence is not None]
        right = np.array([item.right.value for item in filled], dtype=np.float64)
        bounds = np.array([item.right.interval for item in filled], dtype=np.float64).T
        upper, lower = rows[0, column], rows[1, column]
        upper.plot([0, 1], [0, 1], "--", color=_GREY, label="perfectly calibrated")
        upper.errorbar(
            [item.confidence for item in filled], right,
            yerr=np.maximum([right - bounds[0], bounds[1] - right], 0),
            fmt="o", color=OKABE_ITO[0], capsize=3, label="images of one bin, with 95 % interval",
        )  # fmt: skip
        upper.set_ylabel(down)
        upper.set_ylim(-0.03, 1.03)
        counts = [item.count for item in bins]
        edges = [item.low for item in bins]
        lower.bar(edges, counts, width=1 / len(bins), align="edge", color=OKABE_ITO[4])
        lower.set_yscale("log")
        plain_numbers(lower.yaxis)
        lower.set_ylim(bottom=0.7)
        lower.set_ylabel("images")
        lower.set_xlabel(across)
        _percent(upper, "y")
    _below(figure, 2)


def draw_ranking(figure: Figure, curve: RankingCurve, result: EvaluateResult) -> None:
    """Draw ROC, its false alarms on a logarithmic scale, and precision over recall."""
    roc, found = figure.subplots(1, 2)
    least = 1 / max(2, result.ranking.real)
    roc.step(np.maximum(curve.fpr, least / 2), curve.tpr, where="post", color=OKABE_ITO[0])
    roc.set_xscale("log")
    roc.set_xlim(least / 2, 1)
    plain_numbers(roc.xaxis)
    roc.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    roc.axvline(0.01, color=_GREY, linestyle=":", linewidth=1.5)
    roc.set_xlabel("false alarms: real faces called artificial")
    roc.set_ylabel("artificial faces found")
    roc.set_title(f"ROC: AUC {result.ranking.auc.value:.4f}", loc="left")
    found.step(curve.tpr, curve.precision, where="post", color=OKABE_ITO[1])
    found.set_xlabel("recall: artificial faces found")
    found.set_ylabel("precision: artificial of what is called so")
    found.set_title(f"precision and recall: AP {result.ranking.ap.value:.4f}", loc="left")
    # Beyond the threshold that finds all, precision only falls to the share of artificial faces.
    lowest = float(curve.precision[: int(np.argmax(curve.tpr == 1)) + 1].min())
    found.set_ylim(min(0.95, lowest) - 0.01, 1.005)
    _percent(roc, "y")
    _percent(found, "x", "y")


def draw_scores(
    figure: Figure, real: Floats, artificial: Floats, thresholds: tuple[float, float]
) -> None:
    """Draw the distribution of scores of real and artificial faces, and where verdicts change."""
    axes = figure.add_subplot()
    edges = np.linspace(0, 1, 41).tolist()
    sides = ((real, _REAL, "photographs"), (artificial, _ARTIFICIAL, "artificial faces"))
    for values, colour, name in sides:
        if len(values):
            axes.hist(
                values, edges, histtype="stepfilled", alpha=0.55, color=colour, label=name,
                edgecolor=colour, linewidth=1.5,
            )  # fmt: skip
    low, high = thresholds
    if low < high:
        axes.axvspan(low, high, color=_GREY, alpha=0.25, label="uncertain")
    axes.axvline(high, color=_GREY, linestyle="--", label="threshold of artificial")
    axes.set_yscale("log")
    plain_numbers(axes.yaxis)
    axes.set_xlim(0, 1)
    axes.set_xlabel("score: probability of being artificial")
    axes.set_ylabel("images")
    _below(figure, 4)


def draw_risk(figure: Figure, result: EvaluateResult) -> None:
    """Draw the share of wrong answers among the surest images."""
    coverage, risk = np.transpose(result.risk_coverage.points)
    axes = figure.add_subplot()
    axes.plot(coverage, risk, "o-", color=OKABE_ITO[0])
    axes.set_xlabel("images answered, the surest first")
    axes.set_ylabel("wrong among these")
    axes.set_title(f"area under the curve {result.risk_coverage.aurc.value:.5f}", loc="left")
    axes.set_ylim(bottom=0)
    _percent(axes, "x", "y")


def draw_changes(figure: Figure, sides: pl.DataFrame) -> None:
    """Draw how many real and artificial faces are right after every change, and at every size.

    Args:
        figure: an empty one.
        sides: by :func:`facecheck.report.run.robustness.by_class`.
    """
    changes, sizes = figure.subplots(1, 2, width_ratios=(3, 2))
    is_size = pl.col("case").str.ends_with(" px")
    named = sides.filter(~is_size & ~pl.col("case").is_in(["clean", "web", "hard", "as a real"]))
    first = sides.filter(pl.col("case") == "clean")
    cases = list(dict.fromkeys([*first["case"], *named["case"]]))
    for side, colour, offset in (("photo", _REAL, -0.13), ("artificial", _ARTIFICIAL, 0.13)):
        rows = pl.concat([first, named]).filter(pl.col("side") == side)
        places = [cases.index(case) + offset for case in rows["case"]]
        _dots(changes, rows, places, colour, f"{side}, with 95 % interval", across=True)
        small = sides.filter(is_size, pl.col("side") == side).with_columns(
            at=pl.col("case").str.strip_suffix(" px").cast(pl.Int64)
        ).sort("at")  # fmt: skip
        _dots(sizes, small, small["at"].to_list(), colour, None, across=False)
    changes.set_yticks(range(len(cases)), cases)
    changes.set_ylim(len(cases) - 0.5, -0.5)
    changes.set_title("right after a change", loc="left")
    _percent(changes, "x")
    sizes.set_xscale("log", base=2)
    at = sorted({int(case.removesuffix(" px")) for case in sides.filter(is_size)["case"]})
    plain_numbers(sizes.xaxis)
    sizes.set_xticks(at, [str(side) for side in at])
    sizes.set_xlabel("short side, px")
    sizes.set_title("right when shrunk to", loc="left")
    _percent(sizes, "y")
    _below(figure, 2)


def _dots(
    axes: Axes,
    rows: pl.DataFrame,
    places: Sequence[float],
    colour: str,
    label: str | None,
    *,
    across: bool,
) -> None:
    right = rows["right"].to_numpy()
    reach = np.maximum([right - rows["low"].to_numpy(), rows["high"].to_numpy() - right], 0)
    style: dict[str, Any] = {"color": colour, "capsize": 3, "label": label}
    if across:
        axes.errorbar(right, places, xerr=reach, fmt="o", **style)
    else:
        axes.errorbar(places, right, yerr=reach, fmt="o-", **style)


def draw_lines(figure: Figure, by_source: pl.DataFrame) -> None:
    """Draw each source from clean over web to hard: a benchmark's three lines.

    Args:
        figure: an empty one.
        by_source: a benchmark's table.
    """
    axes = figure.add_subplot()
    lines = ["clean", "web", "hard"]
    sources = by_source.select("kind", "source").unique(maintain_order=True).rows()
    markers = "osD^vPX*"
    for number, (kind, source) in enumerate(sources):
        rows = by_source.filter(pl.col("kind") == kind, pl.col("source") == source)
        right = dict(rows.select("case", "right").iter_rows())
        axes.plot(
            [place for place, line in enumerate(lines) if line in right],
            [right[line] for line in lines if line in right],
            f"{markers[number % len(markers)]}-",
            color=KIND_COLOURS.get(kind, _GREY),
            label=short_name(kind, source),
        )
    axes.set_xticks(range(len(lines)), lines)
    axes.set_xlim(-0.15, 2.15)
    axes.set_ylabel("right")
    _percent(axes, "y")
    figure.legend(loc="outside right center", frameon=False)


def draw_filters(figure: Figure, filters: Floats) -> None:
    """Draw kernels as pictures, each scaled by its own largest weight, zero grey.

    Args:
        figure: an empty one.
        filters: shape (n, height, width, 3).
    """
    largest = np.maximum(np.abs(filters).max(axis=(1, 2, 3), keepdims=True), 1e-12)
    axes = figure.add_subplot()
    axes.imshow(_mosaic(0.5 + filters / (2 * largest), FILTER_COLUMNS), interpolation="nearest")
    axes.set_axis_off()


#: Filters in one row.
FILTER_COLUMNS = 16


def _mosaic(pictures: Floats, columns: int) -> Floats:
    """Return pictures, shape (n, h, w, 3), 0 to 1, row by row, with gaps that show the ground.

    One picture is drawn in a blink; hundreds of axes take as many seconds as there are rows.

    Returns:
        shape (rows * (h + gap), columns * (w + gap), 4).
    """
    count, high, wide, _ = pictures.shape
    gap = max(1, wide // 10)
    rows = -(-count // columns)
    whole = np.zeros((rows, high + gap, columns, wide + gap, 4))
    for number, picture in enumerate(pictures):
        place = whole[number // columns, :high, number % columns, :wide]
        place[..., :3], place[..., 3] = picture, 1
    return whole.reshape(rows * (high + gap), columns * (wide + gap), 4)


#: Channels and blocks of the squeeze-and-excitation figure, at most.
_CHANNELS, BLOCKS = 50, 16


def draw_gates(figure: Figure, gates: Sequence[Gates]) -> None:
    """Draw the mean gates of each kind in each block, of 50 channels spread evenly."""
    chosen = [gates[place] for place in _spread(len(gates), BLOCKS)]
    columns = min(4, len(chosen))
    panels = figure.subplots(-(-len(chosen) // columns), columns, sharey=True, squeeze=False)
    for axes, block in zip(panels.flat, chosen, strict=False):
        for kind, values in block.by_kind.items():
            places = _spread(len(values), _CHANNELS)
            axes.plot(places, values[places], color=KIND_COLOURS[kind], linewidth=1.3, label=kind)
        axes.set_title(block.block, loc="left", fontsize=10)
        axes.set_ylim(-0.03, 1.03)
        axes.tick_params(labelsize=9)
        axes.locator_params(nbins=4)
    for axes in list(panels.flat)[len(chosen) :]:
        axes.set_axis_off()
    for axes in panels[-1]:
        axes.set_xlabel("channel")
    figure.supylabel("mean gate: 0 closed, 1 open", fontsize=11)
    _below(figure, 6)


def _spread(count: int, most: int) -> npt.NDArray[np.int64]:
    """Return at most ``most`` places of ``count``, spread evenly, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def draw_pictures(
    figure: Figure, rows: Sequence[tuple[str, Sequence[Pixels]]], headings: Sequence[str]
) -> None:
    """Draw rows of pictures of one size, each with its name, under headings."""
    columns = len(headings)
    pictures = np.stack([picture for _, row in rows for picture in row]) / 255
    whole = _mosaic(pictures, columns)
    axes = figure.add_subplot()
    axes.imshow(whole)
    across, down = whole.shape[1] / columns, whole.shape[0] / len(rows)
    side = pictures.shape[1] / 2
    axes.set_xticks(np.arange(columns) * across + side, list(headings))
    axes.set_yticks(np.arange(len(rows)) * down + side, [name for name, _ in rows])
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)


def draw_points(
    figure: Figure, maps: Mapping[str, npt.NDArray[np.float32]], kinds: Sequence[str]
) -> None:
    """Draw maps of the same images side by side, each a shape (n, 2), coloured by kind."""
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    found = np.asarray(kinds)
    for axes, (name, points) in zip(panels, maps.items(), strict=True):
        for kind, colour in KIND_COLOURS.items():
            chosen = points[found == kind]
            if len(chosen):
                axes.scatter(
                    *chosen.T,
                    s=7 if len(found) > 1000 else 20,
                    color=colour,
                    alpha=0.75,
                    linewidths=0,
                    label=kind,
                )
        axes.set_title(name, loc="left")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
    _below(figure, 6, enlarged=1.8)
