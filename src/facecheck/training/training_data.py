"""What a recipe takes from a manifest: the records to train on and to validate on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from facecheck.core.errors import TrainingError
from facecheck.core.files import path_text
from facecheck.core.labels import KINDS, Kind
from facecheck.core.manifest import Manifest, read_split_manifest
from facecheck.training.recipe import Recipe

#: Fewer images of a kind than this teach nothing, and one alone is not even a contrast.
FEWEST = 2


@dataclass(frozen=True)
class TrainingData:
    """Records by their part in a training.

    Attributes:
        train: to learn from.
        val: to choose by; may be empty.
        test: evaluated after each epoch, where asked; may be empty.
        kinds: what there is to distinguish, in the order of the model's outputs.
        weights: of each ``train`` record in the loss, shape (n,).
        groups: of each ``train`` record, by what the recipe balances, shape (n,), numbered from 0;
            None if it does not.
        shares: how often each group is drawn compared with the others, shape (groups,); None
            likewise.
    """

    train: Manifest
    val: Manifest
    test: Manifest
    kinds: tuple[str, ...]
    weights: npt.NDArray[np.float32]
    groups: npt.NDArray[np.int64] | None
    shares: npt.NDArray[np.float64] | None

    @property
    def sources(self) -> dict[str, dict[str, int]]:
        """Images of ``train`` by source, by kind, both in order."""
        counts = self.train.frame.group_by("kind", "source").len().sort("source").rows()
        return {
            kind: {source: count for own, source, count in counts if own == kind}
            for kind in self.kinds
        }

    def labels(self, records: Manifest) -> list[int]:
        """Return the index in ``kinds`` of each record's kind."""
        return [self.kinds.index(kind) for kind in records.frame["kind"]]


def training_data(manifest: Path, recipe: Recipe) -> TrainingData:
    """Read a manifest and take from it what the recipe asks for.

    Raises:
        UsageError: the manifest is not there, or the recipe names a source it has not.
        ManifestError: it cannot be read, or files of it are gone.
        TrainingError: it has no splits, or too little to learn from.
    """
    name = path_text(manifest)
    data = read_split_manifest(manifest)
    weights_of, shares_of = (
        _by_source(data, values) for values in (recipe.source_weight, recipe.source_share)
    )
    data = data.of_sources(recipe.sources)
    train = _fraction(data.in_split("train"), recipe)
    counts = train.frame["kind"].value_counts().sort("kind")
    found = dict(counts.iter_rows())
    kinds = tuple(kind for kind in KINDS if kind in found)
    if Kind.PHOTO not in found or len(kinds) < 2:
        raise TrainingError(
            f"{name}: the train split holds {', '.join(kinds) or 'nothing'}: a classifier needs "
            f"{Kind.PHOTO} and at least one other kind: index more folders, then split again"
        )
    few = [kind for kind in kinds if found[kind] < FEWEST]
    if few:
        raise TrainingError(
            f"{name}: the train split holds one image of {few[0]}: add more, or leave the kind out "
            "with --sources, naming the others"
        )
    # A kind that was never learned cannot be predicted.
    known = pl.col("kind").is_in(kinds)
    val, test = (data.in_split(split).where(known) for split in ("val", "test"))
    for records in (train, val):
        records.require_files(manifest)
    pairs = train.frame.select(pl.concat_str("kind", pl.lit("/"), "source")).to_series()
    weights = [weights_of.get(pair, 1.0) for pair in pairs]
    groups, shares = _groups(train, pairs, recipe, shares_of)
    return TrainingData(
        train=train,
        val=val,
        test=test,
        kinds=kinds,
        weights=np.asarray(weights, dtype=np.float32),
        groups=groups,
        shares=shares,
    )


def _by_source(data: Manifest, values: Mapping[str, float]) -> dict[str, float]:
    """Return the value of each ``kind/source`` that the recipe names, by any of its names."""
    found = {}
    for name, value in values.items():
        for kind, source in data.of_sources([name]).frame.select("kind", "source").unique().rows():
            found[f"{kind}/{source}"] = value
    return found


def _fraction(train: Manifest, recipe: Recipe) -> Manifest:
    """Return the recipe's share of each source; a smaller share is part of every larger one."""
    if recipe.fraction == 1:
        return train
    frame = train.frame.with_columns(
        pl.Series(
            "lot",
            [
                hashlib.sha256(f"{recipe.seed} {digest or path}".encode()).hexdigest()
                for digest, path in train.frame.select("sha256", "path").iter_rows()
            ],
            pl.String,
        )
    )
    place = pl.col("lot").rank("ordinal").over("kind", "source")
    size = pl.len().over("kind", "source")
    return Manifest(frame.filter(place <= (size * recipe.fraction).ceil()).drop("lot"))


def _groups(
    train: Manifest, pairs: pl.Series, recipe: Recipe, shares_of: Mapping[str, float]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]] | tuple[None, None]:
    if recipe.balance == "none":
        return None, None
    balanced = train.frame["kind"] if recipe.balance == "kind" else pairs
    names, groups = np.unique(balanced.to_numpy(), return_inverse=True)
    return groups.astype(np.int64), np.array([shares_of.get(name, 1.0) for name in names])


def unreadable(path: Path, reason: object) -> TrainingError:
    """Return the error of an image that cannot be trained on."""
    return TrainingError(
        f"{path_text(path)}: {reason}: fix it, or run `facecheck index` again without it"
    )
