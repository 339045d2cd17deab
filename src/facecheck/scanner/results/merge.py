"""merge: the results of a scan's shards to one file, the one an unsharded scan would have written.

Each shard's journal knows every item's place in the whole scan, so the order is exact whatever was
scanned: several folders, lists, archives. The places must be 0, 1, 2, … without a gap: that proves
that the parts are complete, disjoint, and saw the same files.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from facecheck.core.errors import FacecheckError, UsageError, reason
from facecheck.core.files import (
    atomic_path,
    path_text,
    refuse_to_overwrite,
    sha256_file,
    to_path,
    to_paths,
)
from facecheck.core.jsonable import parse_json
from facecheck.core.lock import only_one
from facecheck.core.parallel import Progress, silent
from facecheck.scanner.results.frame import FileTable, read_results
from facecheck.scanner.results.journal import journal_path, read_lines
from facecheck.scanner.results.rows import Columns, Row, format_of, read_rows, write_rows
from facecheck.scanner.results.sink import PLACING, meta_path, write_meta

# What may differ between the parts of one scan.
_OWN = ("shard", "format", "items", "rows", "bytes", "sha256", "tally", PLACING, "roots", "folder")
_KINDS: Mapping[str, type] = {"str": str, "int": int, "float": float}


@dataclass(frozen=True)
class MergeResult:
    """What ``merge`` did.

    Attributes:
        out: the results of the whole scan.
        parts: the results of its shards, in the order of their numbers.
        files: items that were scanned.
        rows: rows in ``out``.
    """

    out: Path
    parts: tuple[Path, ...]
    files: int
    rows: int

    def frame(self, table: FileTable = "polars") -> Any:
        """Return the rows as :func:`~facecheck.scanner.results.frame.read_results` does."""
        return read_results(self.out, table)


def merge(
    out: Path | str,
    parts: Sequence[Path | str],
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> MergeResult:
    """Merge the results of all shards of a scan to the bytes that one scan would have written.

    Rows are streamed: memory holds a few of each part. Each part needs the ``.meta.json`` and the
    ``.journal`` that its scan left next to it.

    Args:
        out: ``.csv``, ``.jsonl`` or ``.parquet``, whatever the parts are.
        parts: the results of ``scan --shard i/n`` for every i, in any order.
        overwrite: replace an existing ``out``.
        progress: called with files done and files in all.

    Raises:
        UsageError: a shard is missing or given twice, parts are of different models or options,
            or ``out`` exists or is a part.
        FacecheckError: a part is damaged or was changed, or they did not see the same files.
    """
    out, parts = to_path(out, "out"), to_paths(parts, "parts")
    file_format = format_of(out)
    refuse_to_overwrite(out, overwrite=overwrite)
    if any(out.exists() and part.exists() and out.samefile(part) for part in parts):
        raise UsageError(f"{path_text(out)} is one of the parts: name another output")
    if len(set(parts)) < len(parts):
        raise UsageError("a part is named twice: name each shard's results once")
    metas = {part: _read_meta(part) for part in parts}
    _check_same(metas)
    ordered = _check_complete(metas)
    _check_content(metas)
    meta = metas[ordered[0]]
    columns = {name: _KINDS[kind] for name, kind in meta["columns"].items()}
    total = sum(int(metas[part]["items"]) for part in parts)
    rows = _merged(ordered, columns, total, progress)
    try:
        with only_one(out, "merge"), atomic_path(out) as made:
            form = {name: bool(meta.get(name)) for name in ("raw_paths", "excel")}
            count = write_rows(made, rows, columns, file_format, **form)
            facts = {key: value for key, value in meta.items() if key not in _OWN}
            counts = {"items": total, "rows": count, "tally": _tally(metas.values())}
            write_meta(
                out,
                made,
                {**facts, "shard": None, "format": file_format, **counts, **_roots(metas.values())},
            )
    except OSError as error:
        raise FacecheckError(
            f"{path_text(out)}: cannot be written ({reason(error)}): check the folder"
        ) from None
    return MergeResult(out=out, parts=tuple(ordered), files=total, rows=count)


def _tally(metas: Iterable[Mapping[str, Any]]) -> list[list[Any]]:
    total: Counter[tuple[str, ...]] = Counter()
    for *values, count in chain.from_iterable(meta.get("tally", []) for meta in metas):
        total[tuple(values)] += count
    return [[*values, count] for values, count in sorted(total.items())]


def _roots(metas: Collection[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the folders that all parts were scanned from; on each machine they may be others.

    Where all scans ran in one folder, it is that of the merged results, too.
    """
    found = dict.fromkeys(root for meta in metas for root in meta.get("roots", []))
    folders = {meta.get("folder") for meta in metas}
    where = {"folder": folders.pop()} if len(folders) == 1 and None not in folders else {}
    return {**({"roots": list(found)} if found else {}), **where}


def _read_meta(part: Path) -> dict[str, Any]:
    for path in (part, meta_path(part), journal_path(part)):
        if not path.is_file():
            raise UsageError(
                f"{path_text(path)} is not there: a finished `scan --shard i/n` leaves its results "
                "with a .meta.json and a .journal, and all are needed; results of separate scans "
                "can be joined row by row"
            )
    try:
        meta = dict(parse_json(meta_path(part).read_text(encoding="utf-8")))
        shard = meta["shard"] and tuple(map(int, meta["shard"]))
        items = int(meta["items"])
    except (ValueError, TypeError, KeyError):
        raise FacecheckError(
            f"{path_text(meta_path(part))}: not what a scan leaves: scan that shard again"
        ) from None
    if not shard:
        raise UsageError(
            f"{path_text(part)}: not a shard but a whole scan: results of separate scans "
            "can be joined row by row"
        )
    return {**meta, "shard": shard, "items": items}


def _check_same(metas: Mapping[Path, Mapping[str, Any]]) -> None:
    """Raise unless all parts were made from the same things."""
    if not metas:
        raise UsageError("no parts to merge: name the results of all shards")
    (first, expected), *others = metas.items()
    for part, meta in others:
        for key in sorted({*expected, *meta} - set(_OWN)):
            if meta.get(key) != expected.get(key):
                raise UsageError(
                    f"{path_text(part)} and {path_text(first)} differ in {key} ({meta.get(key)} "
                    f"and {expected.get(key)}): scan all shards alike"
                )


def _check_complete(metas: Mapping[Path, Mapping[str, Any]]) -> list[Path]:
    """Return the parts by number; raise unless each number from 1 to n is there once."""
    of = max(meta["shard"][1] for meta in metas.values())
    given = Counter(meta["shard"] for meta in metas.values())
    missing = [f"{number}/{of}" for number in range(1, of + 1) if not given[number, of]]
    twice = [f"{number}/{n}" for (number, n), count in sorted(given.items()) if count > 1]
    strange = [f"{number}/{n}" for number, n in sorted(given) if n != of]
    wrong = [
        f"{what}: {', '.join(shards)}"
        for what, shards in (("missing", missing), ("twice", twice), ("of another split", strange))
        if shards
    ]
    if wrong:
        raise UsageError(f"not the {of} shards of one scan ({'; '.join(wrong)}): name each once")
    return sorted(metas, key=lambda part: metas[part]["shard"])


def _check_content(metas: Mapping[Path, Mapping[str, Any]]) -> None:
    for part, meta in metas.items():
        if part.stat().st_size != meta["bytes"] or sha256_file(part) != meta["sha256"]:
            raise FacecheckError(
                f"{path_text(part)}: not the bytes its scan wrote: copy it again, or scan that "
                "shard again"
            )


def _merged(
    parts: Sequence[Path], columns: Columns, total: int, progress: Progress
) -> Iterator[Row]:
    """Yield the rows of all parts in the order of their items' places."""
    streams = [_placed(part, columns) for part in parts]
    placed = heapq.merge(*streams, key=lambda found: found[0])
    for expected, (place, rows) in enumerate(placed):
        if place != expected:
            raise FacecheckError(
                "the shards did not see the same files (the whole scan's file number "
                f"{min(place, expected) + 1:,} is {'in none' if place > expected else 'in two'}): "
                "something changed between their scans: scan all shards again"
            )
        yield from rows
        progress(expected + 1, total)


def _placed(part: Path, columns: Columns) -> Iterator[tuple[int, list[Row]]]:
    """Yield each item's place and rows."""
    rows = read_rows(part, columns)
    for line in read_lines(part):
        for place, count in zip(line.places, line.counts, strict=True):
            yield place, list(islice(rows, count))
