"""study: recipes, each trained with several seeds and tested on the test split."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from facecheck.core.errors import FacecheckError
from facecheck.core.files import sha256_file, to_path, write_text
from facecheck.core.manifest import read_manifest
from facecheck.core.parallel import Progress, silent
from facecheck.core.workspace import find_manifest
from facecheck.core.yaml_files import dump_yaml
from facecheck.evaluation.evaluate import EvaluateResult, evaluate
from facecheck.evaluation.options import EvaluateOptions, StudyOptions
from facecheck.evaluation.studies.runs import (
    Run,
    column_shares,
    journal,
    read_runs,
    require_same,
)
from facecheck.evaluation.studies.spec import Study, Variant, column_names, load_study
from facecheck.evaluation.studies.summary import VariantRow, summarise_variant, write_summary
from facecheck.model.backbones import check_arch
from facecheck.model.device import choose_device
from facecheck.training.options import TrainOptions
from facecheck.training.recipe import Recipe
from facecheck.training.result import TrainResult
from facecheck.training.train import train


@dataclass(frozen=True)
class StudyResult:
    """What a study found.

    Attributes:
        out: the folder: ``study.yaml``, ``results.jsonl``, ``table.csv`` and the run folders.
        manifest: what the runs were trained and tested on.
        title: the study's.
        question: the study's.
        axis: the numeric field that the variants differ in, or None.
        variants: one row each, in the study's order.
        runs: every finished run, in the same order.
        trained: how many of them were trained now; the others were found finished.
    """

    out: Path
    manifest: Path
    title: str
    question: str
    axis: str | None
    variants: tuple[VariantRow, ...]
    runs: tuple[Run, ...]
    trained: int


def study(
    spec: Study | Path | str,
    manifest: Path | str | None,
    out: Path | str,
    options: StudyOptions = StudyOptions(),
    *,
    progress: Progress = silent,
    on_run: Callable[[Run], None] = silent,
) -> StudyResult:
    """Train every variant with every seed, test each on the ``test`` split, and compare them.

    Safe to repeat: each run's figures are written as soon as it ends, and a run that is found
    finished (with this recipe, on this manifest) is kept. So an interrupted study resumes, and
    further variants or seeds join it. :func:`facecheck.report.study_page.study_page` makes the
    page of the result.

    Args:
        spec: by :func:`facecheck.evaluation.studies.spec.load_study`.
        manifest: a manifest by ``split``.
        out: the study's folder; new, empty, or this study's own.
        options: on what to train, and whether checkpoints stay.
        progress: called with runs finished and runs in all.
        on_run: called with each run that was trained now.

    Raises:
        UsageError: the manifest is not there, a recipe names an architecture or source that is
            not, or ``out`` holds something else, or a run of another recipe or manifest.
        FacecheckError: a run fails as ``train`` or ``evaluate`` do; the message names it.
    """
    spec = spec if isinstance(spec, Study) else load_study(spec)
    manifest, out = find_manifest(manifest), to_path(out, "out")
    _check(spec, manifest, options.device)
    sha256 = sha256_file(manifest)
    planned = [
        (variant, replace(variant.recipe, seed=seed))
        for variant in spec.variants
        for seed in spec.seeds
    ]
    done = read_runs(out, spec.judge)
    for variant, recipe in planned:
        if run := done.get((variant.name, recipe.seed)):
            require_same(run, recipe, sha256, out)
    with journal(out):  # which makes the folder, and marks it
        write_text(out / "study.yaml", dump_yaml(spec.jsonable()))
    trained = 0
    for number, (variant, recipe) in enumerate(planned):
        progress(number, len(planned))
        if (variant.name, recipe.seed) in done:
            continue
        run = _run(spec, variant, recipe, manifest, out / "runs", sha256, options)
        done[variant.name, recipe.seed] = run
        with journal(out) as results:
            results.append(asdict(run), sync=True)
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
    write_summary(rows, out)
    return StudyResult(
        out=out,
        manifest=manifest,
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
        records.of_sources(column_names(column))


def _run(
    spec: Study,
    variant: Variant,
    recipe: Recipe,
    manifest: Path,
    runs: Path,
    sha256: str,
    options: StudyOptions,
) -> Run:
    """Train and test one run."""
    name = f"{variant.folder}-seed{recipe.seed}"
    if (runs / name).exists():  # it was interrupted
        shutil.rmtree(runs / name)
    start = time.perf_counter()
    try:
        training = TrainOptions(
            name=name, runs=runs, device=options.device, workers=options.workers
        )
        trained = train(manifest, recipe, training)
        seconds = time.perf_counter() - start
        evaluated = evaluate(
            trained.best,
            manifest,
            EvaluateOptions(
                sources=recipe.sources,
                baseline=False,
                device=options.device,
                workers=options.workers or None,
            ),
        )
    except FacecheckError as error:
        raise type(error)(f"run {name}: {error}") from None
    if not options.keep_checkpoints:
        for file in trained.run.glob("*.safetensors"):
            file.unlink()
    return _figures(variant, recipe, trained, evaluated, seconds, sha256, spec.judge)


def _figures(
    variant: Variant,
    recipe: Recipe,
    trained: TrainResult,
    evaluated: EvaluateResult,
    seconds: float,
    sha256: str,
    judge: Iterable[str],
) -> Run:
    overall = evaluated.overall
    best = next(epoch for epoch in trained.epochs if epoch.epoch == trained.best_epoch)
    by_source = {
        f"{kind}/{source}": (part.count, round(part.top1 * part.count))
        for (kind, source), part in evaluated.by_source.items()
    }
    return Run(
        variant=variant.name,
        seed=recipe.seed,
        recipe=recipe.jsonable(),
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
        balanced_accuracy=evaluated.balanced_accuracy.value,
        loss=overall.loss,
        by_kind={kind: part.top1 for kind, part in evaluated.by_kind.items()},
        by_source=by_source,
        judge=column_shares(by_source, judge),
        errors=len(evaluated.errors),
    )
