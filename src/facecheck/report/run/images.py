"""The sections that show images: the most confident errors, and the map of faces."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from facecheck.core.files import path_text
from facecheck.core.labels import Kind, Verdict
from facecheck.core.tables import write_table
from facecheck.evaluation.evaluate import prediction_table
from facecheck.report.run import figures
from facecheck.report.run.context import Plot, ReportContext, Section, plotted, readable_paths
from facecheck.report.run.pictures import SHEET, write_sheets, write_squares
from facecheck.report.run.projection import FEWEST, Plane, project

#: Faces on the map, at most: t-SNE of as many takes half a minute.
POINTS = 3000


#: Errors in the gallery, at most; the table has all.
ERRORS = 48


#: Sides in pixels of a face in the gallery and on the map.
_GALLERY_SIDE, _MAP_SIDE = 224, 96


def error_cards(context: ReportContext) -> list[dict[str, Any]]:
    """Write the table of predictions and that of errors; return the gallery's cards.

    An error is an image whose most probable kind is not its own; the surest come first.
    """
    header = context.predictor.header
    table = prediction_table(context.found, header)
    write_table(readable_paths(table), context.folder / "predictions.csv")
    probabilities, labels = context.probabilities, context.found.labels
    rows = np.arange(len(labels))
    wrong = table.with_columns(
        pl.Series("p_predicted", probabilities.max(axis=1)),
        pl.Series("p_true", probabilities[rows, labels]),
    ).filter(pl.col("predicted_kind") != pl.col("kind"))
    wrong = wrong.sort("p_predicted", "path", descending=[True, False])
    write_table(readable_paths(wrong), context.folder / "errors.csv")
    shown = wrong.head(ERRORS)
    paths = [Path(path) for path in shown["path"]]
    names = write_squares(paths, context.folder / "errors", _GALLERY_SIDE, context.workers)
    return [
        {
            "src": f"errors/{name}",
            "name": path_text(path.name),
            "path": path_text(path),
            "right": (row["kind"] == Kind.PHOTO) == (row["verdict"] == Verdict.REAL),
            **row,
        }
        for name, path, row in zip(names, paths, shown.drop("path").iter_rows(named=True),
                                   strict=True)
    ]  # fmt: skip


def face_map(context: ReportContext) -> tuple[Section, dict[str, Any] | None]:
    """Draw the map of the features, write the faces in sheets, and return the page's data."""
    features = context.found.features
    if features is None or len(features) < 3:
        return Section(left_out=("The map needs the features of three images or more.",)), None
    chosen = np.arange(len(features))
    if len(chosen) > POINTS:
        chosen = np.sort(np.random.default_rng(0).permutation(len(chosen))[:POINTS])
    maps, held = project(features[chosen])
    predicted = prediction_table(context.found, context.predictor.header)[chosen]
    few = "" if len(features) >= FEWEST else " t-SNE needs ten images or more."
    sampled = f" {len(chosen):,} of {len(features):,} images, drawn at random." * (
        len(chosen) < len(features)
    )
    section = plotted(
        context,
        Plot(
            "map",
            "PCA and t-SNE of the features of each image.",
            f"The features of each image, the input of the head: PCA (its two axes hold "
            f"{100 * held:.0f} % of the variance) and t-SNE, which keeps neighbours but no "
            f"distances between groups.{few}{sampled}",
            "map.csv",
        ),
        partial(figures.draw_points, maps=maps, kinds=predicted["kind"].to_list()),
        (5.3 * len(maps), 5.6),
        _map_table(predicted, maps),
    )
    return section, _map_data(context, chosen, predicted, maps)


def _map_table(predicted: pl.DataFrame, maps: Mapping[str, Plane]) -> pl.DataFrame:
    columns = predicted.select("path", "source", "kind", "predicted_kind", "score")
    return readable_paths(columns).with_columns(
        pl.Series(f"{name.lower().replace('-', '')}_{axis}", points[:, place])
        for name, points in maps.items()
        for place, axis in enumerate("xy")
    )


def _map_data(
    context: ReportContext,
    chosen: npt.NDArray[np.int64],
    predicted: pl.DataFrame,
    maps: Mapping[str, Plane],
) -> dict[str, Any]:
    """Write the faces in sheets; return what ``map.js`` shows."""
    paths = [Path(path) for path in predicted["path"]]
    sheets = write_sheets(paths, context.folder / "faces", _MAP_SIDE, context.workers)
    probabilities = context.probabilities[chosen]
    kinds = list(context.result.kinds)
    pairs = predicted.select("kind", "source")
    sources = pairs.unique().sort("kind", "source").rows()
    true = probabilities[np.arange(len(chosen)), context.found.labels[chosen]]
    return {
        "maps": {name: np.round(points, 4).ravel().tolist() for name, points in maps.items()},
        "names": [path_text(path.name) for path in paths],
        "paths": [path_text(path) for path in paths],
        "kinds": kinds,
        "kind": [kinds.index(kind) for kind in predicted["kind"]],
        "predicted": [kinds.index(kind) for kind in predicted["predicted_kind"]],
        "p_true": np.round(true, 3).tolist(),
        "p_predicted": np.round(probabilities.max(axis=1), 3).tolist(),
        "score": np.round(predicted["score"].to_numpy(), 3).tolist(),
        "verdict": predicted["verdict"].to_list(),
        "sources": [f"{kind}/{source}" for kind, source in sources],
        "source": [sources.index(pair) for pair in pairs.rows()],
        "sheets": [f"faces/{name}" for name in sheets],
        "sheet": SHEET,
        "side": _MAP_SIDE,
    }
