"""index: raw folders to a manifest, decoding every file once."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import polars as pl

from facecheck.core.errors import FacecheckError, ManifestError, UsageError, did_you_mean
from facecheck.core.files import (
    is_utf8,
    path_text,
    refuse_to_overwrite,
    to_path,
    to_paths,
    unnameable_reason,
)
from facecheck.core.image import DECODE_POLICY, HASH_SIDE
from facecheck.core.labels import KINDS
from facecheck.core.lock import only_one
from facecheck.core.manifest import SPLITS, Manifest, absolute_root, read_manifest, write_manifest
from facecheck.core.parallel import Progress, cpu_count, silent
from facecheck.core.tables import check_table_suffix, write_table
from facecheck.core.tree import Noted, Skipped
from facecheck.core.workspace import MANIFEST
from facecheck.data.image_table import as_read
from facecheck.data.inputs import Inputs, Listed, TableUse, read_inputs
from facecheck.data.keep_columns import Kept, keep_columns
from facecheck.data.measure import Stamp, stamp
from facecheck.data.measurements import Measurements
from facecheck.data.options import IndexOptions
from facecheck.data.sources.marker import HIDDEN, rules_by_folder
from facecheck.data.sources.rules import Placement, extra_columns, place


@dataclass(frozen=True)
class IndexResult:
    """What ``index`` did.

    Attributes:
        manifest: where the manifest was written.
        rejects: where the table of rejected files was written (``path``, ``reason``).
        records: images in the manifest.
        rejected: files in the rejects table, and rows of tables that name none.
        skipped: what was skipped in the folders.
        tables: how tables of labels and manifests were read.
        unnamed: images in folders that a table of labels describes, but does not name.
        relabelled: records of manifests that a table of labels gives another kind.
        differing: images of which two inputs say different things, by column; the first counts.
        changed: images that are not the ones a table describes, by its sha256; what was decided
            of those is dropped.
        by_source: images by (kind, source).
        by_split: images by split, where folders, tables or the manifest of before say one.
        reasons: rejected files by reason.
        bad_lines: damaged lines of the journal; their files were decoded again.
        paired: groups of several paired sources, by pair, such as ``photos+sketches``.
        unpaired: files of paired sources that found no partner, by pair.
        kept: what was taken over from the manifest that was replaced.
    """

    manifest: Path
    rejects: Path
    records: int
    rejected: int
    skipped: Skipped
    tables: tuple[TableUse, ...]
    unnamed: int
    relabelled: int
    differing: Mapping[str, int]
    changed: int
    by_source: Mapping[tuple[str, str], int]
    by_split: Mapping[str, int]
    reasons: Mapping[str, int]
    bad_lines: int
    paired: Mapping[str, int]
    unpaired: Mapping[str, int]
    kept: Kept


def index(
    inputs: Path | str | Sequence[Path | str],
    out: Path | str = MANIFEST,
    options: IndexOptions = IndexOptions(),
    *,
    progress: Progress = silent,
) -> IndexResult:
    """Decode and hash the images of folders and manifests; write a manifest and a rejects table.

    A journal next to the manifest keeps what was measured: files that have not changed since are
    not decoded again, and a run that was killed resumes where it was.

    Folders are laid out ``<kind>/<source>/…``, and one that is itself named after a kind may be
    given too; or like an ImageFolder, ``train/<class>/…``, whose split is kept; or a table of
    ``labels`` says what their files are. With the options ``kind`` and ``source`` any layout will
    do: all its files get those. ``label`` gives the images of a class or source another kind.
    Tables among the inputs are manifests, ours or anybody's, which are joined: what was decided of
    their records, and columns of their own, are kept. Where two inputs give one file two kinds, it
    is left out, and listed among the rejects. Files of one name (without its ending) in paired
    sources show one person: they share a group, whatever their kinds.
    Names are compared as people read them: after Unicode normalisation, without case.
    A manifest that is replaced leaves to the new one what was decided of records that have not
    changed: their split, group, exclusion, and columns of the user's own.
    Where ``fetch`` filled the folders, the catalogue's rules give groups, exclusions and further
    columns as well.

    Args:
        inputs: folders and manifests. Of folders, hidden files, folders that a NAS or a system
            makes for itself and, unless ``follow`` is set, linked folders are skipped.
        out: the manifest, ``.csv`` or ``.parquet``; the rejects table goes next to it.
        options: what the files are, and what is trusted or replaced.
        progress: called with files done and files in all.

    Raises:
        UsageError: an input is missing or not laid out like this, ``out`` exists or has another
            suffix, a kind, class or paired source is unknown, or a table's name of a file is
            ambiguous.
        ManifestError: a table cannot be read, or lacks a column.
        SourceError: a marker that ``fetch`` left cannot be read.
        FacecheckError: there is no image in the folders, none could be read, or another process
            writes ``out``.
    """
    inputs, out = to_paths(inputs, "inputs"), to_path(out, "out")
    check_table_suffix(out)
    with only_one(out, "index"):
        return _index(inputs, out, options, progress)


def _index(
    inputs: Sequence[Path], out: Path, options: IndexOptions, progress: Progress
) -> IndexResult:
    refuse_to_overwrite(out, overwrite=options.overwrite)
    before = _before(out)
    noted: list[tuple[str, str]] = []
    skipped = Noted(lambda path, why: noted.append((path, why)))
    said = read_inputs(inputs, out, options, skipped)
    folders = [each for each in inputs if each.is_dir()]
    group_of = _pair_groups(options.pair, {found.source for found in said.images})
    labels = _Labels(folders)
    nameable: list[Listed] = []
    left_out = list(said.rejects)
    for found in said.images:
        if is_utf8(found.path):
            nameable.append(found)
        else:
            left_out.append((path_text(found.path), unnameable_reason()))
    known = [each for each in inputs if not each.is_dir()]
    measured, bad_lines = _measure(
        nameable, out, known, options.verify, options.workers or cpu_count(), progress
    )
    table = pl.DataFrame(
        {
            "path": [str(found.path) for found in nameable],
            "source": [found.source for found in nameable],
            "kind": [found.kind for found in nameable],
            "split": [found.split for found in nameable],
            "stated": [found.sha256 for found in nameable],
        },
        schema=dict.fromkeys(("path", "source", "kind", "split", "stated"), pl.String),
    ).join(measured, on="path", how="left", maintain_order="left")
    rejects = table.filter(pl.col("reason") != "").select("path", "reason")
    rejects = pl.concat([rejects, pl.DataFrame(left_out, schema=rejects.schema, orient="row")])
    rejects_path = out.with_name(f"{out.stem}.rejects{out.suffix}")
    skips = pl.DataFrame(noted, schema=rejects.schema, orient="row")
    write_table(pl.concat([rejects, skips]), rejects_path)
    records = table.filter(pl.col("reason") == "")
    if not records.height:
        raise FacecheckError(
            f"not one of {rejects.height:,} images could be read: see {path_text(rejects_path)}"
        )
    made_by = {
        "command": "index",
        "arguments": {
            "folders": [path_text(each) for each in inputs],
            "tables": [path_text(file) for file in options.labels],
            "kind": options.kind,
            "source": options.source,
            "labels": dict(options.label),
            "pairs": [list(pair) for pair in options.pair],
        },
        "decode_policy": DECODE_POLICY,
        "hash_side": HASH_SIDE,
    }
    changed = records.select((pl.col("stated") != "") & (pl.col("stated") != pl.col("sha256")))
    more = _more_columns(records, changed.to_series().to_list(), said)
    records = records.with_columns(
        split=pl.when(changed.to_series()).then(pl.lit("")).otherwise("split")
    )
    manifest = Manifest.from_frame(records).with_columns(
        **_label_columns(records, group_of, labels, more)
    )
    if before is not None and options.drop_split:
        before = before.with_columns(split=[""] * len(before))
    manifest, kept = (manifest, Kept()) if before is None else keep_columns(before, manifest)
    root = absolute_root(options.root) if options.root else before.root if before else None
    write_manifest(Manifest(manifest.frame, root), out, made_by)
    paired, unpaired = _count_pairs(records, options.pair)
    counted = records.group_by("kind", "source").len().iter_rows()
    by_source = {(str(kind), str(source)): int(count) for kind, source, count in counted}
    return IndexResult(
        manifest=out,
        rejects=rejects_path,
        records=records.height,
        rejected=rejects.height,
        skipped=skipped,
        tables=said.tables,
        unnamed=said.unnamed,
        relabelled=said.relabelled,
        differing=said.differing,
        changed=int(changed.to_series().sum()),
        by_source={key: by_source[key] for key in sorted(by_source, key=_kinds_in_order)},
        by_split={
            name: count
            for name in SPLITS
            if (count := manifest.frame.filter(pl.col("split") == name).height)
        },
        reasons=Counter(rejects["reason"]),
        bad_lines=bad_lines,
        paired=paired,
        unpaired=unpaired,
        kept=kept,
    )


def _kinds_in_order(key: tuple[str, str]) -> tuple[int, str]:
    return KINDS.index(key[0]), key[1]


def _measure(
    listed: Sequence[Listed],
    out: Path,
    manifests: Sequence[Path],
    verify: bool,
    workers: int,
    progress: Progress,
) -> tuple[pl.DataFrame, int]:
    """Return every file's measurement, and how many lines of the journal were bad.

    What the journal, or that of one of the manifests that are joined, knows of a file is taken
    from there while the file is unchanged.
    """
    journal = Measurements(_journal_of(out))
    stamps = _stamps(listed)
    before = journal.read()
    dropped = journal.dropped
    others = [Measurements(_journal_of(each)).read() for each in manifests if each != out]
    if any(each.height for each in others):
        before = pl.concat([*others, before]).unique("path", keep="last")
        journal.keep(before.join(stamps, on="path", how="semi"))
    same = ["path", "bytes", "mtime_ns"]
    found = stamps.join(before.select(*same, "sha256"), on=same, how="left", maintain_order="left")
    todo = found if verify else found.filter(pl.col("sha256").is_null())
    files = [Stamp(*row) for row in todo.select(same).iter_rows()]
    digests = dict(todo.filter(pl.col("sha256").is_not_null()).select("path", "sha256").iter_rows())
    done = len(listed) - len(files)
    for _ in journal.measure(files, digests, workers=workers):
        done += 1
        progress(done, len(listed))
    found = journal.read()
    current = found.join(stamps, on="path", how="semi", maintain_order="left")
    if current.height < found.height or dropped:
        journal.keep(current)
    return current, dropped


def _stamps(listed: Sequence[Listed]) -> pl.DataFrame:
    """Return the path, size and time of change of every file: a table, of which a million fit."""
    rows = ((file.path, file.bytes, file.mtime_ns) for file in (stamp(one.path) for one in listed))
    schema = {"path": pl.String, "bytes": pl.Int64, "mtime_ns": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _journal_of(manifest: Path) -> Path:
    return manifest.with_name(f"{manifest.stem}.hashes.jsonl")


def _before(out: Path) -> Manifest | None:
    """Return the manifest that is to be replaced, if there is one."""
    try:
        return read_manifest(out) if out.is_file() else None
    except ManifestError as error:
        raise ManifestError(f"{error}; or move it away, to index without it") from None


def _pair_groups(pairs: Sequence[Sequence[str]], sources: set[str]) -> Callable[[str, str], str]:
    """Return a function from a file's source and stem to its group, empty for unpaired sources."""
    names: dict[str, str] = {}
    for pair in pairs:
        for source in pair:
            if source not in sources:
                raise UsageError(
                    f"--pair names source {source!r}, which has no images: the sources are "
                    f"{', '.join(sorted(sources))}{did_you_mean(source, sources)}"
                )
            if source in names:
                raise UsageError(f"--pair names source {source!r} twice: name it in one pair")
            names[source] = "+".join(sorted(pair))
    return lambda source, stem: f"{names[source]}/{as_read(stem)}" if source in names else ""


def _count_pairs(
    records: pl.DataFrame, pairs: Sequence[Sequence[str]]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the names with a partner and the files without one, by pair."""
    paired, unpaired = {}, {}
    for pair in pairs:
        rows = records.filter(pl.col("source").is_in(list(pair)))
        names = pl.Series([as_read(Path(path).stem) for path in rows["path"]], dtype=pl.String)
        by_name = (
            rows.select("source", name=names)
            .group_by("name")
            .agg(pl.col("source").n_unique(), pl.len().alias("files"))
        )
        alone = by_name.filter(pl.col("source") == 1)
        pair_name = "+".join(sorted(pair))
        paired[pair_name] = by_name.height - alone.height
        unpaired[pair_name] = int(alone["files"].sum())
    return paired, unpaired


class _Labels:
    """What the rules of fetched sources say of files, beyond their kind."""

    def __init__(self, folders: Sequence[Path]) -> None:
        # The raw folder itself is given as a rule, or else one of its kinds or sources.
        roots = {
            root
            for folder in folders
            for root in (folder.resolve(), *folder.resolve().parents[:2])
            if (root / HIDDEN).is_dir()
        }
        self._rules = {
            root / name: rules for root in roots for name, rules in rules_by_folder(root).items()
        }

    def of(self, path: Path) -> Placement | None:
        """Return what is said of one file."""
        for folder in path.parents if self._rules else ():
            if folder in self._rules:
                return place(self._rules[folder], PurePosixPath(path.relative_to(folder)))
        return None

    def columns(self, paths: Sequence[Path]) -> dict[str, list[str]]:
        """Return the values of every further column, in the order of ``paths``."""
        placements = [self.of(path) for path in paths] if self._rules else []
        names = extra_columns(rule for rules in self._rules.values() for rule in rules)
        return {
            name: [found.columns.get(name, "") if found else "" for found in placements]
            for name in names
        }


def _more_columns(
    records: pl.DataFrame, changed: Sequence[bool], said: Inputs
) -> dict[str, list[str]]:
    """Return what tables say of every record beyond its kind, by column, empty where nothing.

    What was decided of a file that is another one now no longer counts.
    """
    by_path = {str(found.path): found.more for found in said.images if found.more}
    names = dict.fromkeys(name for more in by_path.values() for name in more)
    rows = [by_path.get(path, {}) for path in records["path"]]
    columns = {name: [row.get(name, "") for row in rows] for name in names}
    for name in {"group", "excluded"} & columns.keys():
        pairs = zip(columns[name], changed, strict=True)
        columns[name] = ["" if other else value for value, other in pairs]
    return columns


def _label_columns(
    records: pl.DataFrame,
    group_of: Callable[[str, str], str],
    labels: _Labels,
    more: Mapping[str, list[str]],
) -> dict[str, list[str]]:
    """Return the group, the exclusion and the further columns of every record."""
    groups, excluded = [], []
    paths = [Path(path) for path in records["path"]]
    nothing = [""] * len(paths)
    for path, source, group, why in zip(
        *(paths, records["source"], more.get("group", nothing), more.get("excluded", nothing)),
        strict=True,
    ):
        label = labels.of(path)
        ruled = unicodedata.normalize("NFC", label.group) if label else ""
        named = f"{source}/{ruled}" if ruled else group
        groups.append(group_of(source, path.stem) or named)
        excluded.append((label.excluded if label else "") or why)
    ruled_columns = labels.columns(paths)
    for name in ruled_columns.keys() & more.keys():
        pairs = zip(ruled_columns[name], more[name], strict=True)
        ruled_columns[name] = [ruled or other for ruled, other in pairs]
    return {**more, "group": groups, "excluded": excluded, **ruled_columns}
