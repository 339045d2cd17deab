"""Which records hold the picture of a better one: the search and the rule behind dedup.

Records are taken in one total order, from the best keeper to the worst (:func:`preference`). Each
becomes a keeper unless it is confirmed to hold the picture of an earlier keeper; of several, it
goes to the one it is most like. Protected records come first, and are all keepers. So every dropped
record is compared with its keeper itself: A like B like C, but A not like C, leaves A and C. Groups
are stars about a keeper, never chains, and so cannot grow into mega-groups. The order rests on what
is in the files and on their paths, not on how the manifest is sorted.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facecheck.core.errors import ImageError, ManifestError
from facecheck.core.files import path_text
from facecheck.core.image import flat_hash, frames
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
from facecheck.core.manifest import Record
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


@dataclass(frozen=True)
class Match:
    """That a record holds the picture of the record at index ``keeper``, itself not dropped.

    Attributes:
        keeper: index of the keeper.
        why: one of the values of :data:`WHY`, or :data:`APART`.
        distance: least bits between the hashes, under the view they met.
        alike: what the thumbnails say; None for equal bytes or pixels.
    """

    keeper: int
    why: str
    distance: int = 0
    alike: Likeness | None = None


def preference(record: Record) -> tuple[int, int, str, str]:
    """Order records from the best keeper to the worst; total, since no two share a path."""
    return (-record.width * record.height, -record.bytes, record.sha256, record.path)


@dataclass(frozen=True)
class Found:
    """What the search found.

    Attributes:
        matches: the match of every dropped index.
        apart: the match of every index that is kept, though its first frame over white shows the
            picture of another: they differ in transparency or frames.
        spared: the match of every protected index that is kept, though it holds the picture of
            another protected one.
        candidates: pairs that a hash proposed and thumbnails decided.
    """

    matches: dict[int, Match]
    apart: dict[int, Match]
    spared: dict[int, Match]
    candidates: int


def find_keepers(
    records: Sequence[Record],
    among: Sequence[int],
    *,
    level: str,
    radius: int,
    workers: int,
    prefer: Sequence[str] = (),
    protected: Set[int] = frozenset(),
    progress: Progress = silent,
) -> Found:
    """Return which records hold the picture of a better one.

    Args:
        records: the whole manifest.
        among: indices of the records that take part.
        level: one of :data:`LEVELS`.
        radius: largest pHash distance in bits at which a pair is compared.
        workers: decoding threads.
        prefer: sources whose records are the better ones, the best source first.
        protected: indices of records that are never dropped.
        progress: called with images compared and to compare.

    Raises:
        ManifestError: a perceptual hash is malformed.
        ImageError: a file that must be compared cannot be decoded.
    """
    rank = {source: place for place, source in enumerate(prefer)}
    preferred = sorted(
        among,
        key=lambda index: (
            index not in protected,
            rank.get(records[index].source, len(rank)),
            preference(records[index]),
        ),
    )
    exact, unique = _exact_matches(records, preferred, level)
    spared = {index: exact.pop(index) for index in protected & exact.keys()}
    apart = {} if level == "bytes" else _same_when_flat(records, unique)
    if level in {"bytes", "pixels"}:
        return Found(exact, apart, spared, 0)
    never = {place for place, index in enumerate(unique) if index in protected}
    search = _NearSearch(records, unique, level == "edited", radius, workers, never, progress)
    near = {unique[place]: match for place, match in search.run()}
    for index, match in exact.items():
        # Its keeper among equal pixels may itself hold the picture of a larger file.
        if match.keeper in near:
            exact[index] = near[match.keeper]
    matches = exact | near
    apart = {unique[place]: match for place, match in search.apart.items()} | apart
    spared |= {unique[place]: match for place, match in search.spared.items()}
    return Found(matches, _between_kept(apart, matches), spared, search.decided)


def _same_when_flat(records: Sequence[Record], unique: list[int]) -> dict[int, Match]:
    """Match pictures whose first frames over white are of the same pixels, with the first."""
    first: dict[str, int] = {}
    apart = {}
    for index in unique:
        keeper = first.setdefault(flat_hash(records[index].pixel_hash), index)
        if keeper != index:
            apart[index] = Match(keeper, APART)
    return apart


def _between_kept(apart: dict[int, Match], matches: Mapping[int, Match]) -> dict[int, Match]:
    """Return the matches of records that are kept, each with a record that is kept."""
    kept = {}
    for index, match in apart.items():
        keeper = matches[match.keeper].keeper if match.keeper in matches else match.keeper
        if index not in matches and keeper != index:
            kept[index] = replace(match, keeper=keeper)
    return kept


def _exact_matches(
    records: Sequence[Record], preferred: list[int], level: str
) -> tuple[dict[int, Match], list[int]]:
    """Match equal pixels with the first of them; return the matches and the indices left."""
    first: dict[str, int] = {}
    matches: dict[int, Match] = {}
    for index in preferred:
        record = records[index]
        key = record.sha256 if level == "bytes" else record.pixel_hash
        keeper = first.setdefault(key, index)
        if keeper != index:
            same_bytes = record.sha256 == records[keeper].sha256
            matches[index] = Match(keeper, WHY["bytes" if same_bytes else "pixels"])
    return matches, list(first.values())


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
        records: Sequence[Record],
        unique: list[int],
        edited: bool,
        radius: int,
        workers: int,
        never: Set[int],
        progress: Progress,
    ) -> None:
        self.decided = 0
        self.apart: dict[int, Match] = {}
        self.spared: dict[int, Match] = {}
        self._never = never
        self._records = records
        self._unique = unique
        self._edited = edited
        self._workers = workers
        self._progress = progress
        hashes = np.array([_hash(records[index]) for index in unique], np.uint64)
        self._comparable = ~np.isin(hashes, _BLANK)
        self._node = np.zeros(len(unique), np.int64)
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
        shown = np.zeros((len(self._unique), len(EDITS)), np.uint64)
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
        record = self._records[self._unique[place]]
        path = Path(record.path)
        try:
            several = frames(path, short_side=GREY_SIDE)
            return look_at_all(next(several), several)
        except ImageError as error:
            raise ImageError(f"{path_text(path)}: {error}") from None

    def run(self) -> Iterator[tuple[int, Match]]:
        """Yield every place that holds the picture of an earlier one, with its match.

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
            if match is not None and place in self._never:
                self.spared[place] = match
                self._keep(place, seen)
            elif match is not None:
                yield place, match
            elif not seen.flat:
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
            match = Match(self._unique[keeper], why, proposals[0].distance, alike)
            if whole not in best or order < best[whole][0]:
                best[whole] = order, match
        if True in best:
            return best[True][1]
        if False in best:
            self.apart[place] = best[False][1]
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


def _hash(record: Record) -> int:
    if not re.fullmatch(r"[0-9a-f]{16}", record.phash):
        raise ManifestError(
            f"phash {record.phash!r} of {path_text(Path(record.path))} is not 16 hex digits: run "
            "`facecheck index` again"
        )
    return int(record.phash, 16)
