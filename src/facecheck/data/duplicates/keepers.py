"""Which records hold the picture of a better one: the search and the rule behind dedup.

Records are taken in one total order, from the best keeper to the worst (:func:`_preferred`). Each
becomes a keeper unless it is confirmed to hold the picture of an earlier keeper; of several, it
goes to the one it is most like. Protected records come first, and are all keepers. So every dropped
record is compared with its keeper itself: A like B like C, but A not like C, leaves A and C. Groups
are stars about a keeper, never chains, and so cannot grow into mega-groups. The order rests on what
is in the files and on their paths, not on how the manifest is sorted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from facecheck.core.errors import ImageError, ManifestError
from facecheck.core.files import path_text
from facecheck.core.image import LAYERED, frames
from facecheck.core.image.likeness import (
    EDITS,
    GREY_SIDE,
    PICTURE_DIFFERENCE,
    WHOLE,
    Likeness,
    Look,
    align,
    colour_difference,
    edit_hashes,
    layers_agree,
    likeness,
    look_at_all,
)
from facecheck.core.parallel import Progress, map_ordered, silent
from facecheck.data.duplicates.groups import connected
from facecheck.data.duplicates.hamming import pairs_between, pairs_within

#: How far dedup goes, each level with those before it, and what it then says of a pair.
WHY = {
    "bytes": "same bytes",
    "pixels": "same pixels",
    "picture": "same picture",
    "edited": "edited picture",
}
LEVELS = tuple(WHY)
#: What dedup says of two files that show the same picture in their first frame, over white, but are
#: two pictures all the same. Both are kept; they stay in one group.
APART = "other transparency or frames"
#: pHashes of pictures of one colour: they say nothing, and nothing is looked for by them.
_BLANK = np.array([0, 1 << 63], np.uint64)
#: How many of a pair's proposals (views under which their hashes meet) are aligned.
_MAX_ALIGNED = 2

_Pairs = npt.NDArray[np.int32]
_Numbers = npt.NDArray[np.int64]


#: The columns of a table of matches, one for each record that holds the picture of a better one:
#: the indices of both, one of the values of :data:`WHY` or :data:`APART`, the least bits between
#: their hashes under the view they met, what the thumbnails say (:class:`Likeness`), and whether
#: the record is kept all the same.
MATCH = {
    **{"dropped": pl.Int64, "keeper": pl.Int64, "why": pl.String, "distance": pl.Int64},
    **{"correlation": pl.Float64, "detail": pl.Float64, "difference": pl.Float64},
    **{"view": pl.String, "kept": pl.Boolean},
}


@dataclass(frozen=True)
class Match:
    """That a record holds the picture of another, seen by comparing them: a row of matches.

    Attributes:
        dropped: index of the record.
        keeper: index of its keeper, itself not dropped.
        why: one of the values of :data:`WHY`, or :data:`APART`.
        distance: least bits between the hashes, under the view they met.
        alike: what the thumbnails say.
        kept: whether the record is kept all the same.
    """

    dropped: int
    keeper: int
    why: str
    distance: int
    alike: Likeness
    kept: bool


@dataclass(frozen=True)
class Found:
    """What the search found, as tables with the columns of :data:`MATCH`, by ``dropped``.

    Attributes:
        copies: every record that holds the picture of a better one, each with a keeper that is
            itself in no row. Protected ones are ``kept``.
        apart: every record that is kept, though its first frame over white shows the picture of
            another: they differ in transparency or frames.
        candidates: pairs that a hash proposed and thumbnails decided.
    """

    copies: pl.DataFrame
    apart: pl.DataFrame
    candidates: int


def find_keepers(
    frame: pl.DataFrame,
    *,
    level: str,
    radius: int,
    workers: int,
    among: pl.Series,
    protected: pl.Series,
    prefer: Sequence[str] = (),
    progress: Progress = silent,
) -> Found:
    """Return which records hold the picture of a better one.

    Args:
        frame: the n records of the manifest.
        level: one of :data:`LEVELS`.
        radius: largest pHash distance in bits at which a pair is compared.
        workers: decoding threads.
        among: shape (n,), whether a record takes part.
        protected: shape (n,), whether a record is never dropped.
        prefer: sources whose records are the better ones, the best source first.
        progress: called with images compared and to compare.

    Raises:
        ManifestError: a perceptual hash is malformed.
        ImageError: a file that must be compared cannot be decoded.
    """
    records = _preferred(frame, among, protected, prefer)
    content = "sha256" if level == "bytes" else "pixel_hash"
    records = _with_first(records, pl.col(content))
    exact = _exact(records, frame["sha256"])
    if level == "bytes":
        return Found(exact.sort("dropped"), pl.DataFrame(schema=MATCH), 0)
    unique = records.filter(pl.col("keeper") == pl.col("index")).drop("sha256")
    del records  # of a million, what the search takes is more than what is left
    flat = _with_first(unique, _flat_hash(pl.col("pixel_hash")))
    apart = _certain(flat, pl.lit(APART)).with_columns(kept=True)
    if level == "pixels":
        return Found(exact.sort("dropped"), apart.sort("dropped"), 0)
    search = _NearSearch(unique, level == "edited", radius, workers, progress)
    near = _table(search.run())
    copies = pl.concat([_redirected(exact, near), near]).sort("dropped")
    apart = pl.concat([apart, _table(search.apart)]).unique("dropped", keep="first")
    return Found(copies, _between_kept(apart, copies, frame.height), search.decided)


def _preferred(
    frame: pl.DataFrame, among: pl.Series, protected: pl.Series, prefer: Sequence[str]
) -> pl.DataFrame:
    """Return what the search needs of the records that take part, from the best keeper on.

    The order is total, since no two share a path.
    """
    records = frame.select(
        *(pl.int_range(pl.len(), dtype=pl.Int64).alias("index"), protected.alias("kept")),
        *("path", "source", "sha256", "pixel_hash", "phash", "width", "height", "bytes"),
    ).filter(among)
    rank = {source: place for place, source in enumerate(prefer)}
    order = records.select(
        late=~pl.col("kept"),
        rank=pl.col("source").replace_strict(rank, default=len(rank), return_dtype=pl.Int64),
        fewer=-pl.col("width") * pl.col("height"),
        smaller=-pl.col("bytes"),
        sha256="sha256",
        path="path",
    )
    # Sorting the records themselves would take half a gigabyte of a million.
    best_first = order.select(pl.arg_sort_by(order.columns)).to_series()
    return records.select("index", "kept", "path", "sha256", "pixel_hash", "phash")[best_first]


def _with_first(records: pl.DataFrame, key: pl.Expr) -> pl.DataFrame:
    """Return the records, each with the ``keeper`` that is the first with its value of a key."""
    return records.with_columns(keeper=pl.col("index").first().over(key))


def _flat_hash(pictures: pl.Expr) -> pl.Expr:
    """Return what :func:`facecheck.core.image.flat_hash` does of each."""
    flat = pictures.str.splitn(LAYERED, 2).struct[1]
    return pl.when(flat != "").then(flat).otherwise(pictures.str.slice(0, 16))


def _certain(records: pl.DataFrame, why: pl.Expr) -> pl.DataFrame:
    """Return the matches of the records that are not their own keepers: their hashes are equal."""
    return records.filter(pl.col("keeper") != pl.col("index")).select(
        *(pl.col("index").alias("dropped"), "keeper", why.alias("why")),
        *(pl.lit(0, pl.Int64).alias("distance"), pl.lit(1.0).alias("correlation")),
        *(pl.lit(1.0).alias("detail"), pl.lit(0.0).alias("difference")),
        *(pl.lit(WHOLE.name).alias("view"), "kept"),
    )


def _exact(records: pl.DataFrame, digests: pl.Series) -> pl.DataFrame:
    """Return the matches of equal bytes or pixels."""
    found = _certain(records, pl.lit(WHY["pixels"]))
    same_bytes = digests[found["dropped"]] == digests[found["keeper"]]
    return found.with_columns(why=pl.when(same_bytes).then(pl.lit(WHY["bytes"])).otherwise("why"))


def _table(matches: Iterable[Match]) -> pl.DataFrame:
    rows = (
        (
            *(match.dropped, match.keeper, match.why, match.distance),
            *(round(match.alike.correlation, 4), round(match.alike.detail, 4)),
            *(round(match.alike.difference, 2), match.alike.view.name, match.kept),
        )
        for match in matches
    )
    return pl.DataFrame(rows, schema=MATCH, orient="row")


def _redirected(exact: pl.DataFrame, near: pl.DataFrame) -> pl.DataFrame:
    """Return the matches of equal pixels, none with a keeper that is dropped.

    A keeper among equal pixels may itself hold the picture of a larger file.
    """
    dropped = near.filter(~pl.col("kept"))
    moved = exact.select("dropped", through="keeper").join(
        dropped.rename({"dropped": "through"}), on="through"
    )
    stay = exact.join(dropped, left_on="keeper", right_on="dropped", how="anti")
    return pl.concat([stay, moved.select(stay.columns)])


def keeper_of(matches: pl.DataFrame, count: int) -> _Numbers:
    """Return the index of the keeper of each of ``count`` records: its own where it has none."""
    keepers = np.arange(count)
    keepers[matches["dropped"]] = matches["keeper"]
    return keepers


def _between_kept(apart: pl.DataFrame, copies: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return the matches of records that are kept, each with a record that is kept."""
    keepers = keeper_of(copies.filter(~pl.col("kept")), count)
    is_kept = pl.Series(keepers[apart["dropped"]] == apart["dropped"].to_numpy())
    moved = apart.with_columns(keeper=pl.Series(keepers[apart["keeper"]]))
    return moved.filter(is_kept & (pl.col("keeper") != pl.col("dropped"))).sort("dropped")


class _Links:
    """Pairs of numbers, by their first: CSR, which takes 12 bytes a pair."""

    def __init__(self, pairs: _Pairs, count: int) -> None:
        self._pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
        self._starts = np.searchsorted(self._pairs[:, 0], np.arange(count + 1))

    def of(self, number: int) -> list[list[int]]:
        """Return [other, distance] of every link of ``number``."""
        part: list[list[int]] = self._pairs[
            self._starts[number] : self._starts[number + 1], 1:
        ].tolist()
        return part


@dataclass(frozen=True)
class _Proposal:
    """That the hash of ``keeper`` and the current record meet: one of them seen under ``view``."""

    distance: int
    view: int  # 0 is the whole, others count in EDITS
    keeper_is_viewed: bool


class _NearSearch:
    """The search among records of distinct pixels, by their places in the order of preference.

    Places with one pHash share a node, so that a crowd under one hash costs no pairs of hashes;
    comparing each with the keepers alone shows whether it is one picture.
    """

    def __init__(
        self,
        unique: pl.DataFrame,
        edited: bool,
        radius: int,
        workers: int,
        progress: Progress,
    ) -> None:
        self.decided = 0
        self.apart: list[Match] = []
        self._unique = unique
        self._index, self._never = unique["index"].to_numpy(), unique["kept"].to_numpy()
        self._edited = edited
        self._workers = workers
        self._progress = progress
        hashes = _hashes(unique)
        self._comparable = ~np.isin(hashes, _BLANK)
        self._node = np.zeros(len(hashes), np.int64)
        nodes, self._node[self._comparable] = np.unique(
            hashes[self._comparable], return_inverse=True
        )
        pairs = pairs_within(nodes, radius, workers=workers)
        self._near = _Links(np.concatenate([pairs, pairs[:, [1, 0, 2]]]), len(nodes))
        edges = [pairs[:, :2]]
        if edited:
            edges += self._link_views(nodes, radius)
        self._component = _components(edges, len(nodes))

    def _link_views(self, nodes: npt.NDArray[np.uint64], radius: int) -> list[_Pairs]:
        """Hash every picture under each edit; link those hashes with those of whole pictures."""
        shown = np.zeros((self._unique.height, len(EDITS)), np.uint64)
        todo = np.flatnonzero(self._comparable).tolist()
        made = map_ordered(self._hashes_if_not_flat, todo, workers=self._workers)
        for done, (place, row) in enumerate(zip(todo, made, strict=True), 1):
            self._comparable[place] = row is not None
            shown[place] = row or 0
            self._progress(done, len(todo))
        comparable = np.flatnonzero(self._comparable)
        views, number = np.unique(shown[comparable], return_inverse=True)
        self._views = np.zeros(shown.shape, np.int64)
        self._views[comparable] = number.reshape(-1, len(EDITS))
        pairs = pairs_between(views, nodes, radius, workers=self._workers)
        places = np.repeat(comparable, len(EDITS))
        owner = _sole_owner(self._views[comparable].ravel(), places, len(views))
        resident = _sole_owner(self._node[comparable], comparable, len(nodes))
        own = (owner[pairs[:, 0]] == resident[pairs[:, 1]]) & (owner[pairs[:, 0]] >= 0)
        pairs = pairs[~own]  # a picture looks like itself, cropped
        self._by_view = _Links(pairs, len(views))
        self._by_node = _Links(pairs[:, [1, 0, 2]], len(nodes))
        linked = np.isin(self._views[comparable].ravel(), pairs[:, 0])
        owners = np.stack(
            [self._node[places], len(nodes) + self._views[comparable].ravel()], axis=1
        )
        met = np.stack([pairs[:, 1], len(nodes) + pairs[:, 0]], axis=1)
        return [owners[linked].astype(np.int32), met]

    def _hashes_if_not_flat(self, place: int) -> list[int] | None:
        seen = self._look(place)
        return None if seen.flat else edit_hashes(seen)

    def _look(self, place: int) -> Look:
        path = Path(self._unique["path"][place])
        try:
            several = frames(path, short_side=GREY_SIDE)
            return look_at_all(next(several), several)
        except ImageError as error:
            raise ImageError(f"{path_text(path)}: {error}") from None

    def run(self) -> Iterator[Match]:
        """Yield the match of every record that holds the picture of an earlier one.

        Pictures that no chain of hashes links are handled apart, so that only the thumbnails of
        one such family are held at a time, and of those only the keepers'.
        """
        comparable = np.flatnonzero(self._comparable)
        family = self._component[self._node[comparable]]
        crowded = np.bincount(family)[family] > 1
        comparable, family = comparable[crowded], family[crowded]
        order = comparable[np.lexsort((comparable, family))].tolist()
        family_of = dict(zip(comparable.tolist(), family.tolist(), strict=True))
        current = -1
        looks = map_ordered(self._look, order, workers=self._workers)
        for done, (place, seen) in enumerate(zip(order, looks, strict=True), 1):
            if family_of[place] != current:
                current = family_of[place]
                self._keepers: dict[int, Look] = {}
                self._keepers_at: dict[int, list[int]] = defaultdict(list)
                self._viewers_at: dict[int, list[tuple[int, int]]] = defaultdict(list)
            match = None if seen.flat else self._match(place, seen)
            if match is not None:
                yield match
            if not seen.flat and (match is None or match.kept):
                self._keep(place, seen)
            self._progress(done, len(order))

    def _keep(self, place: int, seen: Look) -> None:
        self._keepers[place] = seen
        self._keepers_at[int(self._node[place])].append(place)
        if self._edited:
            for view, number in enumerate(self._views[place].tolist(), 1):
                self._viewers_at[number].append((place, view))

    def _match(self, place: int, seen: Look) -> Match | None:
        """Return the match with the keeper most like the picture at ``place``, if any is.

        Of keepers that are like its first frame alone, the one most like it is noted.
        """
        best: dict[bool, tuple[tuple[bool, float, int], Match]] = {}
        for keeper, proposals in self._proposals(place).items():
            self.decided += 1
            found = self._alike(seen, self._keepers[keeper], proposals)
            if found is None:
                continue
            alike, whole = found
            why = WHY["picture" if alike.same_picture else "edited"] if whole else APART
            order = (not alike.same_picture, -alike.correlation, keeper)
            kept = bool(self._never[place]) or not whole
            ends = int(self._index[place]), int(self._index[keeper])
            match = Match(*ends, why, proposals[0].distance, alike, kept)
            if whole not in best or order < best[whole][0]:
                best[whole] = order, match
        if True in best:
            return best[True][1]
        if False in best:
            self.apart.append(best[False][1])
        return None

    def _alike(
        self, seen: Look, keeper: Look, proposals: list[_Proposal]
    ) -> tuple[Likeness, bool] | None:
        """Return how alike two pictures are that are one, and whether all their layers agree."""
        if colour_difference(seen, keeper) <= PICTURE_DIFFERENCE:  # quick, and rules out most
            alike = likeness(keeper, seen)
            if alike.same_picture:
                return alike, layers_agree(keeper, seen, alike.view)
        for proposal in proposals[:_MAX_ALIGNED] if self._edited else ():
            pair = (keeper, seen) if proposal.keeper_is_viewed else (seen, keeper)
            alike = align(*pair, EDITS[proposal.view - 1] if proposal.view else WHOLE)
            if alike.same_edited:
                return alike, layers_agree(*pair, alike.view)
        return None

    def _proposals(self, place: int) -> Mapping[int, list[_Proposal]]:
        """Return the keepers whose hashes the picture's meets, and how, nearest first."""
        found: dict[int, list[_Proposal]] = defaultdict(list)
        node = int(self._node[place])
        for other, distance in [[node, 0], *self._near.of(node)]:
            for keeper in self._keepers_at.get(other, ()):
                # Either may be the one that was cropped.
                found[keeper] += [_Proposal(distance, 0, viewed) for viewed in (True, False)]
        if self._edited:
            for view, number in enumerate(self._views[place].tolist(), 1):
                for other, distance in self._by_view.of(number):
                    for keeper in self._keepers_at.get(other, ()):
                        found[keeper].append(_Proposal(distance, view, False))
            for number, distance in self._by_node.of(node):
                for keeper, view in self._viewers_at.get(number, ()):
                    found[keeper].append(_Proposal(distance, view, True))
        for proposals in found.values():
            proposals.sort(key=lambda met: (met.distance, met.view, met.keeper_is_viewed))
        return found


def _sole_owner(numbers: _Numbers, owners: _Numbers, count: int) -> _Numbers:
    """Return the owner of each number, or -1 where it has several."""
    lowest = np.full(count, np.iinfo(np.int64).max)
    highest = np.full(count, -1, np.int64)
    np.minimum.at(lowest, numbers, owners)
    np.maximum.at(highest, numbers, owners)
    return np.where(lowest == highest, lowest, -1)


def _components(edges: list[_Pairs], least: int) -> _Numbers:
    """Return the connected component of every number with an edge, and of those below ``least``."""
    ends = np.concatenate(edges)
    return connected(ends, max(least, int(ends.max(initial=-1)) + 1))


def _hashes(records: pl.DataFrame) -> npt.NDArray[np.uint64]:
    bad = records.filter(~pl.col("phash").str.contains("^[0-9a-f]{16}$"))
    if bad.height:
        raise ManifestError(
            f"phash {bad['phash'][0]!r} of {path_text(Path(bad['path'][0]))} is not 16 hex digits: "
            "run `facecheck index` again"
        )
    return records["phash"].str.to_integer(base=16, dtype=pl.UInt64).to_numpy()
