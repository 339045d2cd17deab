"""calibrate: fit temperature, thresholds and an out-of-distribution detector on a val split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import beta

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import path_text, refuse_to_overwrite, sha256_file
from facecheck.core.labels import Kind, Verdict
from facecheck.core.parallel import Progress, silent
from facecheck.core.workspace import builtin_name, find_checkpoint, find_manifest
from facecheck.engines.load import load_predictor
from facecheck.evaluation.options import CalibrateOptions
from facecheck.evaluation.strangers import limited, stranger_scores
from facecheck.model.checkpoint import Header
from facecheck.model.metrics import Floats, Labels, calibration_error, softmax, summarise
from facecheck.model.ood import fit_ood_detector
from facecheck.model.outputs import SplitOutputs, predict_split
from facecheck.model.several_faces import SEVERAL_FACES, file_threshold, fit_tail

#: Budgets that a scan can choose among, where there are images enough to prove them.
BUDGETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
#: Where the temperature is looked for.
_TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True)
class ErrorRate:
    """How often one side gets the verdict of the other, on the images calibrated on.

    Attributes:
        images: of that side.
        wrong: those with the verdict of the other side.
        bound: one-sided 95 % upper bound of the rate (Clopper & Pearson 1934), 0 to 1.
        uncertain: those without a verdict either way.
    """

    images: int
    wrong: int
    bound: float
    uncertain: int


@dataclass(frozen=True)
class CalibrateResult:
    """What ``calibrate`` found.

    Attributes:
        checkpoint: the file that was calibrated.
        out: where the calibrated checkpoint is.
        manifest: the manifest whose val split was read.
        budget: the allowed error rate for real and for artificial images, above 0 to below 0.5.
        images: images calibrated on.
        temperature: what logits are divided by.
        loss_before: mean cross-entropy in nats at temperature 1.
        loss: the same at ``temperature``.
        ece_before: expected calibration error of the most probable kind at temperature 1, 0 to 1.
        ece: the same at ``temperature``.
        thresholds: a score up to the first is real, from the second on artificial.
        artificial_from_by_faces: from which score a file is artificial, by the number of its faces;
            None with too few real images to know.
        real: real images called artificial.
        artificial: artificial images called real.
        guard: the OOD detector's limit: the largest distance from a kind's centre that is not yet
            uncertain; None without a detector.
        guarded: images of the val split beyond that limit.
        errors: (path, reason) of files that could not be read; they count nowhere above.
    """

    checkpoint: Path
    out: Path
    manifest: Path
    budget: float
    images: int
    temperature: float
    loss_before: float
    loss: float
    ece_before: float
    ece: float
    thresholds: tuple[float, float]
    artificial_from_by_faces: Mapping[str, float] | None
    real: ErrorRate
    artificial: ErrorRate
    guard: float | None
    guarded: int
    errors: tuple[tuple[str, str], ...]


def calibrate(
    checkpoint: Path | str | None = None,
    manifest: Path | str | None = None,
    options: CalibrateOptions = CalibrateOptions(),
    *,
    progress: Progress = silent,
) -> CalibrateResult:
    """Fit a checkpoint's temperature, thresholds and OOD detector on ``val``, and store them.

    The weights stay as they are, and an earlier calibration is replaced, so that calibrating twice
    gives the same file. With ``options.left_out`` the thresholds hold for images of sources that
    the model never saw (:mod:`~facecheck.evaluation.strangers`); temperature and detector are those
    of ``val``.

    Args:
        checkpoint: a checkpoint by ``train``, or an export of one.
        manifest: a manifest by ``split``.
        options: the error budget, how much counts as familiar, and where the result goes.
        progress: called with images done and images in all.

    Raises:
        UsageError: a file is not there, or ``out`` exists or is the built-in model.
        CheckpointError: the checkpoint cannot be used or written; for an export, the extra
            that writes it is missing.
        ManifestError: the manifest cannot be read.
        FacecheckError: the val split lacks real or artificial images, or holds a kind the
            checkpoint does not know.
    """
    checkpoint, manifest = find_checkpoint(checkpoint), find_manifest(manifest)
    out, budget = options.out, options.budget
    if out is not None and out != checkpoint:
        refuse_to_overwrite(out, overwrite=options.overwrite)
    if builtin_name(out or checkpoint):
        raise UsageError(
            "the package's own model stays as it is: name a file for yours with --out, such as "
            f"calibrated{checkpoint.suffix}"
        )
    if out is not None and out.suffix.lower() != checkpoint.suffix.lower():
        raise UsageError(f"{path_text(out)}: must end in {checkpoint.suffix}, as the checkpoint")
    predictor = load_predictor(checkpoint, options.device, features=True)
    found = predict_split(
        *(predictor, checkpoint, manifest, "val", ()),
        batch_size=options.batch_size,
        workers=options.workers,
        progress=progress,
    )
    artificial = found.labels != predictor.header.kinds.index(Kind.PHOTO)
    if artificial.all() or not artificial.any():
        raise FacecheckError(
            f"{path_text(manifest)}: its val split holds {'no ' if artificial.all() else 'only '}"
            f"{Kind.PHOTO}: calibration needs real and artificial images: run `facecheck split` "
            "again"
        )
    header = fitted_header(predictor.header, found, budget, options.guard)
    sides = _scores(header, found)
    if options.left_out is not None:
        sides = stranger_scores(options.left_out, header.temperature)
        thresholds = limited(choose_thresholds(*sides, budget), sides[0], budget, options.uncertain)
        header = replace(header, thresholds=thresholds)
    header = replace(
        header,
        calibration={
            "manifest_sha256": sha256_file(manifest),
            "budget": budget,
            "budgets": _by_budget(sides, budget, options),
            **_several_faces(sides[0]),
            **({} if options.left_out is None else {"left_out": sha256_file(options.left_out)}),
            "real": int((~artificial).sum()),
            "artificial": int(artificial.sum()),
        },
    )
    target = out or checkpoint
    predictor.save(header, target)
    return _result(checkpoint, target, manifest, budget, header, found)


def fitted_header(
    header: Header,
    found: SplitOutputs,
    budget: float = CalibrateOptions.budget,
    guard: float = CalibrateOptions.guard,
) -> Header:
    """Return a header with the temperature, thresholds and OOD detector that fit these outputs.

    Args:
        header: of the checkpoint that gave them.
        found: outputs for real and artificial images.
        budget: as ``calibrate`` takes it, like ``guard``.
    """
    temperature = fit_temperature(found.logits, found.labels)
    fitted = replace(header, temperature=temperature)
    return replace(
        fitted,
        thresholds=choose_thresholds(*_scores(fitted, found), budget),
        guard=None
        if guard == 100 or found.features is None
        else fit_ood_detector(found.features, found.labels, guard),
    )


def _by_budget(
    sides: tuple[Floats, Floats], budget: float, options: CalibrateOptions
) -> dict[str, Any]:
    """Return the thresholds for each budget that the images can prove, and for ``budget``."""
    provable = [one for one in BUDGETS if min(map(len, sides)) >= 1 / one - 1]
    found = {one: choose_thresholds(*sides, one) for one in sorted({*provable, budget})}
    if options.left_out is not None:
        most = options.uncertain
        found = {one: limited(pair, sides[0], one, most) for one, pair in found.items()}
    return {f"{one:g}": pair for one, pair in found.items()}


def _several_faces(real: Floats) -> dict[str, Any]:
    """Return what thresholds for files of several faces are made from, if that can be known."""
    tail = fit_tail(real)
    return {} if tail is None else {SEVERAL_FACES: asdict(tail)}


def _scores(header: Header, found: SplitOutputs) -> tuple[Floats, Floats]:
    """Return the scores of real, and of artificial images."""
    real = header.kinds.index(Kind.PHOTO)
    scores = 1 - softmax(found.logits / header.temperature)[:, real]
    return scores[found.labels == real], scores[found.labels != real]


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """Return the temperature, 0.05 to 20, that makes probabilities fit best.

    Minimises the cross-entropy (Guo et al. 2017) against labels that leave 1 / (n + 2) to the other
    kinds (Platt 1999), so that a few images that are all right do not make certainty.

    Args:
        logits: shape (n, kinds), n of 1 or more.
        labels: shape (n,).
    """
    count, kinds = logits.shape
    left = 1 / (count + 2)
    wanted = np.full((count, kinds), left / (kinds - 1))
    wanted[np.arange(count), labels] = 1 - left

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        shifted = scaled - scaled.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return float((wanted * (log_sum - shifted)).sum(axis=1).mean())

    low, high = map(math.log, _TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return round(math.exp(found.x), 6)


def choose_thresholds(real: Floats, artificial: Floats, budget: float) -> tuple[float, float]:
    """Return the thresholds between which a score is uncertain, for an error budget.

    Of n real, or n artificial, images as many may be wrong as a split conformal set allows,
    floor(budget (n + 1)) - 1 (Vovk et al. 2005): then the expected rate among new images of the
    same sources is within the budget, not only the rate seen. With fewer than 2 / budget - 1
    images none may be wrong; below 1 / budget - 1 that is no proof, and the bound that
    ``calibrate`` returns says so. Where the thresholds would cross they meet, as near to 0.5 as
    both budgets allow, and nothing is uncertain.

    Args:
        real: scores of real images, shape (n,), 0 to 1, n of 1 or more.
        artificial: scores of artificial images, likewise.
        budget: the share of real, and of artificial, images; above 0 and below 0.5.
    """
    high = _beyond(real, artificial, budget)
    low = 1 - _beyond(1 - artificial, 1 - real, budget)
    if high <= low:
        low = high = min(max(0.5, high), low)
    return low, high


def _beyond(scores: Floats, others: Floats, budget: float) -> float:
    """Return the least threshold that only so many scores reach.

    It lies in the middle between the last score that must not reach it and the next one there is.
    """
    allowed = max(0, math.floor(budget * (len(scores) + 1) + 1e-9) - 1)
    last = np.sort(scores)[::-1][allowed]
    above = np.concatenate([scores, others])
    above = above[above > last]
    return float((last + (above.min() if len(above) else 1.0)) / 2)


def _result(
    checkpoint: Path,
    out: Path,
    manifest: Path,
    budget: float,
    header: Header,
    found: SplitOutputs,
) -> CalibrateResult:
    verdicts = np.array([answer.verdict for answer in found.predictions(header)])
    real = found.labels == header.kinds.index(Kind.PHOTO)
    scaled = found.logits / header.temperature
    guard, features = header.guard, found.features
    refused = [] if guard is None or features is None else map(guard.is_ood, features)
    return CalibrateResult(
        checkpoint=checkpoint,
        out=out,
        manifest=manifest,
        budget=budget,
        images=len(found.labels),
        temperature=header.temperature,
        loss_before=summarise(found.logits, found.labels).loss,
        loss=summarise(scaled, found.labels).loss,
        ece_before=_ece(found.logits, found.labels),
        ece=_ece(scaled, found.labels),
        thresholds=header.thresholds,
        artificial_from_by_faces=file_threshold(header).table(),
        real=_rate(verdicts[real], Verdict.ARTIFICIAL),
        artificial=_rate(verdicts[~real], Verdict.REAL),
        guard=None if guard is None else guard.limit,
        guarded=sum(refused),
        errors=found.errors,
    )


def _ece(logits: Floats, labels: Labels) -> float:
    right = (logits.argmax(axis=1) == labels).astype(np.float64)
    return calibration_error(softmax(logits).max(axis=1), right)


def _rate(verdicts: np.ndarray[tuple[int, ...], np.dtype[np.str_]], wrong: str) -> ErrorRate:
    count, bad = len(verdicts), int((verdicts == wrong).sum())
    bound = 1.0 if bad == count else float(beta.ppf(0.95, bad + 1, count - bad))
    return ErrorRate(count, bad, bound, int((verdicts == Verdict.UNCERTAIN).sum()))
