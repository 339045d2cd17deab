"""Results as PNG files, drawn without a display."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from facecheck.core.files import atomic_path

if TYPE_CHECKING:
    from facecheck.model.lr_find import LrFindResult

#: Okabe and Ito 2008, "Color universal design": told apart by colour-blind people too.
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_STYLE: Any = {
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "text.parse_math": False,  # a variant's name may hold dollar signs
}


def plot_lr_find(result: LrFindResult, path: Path) -> None:
    """Draw the loss over the learning rate as a PNG, with the two suggestions."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(result.rates, result.losses, color="#AAAAAA", linewidth=1, label="each batch")
        axes.plot(result.rates, result.smoothed, color=OKABE_ITO[0], linewidth=2, label="smoothed")
        for rate, colour, dashes, name in (
            (result.steep, OKABE_ITO[2], "-", "steepest fall"),
            (result.tenth, OKABE_ITO[5], "--", "a tenth of the lowest loss's rate"),
        ):
            axes.axvline(rate, color=colour, linestyle=dashes, label=f"{name}: {rate:.1e}")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:.0e}")  # the usual one needs parse_math
        axes.xaxis.set_minor_formatter("")
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
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150)


def _before_rise(result: LrFindResult) -> int:
    """Return how many steps there are up to the lowest smoothed loss."""
    return result.smoothed.index(min(result.smoothed)) + 1
