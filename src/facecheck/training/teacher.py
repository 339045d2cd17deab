"""What a teacher says of the training images, for a smaller network to learn from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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


def teacher_probabilities(
    teacher: Path,
    records: Manifest,
    kinds: tuple[str, ...],
    features: Path,
    *,
    device: torch.device,
    workers: int | None = None,
    progress: Progress = silent,
    on_plan: Callable[[CachePlan], None] = silent,
) -> npt.NDArray[np.float32]:
    """Return a checkpoint's probabilities of ``kinds`` for each record, shape (n, kinds).

    Distillation (Hinton et al. 2015) at the teacher's own temperature, on the images as they are; a
    kind that the teacher does not know has probability 0. A head on an encoder answers from the
    feature cache, which is filled where it lacks something.

    Args:
        teacher: a checkpoint by ``train``.
        records: the training images.
        kinds: of the student.
        features: the folder of the feature cache.
        device: where a whole network computes.
        workers: cores for what the cache lacks.
        progress: called with images done and images in all.
        on_plan: called with what the cache lacks.

    Raises:
        CheckpointError: the teacher cannot be used.
        TrainingError: an image cannot be decoded, or the teacher has no finite answer for it.
    """
    header = read_header(teacher)
    if header.encoder is not None:
        predictor = HeadPredictor(teacher)
        cache = FeatureCache(features, predictor.encoder, Recipe(), header.transform)
        cache.compute({0: records}, workers=workers, progress=progress, on_plan=on_plan)
        sets = [one[:, 0] for one in cache.read(records, (0,))]
        return _for_kinds(predictor.head.answer(sets)[0], header, kinds)
    network = TorchPredictor(load_checkpoint(teacher), device)
    rows = []
    for answer in network.file_outputs(records.paths(), workers=workers):
        if answer.logits is None:
            raise TrainingError(f"{path_text(answer.path)}: {answer.message}")
        rows.append(answer.logits)
        progress(len(rows), len(records))
    return _for_kinds(np.array(rows), header, kinds)


def _for_kinds(logits: Floats, header: Header, kinds: tuple[str, ...]) -> npt.NDArray[np.float32]:
    found = softmax(logits / header.temperature)
    columns = [
        found[:, header.kinds.index(kind)] if kind in header.kinds else np.zeros(len(found))
        for kind in kinds
    ]
    return np.stack(columns, axis=1).astype(np.float32)
