"""The plots of a curation, for light and for dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facecheck.report.palette import KIND_COLOURS, OKABE_ITO
from facecheck.report.plots import plot_themes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Rows of a plot; tables on the page and the CSV hold all.
_MOST = 40
_LETTERS = 28


def short(name: str) -> str:
    """Return a name as a plot shows it: on one line, cut in its middle, letters of its font only.

    The fonts that matplotlib brings have no others; the page's tables show all.
    """
    plain = "".join(
        letter if letter.isprintable() and ord(letter) < 0x530 else "?" for letter in name
    )
    if len(plain) <= _LETTERS:
        return plain
    return f"{plain[: _LETTERS // 2]}…{plain[-_LETTERS // 2 + 1 :]}"


def plot_sizes(sizes: pl.DataFrame, path: Path) -> Path:
    """Draw the short sides of each source's images; return the picture for dark pages.

    Args:
        sizes: columns ``kind``, ``source``, ``5 %``, ``median``, ``95 %``, ``smallest`` and
            ``largest``, in pixels.
        path: of the PNG for light pages.
    """
    rows = sizes.head(_MOST)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        places = np.arange(rows.height)
        colours = [KIND_COLOURS[kind] for kind in rows["kind"]]
        axes.hlines(places, rows["smallest"], rows["largest"], colors=colours, lw=1.5, alpha=0.6)
        axes.hlines(places, rows["5 %"], rows["95 %"], colors=colours, lw=7, alpha=0.6)
        axes.scatter(rows["median"], places, c=colours, s=70, zorder=3)
        _name_rows(
            axes, [f"{kind} / {short(source)}" for kind, source in rows["kind", "source"].rows()]
        )
        _log_pixels(axes, int(rows["smallest"].min() or 1), int(rows["largest"].max() or 1))  # type: ignore[arg-type]
        axes.set_xlabel("short side, pixels: all, 5 to 95 %, and the median")

    return plot_themes(path, draw, size=(9.5, 1.1 + 0.34 * rows.height))


def _log_pixels(axes: Axes, smallest: int, largest: int) -> None:
    """Scale the axis by powers of two, with ticks that people know."""
    axes.set_xscale("log", base=2)
    ticks = [2**n for n in range(3, 16) if smallest / 2 < 2**n < largest * 2]
    axes.set_xlim(smallest / 1.3, largest * 1.3)
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()


def plot_contamination(pairs: pl.DataFrame, path: Path) -> Path:
    """Draw how many pictures each two sources share; return the picture for dark pages.

    Args:
        pairs: columns ``source``, ``other_source`` and ``pairs``.
        path: of the PNG for light pages.
    """
    rows = pairs.head(_MOST)
    names = sorted({*rows["source"], *rows["other_source"]})
    counts = np.zeros((len(names), len(names)))
    for one, two, count in rows.select("source", "other_source", "pairs").iter_rows():
        for place in ((one, two), (two, one)):
            counts[names.index(place[0]), names.index(place[1])] = count

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        shown = np.ma.masked_equal(counts, 0)
        # Of equal lightness steps for all eyes; few pairs must be visible next to many.
        axes.imshow(np.ma.log(shown + 1), cmap="cividis", vmin=0, vmax=np.log(counts.max() + 1))
        half = np.log(counts.max() + 1) / 2
        for row, column in zip(*counts.nonzero(), strict=True):
            value = counts[row, column]
            ink = "white" if np.log(value + 1) < half else "#111111"
            axes.text(column, row, f"{value:,.0f}", ha="center", va="center", color=ink)
        labels = [short(name) for name in names]
        axes.set_xticks(range(len(names)), labels, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), labels)
        axes.grid(visible=False)

    side = 1.9 + 0.36 * len(names)
    return plot_themes(path, draw, size=(side + 0.6, side))


def plot_shortcuts(guesses: pl.DataFrame, path: Path) -> Path:
    """Draw how well each question is answered without looking at a face; return the dark picture.

    Args:
        guesses: columns ``question``, ``features``, ``sides`` and ``balanced_accuracy``, 0 to 1.
        path: of the PNG for light pages.
    """
    questions = guesses["question"].unique(maintain_order=True).to_list()[:_MOST]
    marks = {"metadata": ("o", OKABE_ITO[0]), "pixels": ("D", OKABE_ITO[5])}

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for features, (mark, colour) in marks.items():
            rows = guesses.filter(
                (pl.col("features") == features) & pl.col("question").is_in(questions)
            )
            places = [questions.index(question) for question in rows["question"]]
            shares = 100 * rows["balanced_accuracy"].to_numpy()
            axes.scatter(shares, places, marker=mark, c=colour, s=45, label=features, zorder=3)
        sides = [guesses.filter(pl.col("question") == name)["sides"][0] for name in questions]
        chance: Any = [100 / count for count in sides]
        axes.scatter(chance, range(len(questions)), marker="|", c="#8A8F98", s=120, label="chance")
        _name_rows(axes, [" or ".join(map(short, name.split(" or "))) for name in questions])
        axes.set_xlim(0, 102)
        axes.set_xlabel("balanced accuracy without the face, %")
        figure.legend(loc="outside lower center", ncols=3, frameon=False)

    return plot_themes(path, draw, size=(10, 1.6 + 0.3 * len(questions)))


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name rows from the top down, as a table does."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
