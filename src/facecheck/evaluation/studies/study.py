"""study: recipes, each trained with several seeds and judged on the test split, to one table."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import path_text, sha256_file, write_text
from facecheck.core.manifest import read_manifest
from facecheck.core.parallel import Progress, silent
from facecheck.evaluation.evaluate import EvaluateResult, evaluate
from facecheck.evaluation.studies.spec import Study, Variant, judged_names
from facecheck.evaluation.studies.tables import (
    VariantRow,
    study_readme,
    summarise_variant,
    write_tables,
)
from facecheck.model.backbones import check_arch
from facecheck.model.device import choose_device
from facecheck.training.recipe import Recipe
from facecheck.training.train import TrainResult, train

#: Marks the folder as a study's own; one line for each finished run.
RESULTS = "results.jsonl"
PLOT = "plot.png"


@dataclass(frozen=True)
class Run:
    """One finished run of a study, a line of ``results.jsonl``. Shares are 0 to 1.

    Attributes:
        variant: which recipe.
        seed: which seed.
        recipe: every field of it.
        manifest_sha256: of the manifest it was trained and judged on.
        device: what it was trained on.
        weights: where the initial weights came from.
        train_images: images trained on.
        seconds: that the training took, with validation.
        best_epoch: the epoch of the checkpoint that was judged.
        val_top1: of that epoch; None without a validation split.
        count: test images.
        right: how many of them are right.
        top1: share right.
        top5: share whose kind was among the five most probable.
        balanced_accuracy: mean of the kinds' top-1.
        loss: mean cross-entropy in nats.
        by_kind: top-1 of each kind.
        by_source: images and how many are right, of each ``kind/source``.
        judge: top-1 of each entry of the study's ``judge``; None where it has no such images.
        errors: test files that could not be decoded; they count nowhere above.
    """

    variant: str
    seed: int
    recipe: Mapping[str, Any]
    manifest_sha256: str
    device: str
    weights: str
    train_images: int
    seconds: float
    best_epoch: int
    val_top1: float | None
    count: int
    right: int
    top1: float
    top5: float
    balanced_accuracy: float | None
    loss: float
    by_kind: Mapping[str, float]
    by_source: Mapping[str, tuple[int, int]]
    judge: Mapping[str, float | None]
    errors: int


@dataclass(frozen=True)
class StudyResult:
    """What a study found.

    Attributes:
        out: the folder: ``study.yaml``, ``results.jsonl``, ``table.csv``, ``table.md``,
            ``README.md`` and the run folders.
        title: the study's.
        question: the study's.
        axis: the numeric field that the variants differ in, or None.
        variants: one row each, in the study's order.
        runs: every finished run, in the same order.
        trained: how many of them were trained now; the others were found finished.
    """

    out: Path
    title: str
    question: str
    axis: str | None
    variants: tuple[VariantRow, ...]
    runs: tuple[Run, ...]
    trained: int


def _ignore_run(run: Run) -> None:
    """Ignore a run: the default of ``study``."""


def study(
    spec: Study,
    manifest: Path,
    out: Path,
    *,
    keep_checkpoints: bool = False,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress = silent,
    on_run: Callable[[Run], None] = _ignore_run,
) -> StudyResult:
    """Train every variant with every seed, judge each on the ``test`` split, and write tables.

    Safe to repeat: each run's figures are written as soon as it ends, and a run that is found
    finished (with this recipe, on this manifest) is kept. So an interrupted study goes on where it
    was, and further variants or seeds join it. ``README.md`` shows ``plot.png``, which is the
    caller's to draw (:func:`facecheck.report.plots.plot_study`).

    Args:
        spec: by :func:`facecheck.evaluation.studies.spec.load_study`.
        manifest: a manifest by ``split``.
        out: the study's folder; new, empty, or this study's own.
        keep_checkpoints: keep each run's checkpoints; otherwise they go once it has been judged.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        workers: decoding processes of the training; None takes one per core, 0 none.
        progress: told runs finished and runs in all.
        on_run: told each run that was trained now.

    Raises:
        UsageError: the manifest is not there, a recipe names an architecture or source that is
            not, or ``out`` holds something else, or a run of another recipe or manifest.
        FacecheckError: a run fails as ``train`` or ``evaluate`` do; the message names it.
    """
    _check(spec, manifest, device)
    sha256 = sha256_file(manifest)
    planned = [
        (variant, replace(variant.recipe, seed=seed))
        for variant in spec.variants
        for seed in spec.seeds
    ]
    done = _finished(out, spec.judge)
    for variant, recipe in planned:
        if run := done.get((variant.name, recipe.seed)):
            _require_same(run, recipe, sha256, out)
    out.mkdir(parents=True, exist_ok=True)
    _write_runs(out, done.values())
    write_text(out / "study.yaml", yaml.safe_dump(spec.plain(), sort_keys=False))
    trained = 0
    for number, (variant, recipe) in enumerate(planned):
        progress(number, len(planned))
        if (variant.name, recipe.seed) in done:
            continue
        run = _run(
            spec, variant, recipe, manifest, out / "runs", sha256, keep_checkpoints, device, workers
        )
        done[variant.name, recipe.seed] = run
        _write_runs(out, done.values())
        trained += 1
        on_run(run)
    progress(len(planned), len(planned))
    runs = [done[variant.name, recipe.seed] for variant, recipe in planned]
    rows = [
        summarise_variant(
            variant,
            [run for run in runs if run.variant == variant.name],
            spec.paper.get(variant.name),
        )
        for variant in spec.variants
    ]
    write_tables(rows, out)
    write_text(out / "README.md", study_readme(spec, rows, manifest, sha256, out, PLOT))
    return StudyResult(
        out=out,
        title=spec.title,
        question=spec.question,
        axis=spec.axis,
        variants=tuple(rows),
        runs=tuple(runs),
        trained=trained,
    )


def _check(spec: Study, manifest: Path, device: str) -> None:
    """Find what would stop a later run before the first one starts."""
    choose_device(device)
    records = read_manifest(manifest)
    for variant in spec.variants:
        check_arch(variant.recipe.arch)
        records.of_sources(variant.recipe.sources)
    for column in spec.judge:
        records.of_sources(judged_names(column))


def _finished(out: Path, judge: Iterable[str]) -> dict[tuple[str, int], Run]:
    """Return the finished runs of the study in ``out``, if there is one."""
    path = out / RESULTS
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(
                f"{path_text(out)} exists and is no study's folder (it has no {RESULTS}): choose "
                "another --out"
            )
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        runs = [Run(**json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError):
        raise UsageError(
            f"{path_text(path)}: not the results of a study by this version: choose another --out"
        ) from None
    return {
        (run.variant, run.seed): replace(run, judge=_judged(run.by_source, judge)) for run in runs
    }


def _require_same(run: Run, recipe: Recipe, sha256: str, out: Path) -> None:
    stored, wanted = dict(run.recipe), recipe.plain()
    # A field that came with a later version had its default's effect before.
    stored = {**Recipe().plain(), **stored}
    other = [name for name in sorted({*stored, *wanted}) if stored.get(name) != wanted.get(name)]
    if run.manifest_sha256 != sha256:
        other = ["manifest"]
    if other:
        raise UsageError(
            f"{path_text(out / RESULTS)}: run {run.variant} with seed {run.seed} was made with "
            f"another {', '.join(other)}: choose another --out, or remove its line"
        )


def _write_runs(out: Path, runs: Iterable[Run]) -> None:
    # The whole small file anew, so that an interruption never leaves half a line.
    write_text(out / RESULTS, "".join(json.dumps(asdict(run)) + "\n" for run in runs))


def _run(
    spec: Study,
    variant: Variant,
    recipe: Recipe,
    manifest: Path,
    runs: Path,
    sha256: str,
    keep_checkpoints: bool,
    device: str,
    workers: int | None,
) -> Run:
    """Train and judge one run."""
    name = f"{variant.folder}-seed{recipe.seed}"
    if (runs / name).exists():  # it was interrupted
        shutil.rmtree(runs / name)
    start = time.perf_counter()
    try:
        trained = train(manifest, recipe, name=name, runs=runs, device=device, workers=workers)
        seconds = time.perf_counter() - start
        judged = evaluate(
            trained.best,
            manifest,
            sources=recipe.sources,
            baseline=False,
            device=device,
            workers=workers or None,
        )
    except FacecheckError as error:
        error.args = (f"run {name}: {error}",)
        raise
    if not keep_checkpoints:
        for file in trained.run.glob("*.safetensors"):
            file.unlink()
    return _figures(variant, recipe, trained, judged, seconds, sha256, spec.judge)


def _figures(
    variant: Variant,
    recipe: Recipe,
    trained: TrainResult,
    judged: EvaluateResult,
    seconds: float,
    sha256: str,
    judge: Iterable[str],
) -> Run:
    overall = judged.overall
    best = next(epoch for epoch in trained.epochs if epoch.epoch == trained.best_epoch)
    by_source = {
        f"{kind}/{source}": (part.count, round(part.top1 * part.count))
        for (kind, source), part in judged.by_source.items()
    }
    return Run(
        variant=variant.name,
        seed=recipe.seed,
        recipe=recipe.plain(),
        manifest_sha256=sha256,
        device=trained.device,
        weights=trained.weights,
        train_images=trained.train_images,
        seconds=round(seconds, 2),
        best_epoch=trained.best_epoch,
        val_top1=best.val_top1,
        count=overall.count,
        right=round(overall.top1 * overall.count),
        top1=overall.top1,
        top5=overall.top5,
        balanced_accuracy=judged.balanced_accuracy.value,
        loss=overall.loss,
        by_kind={kind: part.top1 for kind, part in judged.by_kind.items()},
        by_source=by_source,
        judge=_judged(by_source, judge),
        errors=len(judged.errors),
    )


def _judged(
    by_source: Mapping[str, tuple[int, int]], judge: Iterable[str]
) -> dict[str, float | None]:
    """Return the top-1 of each entry of ``judge``, over all images of its kinds and sources."""
    shares: dict[str, float | None] = {}
    for column in judge:
        wanted = set(judged_names(column))
        parts = [
            figures for pair, figures in by_source.items() if wanted & {pair, *pair.split("/", 1)}
        ]
        count = sum(part[0] for part in parts)
        shares[column] = sum(part[1] for part in parts) / count if count else None
    return shares
