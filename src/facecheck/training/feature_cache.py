"""Features of a frozen encoder, computed once for each image and view, and kept on disk.

A folder for each encoder, view and decode policy holds one growing table of two files: ``rows``,
the features as float16, image after image, and ``keys``, the sha256 of each image's file. A row is
written before its key, so that whatever a kill leaves behind the last whole pair is cut off by the
next run, which resumes there. Manifests that share images share their rows.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from facecheck.core.errors import ImageError, TrainingError
from facecheck.core.files import path_text, require_space
from facecheck.core.image import DECODE_POLICY
from facecheck.core.lock import only_one
from facecheck.core.manifest import Manifest
from facecheck.core.parallel import Progress, cpu_count, map_ordered, silent
from facecheck.model.encoder import EncoderFacts
from facecheck.model.metrics import Floats
from facecheck.model.predict import Pixels
from facecheck.model.transforms import Transform, load_resized, to_input
from facecheck.training.augment import augment
from facecheck.training.recipe import Recipe
from facecheck.training.training_data import unreadable

#: The fields of a recipe by which an augmented view is made.
VIEW_FIELDS = (
    *("seed", "crop", "flip", "rotation", "jitter", "grey", "reencode", "reencode_formats"),
    *("reencode_quality", "rescale", "rescale_to", "blur", "blur_sigma"),
)
#: Bytes of one number in the cache.
BYTES = 2


class Frozen(Protocol):
    """What gives features: an :class:`~facecheck.model.encoder.Encoder`, or a frozen network."""

    facts: EncoderFacts
    widths: tuple[int, ...]

    @property
    def sha256(self) -> str:
        """What else is kept of it is of no use if this differs."""

    def features(self, pixels: Pixels) -> tuple[Floats, ...]:
        """Return each set of features of crops, shape (n, width)."""

    def computing(self) -> AbstractContextManager[None]:
        """Return the context within which threads call :meth:`features`."""


@dataclass(frozen=True)
class CachePlan:
    """What a cache lacks, before it is computed.

    Attributes:
        folder: where the features are kept.
        present: views of images that are there.
        missing: views of images to compute.
        bytes: what these will take on disk.
    """

    folder: Path
    present: int
    missing: int
    bytes: int


class FeatureCache:
    """The features of an encoder under a folder.

    Args:
        folder: for all encoders.
        encoder: the frozen encoder or network.
        recipe: how augmented views are made.
        transform: how an image becomes the first view.
    """

    def __init__(self, folder: Path, encoder: Frozen, recipe: Recipe, transform: Transform) -> None:
        self.folder, self.encoder = folder, encoder
        # An augmented view has the encoder's side, whatever side the recipe names for networks.
        self.recipe = replace(recipe, image_size=transform.image_size, train_size=0)
        self.transform = transform
        self.width = sum(encoder.widths)

    def plan(self, parts: Mapping[int, Manifest]) -> CachePlan:
        """Return what there is to compute.

        Args:
            parts: the records that need each view, by the view's number.
        """
        there = missing = 0
        for view, records in parts.items():
            known = self._table(view).known()
            wanted = set(records.frame["sha256"])
            missing += len(wanted - known.keys())
            there += len(wanted & known.keys())
        return CachePlan(self.folder, there, missing, missing * self.width * BYTES)

    def compute(
        self,
        parts: Mapping[int, Manifest],
        *,
        workers: int | None = None,
        progress: Progress = silent,
        on_plan: Callable[[CachePlan], None] = silent,
    ) -> None:
        """Compute what is missing; what has been computed survives any interruption.

        Args:
            parts: as :meth:`plan` takes it.
            workers: cores to compute on; None: all.
            progress: called with views computed and views to compute.
            on_plan: called with the plan before anything is computed.

        Raises:
            FacecheckError: another process computes into the folder, or the disk has no room.
            TrainingError: an image cannot be decoded, or has no finite features.
            CheckpointError: the encoder fails.
        """
        plan = self.plan(parts)
        on_plan(plan)
        if not plan.missing:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        require_space(self.folder, plan.bytes, "the features")
        done = 0
        with only_one(self.folder, "train"), self.encoder.computing():
            for view, records in parts.items():
                table = self._table(view)
                known = table.known()
                missing = {
                    digest: path
                    for digest, path in zip(records.frame["sha256"], records.paths(), strict=True)
                    if digest not in known
                }
                with table.writer() as write:
                    for digest, row in self._rows(missing, view, workers or cpu_count()):
                        write(digest, row)
                        done += 1
                        progress(done, plan.missing)

    def read(self, records: Manifest, views: Sequence[int]) -> list[npt.NDArray[np.float16]]:
        """Return each set of features of some records, shape (n, views, width), float16.

        Raises:
            TrainingError: a view has not been computed.
        """
        digests = records.frame["sha256"].to_list()
        whole = np.empty((len(digests), len(views), self.width), np.float16)
        for place, view in enumerate(views):
            table = self._table(view)
            known = table.known()
            rows = table.rows(len(known))
            try:
                whole[:, place] = rows[[known[digest] for digest in digests]]
            except KeyError:
                raise TrainingError(
                    f"{path_text(table.folder)}: features are missing: another process may have "
                    "removed them: run the command again"
                ) from None
        edges = np.cumsum(self.encoder.widths)[:-1]
        return [np.ascontiguousarray(one) for one in np.split(whole, edges, axis=2)]

    def _table(self, view: int) -> _Table:
        fields = self.recipe.jsonable()
        made = {name: fields[name] for name in VIEW_FIELDS} if view else {}
        facts = [self.encoder.sha256, DECODE_POLICY, self.transform.resize, view, made]
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        return _Table(self.folder / f"{self.encoder.facts.name}-{key}", self.width)

    def _rows(
        self, missing: Mapping[str, Path], view: int, workers: int
    ) -> Iterator[tuple[str, npt.NDArray[np.float16]]]:
        def compute(item: tuple[str, Path]) -> tuple[str, npt.NDArray[np.float16]]:
            digest, path = item
            try:
                pixels = self._view(path, digest, view)
            except ImageError as error:
                raise unreadable(path, error) from None
            with np.errstate(over="ignore"):  # what is too large for 16 bits is refused below
                row = np.concatenate(self.encoder.features(pixels[None]), axis=1)[0]
                row = row.astype(np.float16)
            if not np.isfinite(row).all():
                raise TrainingError(
                    f"{path_text(path)}: the encoder's features are not finite numbers in 16 bits"
                )
            return digest, row

        return map_ordered(compute, missing.items(), workers=workers, ahead=2 * workers)

    def _view(self, path: Path, digest: str, view: int) -> npt.NDArray[np.uint8]:
        """Return a view's pixels, shape (side, side, 3): the same whenever it is made."""
        image = load_resized(path, self.transform)
        if view == 0:
            first: npt.NDArray[np.uint8] = to_input(image, self.transform)[0]
            return first
        rng = np.random.default_rng([self.recipe.seed, view, zlib.crc32(digest.encode())])
        pixels = augment(np.asarray(image), self.recipe, rng)
        found: npt.NDArray[np.uint8] = np.ascontiguousarray(pixels)
        return found


@dataclass(frozen=True)
class _Table:
    """One view's rows and keys."""

    folder: Path
    width: int

    @property
    def _row(self) -> int:
        return self.width * BYTES

    def known(self) -> dict[str, int]:
        """Return the place of each image's row, by its sha256."""
        try:
            keys = (self.folder / "keys").read_text(encoding="ascii")
            whole = min(keys.count("\n"), (self.folder / "rows").stat().st_size // self._row)
        except FileNotFoundError:
            return {}
        return {key: place for place, key in enumerate(keys.split("\n")[:whole])}

    def rows(self, count: int) -> npt.NDArray[np.float16]:
        """Return the first rows, shape (count, width), mapped from the file."""
        if not count:
            return np.empty((0, self.width), np.float16)
        return np.memmap(self.folder / "rows", np.float16, "r", shape=(count, self.width))

    def writer(self) -> _Writer:
        """Return what appends rows, with what a kill left half written cut off."""
        return _Writer(self)


class _Writer:
    """Appends to a table: a row, then its key."""

    def __init__(self, table: _Table) -> None:
        self._table = table

    def __enter__(self) -> Callable[[str, npt.NDArray[np.float16]], None]:
        table = self._table
        table.folder.mkdir(parents=True, exist_ok=True)
        known = list(table.known())
        self._rows = (table.folder / "rows").open("ab")
        self._rows.truncate(len(known) * table.width * BYTES)
        self._keys = (table.folder / "keys").open("a", encoding="ascii")
        self._keys.truncate(sum(len(key) + 1 for key in known))

        def write(digest: str, row: npt.NDArray[np.float16]) -> None:
            self._rows.write(row.tobytes())
            self._rows.flush()
            self._keys.write(f"{digest}\n")
            self._keys.flush()

        return write

    def __exit__(self, *_: object) -> None:
        self._rows.close()
        self._keys.close()
