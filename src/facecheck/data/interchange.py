"""convert: manifests to and from the layouts of other tools, and from one table to another.

    imagefolder   <split>/<kind>/<source>--<file>     torchvision ``ImageFolder``, Keras, timm,
                                                      FiftyOne ``ImageClassificationDirectoryTree``
    huggingface   the same, with a ``metadata.jsonl`` in each split (``datasets``' "imagefolder";
                  ``metadata.csv`` is read too)
    fiftyone      <split>/data/<source>--<file> and <split>/labels.json
                  (``FiftyOneImageClassificationDataset``)

Without splits, the split folder falls away. Files are linked or copied, never moved; nothing is
ever overwritten.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote, unquote

import polars as pl

from facecheck.core.errors import (
    FacecheckError,
    ManifestError,
    UsageError,
    did_you_mean,
    reason,
)
from facecheck.core.files import (
    LONGEST_NAME,
    marked_name,
    path_text,
    refuse_to_overwrite,
    temporary_folder,
    to_path,
    write_json,
    write_text,
)
from facecheck.core.formats import is_image_name
from facecheck.core.jsonable import parse_json
from facecheck.core.labels import KINDS, check_kind
from facecheck.core.lock import only_one
from facecheck.core.manifest import (
    SPLIT_NAMES,
    Manifest,
    absolute_root,
    input_meta,
    read_manifest,
    read_meta,
    write_manifest,
)
from facecheck.core.parallel import Progress, silent
from facecheck.core.record import COLUMNS, Record
from facecheck.core.tables import check_table_suffix
from facecheck.core.tree import walk_files
from facecheck.data.leaks import look, split_folders
from facecheck.data.options import ConvertOptions, Layout

LAYOUTS: tuple[Layout, ...] = get_args(Layout)
#: How a file gets into a tree.
LINKS: Mapping[str, Callable[[Path, Path], Any]] = {
    "hardlink": os.link,
    "symlink": os.symlink,
    "copy": shutil.copy2,
}
#: Between a source and a file's own name.
_SEPARATOR = "--"
#: What ``datasets`` calls the splits.
_HUGGING_FACE = {"train": "train", "val": "validation", "test": "test", "": ""}
#: The files that describe a layout's images.
_DESCRIBED_BY = {
    "fiftyone": ("labels.json",),
    "huggingface": ("metadata.jsonl", "metadata.csv"),
    "imagefolder": (),
}
#: Columns that a layout says by other means, or that only a manifest needs.
_NOT_METADATA = ("path", "kind", "split", "excluded")


@dataclass(frozen=True)
class ConvertResult:
    """What ``convert`` did.

    Attributes:
        origin: what was read.
        target: what was written, a table or a tree.
        layout: the layout of the tree among the two; ``table`` if there is none.
        records: images in the target.
        by_split: images by split, empty for none.
        left_out: records not written to a tree: excluded, or without a split where others have
            one.
        errors: files named or found in a tree that are gone or cannot be read, and why.
    """

    origin: Path
    target: Path
    layout: str
    records: int
    by_split: Mapping[str, int]
    left_out: int
    errors: tuple[tuple[str, str], ...]


def convert(
    origin: Path | str,
    target: Path | str,
    options: ConvertOptions = ConvertOptions(),
    *,
    progress: Progress = silent,
) -> ConvertResult:
    """Turn a manifest into a tree, a tree into a manifest, or a manifest into another format.

    Args:
        origin: a manifest (``.csv``, ``.parquet``) or a folder.
        target: a manifest, or a folder that is not there yet.
        options: layout, links and the kinds of foreign classes; without a layout, an imagefolder
            is written, and any known one is recognised.
        progress: called with images done and in all.

    Raises:
        UsageError: the origin is not there, the target is, or a class is no kind.
        ManifestError: the origin cannot be read, or files of it are gone.
        FacecheckError: files cannot be linked, no image is found, or another process writes the
            target.
    """
    origin, target = to_path(origin, "origin"), to_path(target, "target")
    with only_one(target, "convert", inside=False):
        return _convert(origin, target, options, progress)


def _convert(
    origin: Path, target: Path, options: ConvertOptions, progress: Progress
) -> ConvertResult:
    if origin.is_dir():
        return _from_tree(origin, target, options, progress)
    table = read_manifest(origin, options.root)
    if target.suffix.lower() in {".csv", ".parquet"}:
        refuse_to_overwrite(target, overwrite=options.overwrite)
        if options.root:
            table.require_files(origin)
            table = Manifest(table.frame, absolute_root(options.root))
        write_manifest(table, target, {**read_meta(origin), **_made_by(origin)})
        return _result(origin, target, "table", table.frame, 0, ())
    if options.layout is None:
        _refuse_table_name(target)
    return _to_tree(origin, table, target, options.layout or "imagefolder", options.link, progress)


def _refuse_table_name(target: Path) -> None:
    """Raise :class:`UsageError` for a folder that is called like a file, such as ``m.xlsx``."""
    ending = target.suffix
    if re.fullmatch(r"\.[A-Za-z]+", ending):
        near = did_you_mean(ending.lower(), (".csv", ".parquet"))
        raise UsageError(
            f"{path_text(target)}: a table's name must end in .csv or .parquet{near}; for a folder "
            "of this name pass --layout"
        )


def _made_by(origin: Path) -> dict[str, Any]:
    stands = input_meta(origin) if origin.is_file() else {"path": path_text(origin)}
    return {"command": "convert", "input": stands}


def _result(
    origin: Path,
    target: Path,
    layout: str,
    frame: pl.DataFrame,
    left_out: int,
    errors: Sequence[tuple[str, str]],
) -> ConvertResult:
    by_split = Counter(frame["split"])
    return ConvertResult(
        *(origin, target, layout, frame.height),
        *({name: by_split[name] for name in sorted(by_split)}, left_out, tuple(errors)),
    )


# --- from a manifest to a tree -----------------------------------------------------------------


def _to_tree(
    origin: Path, table: Manifest, target: Path, layout: str, link: str, progress: Progress
) -> ConvertResult:
    if target.exists():
        with temporary_folder(
            target
        ):  # a kill may have come when the tree was whole, and this left
            raise UsageError(f"{path_text(target)} exists: name a folder that is not there yet")
    used = table.where(pl.col("excluded") == "")
    if (used.frame["split"] != "").any():
        used = used.where(pl.col("split") != "")
    if not len(used):
        raise FacecheckError(f"{path_text(origin)}: no record takes part: all are excluded")
    used.require_files(origin)
    rows = used.frame.with_columns(name=pl.Series(_names(used.frame), dtype=pl.String))
    # Made under another name first: a tree that is there is whole.
    with temporary_folder(target) as staging:
        tree = staging / "tree"
        tree.mkdir()
        for done, row in enumerate(rows.iter_rows(named=True), 1):
            _link(Path(row["path"]).absolute(), tree / _place(row, layout), link)
            progress(done, rows.height)
        for split in sorted(set(rows["split"])):
            _describe(rows.filter(pl.col("split") == split), tree, layout)
        tree.rename(target)
    return _result(origin, target, layout, rows, len(table) - rows.height, ())


def _names(frame: pl.DataFrame) -> list[str]:
    """Return a file name for every record that no other of its split has, in any case.

    Names alike but for case or Unicode form are one name to some file systems, and names alike
    but for their endings are one sample to FiftyOne: all that clash get a part of their path's
    hash, so that names do not depend on the order of the records; and so do those that the source
    in front makes longer than names may be, which are shortened.
    """
    pairs = list(frame.select("source", "path").iter_rows())
    names = [_quoted(source) + _SEPARATOR + Path(path).name for source, path in pairs]
    plain = [
        (split, unicodedata.normalize("NFC", Path(name).stem).casefold())
        for split, name in zip(frame["split"], names, strict=True)
    ]
    count = Counter(plain)
    return [
        name
        if count[key] == 1 and len(os.fsencode(name)) <= LONGEST_NAME
        else marked_name(name, f"~{hashlib.sha256(path.encode()).hexdigest()[:8]}")
        for name, key, path in zip(names, plain, frame["path"], strict=True)
    ]


def _quoted(source: str) -> str:
    """Return a source as the beginning of a file name, from which it can be read back."""
    text = re.sub(r"[%/\\\x00-\x1f]", lambda found: quote(found[0], safe=""), source)
    # A leading dot hides a file; a dash at the end would run into the separator.
    return re.sub(r"^\.", "%2E", re.sub(r"-(?=-|$)", "%2D", text))


def _place(row: Mapping[str, Any], layout: str) -> Path:
    if layout == "fiftyone":
        return Path(row["split"], "data", row["name"])
    split = _HUGGING_FACE[row["split"]] if layout == "huggingface" else row["split"]
    return Path(split, row["kind"], row["name"])


def _link(file: Path, place: Path, link: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        LINKS[link](file, place)
    except OSError as error:
        raise FacecheckError(
            f"cannot {link} {path_text(file)}: {reason(error)}: try another --link "
            f"({', '.join(LINKS)})"
        ) from None


def _describe(rows: pl.DataFrame, root: Path, layout: str) -> None:
    """Write what a layout says of the records of one split next to their files."""
    if layout == "imagefolder":
        return
    columns = [name for name in rows.columns if name not in (*_NOT_METADATA, "name")]
    described = [
        (row["kind"], _place(row, layout), {name: row[name] for name in columns})
        for row in rows.iter_rows(named=True)
    ]
    split = rows["split"][0]
    if layout == "huggingface":
        folder = root / _HUGGING_FACE[split]
        lines = [
            {"file_name": (root / place).relative_to(folder).as_posix(), "label": kind, **more}
            for kind, place, more in described
        ]
        # Not CSV: `datasets` would take a hash of digits alone for a number.
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_text(folder / "metadata.jsonl", text)
    else:
        classes = [kind for kind in KINDS if kind in set(rows["kind"])]
        labels = {
            place.stem: {"label": classes.index(kind), "attributes": more}
            for kind, place, more in described
        }
        write_json(root / split / "labels.json", {"classes": classes, "labels": labels})


# --- from a tree to a manifest -----------------------------------------------------------------


def _from_tree(
    origin: Path, target: Path, options: ConvertOptions, progress: Progress
) -> ConvertResult:
    layout, labels = options.layout or _detect(origin), dict(options.label)
    check_table_suffix(target)
    refuse_to_overwrite(target, overwrite=options.overwrite)
    for name, kind in labels.items():
        check_kind(kind, f"--label {name}={kind}")
    read = {"imagefolder": _read_folders, "huggingface": _read_metadata, "fiftyone": _read_labels}
    rows: list[dict[str, Any]] = []
    errors: list[tuple[str, str]] = []
    for split, folder in _splits(origin, layout):
        for path, label, more in read[layout](folder):
            if not path.is_file():
                errors.append((path_text(path), "the file is not there"))
                continue
            kind = check_kind(labels.get(label, label), f"{path_text(path)} (see --label)")
            stands = options.source or more.get("source") or _source(path, origin)
            part = split or _split_of(path, origin)
            absolute = os.path.normpath(path.absolute())
            own = {"path": absolute, "source": stands, "kind": kind, "split": part}
            rows.append({**more, **own})
    if not rows:
        raise UsageError(f"{path_text(origin)}: no images of layout {layout} in it: see --layout")
    frame = _frame(rows)
    if (frame["sha256"] == "").any():
        frame, rejected = _hashed(frame, options.workers, progress)
        errors += rejected
    root = options.root and absolute_root(options.root)
    write_manifest(Manifest(frame, root), target, _made_by(origin))
    return _result(origin, target, layout, frame, 0, errors)


def _splits(origin: Path, layout: str) -> Iterator[tuple[str, Path]]:
    """Yield each split and its folder; the whole tree, where it is not split or described whole."""
    try:
        folders = split_folders(origin)
    except UsageError:
        folders = {}
    if not folders or any((origin / name).is_file() for name in _DESCRIBED_BY[layout]):
        yield "", origin
    else:
        yield from folders.items()


def _detect(origin: Path) -> str:
    """Return the layout whose description lies in the tree, or in one of its splits."""
    for layout, names in _DESCRIBED_BY.items():
        for _, folder in _splits(origin, layout):
            if any((folder / name).is_file() for name in names):
                return layout
    return "imagefolder"


def _split_of(path: Path, origin: Path) -> str:
    """Return the split that the first folder of a path stands for, or nothing."""
    first = path.relative_to(origin).parts[0] if path.is_relative_to(origin) else ""
    return SPLIT_NAMES.get(first.lower(), "")


_Found = Iterator[tuple[Path, str, dict[str, Any]]]


def _read_folders(folder: Path) -> _Found:
    for path in walk_files(folder):
        if is_image_name(path) and path.parent != folder:
            yield path, path.relative_to(folder).parts[0], {}


def _read_metadata(folder: Path) -> _Found:
    """Read ``metadata.jsonl`` or ``.csv``; an image without a label takes its folder's name."""
    lines, table = folder / "metadata.jsonl", folder / "metadata.csv"
    try:
        if lines.is_file():
            text = lines.read_text(encoding="utf-8")
            rows = [parse_json(line) for line in text.split("\n") if line.strip()]
        elif table.is_file():
            with table.open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
        else:
            return
        for row in rows:
            path = folder / row.pop("file_name")
            label = row.pop("label", None)
            yield path, str(label if label is not None else path.parent.name), row
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ManifestError(
            f"{path_text(folder)}: metadata.jsonl or .csv has a row without file_name, or is "
            f"damaged: {error}"
        ) from None


def _read_labels(folder: Path) -> _Found:
    """Read FiftyOne's ``labels.json``: a target is a class, its number, or a dict with both."""
    path = folder / "labels.json"
    if not path.is_file():
        return
    data = folder / "data"
    found = walk_files(data) if data.is_dir() else ()
    files = {file.relative_to(data).with_suffix("").as_posix(): file for file in found}
    try:
        stored = parse_json(path.read_text(encoding="utf-8"))
        for name, target in stored["labels"].items():
            more = target.get("attributes", {}) if isinstance(target, dict) else {}
            label = target["label"] if isinstance(target, dict) else target
            label = stored["classes"][label] if isinstance(label, int) else label
            yield files.get(name, data / name), str(label), dict(more)
    except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise ManifestError(f"{path_text(path)}: not FiftyOne's labels.json: {error}") from None


def _source(path: Path, origin: Path) -> str:
    before, separator, _ = path.name.partition(_SEPARATOR)
    return unquote(before) if separator else origin.absolute().name


def _frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows as the frame of a manifest; columns that are no field become text."""
    records = Manifest.from_records(
        Record(**{name: _typed(name, row[name]) for name in COLUMNS if row.get(name) is not None})
        for row in rows
    )
    extra = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    return records.with_columns(
        **{
            name: ["" if row.get(name) is None else str(row[name]) for row in rows]
            for name in extra
        }
    ).frame


def _typed(name: str, value: Any) -> Any:
    if name not in {"width", "height", "bytes"}:
        return str(value)
    return int(value) if str(value).isdigit() else 0


def _hashed(
    frame: pl.DataFrame, workers: int | None, progress: Progress
) -> tuple[pl.DataFrame, list[tuple[str, str]]]:
    """Return the records with what ``index`` finds out, and the files that it rejects."""
    folders = sorted({Path(path).parent for path in frame["path"]})
    found, _, _ = look(folders, workers, progress, near=False)
    real = [str(Path(path).parent.resolve() / Path(path).name) for path in frame["path"]]
    measured = ("sha256", "pixel_hash", "phash", "width", "height", "format", "bytes")
    joined = (
        frame.drop(measured)
        .with_columns(real=pl.Series(real, dtype=pl.String))
        .join(found.select(pl.col("path").alias("real"), *measured), on="real", how="left")
    )
    lost = joined.filter(pl.col("sha256").is_null())["path"]
    kept = joined.filter(pl.col("sha256").is_not_null()).select(frame.columns)
    return kept, [(path_text(Path(path)), "cannot be decoded") for path in lost]
