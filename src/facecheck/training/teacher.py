"""What a checkpoint says of images: a teacher of the training images, a model of left-out ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from facecheck.core.errors import TrainingError
from facecheck.core.files import path_text
from facecheck.core.manifest import Manifest
from facecheck.core.parallel import Progress, silent
from facecheck.model.checkpoint import Header, load_checkpoint, read_header
from facecheck.model.head_predictor import HeadPredictor
from facecheck.model.metrics import Floats, softmax
from facecheck.model.torch_predictor import TorchPredictor
from facecheck.training.feature_cache import CachePlan, FeatureCache
from facecheck.training.recipe import Recipe


def checkpoint_logits(
    checkpoint: Path,
    records: Manifest,
    features: Path,
    *,
    device: torch.device,
    workers: int | None = None,
    progress: Progress = silent,
    on_plan: Callable[[CachePlan], None] = silent,
) -> tuple[Header, Floats]:
    """Return a checkpoint's header, and its logits for each record, shape (n, kinds).

    A head on an encoder answers from the feature cache, which is filled where it lacks something.

    Args:
        checkpoint: by ``train``.
        records: the images, each as it is.
        features: the folder of the feature cache.
        device: where a whole network computes.
        workers: cores for what the cache lacks, and for decoding.
        progress: called with images done and images in all.
        on_plan: called with what the cache lacks.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        TrainingError: an image cannot be decoded, or has no finite answer.
    """
    header = read_header(checkpoint)
    if header.encoder is not None:
        predictor = HeadPredictor(checkpoint)
        cache = FeatureCache(features, predictor.encoder, Recipe(), header.transform)
        cache.compute({0: records}, workers=workers, progress=progress, on_plan=on_plan)
        sets = [one[:, 0] for one in cache.read(records, (0,))]
        return header, predictor.head.answer(sets)[0]
    network = TorchPredictor(load_checkpoint(checkpoint), device)
    rows = []
    for answer in network.file_outputs(records.paths(), workers=workers):
        if answer.logits is None:
            raise TrainingError(f"{path_text(answer.path)}: {answer.message}")
        rows.append(answer.logits)
        progress(len(rows), len(records))
    return header, np.array(rows)


def teacher_probabilities(
    teacher: Path, records: Manifest, kinds: tuple[str, ...], features: Path, **how: Any
) -> npt.NDArray[np.float32]:
    """Return a checkpoint's probabilities of ``kinds`` for each record, shape (n, kinds).

    Distillation (Hinton et al. 2015) at the teacher's own temperature, on the images as they are; a
    kind that the teacher does not know has probability 0.

    Args:
        teacher: a checkpoint by ``train``.
        records: the training images.
        kinds: of the student.
        features: as :func:`checkpoint_logits` takes it, like what else there is; raises likewise.
    """
    header, logits = checkpoint_logits(teacher, records, features, **how)
    found = softmax(logits / header.temperature)
    columns = [
        found[:, header.kinds.index(kind)] if kind in header.kinds else np.zeros(len(found))
        for kind in kinds
    ]
    return np.stack(columns, axis=1).astype(np.float32)
