"""What the sections of a run's report are made from, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.figure import Figure as Canvas

from facecheck.core.errors import ConfigError
from facecheck.core.files import path_text
from facecheck.core.jsonable import parse_json
from facecheck.core.tables import write_table
from facecheck.evaluation.evaluate import EvaluateResult
from facecheck.model.metrics import Floats, softmax
from facecheck.model.outputs import SplitOutputs
from facecheck.model.predict import Predictor
from facecheck.report.plots import plot_themes
from facecheck.training.recipe import Recipe


@dataclass(frozen=True)
class ReportContext:
    """What the sections are made from.

    Attributes:
        folder: the report's.
        run: the run folder, if there is one.
        predictor: the model.
        found: its outputs for the split.
        result: the evaluation of them.
        workers: decoding threads; None takes one per core.
    """

    folder: Path
    run: Path | None
    predictor: Predictor
    found: SplitOutputs
    result: EvaluateResult
    workers: int | None

    @property
    def probabilities(self) -> Floats:
        """Of each kind, calibrated, shape (n, kinds)."""
        return softmax(self.found.logits / self.predictor.header.temperature)

    @property
    def recipe(self) -> Recipe | None:
        """The recipe in the checkpoint; None without one, or if this version does not know it."""
        try:
            stored = self.predictor.header.recipe
            return Recipe().changed(stored) if stored else None
        except ConfigError:
            return None

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the run's ``run.json`` says; empty without a run."""
        return run_facts(self.run)


def run_facts(run: Path | None) -> Mapping[str, Any]:
    """Return what a run's ``run.json`` says; empty where there is none."""
    try:
        facts = parse_json(((run or Path()) / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if run is not None and isinstance(facts, dict) else {}


@dataclass(frozen=True)
class Plot:
    """One figure: its file's name without ending, what it shows, how to read it, its numbers."""

    name: str
    alt: str
    caption: str
    csv: str | None = None


@dataclass(frozen=True)
class Section:
    """One section: its plots, and what is left out of it, each in a sentence."""

    plots: tuple[Plot, ...] = ()
    left_out: tuple[str, ...] = ()


def join_sections(*parts: Section) -> Section:
    """Return several parts as one."""
    return Section(
        tuple(plot for part in parts for plot in part.plots),
        tuple(why for part in parts for why in part.left_out),
    )


def plotted(
    context: ReportContext,
    plot: Plot,
    draw: Callable[[Canvas], None],
    size: tuple[float, float],
    table: pl.DataFrame | None = None,
) -> Section:
    """Write one figure, and its numbers if there is a table of them."""
    plot_themes(context.folder / f"{plot.name}.png", draw, size=size)
    if table is not None and plot.csv is not None:
        write_table(table, context.folder / plot.csv)
    return Section((plot,))


def readable_paths(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table whose column ``path`` holds text that can be shown and written."""
    return table.with_columns(
        pl.Series("path", [path_text(Path(path)) for path in table["path"]], pl.String)
    )
