"""Results of train, lr-find, study and export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from facecheck.core.text import percent
from facecheck.report.terminal.tables import make_table, text_line

if TYPE_CHECKING:
    from facecheck.engines.export import ExportResult
    from facecheck.evaluation.studies.study import StudyResult
    from facecheck.training.lr_find import LrFindResult
    from facecheck.training.recipe import Packaged
    from facecheck.training.result import TrainResult
    from facecheck.training.state import Epoch


EPOCH_HEADINGS = (
    *("epoch", "seconds", "images/s", "train loss", "train top-1", "train top-5"),
    *("val loss", "val top-1", "val top-5", "test top-1", "test top-5"),
)


def epoch_cells(epoch: Epoch) -> list[str]:
    """Return one epoch's row under :data:`EPOCH_HEADINGS`."""
    return [
        str(epoch.epoch),
        f"{epoch.seconds:.1f}",
        f"{epoch.images_per_second:.0f}",
        f"{epoch.train_loss:.4f}",
        percent(epoch.train_top1),
        percent(epoch.train_top5),
        "-" if epoch.val_loss is None else f"{epoch.val_loss:.4f}",
        percent(epoch.val_top1),
        percent(epoch.val_top5),
        percent(epoch.test_top1),
        percent(epoch.test_top5),
    ]


def epoch_line(epoch: Epoch) -> str:
    """Return one epoch as a line of text, without the figures that are missing."""
    cells = zip(EPOCH_HEADINGS, epoch_cells(epoch), strict=True)
    return ", ".join(f"{heading} {cell}" for heading, cell in cells if cell != "-")


def epoch_table(epochs: Sequence[Epoch], best_epoch: int) -> Table:
    """Return the log as a table, the best epoch bold; figures no epoch has are left out."""
    rows = [epoch_cells(epoch) for epoch in epochs]
    shown = [
        place for place in range(len(EPOCH_HEADINGS)) if any(row[place] != "-" for row in rows)
    ]
    table = make_table(*(EPOCH_HEADINGS[place] for place in shown))
    for epoch, row in zip(epochs, rows, strict=True):
        style = "bold" if epoch.epoch == best_epoch else ""
        table.add_row(*(row[place] for place in shown), style=style)
    return table


def render_packaged(found: Sequence[Packaged]) -> RenderableType:
    """Render recipes or studies of the package, one a line."""
    width = max(len(one.name) for one in found) + 2
    return Group(*(text_line(f"{one.name:{width}}{one.about}") for one in found))


def render_train(result: TrainResult) -> RenderableType:
    """Render the log, its curves, and where the checkpoints are."""
    from facecheck.report.chart import LearningCurves

    return Group(
        epoch_table(result.epochs, result.best_epoch),
        LearningCurves(result.epochs),
        text_line(
            f"{result.train_images:,} training and {result.val_images:,} validation images of "
            f"{', '.join(result.kinds)}, on {result.device}, from weights: {result.weights}"
        ),
        text_line(
            f"best checkpoint: {result.best} (epoch {result.best_epoch})"
            + ("; no better epoch came, so it stopped early" if result.stopped_early else "")
        ),
    )


def render_lr_find(result: LrFindResult) -> RenderableType:
    """Render the two suggestions, and how the curve ended."""
    ended = "the loss diverged" if result.diverged else "the loss had not diverged"
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row(Text("steepest fall", "bold"), Text(f"--lr {result.steep:.1e}", "green"))
    table.add_row(Text("a tenth of the lowest loss's rate", "bold"), f"--lr {result.tenth:.1e}")
    lowest = min(result.smoothed)
    return Group(
        table,
        text_line(
            f"{len(result.rates)} steps from {result.rates[0]:.1e} to {result.rates[-1]:.1e}, "
            f"where {ended}; lowest loss {lowest:.4f}; {result.arch} on {result.device}, from "
            f"weights: {result.weights}"
        ),
    )


def render_study(result: StudyResult) -> RenderableType:
    """Render one row a variant, and where the rest is."""
    from facecheck.report.study_page import table_text

    headings, rows = table_text(result.variants)
    table = make_table(*headings)
    for cells in rows:
        table.add_row(*map(Text, cells))
    kept = len(result.runs) - result.trained
    found = f"; {kept} of them were already finished" if kept else ""
    return Group(
        text_line(f"{result.title}: {result.question}", "bold"),
        table,
        text_line(
            f"figures in %, of the test split; {len(result.runs)} runs in {result.out}{found}"
        ),
    )


def render_export(result: ExportResult) -> RenderableType:
    """Render an export, and how far it differs from its checkpoint."""
    of_both = f"{percent(result.top1)} to {percent(result.exported_top1)}"
    allowed = "" if result.allowed is None else f" (allowed: {result.allowed:g})"
    calibrated = f", quantised by {result.calibrated_on:,} others" * bool(result.calibrated_on)
    return Group(
        text_line(
            f"{result.path}: {result.format}, {result.precision}, {result.bytes / 1e6:.1f} MB",
            "green",
        ),
        text_line(
            f"compared with its checkpoint, on {result.images:,} val images{calibrated}: scores "
            f"differ by {result.mean_difference:.5f} on average, "
            f"{result.largest_difference:.5f} at most{allowed}; "
            f"{result.verdicts_changed:,} verdicts changed; top-1 {of_both}"
        ),
    )
