"""train with an encoder: features from the cache, a head on them, a run folder like any other."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facecheck.core.errors import UsageError
from facecheck.core.files import path_text, sha256_file, write_text
from facecheck.core.journal import write_json_lines
from facecheck.core.labels import Kind
from facecheck.core.parallel import Progress, cpu_count, silent
from facecheck.core.version import VERSION
from facecheck.core.workspace import BEST, LAST, PACKAGED_MODELS, find_encoder, new_run_folder
from facecheck.core.yaml_files import dump_yaml
from facecheck.model.checkpoint import Header
from facecheck.model.encoder import Encoder
from facecheck.model.head import Head
from facecheck.model.head_predictor import encoder_field, save_head
from facecheck.model.metrics import Labels, Summary, summarise
from facecheck.model.transforms import Transform
from facecheck.training.feature_cache import CachePlan, FeatureCache
from facecheck.training.head import FeatureData, FeatureSet, fit_head
from facecheck.training.options import TrainOptions
from facecheck.training.recipe import Recipe
from facecheck.training.result import TrainResult
from facecheck.training.state import Epoch, epoch_row, figures_of
from facecheck.training.training_data import TrainingData, training_data


def train_head(
    manifest: Path,
    recipe: Recipe,
    options: TrainOptions = TrainOptions(),
    *,
    progress: Progress = silent,
    on_epoch: Callable[[Epoch], None] = silent,
    on_plan: Callable[[CachePlan], None] = silent,
) -> TrainResult:
    """Train a head on a frozen encoder's features, on the CPU.

    The features of every image and view are computed once, into ``options.features``, and survive
    any interruption; the training itself takes seconds, so that a run is begun again rather than
    resumed. The last epoch's head is kept: none is chosen by the validation split, which has the
    sources of the training split and so cannot say which head is best on others.

    Args:
        manifest: a manifest by ``split``, of face crops (``facecheck crop``) or such images.
        recipe: how to train; :attr:`~facecheck.training.recipe.Recipe.encoder` is set.
        options: as ``train`` takes them.
        progress: called with views computed and views to compute.
        on_epoch: called with each finished epoch.
        on_plan: called with what the cache lacks, before it is computed.

    Raises:
        UsageError: manifest or encoder is not there, the run is to be resumed, or several processes
            are to train it.
        ManifestError: the manifest cannot be read, or files of it are gone.
        CheckpointError: the encoder cannot be used, or the head cannot be written.
        TrainingError: too little data, a file that turns bad, or a loss that is not finite.
    """
    if options.resume is not None:
        raise UsageError(
            "--resume: a head on an encoder is trained from its cached features in seconds: run "
            f"`facecheck train --recipe {path_text(options.resume / 'recipe.yaml')}`"
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("--encoder: a head is trained by one process: run it without torchrun")
    assert recipe.encoder is not None  # noqa: S101
    data = training_data(manifest, recipe)
    encoder = Encoder(find_encoder(recipe.encoder))
    transform = Transform.for_size(encoder.image_size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    cache = FeatureCache(options.features, encoder, recipe, transform)
    whole, views = data.train.joined(data.val), tuple(range(recipe.views))
    whole = whole.joined(data.test) if options.log_test else whole
    parts = {view: whole if view == 0 else data.train for view in views}
    cache.compute(parts, workers=options.workers, progress=progress, on_plan=on_plan)
    sets = cache.read(data.train, views)
    evaluated = {
        split: (cache.read(records, (0,)), np.array(data.labels(records)))
        for split, records in (("val", data.val), ("test", data.test if options.log_test else None))
        if records is not None and len(records)
    }
    log: list[Epoch] = []
    started = time.perf_counter()

    def end_epoch(number: int, head: Head, loss: float, top1: float) -> None:
        nonlocal started
        seconds = time.perf_counter() - started
        found = {split: _summary(head, *its) for split, its in evaluated.items()}
        images = len(data.train)
        row = epoch_row(number, seconds, images / seconds, recipe.lr, loss, top1, None, found)
        log.append(row)
        on_epoch(log[-1])
        started = time.perf_counter()

    photo = data.kinds.index(Kind.PHOTO)
    head = fit_head(_feature_data(data, sets), len(data.kinds), photo, recipe, end_epoch)
    header = Header(
        arch=encoder.facts.name,
        kinds=data.kinds,
        transform=transform,
        recipe=recipe.jsonable(),
        manifest_sha256=sha256_file(manifest),
        trained_on=data.sources,
        epoch=recipe.epochs,
        metrics=figures_of(log[-1]),
        encoder=encoder_field(encoder, head),
    )

    def fill(folder: Path) -> None:
        _write_run(folder, header, manifest, recipe)
        write_json_lines(folder / "log.jsonl", map(asdict, log))
        for name in (BEST, LAST):
            save_head(head, header, folder / name)
        _bring_encoder(encoder.path, folder)

    run = new_run_folder(options.name or encoder.facts.name, options.runs, fill)
    return TrainResult(
        run=run,
        best=run / BEST,
        last=run / LAST,
        kinds=data.kinds,
        weights=f"{path_text(encoder.path)}, frozen",
        device="cpu, fp32",
        train_images=len(data.train),
        val_images=len(data.val),
        epochs=tuple(log),
        best_epoch=recipe.epochs,
        stopped_early=False,
    )


def _feature_data(data: TrainingData, sets: list[FeatureSet]) -> FeatureData:
    labels = np.array(data.labels(data.train), dtype=np.int64)
    return FeatureData(sets, labels, data.weights, data.groups, data.shares)


def _summary(head: Head, sets: list[FeatureSet], labels: Labels) -> Summary:
    logits, _ = head.answer([one[:, 0] for one in sets])
    return summarise(logits, labels)


def _bring_encoder(encoder: Path, run: Path) -> None:
    """Put the encoder into the run folder, which is then whole, unless the package has it."""
    if (PACKAGED_MODELS / encoder.name).is_file() and encoder.resolve().parent == PACKAGED_MODELS:
        return
    try:
        os.link(encoder.resolve(), run / encoder.name)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(encoder, run / encoder.name)


def _write_run(run: Path, header: Header, manifest: Path, recipe: Recipe) -> None:
    write_text(run / "recipe.yaml", dump_yaml(recipe.jsonable()))
    facts: Mapping[str, Any] = {
        "facecheck": VERSION,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": f"{platform.machine()} {platform.system()}, {cpu_count()} cores",
        "device": "cpu",
        "encoder": header.encoder,
        "kinds": list(header.kinds),
        "manifest": {"path": path_text(manifest), "sha256": header.manifest_sha256},
    }
    write_text(run / "run.json", json.dumps(facts, indent=2) + "\n")
