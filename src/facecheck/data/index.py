"""index: raw folders to a manifest, decoding every file once."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import polars as pl

from facecheck.core.errors import FacecheckError, ManifestError, UsageError, did_you_mean
from facecheck.core.files import is_utf8, path_text, refuse_to_overwrite, unnameable_reason
from facecheck.core.image import DECODE_POLICY, HASH_SIDE
from facecheck.core.labels import KINDS, check_kind, near_kind
from facecheck.core.lock import only_one
from facecheck.core.manifest import (
    Manifest,
    check_table_suffix,
    read_manifest,
    write_manifest,
    write_table,
)
from facecheck.core.parallel import Progress, cpu_count, silent
from facecheck.core.selection import select
from facecheck.core.tree import Skipped, skipped_sentences, skipped_word
from facecheck.data.keep_columns import Kept, keep_columns
from facecheck.data.measure import Measurements, Stamp, stamp
from facecheck.data.options import IndexOptions
from facecheck.data.relabel import Relabel
from facecheck.data.sources.marker import HIDDEN, rules_by_folder
from facecheck.data.sources.rules import Placement, extra_columns, place


@dataclass(frozen=True)
class IndexResult:
    """What ``index`` did.

    Attributes:
        manifest: where the manifest was written.
        rejects: where the table of rejected files was written (``path``, ``reason``).
        records: images in the manifest.
        rejected: files in the rejects table.
        skipped: what was skipped in the folders.
        by_source: images by (kind, source).
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
    by_source: Mapping[tuple[str, str], int]
    reasons: Mapping[str, int]
    bad_lines: int
    paired: Mapping[str, int]
    unpaired: Mapping[str, int]
    kept: Kept


def index(
    folders: Sequence[Path],
    out: Path,
    options: IndexOptions = IndexOptions(),
    *,
    progress: Progress = silent,
) -> IndexResult:
    """Decode and hash every image under ``folders``; write a manifest and a rejects table.

    A journal next to the manifest keeps what was measured: files that have not changed since are
    not decoded again, and a run that was killed resumes where it was.

    Folders are laid out ``<kind>/<source>/…``; a folder that is itself named after a kind may be
    given too. With the options ``kind`` and ``source`` any layout will do: all its files get
    those. ``label`` gives a source's images another kind than their folder does. Files of one name
    (without its ending) in paired sources show one person: they share a group, whatever their
    kinds.
    Names are compared as people read them: after Unicode normalisation, without case.
    A manifest that is replaced leaves to the new one what was decided of records that have not
    changed: their split, group, exclusion, and columns of the user's own.
    Where ``fetch`` filled the folders, the catalogue's rules give groups, exclusions and further
    columns as well.

    Args:
        folders: what to walk. Hidden files, folders that a NAS or a system makes for itself and,
            unless ``follow`` is set, linked folders are skipped.
        out: the manifest, ``.csv`` or ``.parquet``; the rejects table goes next to it.
        options: what the files are, and what is trusted or replaced.
        progress: called with files done and files in all.

    Raises:
        UsageError: a folder is missing or not laid out like this, ``out`` exists or has another
            suffix, a kind or a paired source is unknown.
        SourceError: a marker that ``fetch`` left cannot be read.
        FacecheckError: there is no image in the folders, none could be read, or another process
            writes ``out``.
    """
    check_table_suffix(out)
    with only_one(out, "index"):
        return _index(folders, out, options, progress)


def _index(
    folders: Sequence[Path], out: Path, options: IndexOptions, progress: Progress
) -> IndexResult:
    refuse_to_overwrite(out, overwrite=options.overwrite)
    before = _before(out)
    if options.kind is not None:
        check_kind(options.kind, "--kind")
    skipped = _Noted()
    listed = _list_images(folders, options, skipped)
    if not listed:
        others = "; ".join(skipped_sentences(skipped))
        raise FacecheckError(
            f"no images in {', '.join(map(path_text, folders))}"
            f"{f' (skipped {others})' if others else ''}: check the folder, or the endings of its "
            "files"
        )
    group_of = _pair_groups(options.pair, {found.source for found in listed})
    labels = _Labels(folders)
    nameable: list[_Listed] = []
    unnameable: list[tuple[str, str]] = []
    for found in listed:
        if is_utf8(found.path):
            nameable.append(found)
        else:
            unnameable.append((path_text(found.path), unnameable_reason()))
    measured, bad_lines = _measure(
        nameable, out, options.verify, options.workers or cpu_count(), progress
    )
    table = pl.DataFrame(
        {
            "path": [str(found.path) for found in nameable],
            "source": [found.source for found in nameable],
            "kind": [found.kind for found in nameable],
        },
        schema=dict.fromkeys(("path", "source", "kind"), pl.String),
    ).join(measured, on="path", how="left", maintain_order="left")
    rejects = table.filter(pl.col("reason") != "").select("path", "reason")
    rejects = pl.concat([rejects, pl.DataFrame(unnameable, schema=rejects.schema, orient="row")])
    rejects_path = out.with_name(f"{out.stem}.rejects{out.suffix}")
    noted = pl.DataFrame(skipped.rows, schema=rejects.schema, orient="row")
    write_table(pl.concat([rejects, noted]), rejects_path)
    records = table.filter(pl.col("reason") == "")
    if not records.height:
        raise FacecheckError(
            f"not one of {rejects.height:,} images could be read: see {path_text(rejects_path)}"
        )
    made_by = {
        "command": "index",
        "arguments": {
            "folders": [path_text(folder) for folder in folders],
            "kind": options.kind,
            "source": options.source,
            "labels": dict(options.label),
            "pairs": [list(pair) for pair in options.pair],
        },
        "decode_policy": DECODE_POLICY,
        "hash_side": HASH_SIDE,
    }
    manifest = Manifest.from_frame(records).with_columns(
        **_label_columns(records, group_of, labels)
    )
    manifest, kept = (manifest, Kept()) if before is None else keep_columns(before, manifest)
    write_manifest(manifest, out, made_by)
    paired, unpaired = _count_pairs(records, options.pair)
    counted = records.group_by("kind", "source").len().iter_rows()
    by_source = {(str(kind), str(source)): int(count) for kind, source, count in counted}
    return IndexResult(
        manifest=out,
        rejects=rejects_path,
        records=records.height,
        rejected=rejects.height,
        skipped=skipped,
        by_source={key: by_source[key] for key in sorted(by_source, key=_kinds_in_order)},
        reasons=Counter(rejects["reason"]),
        bad_lines=bad_lines,
        paired=paired,
        unpaired=unpaired,
        kept=kept,
    )


def _kinds_in_order(key: tuple[str, str]) -> tuple[int, str]:
    return KINDS.index(key[0]), key[1]


def _measure(
    listed: Sequence[_Listed], out: Path, verify: bool, workers: int, progress: Progress
) -> tuple[pl.DataFrame, int]:
    """Return every file's measurement, and how many lines of the journal were bad.

    What the journal knows of a file is taken from there while the file is unchanged.
    """
    journal = Measurements(out.with_name(f"{out.stem}.hashes.jsonl"))
    stamps = [stamp(found.path) for found in listed]
    before = journal.read()
    dropped = journal.dropped
    known = {
        Stamp(path, size, changed): digest
        for path, size, changed, digest in before.select(
            "path", "bytes", "mtime_ns", "sha256"
        ).iter_rows()
    }
    todo = stamps if verify else [file for file in stamps if file not in known]
    digests = {file.path: known[file] for file in todo if file in known}
    done = len(stamps) - len(todo)
    for _ in journal.measure(todo, digests, workers=workers):
        done += 1
        progress(done, len(stamps))
    found = journal.read()
    current = found.filter(pl.col("path").is_in([file.path for file in stamps]))
    if current.height < found.height or dropped:
        journal.keep(current)
    return current, dropped


@dataclass(frozen=True)
class _Listed:
    path: Path
    kind: str
    source: str


def _before(out: Path) -> Manifest | None:
    """Return the manifest that is to be replaced, if there is one."""
    try:
        return read_manifest(out) if out.is_file() else None
    except ManifestError as error:
        raise ManifestError(f"{error}; or move it away, to index without it") from None


class _Noted(Skipped):
    """What was skipped, with a row for the rejects table of all but what is meant to be skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[str, str]] = []

    def count(self, what: str, path: str) -> None:
        """Count one more of ``what``, and note it."""
        super().count(what, path)
        if what not in {"hidden", "excluded"}:
            self.rows.append((path_text(path), f"skipped: {skipped_word(what)}"))


def _list_images(folders: Sequence[Path], options: IndexOptions, skipped: Skipped) -> list[_Listed]:
    selection = replace(select(options), skipped=skipped)
    relabel = Relabel(options.label)
    found: dict[Path, _Listed] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"no folder at {path_text(folder)}: check the path")
        root = folder.resolve()
        for name, _ in selection.walk(os.fspath(root)):
            path = Path(name)
            kind, source = _kind_and_source(path, root, options.kind, options.source)
            found[path] = _Listed(path, relabel.kind(kind, source), source)
    relabel.check()
    return [found[path] for path in sorted(found, key=str)]


def _kind_and_source(
    path: Path, root: Path, kind: str | None, source: str | None
) -> tuple[str, str]:
    """Return the kind and source of a file from the folders above it, or as given."""
    if kind and source:
        return kind, source
    folders = path.relative_to(root).parts[:-1]
    if not kind and root.name in KINDS and (not folders or folders[0] not in KINDS):
        folders = (root.name, *folders)
    if kind is None:
        if not folders or folders[0] not in KINDS:
            near = near_kind(folders[0]) if folders else ""
            raise UsageError(
                f"{path_text(path)}: not under a folder named after a kind ({', '.join(KINDS)})"
                f"{near}: lay folders out <kind>/<source>/, or pass --kind and --source"
            )
        kind, folders = folders[0], folders[1:]
    if source is None:
        source = folders[0] if folders else root.name
        if source in KINDS:
            raise UsageError(
                f"{path_text(path)}: no source folder under {source}/: lay folders out "
                "<kind>/<source>/, or pass --source NAME"
            )
    return kind, source


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
    return lambda source, stem: f"{names[source]}/{_as_read(stem)}" if source in names else ""


def _as_read(name: str) -> str:
    """Return a name as people compare it: ``É.png`` of a Mac's archive and ``é.png`` are one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _count_pairs(
    records: pl.DataFrame, pairs: Sequence[Sequence[str]]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the names with a partner and the files without one, by pair."""
    paired, unpaired = {}, {}
    for pair in pairs:
        rows = records.filter(pl.col("source").is_in(list(pair)))
        names = pl.Series([_as_read(Path(path).stem) for path in rows["path"]], dtype=pl.String)
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
        for folder in path.parents:
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


def _label_columns(
    records: pl.DataFrame, group_of: Callable[[str, str], str], labels: _Labels
) -> dict[str, list[str]]:
    """Return the group, the exclusion and the further columns of every record."""
    groups, excluded = [], []
    paths = [Path(path) for path in records["path"]]
    for path, source in zip(paths, records["source"], strict=True):
        label = labels.of(path)
        group = unicodedata.normalize("NFC", label.group) if label else ""
        named = f"{source}/{group}" if group else ""
        groups.append(group_of(source, path.stem) or named)
        excluded.append(label.excluded if label else "")
    return {"group": groups, "excluded": excluded, **labels.columns(paths)}
