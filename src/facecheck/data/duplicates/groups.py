"""Which records belong together: those that share a group, their bytes, their pixels, or a pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from facecheck.core.errors import ManifestError
from facecheck.core.files import path_text, sha256_file
from facecheck.core.manifest import base_of, read_meta
from facecheck.core.table_paths import absolute_paths
from facecheck.core.tables import read_table

#: The columns whose equal values hold records together. An empty value holds nothing.
KEYS = ("group", "sha256", "pixel_hash")


def duplicates_of(manifest: Path) -> tuple[Path | None, pl.DataFrame]:
    """Return the duplicates table that goes with a manifest, and its confirmed pairs.

    It lies next to the manifest, or to the one that this was made from, as ``.meta.json`` says.

    Returns:
        the table's path, None where ``dedup`` has left none; and a frame of the text columns
        ``one``, ``two`` (absolute paths) and ``why``.

    Raises:
        ManifestError: the table cannot be read or has no columns ``dropped`` and ``keeper``.
    """
    for ancestor, path in _companions(manifest, "duplicates", (".csv", ".parquet")):
        return path, _read_pairs(path, base_of(ancestor))
    return None, pl.DataFrame(schema={"one": pl.String, "two": pl.String, "why": pl.String})


def companion(
    manifest: Path, name: str, suffixes: Sequence[str] = (".csv", ".parquet")
) -> Path | None:
    """Return the file ``<stem>.<name>`` that goes with a manifest, None where there is none.

    It lies next to the manifest, or to the one that this was made from, as ``.meta.json`` says.
    """
    return next((path for _, path in _companions(manifest, name, suffixes)), None)


def _companions(manifest: Path, name: str, suffixes: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """Yield the manifest and the file, wherever one lies next to it or one it was made from."""
    for ancestor in _ancestors(manifest):
        own = (ancestor.suffix,) if ancestor.suffix in suffixes else ()
        for suffix in dict.fromkeys((*own, *suffixes)):
            path = ancestor.with_name(f"{ancestor.stem}.{name}{suffix}")
            if path.is_file():
                yield ancestor, path


def _ancestors(manifest: Path) -> Iterator[Path]:
    """Yield a manifest, the one it was made from, and so on, as far as they are there."""
    seen: set[Path] = set()
    while manifest not in seen and manifest.is_file():
        seen.add(manifest)
        yield manifest
        made_from = read_meta(manifest).get("input")
        if not isinstance(made_from, dict) or not isinstance(made_from.get("path"), str):
            return
        # Written as its maker saw it from where the command ran; both may have moved together, and
        # from this folder the same words may name another data set.
        written = Path(made_from["path"])
        places = [each for each in (manifest.with_name(written.name), written) if each.is_file()]
        exact = [each for each in places if sha256_file(each) == made_from.get("sha256")]
        manifest = next(iter(exact + places), written)


def _read_pairs(path: Path, base: Path) -> pl.DataFrame:
    table = read_table(path)
    if not {"dropped", "keeper"} <= set(table.columns):
        raise ManifestError(
            f"{path_text(path)}: no columns 'dropped' and 'keeper': run `facecheck dedup` again, "
            "or move the table away"
        )
    return pl.DataFrame(
        {
            "one": absolute_paths(table["dropped"], base),
            "two": absolute_paths(table["keeper"], base),
            "why": table["why"] if "why" in table.columns else ["same picture"] * table.height,
        },
        schema={"one": pl.String, "two": pl.String, "why": pl.String},
    )


def components(
    frame: pl.DataFrame, pairs: pl.DataFrame, keys: Sequence[str] = KEYS
) -> npt.NDArray[np.int64]:
    """Return a number for every record, equal for records that must stay together.

    Belonging together is transitive: a record that shares its pixels with one group and its name
    in another joins the two.

    Args:
        frame: n records.
        pairs: what :func:`duplicates_of` returns; pairs of records not in ``frame`` are
            skipped.
        keys: columns of ``frame`` whose equal values bind.

    Returns:
        shape (n,), from 0; which number a set has depends on the order of the records.
    """
    row = pl.col("row")
    index = frame.select(path="path").with_row_index("row")
    linked = pairs.join(index, left_on="one", right_on="path").join(
        index, left_on="two", right_on="path", suffix="_two"
    )
    edges = [linked.select("row", first="row_two")]
    for key in keys:
        # Every record is linked to the first one that holds its value.
        value = frame.select(value=pl.col(key).cast(pl.String)).with_row_index("row")
        held = value.filter(pl.col("value") != "").select("row", first=row.first().over("value"))
        edges.append(held.filter(row != pl.col("first")))
    return connected(pl.concat(edges).to_numpy(), frame.height)


def connected(edges: npt.NDArray[np.integer[Any]], count: int) -> npt.NDArray[np.int64]:
    """Return the connected component of each of ``count`` nodes.

    Args:
        edges: shape (m, 2), the nodes that each edge joins, from 0 to below ``count``.
        count: nodes in all.

    Returns:
        shape (count,), equal for nodes that a path joins, from 0.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = coo_matrix((np.ones(len(edges), np.int8), edges.T), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)
