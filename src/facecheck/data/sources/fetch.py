"""fetch: bring source datasets to the workspace, then index and deduplicate them.

Under the raw folder, next to the images, a hidden ``.facecheck`` holds for each source its marker
``<name>.json``, and while it is on its way ``downloads/<name>-…/`` and ``staging/<name>/``. Every
step can be killed at any byte:

1. archives arrive under ``downloads``, each part with notes that let it resume;
2. they are checked against the catalogue and ``facecheck.lock``;
3. files are unpacked and laid out under ``staging``, which is made again when half done;
4. a plan, the marker to be, is written next to ``staging``: from then on nothing is asked again;
5. ``<kind>/<source>`` folders are renamed into place, where nothing may be in the way;
6. the plan becomes the marker.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import polars as pl

from facecheck.core.errors import FacecheckError, SourceError, UsageError, reason
from facecheck.core.files import path_text, require_space, to_path
from facecheck.core.labels import check_kind
from facecheck.core.lock import only_one
from facecheck.core.parallel import Progress, silent
from facecheck.core.selection import Selection, select
from facecheck.core.tables import write_table
from facecheck.core.tree import Skipped, walk_files
from facecheck.data.duplicates.dedup import DedupResult, dedup
from facecheck.data.index import IndexResult, index
from facecheck.data.options import DedupOptions, FetchOptions, IndexOptions
from facecheck.data.sources.archive import Renamed
from facecheck.data.sources.catalog import Source, choose, read_catalog
from facecheck.data.sources.layout import arrange, measure, missing_parts
from facecheck.data.sources.marker import (
    HIDDEN,
    LOCK,
    Archive,
    Marker,
    Origin,
    marker_path,
    read_lock,
    read_marker,
    write_lock,
    write_marker,
)
from facecheck.data.sources.offer import names_of
from facecheck.data.sources.platforms import Download, Interrupted, Retry, Transfer, platform_of
from facecheck.data.sources.platforms.local import checked
from facecheck.data.sources.rules import Rule, place

#: Called with the source, its bytes so far, and its bytes in all or None; by the threads that
#: download.
DownloadProgress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Fetched:
    """What became of one source.

    Attributes:
        name: the source.
        status: ``fetched``, or ``already there`` when an earlier fetch of the same was whole.
        marker: what was fetched.
        kinds: images and other files by kind; empty when it was already there.
        left_out: files of it that no rule places.
        renamed: names in its archives that could not be kept; ``.facecheck/<name>.renamed.csv``
            lists them.
        archives: where its archives were kept, when asked to.
        notes: what the user should know, in sentences.
        skipped: what was skipped in its folders, when they were read.
    """

    name: str
    status: str
    marker: Marker
    kinds: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0
    renamed: int = 0
    archives: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: Skipped = field(default_factory=Skipped)


@dataclass(frozen=True)
class FetchResult:
    """What ``fetch`` did.

    Attributes:
        root: the raw folder.
        sources: what is there now, in the order asked for.
        failed: why each other source is not, by name. The rest went on without them.
        indexed: the indexing of the whole raw folder; None when nothing could be fetched.
        deduplicated: its deduplication; None when not asked for.
    """

    root: Path
    sources: tuple[Fetched, ...]
    failed: Mapping[str, str]
    indexed: IndexResult | None
    deduplicated: DedupResult | None


def fetch(
    names: str | Sequence[str] = (),
    options: FetchOptions = FetchOptions(),
    *,
    lock: Path | str = LOCK,
    retry: Retry | None = None,
    progress: Progress = silent,
    download_progress: DownloadProgress = silent,
) -> FetchResult:
    """Bring sources to ``root``; then index and deduplicate all that lies there.

    Nothing under ``root`` is ever replaced: what is already there whole is recognised, and other
    content in the same folder is refused. The manifest is made again for all of ``root``.

    Args:
        names: sources of the catalogue; none stands for its default set.
        options: what is fetched, where it goes and what is made of it. ``origin`` is copied: with
            one name, the files of that source as the user got them; with none, laid out
            ``<kind>/<source>/…``, directly or below one top folder, or ``kind`` and ``source`` say
            what all of it is.
        lock: the file that pins archives; what is new to it is added.
        retry: the patience with servers; None takes the default.
        progress: called with images done and in all, by index and dedup.
        download_progress: called with bytes of each source.

    Raises:
        UsageError: a name is unknown, ``origin`` is missing or is neither folder nor archive, or
            options contradict each other.
        SourceError: the only source asked for could not be fetched. Of several, those that fail
            are in the result.
        FacecheckError: another process fetches to ``root``; or as :func:`index` and
            :func:`dedup`.
    """
    tasks = _tasks(names_of(names), options)
    root = options.root
    settings = _Settings(
        *(root, to_path(lock, "lock"), options.locked, options.keep_archives),
        *(retry or Retry(), download_progress),
    )
    root.mkdir(parents=True, exist_ok=True)
    (root / HIDDEN).mkdir(exist_ok=True)
    with only_one(root, "fetch"):
        fetched, failed = _fetch_all(tasks, settings, options.jobs)
    if len(tasks) == 1 and failed:
        raise next(iter(failed.values()))
    indexed = deduplicated = None
    if fetched:
        indexing = IndexOptions(
            pair=options.pair, follow=options.follow, overwrite=True, workers=options.workers
        )
        indexed = index([root], options.manifest, indexing, progress=progress)
        if options.deduplicate:
            deduplicated = dedup(
                options.manifest, DedupOptions(workers=options.workers), progress=progress
            )
    reasons = {name: str(error) for name, error in failed.items()}
    return FetchResult(root, tuple(fetched), reasons, indexed, deduplicated)


@dataclass(frozen=True)
class _Settings:
    root: Path
    lock: Path
    locked: bool
    keep_archives: bool
    retry: Retry
    report: DownloadProgress
    cancel: threading.Event = field(default_factory=threading.Event)
    lock_guard: threading.Lock = field(default_factory=threading.Lock)

    def check_cancelled(self) -> None:
        """Raise :class:`Interrupted` if asked to stop."""
        if self.cancel.is_set():
            raise Interrupted


@dataclass(frozen=True)
class _Task:
    """One source to fetch, and the name under which it is remembered."""

    key: str
    source: Source
    selection: Selection
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """What people call it."""
        return self.source.name or self.source.handles[0]


def _tasks(names: Sequence[str], options: FetchOptions) -> list[_Task]:
    """Return what to fetch; a local ``origin`` takes the place of a source's platform."""
    origin = options.origin
    if options.kind is not None:
        check_kind(options.kind, "--kind")
    if names and (options.kind is not None or options.label):
        raise UsageError(
            "--kind, --source and --label describe a local --from, without a named source"
        )
    if origin is None:
        known = read_catalog(options.catalog)
        return [_Task(entry.name, entry, select(options)) for entry in choose(known, names)]
    if len(names) > 1:
        raise UsageError(f"--from holds one source, and {len(names)} are named: name one")
    handles = (str(checked(origin).resolve()),)
    if names:
        entry = choose(read_catalog(options.catalog), names)[0]
        # A published digest is the platform's archive's, not that of what the user unpacked.
        local = replace(entry, platform="local", handles=handles, sha256=(), mirrors=())
        return [_Task(entry.name, local, select(options))]
    return [_unnamed(origin, handles, options)]


def _unnamed(origin: Path, handles: tuple[str, ...], options: FetchOptions) -> _Task:
    """Return the task for a local folder or archive that the catalogue does not know."""
    kind, source = options.kind, options.source
    if source is not None and (source.startswith(".") or "/" in source or "\\" in source):
        raise UsageError(f"--source {source!r}: must be the name of a folder, not a path")
    entry = Source(source or "", "local", handles, rules=(Rule("**", kind),) if kind else ())
    content = measure(Download(origin), select(options)).sha256
    # The place in the name keeps two fetches of one folder under different kinds apart.
    where = " ".join([f"{kind} {source}", *map("=".join, sorted(options.label))])
    digest = hashlib.sha256(f"{content} {where}".encode()).hexdigest()[:16]
    return _Task(f"local-{digest}", entry, select(options), options.label)


def _fetch_all(
    tasks: Sequence[_Task], settings: _Settings, jobs: int
) -> tuple[list[Fetched], dict[str, FacecheckError]]:
    """Fetch sources side by side; return those that are there, and why others are not."""
    with ThreadPoolExecutor(max_workers=max(1, jobs), thread_name_prefix="fetch") as pool:
        futures = [pool.submit(_outcome, task, settings) for task in tasks]
        try:
            outcomes = _wait(futures)
        except BaseException:  # a bug, or Ctrl-C: the other threads must not run for hours
            settings.cancel.set()
            for future in futures:
                future.cancel()
            raise
    pairs = list(zip(tasks, outcomes, strict=True))
    fetched = [outcome for _, outcome in pairs if isinstance(outcome, Fetched)]
    failed = {task.label: outcome for task, outcome in pairs if isinstance(outcome, FacecheckError)}
    return fetched, failed


def _wait(futures: Sequence[Future[Fetched | FacecheckError]]) -> list[Fetched | FacecheckError]:
    """Return all results, or raise the first error as soon as it happens."""
    pending = set(futures)
    while pending:
        # In turns: where a signal reaches another thread, an endless wait would not see it.
        done, pending = wait(pending, timeout=0.2, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    return [future.result() for future in futures]


def _outcome(task: _Task, settings: _Settings) -> Fetched | FacecheckError:
    try:
        return _fetch_one(task, settings)
    except FacecheckError as error:
        return error
    except Interrupted:
        return SourceError(f"{task.label}: interrupted: run the same command to resume")
    except OSError as error:  # the disk, as a rule: full, or not ours to write
        where = f" {path_text(Path(error.filename))}" if isinstance(error.filename, str) else ""
        return SourceError(
            f"{task.label}: {reason(error)}{where}: fix that, and run the same command again"
        )


def _fetch_one(task: _Task, settings: _Settings) -> Fetched:
    staging = _Staging(settings.root, task.key)
    earlier = read_marker(staging.marker)
    if earlier and not any((settings.root / name).exists() for name in earlier.folders):
        earlier = None  # the user took all of it away: it is wanted again
    if earlier is None and staging.finish(keep_archives=settings.keep_archives):
        earlier = read_marker(staging.marker)
        status = "fetched"
    else:
        status = "already there"
    if earlier is not None:
        staging.remove()
        return _already(task, earlier, status, settings)
    _check_pinned(task, settings)
    downloads = _downloads(task, staging, settings)
    origin = _origin(task, downloads)
    notes = _check_lock(task, origin, settings)
    with staging.removed_on_error():
        return _unpacked(task, downloads, origin, notes, staging, settings)


def _unpacked(
    task: _Task,
    downloads: Sequence[Download],
    origin: Origin,
    notes: tuple[str, ...],
    staging: _Staging,
    settings: _Settings,
) -> Fetched:
    """Unpack what was downloaded, lay it out, and rename it into place."""
    staging.clear()
    # Images hardly shrink in archives: about as much again is written.
    require_space(settings.root, sum(item.bytes for item in origin.archives), "unpacking it")
    placed = arrange(
        *(task.source, downloads, staging.unpacked, staging.ready),
        selection=task.selection,
        labels=task.labels,
        tick=settings.check_cancelled,
    )
    if task.source.expect and (missing := missing_parts(task.source.rules, placed)):
        raise SourceError(
            f"{task.label}: no {' and no '.join(missing)} in "
            f"{', '.join(task.source.public_handles)}: "
            f"{task.source.instructions}"
        )
    if placed.renamed:
        _write_renamed(placed.renamed, staging.renamed)
    marker = Marker(
        origin=origin,
        files=placed.files,
        bytes=placed.bytes,
        licence=task.source.licence,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        folders=placed.folders,
        rules=task.source.rules,
    )
    staging.plan(marker)
    staging.finish(keep_archives=settings.keep_archives)
    kept = (item.path for item in downloads if item.ours and item.path.is_file())
    return Fetched(
        name=task.label,
        status="fetched",
        marker=marker,
        kinds=placed.kinds,
        left_out=placed.left_out,
        renamed=len(placed.renamed),
        archives=tuple(kept),
        notes=(*notes, *placed.notes),
        skipped=task.selection.skipped,
    )


def _already(task: _Task, marker: Marker, status: str, settings: _Settings) -> Fetched:
    """Return what an earlier fetch left, unless it is of something else."""
    there, asked = marker.origin, task.source
    same_sort = (there.platform == "local") == (asked.platform == "local")
    elsewhere = (there.platform, there.handles) != (asked.platform, asked.public_handles)
    # Without a name of its own it is known by its content, wherever that lies now.
    if same_sort and elsewhere and asked.name == task.key:
        raise SourceError(
            f"{settings.root / marker.folders[0]} was fetched from {there.platform} "
            f"{' '.join(there.handles)}: move it and {marker_path(settings.root, task.key)} "
            "away to fetch it from elsewhere"
        )
    notes = _check_lock(task, there, settings)
    marker, changed = _with_todays_rules(task, marker, settings)
    notes += changed
    folders = [settings.root / name for name in marker.folders]
    found = sum(1 for folder in folders if folder.exists() for _ in walk_files(folder))
    if found != marker.files:
        notes = (*notes, f"{found:,} files are there, and {marker.files:,} were fetched")
    return Fetched(task.label, status, marker, notes=notes)


def _with_todays_rules(
    task: _Task, marker: Marker, settings: _Settings
) -> tuple[Marker, tuple[str, ...]]:
    """Return the marker with the catalogue's rules of today, if they leave every file in place."""
    rules = task.source.rules
    if not rules or rules == marker.rules:
        return marker, ()
    for folder in marker.folders:
        existing = settings.root / folder
        for file in walk_files(existing) if existing.exists() else ():
            placement = place(rules, PurePosixPath(file.relative_to(existing)))
            if placement is None or placement.kind != folder.partition("/")[0]:
                return marker, (
                    "the catalogue's rules have changed, and would place its files elsewhere: "
                    "move its folders and its marker away to fetch it again",
                )
    renewed = replace(marker, rules=rules)
    write_marker(marker_path(settings.root, task.key), renewed)
    return renewed, ("its groups and columns follow the catalogue's new rules",)


def _downloads(task: _Task, staging: _Staging, settings: _Settings) -> list[Download]:
    """Download the source's files, and compare them with the digests its makers publish."""
    source = task.source
    if source.bytes and source.platform != "local":
        present = sum(file.stat().st_size for file in walk_files(staging.downloads(source)))
        # As much again for what is unpacked: images hardly shrink in archives.
        require_space(settings.root, 2 * source.bytes - present, f"fetching {task.label}")
    transfer = Transfer(
        lambda done, total: settings.report(task.label, done, total),
        settings.cancel,
        settings.retry,
        # The catalogue's size is about right: four times as much is another file.
        None if source.bytes is None else 4 * source.bytes,
    )
    return platform_of(source).download(source, staging.downloads(source), transfer)


def _origin(task: _Task, downloads: Sequence[Download]) -> Origin:
    """Return where downloads came from, and what they are.

    Raises:
        SourceError: one is not what its makers published.
    """
    # A count of its own: that of the selection is of the files that are laid out.
    archives = tuple(
        measure(download, replace(task.selection, skipped=Skipped())) for download in downloads
    )
    source = task.source
    for archive, download, digest in zip(archives, downloads, source.sha256, strict=False):
        if archive.sha256 != digest:
            if download.ours:
                download.path.unlink()
            raise SourceError(
                f"{source.name}: the sha256 of {archive.name} is {archive.sha256}, not {digest} "
                "as published: it is not the file that the catalogue means, and was not kept"
            )
    if any(download.inner for download in downloads):
        archives = (_sum_of(source, archives),)
    versions = {download.version for download in downloads}
    version = versions.pop() if len(versions) == 1 else ""
    return Origin(source.platform, source.public_handles, version, archives)


def _sum_of(source: Source, archives: Sequence[Archive]) -> Archive:
    """Return what stands for all files of a remote folder."""
    lines = sorted(f"{item.sha256} {item.name}\n" for item in archives)
    digest = hashlib.sha256("".join(lines).encode("utf-8", "backslashreplace")).hexdigest()
    return Archive(source.public_handles[0], sum(item.bytes for item in archives), digest)


def _check_pinned(task: _Task, settings: _Settings) -> None:
    """With --locked: refuse, before anything is downloaded, what the lock does not know."""
    if not settings.locked:
        return
    pinned = read_lock(settings.lock).get(task.key)
    if pinned is None:
        raise SourceError(
            f"{task.label} is not in {path_text(settings.lock)}: fetch it once without --locked, "
            "and the lock will hold what came"
        )
    asked = (task.source.platform, task.source.public_handles)
    if task.source.platform != "local" and asked != (pinned.platform, pinned.handles):
        raise SourceError(
            f"{task.label} is locked to {pinned.platform} {' '.join(pinned.handles)}, and the "
            f"catalogue says {asked[0]} {' '.join(asked[1])}: correct one of them"
        )


def _check_lock(task: _Task, origin: Origin, settings: _Settings) -> tuple[str, ...]:
    """Compare an origin with the lock; without --locked, pin what is new and say what changed.

    Raises:
        SourceError: with --locked, it differs or is not in the lock.
    """
    with settings.lock_guard:
        pins = read_lock(settings.lock)
        pinned = pins.get(task.key)
        if origin.platform == "local" and pinned is not None:
            # The user's own copy comes from elsewhere by definition; its bytes must agree.
            origin = replace(origin, platform=pinned.platform, handles=pinned.handles)
            local = True
        else:
            local = origin.platform == "local"
        if pinned is None:
            _check_pinned(task, settings)
            why = ""
        else:
            why = origin.differs_from(pinned)
        if why and settings.locked:
            raise SourceError(
                f"{task.label} differs from {path_text(settings.lock)}: {why}: it was not used; "
                "without --locked the lock takes what came"
            )
        if local or (pinned is not None and not why):
            return ()
        write_lock(settings.lock, {**pins, task.key: origin})
    return (f"{path_text(settings.lock)} was changed: {why}",) if why else ()


def _write_renamed(renamed: Sequence[Renamed], path: Path) -> None:
    """Write the table of archive members whose names could not be kept (``was``, ``now``)."""
    rows = [(item.was, item.now) for item in renamed]
    schema = {"was": pl.String, "now": pl.String}
    write_table(pl.DataFrame(rows, schema=schema, orient="row"), path)


class _Staging:
    """The places under ``.facecheck`` where one source is made ready.

    Attributes:
        marker: its marker, written last.
        unpacked: what archives held, as it came.
        ready: ``<kind>/<source>`` folders to be renamed into place.
        renamed: the table of names that could not be kept.
    """

    def __init__(self, root: Path, key: str) -> None:
        self._root = root
        self._hidden = root / HIDDEN
        self._key = key
        self._folder = self._hidden / "staging" / key
        self._plan = self._hidden / "staging" / f"{key}.json"
        self.marker = marker_path(root, key)
        self.unpacked = self._folder / "unpacked"
        self.ready = self._folder / "ready"
        self.renamed = self._hidden / f"{key}.renamed.csv"

    def downloads(self, source: Source) -> Path:
        """Return the folder for its archives; another handle gets another, so none is mixed up."""
        digest = hashlib.sha256(repr((source.platform, source.handles)).encode()).hexdigest()[:8]
        folder = self._hidden / "downloads" / f"{self._key}-{digest}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def clear(self) -> None:
        """Empty what an interrupted run left half unpacked: copies of ours, all of them."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self.unpacked.mkdir(parents=True)

    @contextmanager
    def removed_on_error(self) -> Iterator[None]:
        """Leave nothing of an archive that is refused: a bomb would stay on the disk.

        What a plan says is ready stays.
        """
        try:
            yield
        except SourceError:
            if not self._plan.exists():
                shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def plan(self, marker: Marker) -> None:
        """Write down that all of ``ready`` is ready, unless something is in its way."""
        taken = [name for name in marker.folders if (self._root / name).exists()]
        if taken:
            raise SourceError(
                f"{self._root / taken[0]} is already there with other content: move it away, or "
                "fetch to another --root"
            )
        write_marker(self._plan, marker)

    def finish(self, *, keep_archives: bool) -> bool:
        """Carry out the plan, from wherever it stands; return False when there is none."""
        marker = read_marker(self._plan)
        if marker is None:
            return False
        for name in marker.folders:
            origin, target = self.ready / name, self._root / name
            if origin.exists() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                origin.rename(target)
            elif origin.exists() or not target.exists():
                raise SourceError(
                    f"{target} was changed while a fetch was interrupted: move it and "
                    f"{self._plan} away, and fetch again"
                )
        if not keep_archives:
            for folder in (self._hidden / "downloads").glob(f"{self._key}-????????"):
                shutil.rmtree(folder, ignore_errors=True)
        write_marker(self.marker, marker)
        self.remove()
        return True

    def remove(self) -> None:
        """Remove the plan and what it was made from: with the marker there, all is in place."""
        self._plan.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)
