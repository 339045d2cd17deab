"""train of a head alone: features from the cache, a head on them, a run folder like any other.

What is frozen under it is an encoder's file (``--encoder``) or a timm network (``--freeze``).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
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
from facecheck.model.checkpoint import Header, save_checkpoint
from facecheck.model.device import choose_device
from facecheck.model.encoder import Encoder
from facecheck.model.head import Head
from facecheck.model.head_predictor import encoder_field, save_head
from facecheck.model.metrics import Labels, Summary, summarise
from facecheck.training.feature_cache import CachePlan, FeatureCache
from facecheck.training.frozen import FrozenNetwork
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
    """Train a head on the features of a frozen encoder or network.

    The features of every image and view are computed once, into ``options.features``, and survive
    any interruption; the training itself takes seconds, on the CPU, so that a run is begun again
    rather than resumed. The last epoch's head is kept: none is chosen by the validation split,
    which has the sources of the training split and so cannot say which head is best on others.

    Args:
        manifest: a manifest by ``split``, of face crops (``facecheck crop``) or such images.
        recipe: how to train; its :attr:`~facecheck.training.recipe.Recipe.encoder` or
            :attr:`~facecheck.training.recipe.Recipe.freeze` is set.
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
            "--resume: a head is trained from cached features in seconds: run "
            f"`facecheck train --recipe {path_text(options.resume / 'recipe.yaml')}`"
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("a head alone is trained by one process: run it without torchrun")
    data = training_data(manifest, recipe)
    frozen: Encoder | FrozenNetwork
    if recipe.encoder is not None:
        frozen = Encoder(find_encoder(recipe.encoder))
    else:
        frozen = FrozenNetwork(recipe, data.kinds, choose_device(options.device))
        if frozen.is_whole:
            recipe = replace(recipe, hidden=0, set_share=())  # a network's last layer is linear
    cache = FeatureCache(options.features, frozen, recipe, frozen.transform)
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
        arch=frozen.facts.name,
        kinds=data.kinds,
        transform=frozen.transform,
        recipe=recipe.jsonable(),
        manifest_sha256=sha256_file(manifest),
        trained_on=data.sources,
        epoch=recipe.epochs,
        metrics=figures_of(log[-1]),
    )

    def fill(folder: Path) -> None:
        write_json_lines(folder / "log.jsonl", map(asdict, log))
        encoder = _encoder_in(folder, frozen)
        whole = replace(header, encoder=None if encoder is None else encoder_field(encoder, head))
        for name in (BEST, LAST):
            if encoder is not None:
                save_head(head, whole, folder / name)
            elif isinstance(frozen, FrozenNetwork):
                save_checkpoint(frozen.with_head(head), whole, folder / name)
        _write_run(folder, whole, manifest, recipe)

    run = new_run_folder(options.name or frozen.facts.name, options.runs, fill)
    return TrainResult(
        run=run,
        best=run / BEST,
        last=run / LAST,
        kinds=data.kinds,
        weights=f"{frozen.weights}, frozen",
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


def _encoder_in(run: Path, frozen: Encoder | FrozenNetwork) -> Encoder | None:
    """Put the encoder into the run folder, which is then whole, unless the package has it.

    Returns:
        the encoder; None for a network, of which the head becomes a part.
    """
    if isinstance(frozen, FrozenNetwork):
        if frozen.is_whole:
            return None
        file = run / f"{frozen.facts.name}.onnx"
        frozen.write_encoder(file)
        return Encoder(file)
    path = frozen.path
    if (PACKAGED_MODELS / path.name).is_file() and path.resolve().parent == PACKAGED_MODELS:
        return frozen
    try:
        os.link(path.resolve(), run / path.name)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(path, run / path.name)
    return frozen


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
