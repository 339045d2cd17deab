"""The finished runs of a study: the lines of ``results.jsonl``, which its tables are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facecheck.core.errors import UsageError
from facecheck.core.files import path_text
from facecheck.core.journal import Journal
from facecheck.evaluation.studies.spec import column_names
from facecheck.training.recipe import Recipe

#: Marks the folder as a study's own; one line for each finished run.
RESULTS = "results.jsonl"


@dataclass(frozen=True)
class Run:
    """One finished run of a study, a line of ``results.jsonl``. Shares are 0 to 1.

    Attributes:
        variant: which recipe.
        seed: which seed.
        recipe: every field of it.
        manifest_sha256: of the manifest it was trained and tested on.
        device: what it was trained on.
        weights: where the initial weights came from.
        train_images: images trained on.
        seconds: that the training took, with validation.
        best_epoch: the epoch of the checkpoint that was tested.
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


def read_runs(out: Path, judge: Iterable[str]) -> dict[tuple[str, int], Run]:
    """Return the finished runs of the study in ``out`` by variant and seed, if there are any.

    Args:
        out: the study's folder.
        judge: the entries that each run's ``judge`` is to have.

    Raises:
        UsageError: ``out`` is something else, or holds results that cannot be read.
    """
    path = out / RESULTS
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(
                f"{path_text(out)} exists and is no study's folder (it has no {RESULTS}): choose "
                "another --out"
            )
        return {}
    stored = journal(out)
    runs = stored.values()
    if stored.dropped and not runs:
        raise UsageError(
            f"{path_text(path)}: not the results of a study by this version: choose another --out"
        )
    return {
        (run.variant, run.seed): replace(run, judge=column_shares(run.by_source, judge))
        for run in runs
    }


def require_same(run: Run, recipe: Recipe, sha256: str, out: Path) -> None:
    """Refuse a finished run that another recipe or manifest gave.

    Raises:
        UsageError: it did; the message names what differs.
    """
    stored, wanted = dict(run.recipe), recipe.jsonable()
    # A field that came with a later version had its default's effect before.
    stored = {**Recipe().jsonable(), **stored}
    other = [name for name in sorted({*stored, *wanted}) if stored.get(name) != wanted.get(name)]
    if run.manifest_sha256 != sha256:
        other = ["manifest"]
    if other:
        raise UsageError(
            f"{path_text(out / RESULTS)}: run {run.variant} with seed {run.seed} was made with "
            f"another {', '.join(other)}: choose another --out, or remove its line"
        )


def journal(out: Path) -> Journal[Run]:
    """Return the journal of the finished runs of the study in ``out``."""
    return Journal(out / RESULTS, lambda value: Run(**value))


def column_shares(
    by_source: Mapping[str, tuple[int, int]], judge: Iterable[str]
) -> dict[str, float | None]:
    """Return the top-1 of each entry of ``judge``, over all images of its kinds and sources."""
    shares: dict[str, float | None] = {}
    for column in judge:
        wanted = set(column_names(column))
        parts = [
            figures for pair, figures in by_source.items() if wanted & {pair, *pair.split("/", 1)}
        ]
        count = sum(part[0] for part in parts)
        shares[column] = sum(part[1] for part in parts) / count if count else None
    return shares
