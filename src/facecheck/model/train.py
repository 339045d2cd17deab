"""train: a manifest and a recipe to a run folder with checkpoints and a log."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import yaml
from torch.nn import functional

import facecheck
from facecheck.core.errors import TrainingError
from facecheck.core.files import path_text, sha256_file, write_text
from facecheck.core.kinds import KINDS, REAL
from facecheck.core.manifest import Manifest, read_manifest
from facecheck.core.parallel import Progress, cpu_count, silent
from facecheck.core.workspace import BEST, LAST, RUNS, new_run_folder
from facecheck.model.backbones import build, check_arch
from facecheck.model.checkpoint import Checkpoint, Header, normalise, save_checkpoint
from facecheck.model.dataset import TrainingImages, epoch_batches, epoch_loader
from facecheck.model.device import choose_device
from facecheck.model.metrics import Summary, summarise
from facecheck.model.predict import Predictor
from facecheck.model.recipe import Recipe
from facecheck.model.transforms import Transform


@dataclass(frozen=True)
class Epoch:
    """One row of the log.

    Attributes:
        epoch: 1 for the first.
        seconds: training and validation together.
        lr: learning rate at the epoch's end.
        train_loss: mean cross-entropy on the augmented training images, while they were learned.
        train_top1: share right among them, 0 to 1.
        train_top5: share whose kind was among the five most probable.
        val_loss: mean cross-entropy on the validation split; None without one.
        val_top1: as ``train_top1``; None without a validation split.
        val_top5: as ``train_top5``; None without a validation split.
    """

    epoch: int
    seconds: float
    lr: float
    train_loss: float
    train_top1: float
    train_top5: float
    val_loss: float | None
    val_top1: float | None
    val_top5: float | None


@dataclass(frozen=True)
class TrainResult:
    """What ``train`` did.

    Attributes:
        run: the run folder: ``recipe.yaml``, ``run.json``, ``log.jsonl`` and the checkpoints.
        best: the checkpoint with the highest validation top-1 (the last, without validation).
        last: the checkpoint after the last epoch.
        kinds: what the model tells apart, in the order of its outputs.
        weights: where the initial weights came from.
        device: what it was trained on.
        train_images: images trained on.
        val_images: images validated on.
        epochs: the log.
        best_epoch: the epoch ``best`` comes from.
    """

    run: Path
    best: Path
    last: Path
    kinds: tuple[str, ...]
    weights: str
    device: str
    train_images: int
    val_images: int
    epochs: tuple[Epoch, ...]
    best_epoch: int


def _ignore_epoch(epoch: Epoch) -> None:
    """Ignore an epoch: the default of ``train``."""


def train(
    manifest: Path,
    recipe: Recipe,
    *,
    name: str | None = None,
    runs: Path = RUNS,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress = silent,
    on_epoch: Callable[[Epoch], None] = _ignore_epoch,
) -> TrainResult:
    """Train a classifier of kinds on a manifest's ``train`` split, judging by its ``val`` split.

    Cross-entropy, Adam, and a one-cycle learning rate. A run never writes to an older run's
    folder: a name that is taken gets a number.

    Args:
        manifest: a manifest by ``split``.
        recipe: how to train.
        name: of the run folder; None takes the architecture's name.
        runs: the folder that run folders are made in.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        workers: decoding processes; None takes one per core, 0 decodes in this process.
        progress: told images trained on in this epoch, and to train on.
        on_epoch: told each finished epoch.

    Raises:
        UsageError: the manifest is not there, or the architecture or device is unknown.
        ManifestError: the manifest cannot be read, or files of it are gone.
        CheckpointError: initial weights cannot be had, or a checkpoint cannot be written.
        TrainingError: too little data, a file that turns bad, or a loss that is not finite.
    """
    check_arch(recipe.arch)
    target = choose_device(device)
    data = read_manifest(manifest).of_sources(recipe.sources)
    training, validation, kinds = _training_data(data, manifest)
    torch.manual_seed(recipe.seed)
    backbone = build(recipe.arch, len(kinds), pretrained=recipe.pretrained, weights=recipe.weights)
    transform = Transform.for_size(recipe.image_size, backbone.mean, backbone.std)
    header = Header(
        recipe.arch,
        kinds,
        transform,
        recipe=recipe.plain(),
        manifest_sha256=sha256_file(manifest),
    )
    loop_workers = cpu_count() if workers is None else workers
    images = TrainingImages(training.paths(), _labels(training, kinds), transform, recipe.seed)
    model = backbone.model.to(target).to(memory_format=torch.channels_last)
    steps_per_epoch = len(epoch_batches(len(images), int(recipe.batch_size), recipe.seed, 0))
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=recipe.lr, total_steps=max(2, recipe.epochs * steps_per_epoch)
    )
    run = new_run_folder(name or recipe.arch, runs)
    _write_run(run, recipe, header, manifest, backbone.weights, target)

    log: list[Epoch] = []
    best_rank: tuple[float, float] | None = None
    best_epoch = 0
    for number in range(1, recipe.epochs + 1):
        start = time.perf_counter()
        model.train()
        batches = epoch_batches(len(images), int(recipe.batch_size), recipe.seed, number)
        loader = epoch_loader(
            images, batches, workers=loop_workers, pin_memory=target.type == "cuda"
        )
        seen = _Tally()
        for step, (pixels, labels) in enumerate(loader, 1):
            inputs = normalise(pixels.to(target, non_blocking=True), transform)
            wanted = labels.to(target, non_blocking=True)
            logits = model(inputs)
            loss = functional.cross_entropy(logits, wanted)
            value = float(loss.detach())
            if not np.isfinite(value):
                raise TrainingError(
                    f"the loss is {value} at epoch {number}, step {step} of {len(batches)}: "
                    f"lower --lr (now {recipe.lr:g}); checkpoints of earlier epochs are in {run}"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            seen.add(logits, wanted)
            progress(seen.count, len(images))
        header = replace(header, epoch=number)
        judged = _validate(Checkpoint(model, header), validation, kinds, target, workers)
        row = _epoch_row(
            number,
            time.perf_counter() - start,
            float(schedule.get_last_lr()[0]),
            seen.summary(),
            judged,
        )
        log.append(row)
        header = replace(header, metrics=_figures(row))
        save_checkpoint(model, header, run / LAST)
        rank = (judged.top1, -judged.loss) if judged else (float(number), 0.0)
        if best_rank is None or rank > best_rank:
            best_rank, best_epoch = rank, number
            save_checkpoint(model, header, run / BEST)
        with (run / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(row)) + "\n")
        on_epoch(row)
    return TrainResult(
        run=run,
        best=run / BEST,
        last=run / LAST,
        kinds=kinds,
        weights=backbone.weights,
        device=str(target),
        train_images=len(training),
        val_images=len(validation),
        epochs=tuple(log),
        best_epoch=best_epoch,
    )


def _training_data(data: Manifest, manifest: Path) -> tuple[Manifest, Manifest, tuple[str, ...]]:
    """Return the train and val records and the kinds, or say what is wrong with them."""
    name = path_text(manifest)
    if not (data.frame["split"] != "").any():
        raise TrainingError(f"{name}: no record has a split: run `facecheck split` first")
    training, validation = data.in_split("train"), data.in_split("val")
    found = set(training.frame["kind"])
    kinds = tuple(kind for kind in KINDS if kind in found)
    if REAL not in found or len(kinds) < 2:
        raise TrainingError(
            f"{name}: the train split holds {', '.join(kinds) or 'nothing'}: a classifier needs "
            f"{REAL} and at least one other kind: index more folders, then split again"
        )
    # A kind that was never learned cannot be validated.
    validation = Manifest(validation.frame.filter(validation.frame["kind"].is_in(kinds)))
    training.require_files(manifest)
    validation.require_files(manifest)
    return training, validation, kinds


def _labels(records: Manifest, kinds: tuple[str, ...]) -> list[int]:
    return [kinds.index(kind) for kind in records.frame["kind"]]


class _Tally:
    """Logits and labels of an epoch, gathered as they come."""

    def __init__(self) -> None:
        self.count = 0
        self._logits: list[torch.Tensor] = []
        self._labels: list[torch.Tensor] = []

    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        self.count += len(labels)
        self._logits.append(logits.detach().float())
        self._labels.append(labels)

    def summary(self) -> Summary:
        logits = torch.cat(self._logits).cpu().numpy().astype(np.float64)
        return summarise(logits, torch.cat(self._labels).cpu().numpy())


def _validate(
    checkpoint: Checkpoint,
    validation: Manifest,
    kinds: tuple[str, ...],
    device: torch.device,
    workers: int | None,
) -> Summary | None:
    if not len(validation):
        return None
    rows = []
    predictor = Predictor(checkpoint, device)
    for prediction in predictor.predict(validation.paths(), workers=workers or cpu_count()):
        if prediction.logits is None:
            raise TrainingError(
                f"{path_text(prediction.path)}: {prediction.message}: mend it, or run `facecheck "
                "index` again"
            )
        rows.append(prediction.logits)
    return summarise(np.stack(rows), np.array(_labels(validation, kinds)))


def _epoch_row(
    number: int, seconds: float, lr: float, trained: Summary, judged: Summary | None
) -> Epoch:
    return Epoch(
        epoch=number,
        seconds=round(seconds, 2),
        lr=lr,
        train_loss=trained.loss,
        train_top1=trained.top1,
        train_top5=trained.top5,
        val_loss=judged.loss if judged else None,
        val_top1=judged.top1 if judged else None,
        val_top5=judged.top5 if judged else None,
    )


def _figures(row: Epoch) -> dict[str, float]:
    return {
        name: value
        for name, value in asdict(row).items()
        if name not in {"epoch", "seconds"} and value is not None
    }


def _write_run(
    run: Path,
    recipe: Recipe,
    header: Header,
    manifest: Path,
    weights: str,
    device: torch.device,
) -> None:
    """Write what is needed to tell, and repeat, how the run was made."""
    write_text(run / "recipe.yaml", yaml.safe_dump(recipe.plain(), sort_keys=False))
    facts: Mapping[str, Any] = {
        "facecheck": facecheck.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "machine": f"{platform.machine()} {platform.system()}, {cpu_count()} cores",
        "device": str(device),
        "weights": weights,
        "kinds": list(header.kinds),
        "manifest": {"path": path_text(manifest), "sha256": header.manifest_sha256},
    }
    write_text(run / "run.json", json.dumps(facts, indent=2) + "\n")
