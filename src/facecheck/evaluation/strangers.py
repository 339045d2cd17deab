"""Thresholds for images of strangers: from scores by models that never saw their source.

On images of the sources it knows a model is surer than on any others, so thresholds from these
promise too much. ``leave-out`` gives scores as a stranger's images get them; here each source
counts alike, since the next one will be another.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from facecheck.core.errors import FacecheckError, ManifestError, UsageError
from facecheck.core.files import path_text
from facecheck.core.labels import Kind
from facecheck.core.tables import read_table
from facecheck.core.whatis import mistaken, what_is
from facecheck.model.metrics import Floats

#: Scores that stand for each source: its quantiles, evenly spaced.
QUANTILES = 200


def stranger_scores(table: Path, temperature: float) -> tuple[Floats, Floats]:
    """Return the scores of left-out photographs, and of left-out artificial images.

    Each source is stood for by :data:`QUANTILES` quantiles of its scores, so that all count alike.

    Args:
        table: ``scores.csv`` by ``leave-out``.
        temperature: of the checkpoint that is calibrated.

    Raises:
        UsageError: there is no such table.
        ManifestError: it is another one, or holds numbers that are not finite.
        FacecheckError: it lacks photographs or artificial images.
    """
    if not table.is_file():
        raise UsageError(f"no table of scores at {path_text(table)}: run `facecheck leave-out`")
    frame = read_table(table)
    if not {"kind", "source", "log_odds"} <= set(frame.columns):
        if what_is(table) != "a table":
            raise UsageError(
                mistaken(table, "a table of scores", "pass the scores.csv of `facecheck leave-out`")
            )
        raise ManifestError(
            f"{path_text(table)}: lacks the columns kind, source and log_odds: pass the scores.csv "
            "that `facecheck leave-out` wrote"
        )
    odds = frame["log_odds"].cast(pl.Float64, strict=False)
    if odds.is_null().any() or not odds.is_finite().all():
        raise ManifestError(f"{path_text(table)}: column log_odds must have finite numbers only")
    sides: dict[bool, list[Floats]] = {True: [], False: []}
    parts = frame.with_columns(log_odds=odds).partition_by("kind", "source", as_dict=True)
    for (kind, _), part in sorted(parts.items(), key=lambda item: tuple(map(str, item[0]))):
        shares = (np.arange(QUANTILES) + 0.5) / QUANTILES
        sides[kind == Kind.PHOTO].append(np.quantile(part["log_odds"].to_numpy(), shares))
    if not sides[True] or not sides[False]:
        raise FacecheckError(f"{path_text(table)}: needs photographs and artificial images")
    real, artificial = (
        1 / (1 + np.exp(-np.concatenate(sides[side]) / temperature)) for side in (True, False)
    )
    return real, artificial


def limited(
    thresholds: tuple[float, float], real: Floats, budget: float, uncertain: float
) -> tuple[float, float]:
    """Return thresholds that leave at most a share of strangers' photographs uncertain.

    Some artificial faces of generators that the model never saw look real to it. No threshold
    keeps them within the budget but one that leaves most photographs uncertain, too; so where
    these two are at odds, this limit goes first.

    Args:
        thresholds: by the budget alone.
        real: scores of strangers' photographs, shape (n,).
        budget: the share of photographs that may be called artificial.
        uncertain: the share that may be uncertain, 0 to 1.
    """
    low, high = thresholds
    least = float(np.quantile(real, max(0.0, 1 - budget - uncertain)))
    return min(max(low, least), high), high
