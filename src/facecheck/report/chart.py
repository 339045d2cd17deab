"""Line charts of a few lines of text, for the end of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from facecheck.training.state import Epoch

#: Columns and rows of one chart, without its axes.
_WIDTH, _HEIGHT = 32, 6
#: The bits of a braille sign (U+2800) by row and column of its 4 x 2 dots.
_DOTS = np.array([[1, 8], [2, 16], [4, 32], [64, 128]])
_STYLES = {"train": "blue", "val": "yellow", "test": "green"}


@dataclass(frozen=True)
class LearningCurves:
    """Loss and top-1 by epoch, side by side; nothing of fewer than two epochs.

    Attributes:
        epochs: a training's log.
    """

    epochs: Sequence[Epoch]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield both charts: in braille, or in stars where the terminal knows ASCII only.

        Without colours lines look alike: then validation's is drawn alone.
        """
        if len(self.epochs) < 2:
            return
        coloured = console.color_system is not None and not console.no_color
        parts = Table.grid(padding=(0, 4, 0, 0))
        charts = (
            _chart("loss", self._series("loss", coloured), "{:.3f}".format, options.ascii_only),
            _chart("top-1", self._series("top1", coloured), "{:.1%}".format, options.ascii_only),
        )
        # One below the other where they do not fit.
        rows = [charts] if options.max_width >= 2 * (_WIDTH + 14) else [(one,) for one in charts]
        for row in rows:
            parts.add_row(*row)
        yield parts

    def _series(self, figure: str, coloured: bool) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for part in _STYLES:
            values = [getattr(epoch, f"{part}_{figure}", None) for epoch in self.epochs]
            known = [value for value in values if value is not None]
            if len(known) == len(values):
                found[part] = known
        alone = "val" if "val" in found else "train"
        return found if coloured else {alone: found[alone]}


def _chart(
    title: str,
    series: Mapping[str, Sequence[float]],
    text_of: Callable[[float], str],
    ascii_only: bool,
) -> Text:
    """Return lines over an axis from the lowest value to the highest, with their names above."""
    every = [value for values in series.values() for value in values]
    low, high = min(every), max(every)
    count = len(next(iter(series.values())))
    cells = [[(" ", "")] * _WIDTH for _ in range(_HEIGHT)]
    for part, values in series.items():
        for (down, across), dots in _cells(values, low, high).items():
            cells[down][across] = ("*" if ascii_only else chr(0x2800 + dots), _STYLES[part])
    margin = max(len(text_of(low)), len(text_of(high)))
    bar = "|" if ascii_only else "│"
    text = Text()
    text.append(f"{title:<{margin}}  ", "bold")
    for part in series:
        text.append(f"{part}  ", _STYLES[part])
    for number, row in enumerate(cells):
        label = text_of(high) if number == 0 else text_of(low) if number == _HEIGHT - 1 else ""
        text.append(f"\n{label:>{margin}} {bar}")
        for sign, style in row:
            text.append(sign, style)
    text.append(f"\n{'':{margin}}  1{f'epoch {count}':>{_WIDTH - 1}}")
    return text


def _cells(values: Sequence[float], low: float, high: float) -> dict[tuple[int, int], int]:
    """Return the braille bits of one line by cell, joined from dot to dot."""
    across = np.linspace(0, len(values) - 1, 2 * _WIDTH)
    span = (high - low) or 1.0
    depth = (high - np.interp(across, np.arange(len(values)), values)) / span
    down = np.round(depth * (4 * _HEIGHT - 1)).astype(int)
    cells: dict[tuple[int, int], int] = {}
    for place, end in enumerate(down):
        start = down[max(0, place - 1)]
        # A steep line has several dots in one column: all after the last column's.
        for dot in range(end, start + int(start == end), 1 if end <= start else -1):
            key = (int(dot // 4), place // 2)
            cells[key] = cells.get(key, 0) | int(_DOTS[dot % 4, place % 2])
    return cells
