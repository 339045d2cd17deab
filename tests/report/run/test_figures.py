from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from facecheck.model.metrics import ranking_curve, reliability
from facecheck.report.run import figures


def labels_of(figure: Figure) -> Iterator[str]:
    """Yield what stands at the ticks of a drawn figure, the minor ones too."""
    figure.canvas.draw()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            for is_minor in (False, True):
                yield from (label.get_text() for label in axis.get_ticklabels(minor=is_minor))


def few_scores(figure: Figure) -> None:
    """Six images, so that an axis spans less than a power of ten: minor ticks have labels then."""
    figures.draw_scores(figure, np.full(6, 0.1), np.full(4, 0.9), (0.4, 0.6))


def few_bins(figure: Figure) -> None:
    bins = reliability(np.full(6, 0.9), np.arange(6) > 0)
    figures.draw_reliability(figure, bins, bins)


def few_ranks(figure: Figure) -> None:
    artificial = np.arange(8) > 1
    curve = ranking_curve(np.linspace(0, 1, 8), artificial)
    assert curve is not None
    figure_of = SimpleNamespace(value=0.9)
    result: Any = SimpleNamespace(ranking=SimpleNamespace(real=2, auc=figure_of, ap=figure_of))
    figures.draw_ranking(figure, curve, result)


def two_sizes(figure: Figure) -> None:
    rows = [
        (case, side, 10, 0.9, 0.5, 1.0)
        for case in ("clean", "48 px", "64 px")
        for side in ("photo", "artificial")
    ]
    names = ["case", "side", "images", "right", "low", "high"]
    figures.draw_changes(figure, pl.DataFrame(rows, schema=names, orient="row"))


@pytest.mark.parametrize("draw", [few_scores, few_bins, few_ranks, two_sizes])
def test_no_label_is_raw_mathematical_text(draw: Callable[[Figure], None]) -> None:
    with rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(8, 4), layout="constrained")
        draw(figure)
        labels = list(labels_of(figure))
    assert any(labels)
    assert not [label for label in labels if "$" in label]
