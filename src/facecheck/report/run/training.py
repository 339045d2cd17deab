"""The sections on the training: the learning rate, the log, and the augmentation."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from facecheck.core.errors import FacecheckError, ImageError, reason
from facecheck.core.files import path_text
from facecheck.core.journal import Journal
from facecheck.core.labels import KINDS
from facecheck.core.manifest import read_manifest
from facecheck.model.transforms import Transform, crop_corners, load_resized
from facecheck.report.plots import draw_lr_find
from facecheck.report.run import figures
from facecheck.report.run.context import Plot, ReportContext, Section, join_sections, plotted
from facecheck.training.augment import augment

#: Rows and varied columns of the augmentation's figure, at most.
_AUGMENTED, _VARIATIONS = 8, 6


#: With so few kinds top-5 is always right.
_ALL_IN_TOP5 = 5


def training_section(context: ReportContext) -> Section:
    """Draw the learning-rate finder's curve, the schedule, and loss and accuracy by epoch."""
    log = None if context.run is None else read_log(context.run / "log.jsonl")
    return join_sections(_lr_find(context), _schedule(context, log), _curves(context, log))


def read_log(path: Path) -> pl.DataFrame | None:
    """Return a run's log, a row for each epoch; None where it cannot be read."""
    try:
        rows = Journal(path, dict).values()
        numbers = {name: pl.Float64 for row in rows for name in row if name != "epoch"}
        log = pl.DataFrame(rows, schema_overrides=numbers)
    except (OSError, ValueError, TypeError, AttributeError, pl.exceptions.PolarsError):
        return None
    wanted = {"epoch", "lr", "train_loss", "train_top1"}
    return log if log.height and wanted <= set(log.columns) else None


def _lr_find(context: ReportContext) -> Section:
    file = None if context.run is None else context.run / "lr-find.csv"
    if file is None or not file.is_file():
        where = "RUN" if context.run is None else path_text(context.run)
        why = (
            "Learning-rate finder: the run has no curve: `facecheck lr-find --recipe "
            f"{where}/recipe.yaml --out {where}/lr-find.png` puts one into the run."
        )
        return Section(left_out=(why,))
    from facecheck.training.lr_find import LrFindResult, suggest

    try:
        curve = pl.read_csv(file, schema_overrides=dict.fromkeys(("rate", "loss"), pl.Float64))
        rates, losses = curve["rate"].to_list(), curve["loss"].to_list()
        steep, lowest = suggest(rates, losses)
        result = LrFindResult(
            arch=context.predictor.header.arch,
            weights=context.facts.get("weights", "unknown"),
            device="",
            rates=tuple(rates),
            losses=tuple(losses),
            smoothed=tuple(curve["smoothed"].to_list()),
            steep=steep,
            tenth=lowest / 10,
            diverged=False,
            table=file,
        )
    except (pl.exceptions.PolarsError, FacecheckError, OSError, TypeError, IndexError) as error:
        return Section(left_out=(f"Learning-rate finder: {path_text(file)}: {reason(error)}.",))
    plot = Plot(
        "lr_find",
        "Loss over a learning rate that rises at every step.",
        "The loss as the learning rate rises at every step, and two rates to try.",
        "lr_find.csv",
    )
    draw = partial(draw_lr_find, result=result)
    return plotted(context, plot, draw, (8, 4.2), curve)


def _schedule(context: ReportContext, log: pl.DataFrame | None) -> Section:
    recipe = context.recipe
    if recipe is None:
        return Section(left_out=("Learning-rate schedule: the checkpoint holds no recipe.",))
    from facecheck.training.optim import rate_factor

    steps = 200 * recipe.epochs
    rates = [recipe.lr * rate_factor(recipe.schedule, step, steps) for step in range(steps)]
    planned = pl.DataFrame({"epoch": (np.arange(steps) + 1) / 200, "rate": rates})
    plot = Plot(
        "schedule",
        "Learning rate over the epochs.",
        f"Schedule {recipe.schedule}, peak {recipe.lr:g}, over {recipe.epochs} epochs.",
        "schedule.csv",
    )
    draw = partial(figures.draw_schedule, planned=planned, logged=log)
    return plotted(context, plot, draw, (8, 3.6), planned)


def _curves(context: ReportContext, log: pl.DataFrame | None) -> Section:
    if log is None:
        return Section(
            left_out=("Loss and accuracy by epoch: there is no log next to the checkpoint.",)
        )
    header = context.predictor.header
    few = len(header.kinds) <= _ALL_IN_TOP5
    shown = log.drop([name for name in log.columns if few and name.endswith("_top5")])
    top5 = f" Top-5 is always right among {len(header.kinds)} kinds, and not drawn." if few else ""
    plot = Plot(
        "curves",
        "Loss and accuracy of each split by epoch.",
        "Training figures are of augmented images while they were learned, so they may be worse "
        f"than those of validation.{top5}",
        "log.csv",
    )
    draw = partial(figures.draw_curves, log=shown, best_epoch=header.epoch)
    return plotted(context, plot, draw, (10, 4.2), log)


def augmentation_section(context: ReportContext) -> Section:
    """Draw some training images before and after the recipe's augmentation."""
    recipe = context.recipe
    if recipe is None:
        return Section(left_out=("The checkpoint holds no recipe.",))
    records = read_manifest(context.result.manifest)
    train = records.in_split("train")
    chosen = _one_of_each((train if len(train) else records).sampled(1).frame, _AUGMENTED)
    transform = context.predictor.header.transform
    rows = []
    for number, (path, kind, source) in enumerate(chosen.select("path", "kind", "source").rows()):
        try:
            pixels = np.asarray(load_resized(Path(path), transform))
        except ImageError:
            continue
        draws = [
            np.random.default_rng([recipe.seed, epoch, number])
            for epoch in range(1, _VARIATIONS + 1)
        ]
        varied = [augment(pixels, recipe, random) for random in draws]
        rows.append(
            (
                figures.short_name(kind, source),
                [_before(pixels, transform, recipe.train_side), *varied],
            )
        )
    if not rows:
        return Section(left_out=("Not one of the chosen images can be read.",))
    plot = Plot(
        "augmentation",
        "Training images before augmentation, and what six epochs make of each.",
        "One training image of each source as evaluation sees it, and as six epochs of training "
        "would see it, by the recipe in the checkpoint.",
    )
    headings = ["before", *(f"epoch {epoch}" for epoch in range(1, _VARIATIONS + 1))]
    draw = partial(figures.draw_pictures, rows=rows, headings=headings)
    return plotted(context, plot, draw, (3.1 + 1.2 * (_VARIATIONS + 1), 0.5 + 1.2 * len(rows)))


def _one_of_each(frame: pl.DataFrame, most: int) -> pl.DataFrame:
    """Return at most so many of the records of sources, of every kind before two of one."""
    place = pl.col("kind").replace_strict({kind: at for at, kind in enumerate(KINDS)})
    turn = pl.int_range(pl.len()).over("kind")
    return frame.sort(turn, place, "source").head(most).sort(place, "source")


def _before(pixels: figures.Pixels, transform: Transform, side: int) -> figures.Pixels:
    """Return the square that evaluation cuts, scaled to the side of training's."""
    size = transform.image_size
    left, top = crop_corners(pixels.shape[1], pixels.shape[0], size, 1)[0]
    square = Image.fromarray(pixels[top : top + size, left : left + size])
    return np.asarray(square.resize((side, side)))
