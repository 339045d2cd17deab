"""The section on the network itself: its first filters, and its squeeze-and-excitation gates."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from facecheck.core.files import atomic_path
from facecheck.model.inspection import channel_gates, first_filters
from facecheck.model.torch_predictor import TorchPredictor
from facecheck.report.run import figures
from facecheck.report.run.context import Plot, ReportContext, Section, join_sections, plotted

#: Images of each kind that the gates are averaged over, as in Hu et al. 2018.
GATE_IMAGES = 50


def network_section(context: ReportContext) -> Section:
    """Draw the first filters, and the gates of squeeze-and-excitation blocks."""
    if not isinstance(context.predictor, TorchPredictor):
        return Section(
            left_out=(
                "The filters and gates of an export cannot be read: make the report from the "
                "checkpoint to see them.",
            )
        )
    return join_sections(_filters(context, context.predictor), _gates(context, context.predictor))


def _filters(context: ReportContext, predictor: TorchPredictor) -> Section:
    filters = first_filters(predictor.model)
    if filters is None:
        return Section(left_out=("First filters: the network has no convolution over RGB.",))
    with atomic_path(context.folder / "filters.npy") as temporary:
        np.save(temporary, filters.astype(np.float32))
    count, high, wide, _ = filters.shape
    plot = Plot(
        "filters",
        "The first layer's filters as small colour pictures.",
        f"The {count} filters of the first layer, {wide} x {high} pixels, each scaled by its own "
        "largest weight; grey is zero. Their numbers are in filters.npy.",
    )
    rows = -(-count // figures.FILTER_COLUMNS)
    return plotted(
        context, plot, partial(figures.draw_filters, filters=filters), (10, 0.2 + 0.62 * rows)
    )


def _gates(context: ReportContext, predictor: TorchPredictor) -> Section:
    frame, kinds = context.found.frame, context.result.kinds
    images = {
        kind: [Path(path) for path in rows["path"]]
        for kind in kinds
        if (rows := _evenly(frame.filter(pl.col("kind") == kind), GATE_IMAGES)).height
    }
    gates = channel_gates(predictor, images)
    if not gates:
        return Section(
            left_out=("Channel gates: the network has no squeeze-and-excitation blocks.",)
        )
    table = pl.concat(
        pl.DataFrame(
            {"block": block.block, "channel": np.arange(len(next(iter(block.by_kind.values()))))}
            | dict(block.by_kind)
        )
        for block in gates
    )
    plot = Plot(
        "gates",
        "Mean gate of each kind in the channels of each squeeze-and-excitation block.",
        f"How far each block opens its channels for each kind, mean over at most {GATE_IMAGES} "
        "images a kind (as figure 6 of Hu et al. 2018); 50 channels of a block, spread evenly. "
        "Where the lines part, the block sorts channels by kind.",
        "gates.csv",
    )
    down = -(-min(len(gates), figures.BLOCKS) // 4)
    draw = partial(figures.draw_gates, gates=gates)
    return plotted(context, plot, draw, (11, 1.2 + 2 * down), table)


def _evenly(frame: pl.DataFrame, most: int) -> pl.DataFrame:
    """Return at most so many rows, spread evenly over a frame."""
    return frame[np.linspace(0, frame.height - 1, min(most, frame.height)).round().astype(int)]
