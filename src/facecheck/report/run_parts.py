"""The sections of a run's report: each draws its figures and writes their numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure as Canvas
from PIL import Image

from facecheck.core.errors import ConfigError, FacecheckError, ImageError
from facecheck.core.files import atomic_path, path_text
from facecheck.core.labels import KINDS, Kind, Verdict
from facecheck.core.manifest import read_manifest, write_table
from facecheck.evaluation.evaluate import EvaluateResult, prediction_table
from facecheck.model.metrics import Floats, ranking_curve, reliability, softmax
from facecheck.model.outputs import SplitOutputs
from facecheck.model.predict import Predictor
from facecheck.model.torch_predictor import TorchPredictor
from facecheck.model.transforms import Transform, crop_corners, load_resized
from facecheck.report import figures
from facecheck.report.faces import SHEET, write_sheets, write_squares
from facecheck.report.plots import draw_lr_find, plot_themes
from facecheck.report.projection import FEWEST, project
from facecheck.report.robustness import by_side
from facecheck.training.augment import augment
from facecheck.training.recipe import Recipe

#: Faces on the map, at most: t-SNE of as many takes half a minute.
POINTS = 3000
#: Errors in the gallery, at most; the table has all.
ERRORS = 48
#: Images of each kind that the gates are averaged over, as in Hu et al. 2018.
GATE_IMAGES = 50
#: Sides in pixels of a face in the gallery and on the map.
_GALLERY_SIDE, _MAP_SIDE = 224, 96
#: Rows and varied columns of the augmentation's figure, at most.
_AUGMENTED, _VARIATIONS = 8, 6
#: With so few kinds top-5 is always right.
_ALL_IN_TOP5 = 5


@dataclass(frozen=True)
class Given:
    """What the sections are made from.

    Attributes:
        folder: the report's.
        run: the run folder, if there is one.
        predictor: the model.
        found: its outputs for the split.
        result: what they are worth.
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


@dataclass(frozen=True)
class Plot:
    """One figure: its file's name without ending, what it shows, how to read it, its numbers."""

    name: str
    alt: str
    caption: str
    csv: str | None = None


@dataclass(frozen=True)
class Part:
    """One section: its plots, and what is left out of it, each in a sentence."""

    plots: tuple[Plot, ...] = ()
    left_out: tuple[str, ...] = ()


def join_parts(*parts: Part) -> Part:
    """Return several parts as one."""
    return Part(
        tuple(plot for part in parts for plot in part.plots),
        tuple(told for part in parts for told in part.left_out),
    )


def _plotted(
    given: Given,
    plot: Plot,
    draw: Callable[[Canvas], None],
    size: tuple[float, float],
    table: pl.DataFrame | None = None,
) -> Part:
    """Write one figure, and its numbers if there is a table of them."""
    plot_themes(given.folder / f"{plot.name}.png", draw, size=size)
    if table is not None and plot.csv is not None:
        write_table(table, given.folder / plot.csv)
    return Part((plot,))


def kinds_part(given: Given) -> Part:
    """Draw the confusion matrix."""
    result = given.result
    counts = np.array(result.confusion, dtype=np.float64)
    table = pl.DataFrame(
        {
            "true": [true for true in result.kinds for _ in result.kinds],
            "predicted": list(result.kinds) * len(result.kinds),
            "count": counts.ravel().astype(int),
            "share": (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).ravel(),
        }
    )
    plot = Plot(
        "confusion",
        "Confusion matrix: images by true and predicted kind.",
        "Images by true kind (rows) and predicted kind (columns), with their share of the true "
        "kind. Shades follow the root of the share, so that rare errors show.",
        "confusion.csv",
    )
    draw = partial(figures.draw_confusion, kinds=result.kinds, counts=counts)
    return _plotted(
        given, plot, draw, (1.4 + 0.95 * len(result.kinds), 0.9 + 0.8 * len(result.kinds)), table
    )


def source_table(result: EvaluateResult) -> pl.DataFrame:
    """Return a row for each source: how its kind and its side are told, and by metadata alone."""
    rows = []
    for key, part in result.by_source.items():
        verdicts, ranked = result.verdicts_by_source[key], result.ranking_by_source[key]
        guess = result.baseline.get(key)
        rows.append(
            {
                **{"kind": key[0], "source": key[1], "images": part.count},
                **{"top1": part.top1, "top1_low": part.interval[0], "top1_high": part.interval[1]},
                **{"top5": part.top5, "loss": part.loss},
                "metadata_top1": guess.kind if guess else None,
                "verdict_right": verdicts.right / verdicts.count,
                "verdict_right_low": verdicts.interval[0],
                "verdict_right_high": verdicts.interval[1],
                "uncertain": verdicts.uncertain / verdicts.count,
                "metadata_verdict_right": guess.side if guess else None,
                "auc": ranked.auc.value,
                "eer": ranked.eer.value,
                "ece": result.calibration_by_source[key].ece.value,
            }
        )
    numbers = (
        *("top1", "top1_low", "top1_high", "top5", "loss", "metadata_top1"),
        *("verdict_right", "verdict_right_low", "verdict_right_high", "uncertain"),
        *("metadata_verdict_right", "auc", "eer", "ece"),
    )
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(numbers, pl.Float64))


def sources_part(given: Given) -> Part:
    """Draw each source's accuracy beside the metadata-only baseline."""
    table = source_table(given.result)
    plot = Plot(
        "sources",
        "Accuracy of each source with its interval, beside what metadata alone gets right.",
        "A source whose diamond lies beside its dot is told as well from its files' headers, "
        "without looking at the face: there the figure says little of faces. A verdict that "
        "abstains counts as not right.",
        "sources.csv",
    )
    draw = partial(figures.draw_sources, table=table)
    drawn = _plotted(given, plot, draw, (10, 1.9 + 0.36 * table.height), table)
    if given.result.baseline:
        return drawn
    return join_parts(
        drawn,
        Part(
            left_out=(
                "Metadata-only baseline: the manifest has too few images of two sides to be "
                "audited.",
            )
        ),
    )


def scores_part(given: Given) -> Part:
    """Draw scores, reliability, ROC, precision and recall, and risk by coverage."""
    header, labels = given.predictor.header, given.found.labels
    probabilities = given.probabilities
    artificial = labels != header.kinds.index(Kind.PHOTO)
    scores = 1 - probabilities[:, header.kinds.index(Kind.PHOTO)]
    edges = np.linspace(0, 1, 41)
    histogram = pl.DataFrame(
        {
            "from": edges[:-1],
            "to": edges[1:],
            "real": np.histogram(scores[~artificial], edges)[0],
            "artificial": np.histogram(scores[artificial], edges)[0],
        }
    )
    low, high = header.thresholds
    parts = [
        _plotted(
            given,
            Plot(
                "scores",
                "Histogram of the scores of photographs and of artificial faces.",
                f"How many images have which score, on a logarithmic scale. A score up to "
                f"{low:.3f} is called real, from {high:.3f} on artificial.",
                "scores.csv",
            ),
            partial(
                figures.draw_scores,
                real=scores[~artificial],
                artificial=scores[artificial],
                thresholds=header.thresholds,
            ),
            (8, 3.8),
            histogram,
        ),
        _reliability_part(given, probabilities, scores, artificial),
    ]
    curve = ranking_curve(scores, artificial)
    if curve is None:
        parts.append(Part(left_out=("ROC and precision: the split holds one side only.",)))
    else:
        table = pl.DataFrame(
            {
                "threshold": curve.thresholds,
                "false_positive_rate": curve.fpr,
                "true_positive_rate": curve.tpr,
                "precision": curve.precision,
            }
        )
        plot = Plot(
            "ranking",
            "ROC curve, and precision over recall.",
            "Left: the share of artificial faces found over the share of false alarms, on a "
            "logarithmic scale since what counts happens far left; dotted: 1 %. Right: precision "
            "over recall.",
            "ranking.csv",
        )
        draw = partial(figures.draw_ranking, curve=curve, result=given.result)
        parts.append(_plotted(given, plot, draw, (10, 4.4), table))
    coverage, risk = zip(*given.result.risk_coverage.points, strict=True)
    parts.append(
        _plotted(
            given,
            Plot(
                "risk_coverage",
                "Share of wrong answers among the surest images.",
                "How wrong the answers are when only the surest images are answered, by their "
                "probability, without the guard.",
                "risk_coverage.csv",
            ),
            partial(figures.draw_risk, result=given.result),
            (8, 3.8),
            pl.DataFrame({"coverage": coverage, "risk": risk}),
        )
    )
    return join_parts(*parts)


def _reliability_part(
    given: Given, probabilities: Floats, scores: Floats, artificial: np.ndarray[Any, Any]
) -> Part:
    right = probabilities.argmax(axis=1) == given.found.labels
    bins = {
        "kind": reliability(probabilities.max(axis=1), right),
        "score": reliability(scores, artificial),
    }
    table = pl.DataFrame(
        [
            {
                **{"of": name, "from": item.low, "to": item.high, "images": item.count},
                **{"confidence": item.confidence, "right": item.right.value},
            }
            for name, items in bins.items()
            for item in items
        ],
        schema_overrides={"confidence": pl.Float64, "right": pl.Float64},
    )
    ece = given.result.calibration
    plot = Plot(
        "reliability",
        "Reliability diagrams of the kind's probability and of the score.",
        "Below the dashed line the model is surer than it should be. Expected calibration error: "
        f"{ece.ece.value:.4f} of the kind, {ece.score_ece.value:.4f} of the score.",
        "reliability.csv",
    )
    draw = partial(figures.draw_reliability, kind=bins["kind"], score=bins["score"])
    return _plotted(given, plot, draw, (10, 5.4), table)


def robustness_part(given: Given, table: pl.DataFrame | None) -> Part:
    """Draw what a benchmark found, if there is one."""
    if table is None:
        return Part(
            left_out=(
                "No benchmark is at hand: `facecheck benchmark-model --out DIR` makes one, and "
                "--benchmark DIR shows it here.",
            )
        )
    sides = by_side(table)
    cases = sides["case"].n_unique()
    changes = Plot(
        "robustness",
        "Share of photographs and of artificial faces right after each change.",
        "How either side stands what happens to images: encoded anew, scaled, blurred, uploaded "
        "again; and shrunk to a short side of so many pixels.",
        "robustness.csv",
    )
    sources = table.select("kind", "source").unique().height
    lines = Plot(
        "robustness_lines",
        "Each source from clean over web to hard.",
        "Clean: the files as they are. Web: JPEG 95, 75 and 60, WebP 60, scaled by 0.5 and 2, "
        "uploaded again. Hard: JPEG 40, scaled by 0.25, blurred. Colours are kinds.",
        "robustness_sources.csv",
    )
    return join_parts(
        _plotted(
            given,
            changes,
            partial(figures.draw_changes, sides=sides),
            (10, 1.6 + 0.2 * cases),
            sides,
        ),
        _plotted(
            given,
            lines,
            partial(figures.draw_lines, by_source=table),
            (10, max(4.2, 1 + 0.28 * sources)),
            table,
        ),
    )


def training_part(given: Given) -> Part:
    """Draw the learning-rate finder's curve, the schedule, and loss and accuracy by epoch."""
    log = None if given.run is None else read_log(given.run / "log.jsonl")
    return join_parts(_lr_find(given), _schedule(given, log), _curves(given, log))


def read_log(path: Path) -> pl.DataFrame | None:
    """Return a run's log, a row for each epoch; None where it cannot be read."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        numbers = {name: pl.Float64 for row in rows for name in row if name != "epoch"}
        log = pl.DataFrame(rows, schema_overrides=numbers)
    except (OSError, ValueError, TypeError, AttributeError, pl.exceptions.PolarsError):
        return None
    wanted = {"epoch", "lr", "train_loss", "train_top1"}
    return log if log.height and wanted <= set(log.columns) else None


def _lr_find(given: Given) -> Part:
    file = None if given.run is None else given.run / "lr-find.csv"
    if file is None or not file.is_file():
        where = "RUN" if given.run is None else path_text(given.run)
        told = (
            "Learning-rate finder: no curve is at hand: `facecheck lr-find --recipe "
            f"{where}/recipe.yaml --out {where}/lr-find.png` puts one into the run."
        )
        return Part(left_out=(told,))
    from facecheck.training.lr_find import LrFindResult, suggest

    try:
        curve = pl.read_csv(file, schema_overrides=dict.fromkeys(("rate", "loss"), pl.Float64))
        rates, losses = curve["rate"].to_list(), curve["loss"].to_list()
        steep, lowest = suggest(rates, losses)
        result = LrFindResult(
            arch=given.predictor.header.arch,
            weights=run_facts(given.run).get("weights", "unknown"),
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
        reason = (str(error).splitlines() or [""])[0]
        return Part(left_out=(f"Learning-rate finder: {path_text(file)}: {reason}.",))
    plot = Plot(
        "lr_find",
        "Loss over a learning rate that rises at every step.",
        "The loss as the learning rate rises at every step, and two rates to try.",
        "lr_find.csv",
    )
    draw = partial(draw_lr_find, result=result)
    return _plotted(given, plot, draw, (8, 4.2), curve)


def run_facts(run: Path | None) -> Mapping[str, Any]:
    """Return what a run's ``run.json`` says; empty where there is none."""
    try:
        facts = json.loads(((run or Path()) / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if run is not None and isinstance(facts, dict) else {}


def recipe_of(given: Given) -> Recipe | None:
    """Return the recipe in the checkpoint; None without one, or where this version knows it not."""
    try:
        stored = given.predictor.header.recipe
        return Recipe().changed(stored) if stored else None
    except ConfigError:
        return None


def _schedule(given: Given, log: pl.DataFrame | None) -> Part:
    recipe = recipe_of(given)
    if recipe is None:
        return Part(left_out=("Learning-rate schedule: the checkpoint holds no recipe.",))
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
    return _plotted(given, plot, draw, (8, 3.6), planned)


def _curves(given: Given, log: pl.DataFrame | None) -> Part:
    if log is None:
        return Part(left_out=("Loss and accuracy by epoch: no log lies beside the checkpoint.",))
    header = given.predictor.header
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
    return _plotted(given, plot, draw, (10, 4.2), log)


def augmentation_part(given: Given) -> Part:
    """Draw some training images before and after the recipe's augmentation."""
    recipe = recipe_of(given)
    if recipe is None:
        return Part(left_out=("The checkpoint holds no recipe.",))
    records = read_manifest(given.result.manifest)
    train = records.in_split("train")
    chosen = _one_of_each((train if len(train) else records).sampled(1).frame, _AUGMENTED)
    transform = given.predictor.header.transform
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
        return Part(left_out=("None of the chosen images can be read.",))
    plot = Plot(
        "augmentation",
        "Training images before augmentation, and what six epochs make of each.",
        "One training image of each source as evaluation sees it, and as six epochs of training "
        "would see it, by the recipe in the checkpoint.",
    )
    headings = ["before", *(f"epoch {epoch}" for epoch in range(1, _VARIATIONS + 1))]
    draw = partial(figures.draw_pictures, rows=rows, headings=headings)
    return _plotted(given, plot, draw, (3.1 + 1.2 * (_VARIATIONS + 1), 0.5 + 1.2 * len(rows)))


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


def network_part(given: Given) -> Part:
    """Draw the first filters, and the gates of squeeze-and-excitation blocks."""
    if not isinstance(given.predictor, TorchPredictor):
        return Part(
            left_out=(
                "The filters and gates of an export cannot be read: make the report from the "
                "checkpoint to see them.",
            )
        )
    return join_parts(_filters(given, given.predictor), _gates(given, given.predictor))


def _filters(given: Given, predictor: TorchPredictor) -> Part:
    from facecheck.model.inspection import first_filters

    filters = first_filters(predictor.model)
    if filters is None:
        return Part(left_out=("First filters: the network has no convolution over RGB.",))
    with atomic_path(given.folder / "filters.npy") as temporary:
        np.save(temporary, filters.astype(np.float32))
    count, high, wide, _ = filters.shape
    plot = Plot(
        "filters",
        "The first layer's filters as small colour pictures.",
        f"The {count} filters of the first layer, {wide} x {high} pixels, each scaled by its own "
        "largest weight; grey is nought. Their numbers are in filters.npy.",
    )
    rows = -(-count // figures.FILTER_COLUMNS)
    return _plotted(
        given, plot, partial(figures.draw_filters, filters=filters), (10, 0.2 + 0.62 * rows)
    )


def _gates(given: Given, predictor: TorchPredictor) -> Part:
    from facecheck.model.inspection import channel_gates

    frame, kinds = given.found.frame, given.result.kinds
    images = {
        kind: [Path(path) for path in rows["path"]]
        for kind in kinds
        if (rows := _evenly(frame.filter(pl.col("kind") == kind), GATE_IMAGES)).height
    }
    gates = channel_gates(predictor, images)
    if not gates:
        return Part(left_out=("Channel gates: the network has no squeeze-and-excitation blocks.",))
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
    return _plotted(given, plot, draw, (11, 1.2 + 2 * down), table)


def _evenly(frame: pl.DataFrame, most: int) -> pl.DataFrame:
    """Return at most so many rows, spread evenly over a frame."""
    return frame[np.linspace(0, frame.height - 1, min(most, frame.height)).round().astype(int)]


def error_cards(given: Given) -> list[dict[str, Any]]:
    """Write the table of predictions and that of errors; return the gallery's cards.

    An error is an image whose most probable kind is not its own; the surest come first.
    """
    header = given.predictor.header
    table = prediction_table(given.found, header)
    write_table(_readable(table), given.folder / "predictions.csv")
    probabilities, labels = given.probabilities, given.found.labels
    rows = np.arange(len(labels))
    wrong = table.with_columns(
        pl.Series("p_predicted", probabilities.max(axis=1)),
        pl.Series("p_true", probabilities[rows, labels]),
    ).filter(pl.col("predicted_kind") != pl.col("kind"))
    wrong = wrong.sort("p_predicted", "path", descending=[True, False])
    write_table(_readable(wrong), given.folder / "errors.csv")
    shown = wrong.head(ERRORS)
    paths = [Path(path) for path in shown["path"]]
    names = write_squares(paths, given.folder / "errors", _GALLERY_SIDE, given.workers)
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


def _readable(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(
        pl.Series("path", [path_text(Path(path)) for path in table["path"]], pl.String)
    )


def face_map(given: Given) -> tuple[Part, dict[str, Any] | None]:
    """Lay the representations out, write the faces in sheets, and return the page's data."""
    features = given.found.features
    if features is None or len(features) < 3:
        return Part(left_out=("The map needs the features of three images or more.",)), None
    chosen = np.arange(len(features))
    if len(chosen) > POINTS:
        chosen = np.sort(np.random.default_rng(0).permutation(len(chosen))[:POINTS])
    maps, held = project(features[chosen])
    frame = given.found.frame[chosen]
    paths = [Path(path) for path in frame["path"]]
    sheets = write_sheets(paths, given.folder / "faces", _MAP_SIDE, given.workers)
    told = prediction_table(given.found, given.predictor.header)[chosen]
    probabilities = given.probabilities[chosen]
    pairs = frame.select("kind", "source").unique(maintain_order=True).sort("kind", "source").rows()
    kinds = list(given.result.kinds)
    table = _readable(
        told.select("path", "source", "kind", "predicted_kind", "score")
    ).with_columns(
        pl.Series(f"{name.lower().replace('-', '')}_{axis}", points[:, place])
        for name, points in maps.items()
        for place, axis in enumerate("xy")
    )
    few = "" if len(features) >= FEWEST else " t-SNE needs ten images or more."
    sampled = f" {len(chosen):,} of {len(features):,} images, drawn at random." * (
        len(chosen) < len(features)
    )
    plot = Plot(
        "map",
        "PCA and t-SNE of what the head sees of each image.",
        f"Each image as the head sees it: PCA (its two axes hold {100 * held:.0f} % of the "
        "variance) and t-SNE, which keeps neighbours but no distances between groups."
        f"{few}{sampled}",
        "map.csv",
    )
    part = _plotted(
        given,
        plot,
        partial(figures.draw_points, maps=maps, kinds=frame["kind"].to_list()),
        (5.3 * len(maps), 5.6),
        table,
    )
    data = {
        "maps": {name: np.round(points, 4).ravel().tolist() for name, points in maps.items()},
        "names": [path_text(path.name) for path in paths],
        "paths": [path_text(path) for path in paths],
        "kinds": kinds,
        "kind": [kinds.index(kind) for kind in frame["kind"]],
        "predicted": [kinds.index(kind) for kind in told["predicted_kind"]],
        "p_true": np.round(
            probabilities[np.arange(len(chosen)), given.found.labels[chosen]], 3
        ).tolist(),
        "p_predicted": np.round(probabilities.max(axis=1), 3).tolist(),
        "score": np.round(told["score"].to_numpy(), 3).tolist(),
        "verdict": told["verdict"].to_list(),
        "sources": [f"{kind}/{source}" for kind, source in pairs],
        "source": [pairs.index(pair) for pair in frame.select("kind", "source").rows()],
        "sheets": [f"faces/{name}" for name in sheets],
        "sheet": SHEET,
        "side": _MAP_SIDE,
    }
    return part, data
