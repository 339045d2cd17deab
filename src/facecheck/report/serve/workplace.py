"""What is served: the scans of folders below one folder, or results that are there."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Self

from facecheck.core.errors import UsageError
from facecheck.core.files import name_text, named_path, path_text, write_json
from facecheck.core.formats import is_image_name
from facecheck.core.jsonable import parse_json
from facecheck.core.lock import only_one
from facecheck.report.serve.live_scan import LiveScan
from facecheck.report.serve.options import ServeOptions
from facecheck.report.serve.pictures import Pictures
from facecheck.scanner.inputs.reach import reach_of
from facecheck.scanner.results.rows import CSV, JSONL, PARQUET

#: Entries of a folder that are counted, at most: a page must not wait for a disk of millions.
MOST_COUNTED = 10_000
#: Results that can be read.
FORMATS = (CSV, JSONL, PARQUET)
#: The scan of results that were opened.
OPENED = "results"
_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Folder:
    """A folder that can be chosen.

    Attributes:
        name: its own name; of the folder that is served, its path.
        place: where it is below the folder that is served, as text; empty for that one.
        pictures: names in it that end as pictures do, at most :data:`MOST_COUNTED`.
        above: the folders from the one that is served down to it: names and places.
        folders: those in it: names and places.
    """

    name: str
    place: str
    pictures: int
    above: tuple[tuple[str, str], ...]
    folders: tuple[tuple[str, str], ...]


class Workplace:
    """The scans that are served, and where they are kept; a context manager.

    Args:
        source: the folder, or the results of a scan.
        checkpoint: the model of scans that are started.
        options: where results are kept, and what else may be read.

    Raises:
        UsageError: there is no such folder, and no such results.
        FacecheckError: results that are there cannot be read; another process serves them.
    """

    def __init__(self, source: Path, checkpoint: Path, options: ServeOptions) -> None:
        self._checkpoint, self._lock = checkpoint, RLock()
        self._scans: dict[str, LiveScan] = {}
        self._open = ExitStack()
        self.base = source if source.is_dir() else None
        self.kept = options.results if self.base else source.parent
        if self.base is None and not source.is_file():
            raise UsageError(f"no folder and no results at {path_text(source)}: check the path")
        with ExitStack() as opened:
            if self.base is None:
                if source.suffix.lower() not in FORMATS:
                    raise UsageError(
                        f"{path_text(source)}: name a folder, or the results of a scan "
                        f"({', '.join(FORMATS)})"
                    )
                bases = [] if options.base is None else [options.base]
                roots = reach_of(source, [*options.root, *bases]).roots or ()
                self._pictures = opened.enter_context(Pictures([*map(Path, roots)]))
                corrections = source.with_name(f"{source.stem}.corrections.csv")
                opened.enter_context(only_one(corrections, "serve"))
                scan = LiveScan(source, corrections, self._pictures, base=options.base)
                self._scans[OPENED] = scan
            else:
                self._pictures = opened.enter_context(Pictures([self.base, *options.root]))
                self.kept.mkdir(parents=True, exist_ok=True)
                opened.enter_context(only_one(self.kept, "serve"))
                self._find_scans()
            self._open = opened.pop_all()

    def _find_scans(self) -> None:
        for file in sorted(self.kept.glob("*.scan.json")):
            try:
                known = parse_json(file.read_bytes())
                place, per_face = str(known["folder"]), bool(known["per_face"])
                folder = self._within(place)
            except (OSError, ValueError, KeyError, TypeError, UsageError):
                continue  # of another folder, or one that is gone
            if file.name == f"{self._name(place, per_face=per_face)}.scan.json":
                self._add(place, folder, per_face=per_face)

    def _name(self, place: str, *, per_face: bool) -> str:
        """Return the name of a scan, by which files and addresses call it."""
        assert self.base is not None  # noqa: S101
        whole = os.path.realpath(self.base / named_path(place))
        digest = hashlib.sha256(os.fsencode(whole)).hexdigest()[:8]
        shown = _NAME.sub("_", Path(whole).name.encode("ascii", "replace").decode())[:60]
        return f"{shown.strip('._') or 'folder'}-{digest}{'-faces' if per_face else ''}"

    def _add(self, place: str, folder: Path, *, per_face: bool) -> str:
        name = self._name(place, per_face=per_face)
        with self._lock:
            if name not in self._scans:
                self._scans[name] = LiveScan(
                    self.kept / f"{name}.csv",
                    self.kept / f"{name}.corrections.csv",
                    self._pictures,
                    folder=folder,
                    checkpoint=self._checkpoint,
                    per_face=per_face,
                )
        return name

    @property
    def scans(self) -> Mapping[str, LiveScan]:
        """The scans by their names."""
        with self._lock:
            return dict(self._scans)

    def choose(self, place: str, *, per_face: bool) -> str:
        """Return the name of the scan of a folder, which is made if there is none.

        Raises:
            UsageError: there is no such folder below the one that is served.
        """
        folder = self._within(place)
        name = self._name(place, per_face=per_face)
        write_json(self.kept / f"{name}.scan.json", {"folder": place, "per_face": per_face})
        return self._add(place, folder, per_face=per_face)

    def folder(self, place: str) -> Folder:
        """Return what is in a folder.

        Raises:
            UsageError: there is no such folder below the one that is served, or it cannot be read.
        """
        path = self._within(place)
        pictures, inner = 0, []
        try:
            with os.scandir(path) as entries:
                for number, entry in enumerate(entries):
                    if number >= MOST_COUNTED:
                        break
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir() and self._is_within(path / entry.name):
                        inner.append(name_text(entry.name))
                    else:
                        pictures += is_image_name(entry.name)
        except OSError as error:
            raise UsageError(f"the folder cannot be read ({error.strerror})") from None
        parts = place.split("/") if place else []
        above = [("/".join(parts[:end]), parts[end - 1]) for end in range(1, len(parts) + 1)]
        base = path_text(self.base or "")
        return Folder(
            name=parts[-1] if parts else base,
            place=place,
            pictures=pictures,
            above=((base, ""), *((name, inside) for inside, name in above)),
            folders=tuple((name, "/".join([*parts, name])) for name in sorted(inner)),
        )

    def _within(self, place: str) -> Path:
        """Return a folder below the one that is served, by its place as text.

        Raises:
            UsageError: there is none, or it leads elsewhere.
        """
        if self.base is None:
            raise UsageError("results are served, no folder")
        inner = named_path(place)
        if "\0" in place or inner.is_absolute() or ".." in inner.parts:
            raise UsageError("not a folder below the one that is served")
        path = self.base / inner
        if not path.is_dir() or not self._is_within(path):
            raise UsageError("no such folder below the one that is served")
        return path

    def _is_within(self, path: Path) -> bool:
        assert self.base is not None  # noqa: S101
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.base))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for scan in self.scans.values():
            scan.stop()
        self._open.close()
