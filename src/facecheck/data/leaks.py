"""leaks: the proof that no group and no confirmed duplicate crosses a split, for any data set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from facecheck.core.errors import UsageError
from facecheck.core.files import path_text
from facecheck.core.labels import Kind
from facecheck.core.manifest import SPLIT_NAMES, SPLITS, base_of, read_manifest
from facecheck.core.parallel import Progress, silent
from facecheck.core.scratch import scratch_folder
from facecheck.core.table_paths import absolute_paths
from facecheck.core.tables import read_table
from facecheck.core.text import some_of
from facecheck.core.whatis import mistaken, what_is
from facecheck.data.duplicates.dedup import dedup
from facecheck.data.duplicates.groups import KEYS, duplicates_of
from facecheck.data.index import index
from facecheck.data.options import DedupOptions, IndexOptions

#: Why records of equal values in a column must not cross, the surest reason first.
_WHY = {"sha256": "same bytes", "pixel_hash": "same pixels", "group": "same group"}

#: What the search for near duplicates rests on where there was none.
NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Leak:
    """A record that belongs with another one in a different part.

    Attributes:
        path: the record to move or leave out.
        part: where it is.
        other: the record it belongs with, in the part that comes first.
        other_part: where that is.
        why: ``same bytes``, ``same pixels``, ``same group``, ``same <column>``, or the reason in
            the duplicates table.
    """

    path: str
    part: str
    other: str
    other_part: str
    why: str


@dataclass(frozen=True)
class Proof:
    """Whether a split leaks, recomputed from the records.

    Attributes:
        column: the column that was checked, ``split`` or ``fold``.
        records: records that have a part and are not excluded.
        checked: for each reason, how many sets of two or more records were compared.
        unhashed: records that have neither sha256 nor pixel hash: whether one of them is the same
            file or picture as another could not be checked.
        leaks: every record found on the wrong side, each once, with its surest reason.
    """

    column: str
    records: int
    checked: Mapping[str, int]
    unhashed: int
    leaks: tuple[Leak, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing leaks."""
        return not self.leaks


@dataclass(frozen=True)
class CheckResult:
    """What ``split --check`` found.

    Attributes:
        path: the manifest or folder that was checked.
        near: what the search for near duplicates rests on: a duplicates table's path, ``files``
            where all were opened and compared, or ``not checked``.
        rejected: files that could not be read, and so not be checked.
        proofs: one for each column with parts.
    """

    path: Path
    near: str
    rejected: int
    proofs: tuple[Proof, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing leaks."""
        return all(proof.holds for proof in self.proofs)


def prove(
    frame: pl.DataFrame,
    pairs: pl.DataFrame,
    *,
    column: str = "split",
    keys: Sequence[str] = KEYS,
) -> Proof:
    """Look for records that belong together but are in different parts.

    Args:
        frame: the records: ``path``, ``excluded``, ``column`` and ``keys``, all text.
        pairs: confirmed duplicates, as
            :func:`facecheck.data.duplicates.groups.duplicates_of` returns them.
        column: where the parts are; records without one, and excluded ones, do not count.
        keys: columns whose equal values must not cross.
    """
    order = {name: SPLITS.index(ours) for name, ours in SPLIT_NAMES.items()}
    needed = dict.fromkeys(("path", "excluded", column, "sha256", "pixel_hash", *keys))
    frame = frame.select(*needed)
    used = frame.filter((pl.col("excluded") == "") & (pl.col(column) != "")).with_columns(
        rank=pl.col(column).replace_strict(order, default=len(SPLITS), return_dtype=pl.Int64)
    )
    checked, found = {}, []
    reasons = {**_WHY, **{key: f"same {key}" for key in keys if key not in _WHY}}
    for key, why in reasons.items():
        if key not in keys:
            continue
        held = used.select(key, _part=column).filter(pl.col(key).cast(pl.String) != "")
        sets = held.group_by(key).agg(pl.len(), pl.col("_part").n_unique())
        checked[why] = sets.filter(pl.col("len") > 1).height
        crossing = sets.filter(pl.col("_part") > 1)
        torn = used.join(crossing, on=key, how="semi").sort("rank", column, "path")
        first = [pl.col(name).first().over(key) for name in ("path", column)]
        found.append(
            torn.select(
                "path",
                pl.col(column).alias("part"),
                first[0].alias("other"),
                first[1].alias("other_part"),
                pl.lit(why).alias("why"),
            )
        )
    place = used.select("path", "rank", part=column)
    sides = pairs.join(place, left_on="one", right_on="path").join(
        place, left_on="two", right_on="path", suffix="_two"
    )
    checked["confirmed pairs"] = sides.height
    # Parts come in the order of the splits; within one part nothing leaks, so no tie matters.
    comes_first = (pl.col("rank") < pl.col("rank_two")) | (
        (pl.col("rank") == pl.col("rank_two")) & (pl.col("part") < pl.col("part_two"))
    )
    found.insert(
        2,
        sides.select(
            path=pl.when(comes_first).then("two").otherwise("one"),
            part=pl.when(comes_first).then("part_two").otherwise("part"),
            other=pl.when(comes_first).then("one").otherwise("two"),
            other_part=pl.when(comes_first).then("part").otherwise("part_two"),
            why="why",
        ),
    )
    leaks = (
        pl.concat(found)
        .filter(pl.col("part") != pl.col("other_part"))
        .unique("path", keep="first", maintain_order=True)
        .sort("path")
    )
    unhashed = used.filter((pl.col("sha256") == "") & (pl.col("pixel_hash") == "")).height
    rows = tuple(Leak(*row) for row in leaks.iter_rows())
    return Proof(column, used.height, checked, unhashed, rows)


def check(path: Path, *, workers: int | None = None, progress: Progress = silent) -> CheckResult:
    """Prove the split of anybody's manifest or ImageFolder tree, or report its leaks.

    A table needs the columns ``path`` and ``split`` or ``fold`` only. Where it has no hashes, and
    in a folder laid out ``train/<class>/…``, ``val/…``, ``test/…``, every file is decoded, hashed
    and compared. Nothing is written.

    Args:
        path: a ``.csv`` or ``.parquet`` table, or a folder.
        workers: decoding threads; None takes one per core.
        progress: called with images done and in all.

    Raises:
        UsageError: there is nothing at ``path``, or it has no splits.
        ManifestError: a table cannot be read.
        FacecheckError: no image can be read.
    """
    if path.is_dir():
        return _check_files(path, split_folders(path), workers, progress)
    table = read_table(path)
    parts = [
        name
        for name in ("split", "fold")
        if name in table.columns and (table[name].cast(pl.String).fill_null("") != "").any()
    ]
    if "path" not in table.columns or not parts:
        wanted = "a table needs a column 'path', and parts in 'split' or 'fold'"
        if what_is(path) not in ("a table", "a manifest"):
            raise UsageError(mistaken(path, "a split data set", wanted))
        raise UsageError(
            f"{path_text(path)}: nothing to check: {wanted} (it has {some_of(table.columns)})"
        )
    names = ("excluded", *KEYS, *parts)
    frame = pl.DataFrame(
        {"path": absolute_paths(table["path"], base_of(path))}
        | {
            name: table[name].cast(pl.String).fill_null("") if name in table.columns else ""
            for name in names
        }
    )
    source, pairs = duplicates_of(path)
    near, rejected = path_text(source) if source else NOT_CHECKED, 0
    if not (frame["sha256"] != "").any() and not (frame["pixel_hash"] != "").any():
        hashes, seen, rejected = look(_tops(frame["path"].to_list()), workers, progress)
        frame = _with_hashes(frame, hashes)
        pairs, near = pl.concat([pairs, seen]), "files"
    proofs = tuple(prove(frame, pairs, column=name) for name in parts)
    return CheckResult(path, near, rejected, proofs)


def split_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of an ImageFolder tree's splits: folder by name of the split.

    Raises:
        UsageError: there are fewer than two of them, or two folders stand for one split.
    """
    found: dict[str, Path] = {}
    for child in sorted(folder.iterdir()):
        name = SPLIT_NAMES.get(child.name.lower())
        if name is None or not child.is_dir():
            continue
        if name in found:
            raise UsageError(
                f"{path_text(folder)}: both {found[name].name} and {child.name} stand for {name}: "
                "rename one"
            )
        found[name] = child
    if len(found) < 2:
        raise UsageError(
            f"{path_text(folder)}: no splits in it: an ImageFolder tree is laid out "
            "train/<class>/…, val/…, test/…"
        )
    return {name: found[name] for name in SPLITS if name in found}


def _check_files(
    path: Path, folders: Mapping[str, Path], workers: int | None, progress: Progress
) -> CheckResult:
    hashes, pairs, rejected = look(list(folders.values()), workers, progress)
    roots = {name: str(folder.resolve()) + os.sep for name, folder in folders.items()}
    part = pl.coalesce(
        pl.when(pl.col("path").str.starts_with(root)).then(pl.lit(name))
        for name, root in roots.items()
    )
    frame = hashes.with_columns(split=part, excluded=pl.lit(""), group=pl.lit(""))
    return CheckResult(path, "files", rejected, (prove(frame, pairs),))


def look(
    folders: Sequence[Path], workers: int | None, progress: Progress, *, near: bool = True
) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Decode, hash and compare every image under some folders, and leave nothing behind.

    Returns:
        the records as ``index`` makes them, with real paths and a kind that says nothing; the
        confirmed pairs, none unless ``near``; how many files could not be read.
    """
    with scratch_folder() as temporary:
        manifest = temporary / "manifest.parquet"
        # One kind for all: the same picture under two labels is a leak like any other.
        indexed = index(
            folders,
            manifest,
            IndexOptions(kind=Kind.PHOTO, source="files", workers=workers),
            progress=progress,
        )
        hashes = read_manifest(manifest).frame
        if near:
            dedup(manifest, DedupOptions(workers=workers), progress=progress)
        pairs = duplicates_of(manifest)[1]
    return hashes, pairs, indexed.rejected


def _tops(paths: Sequence[str]) -> list[Path]:
    """Return the folders that hold all of the paths and do not lie in each other."""
    folders = sorted({Path(path).parent.resolve() for path in paths})
    tops: list[Path] = []
    for folder in folders:
        if not tops or not folder.is_relative_to(tops[-1]):
            tops.append(folder)
    return tops


def _with_hashes(frame: pl.DataFrame, hashes: pl.DataFrame) -> pl.DataFrame:
    """Return the records with hashes, by their real paths; files that are not there have none."""
    real = [str(Path(path).parent.resolve() / Path(path).name) for path in frame["path"]]
    return (
        frame.drop("sha256", "pixel_hash")
        .with_columns(path=pl.Series(real, dtype=pl.String))
        .join(hashes.select("path", "sha256", "pixel_hash"), on="path", how="left")
        .with_columns(pl.col("sha256", "pixel_hash").fill_null(""))
    )
