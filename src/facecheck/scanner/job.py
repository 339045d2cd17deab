"""scan: images to one row per file.

Items are decoded, their faces found and cut out in processes of their own; the model classifies
what they give, chunk by chunk; the sink keeps each chunk's rows. All of it is a stream: memory does
not grow with the files.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, takewhile
from pathlib import Path
from threading import Event, Thread
from typing import Any

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import name_text, named_path, path_text, sha256_file, to_path, write_json
from facecheck.core.image import DECODE_POLICY
from facecheck.core.isolate import StartedAhead
from facecheck.core.jsonable import jsonable
from facecheck.core.lock import only_one
from facecheck.core.parallel import Progress, silent
from facecheck.core.selection import is_archive_name, select
from facecheck.core.text import printable
from facecheck.core.tree import Skipped, no_images
from facecheck.core.version import VERSION
from facecheck.core.whatis import mistaken, what_is
from facecheck.core.workspace import RESULTS, find_checkpoint
from facecheck.model.facts import ModelFacts, facts_of
from facecheck.model.several_faces import file_threshold
from facecheck.scanner.chunking import CHUNK, Chunk, cut, not_seen_before, without_rows
from facecheck.scanner.classified_picture import jpegs
from facecheck.scanner.classifier import Classifier, load_classifier
from facecheck.scanner.inputs.isolated_listing import IsolatedListing
from facecheck.scanner.inputs.items import STDIN, Inputs, Item, find_inputs, shard
from facecheck.scanner.inputs.reach import EVERYWHERE, FOLDER, ROOTS, Roots
from facecheck.scanner.inputs.remote import is_address
from facecheck.scanner.options import ScanOptions
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.frame import FileTable, read_results
from facecheck.scanner.results.item_rows import RowForm, counts_of
from facecheck.scanner.results.place import PlaceResult, place
from facecheck.scanner.results.rejects import noting_rejects
from facecheck.scanner.results.rows import XLSX
from facecheck.scanner.results.sheet import SIDE, workbook_notes
from facecheck.scanner.results.sink import (
    PLACING,
    ArrivalSink,
    FileSink,
    StreamSink,
    is_begun,
    is_published,
    meta_path,
    read_meta,
    remove_drafts,
)
from facecheck.scanner.results.update import Updated, UpdateSink
from facecheck.scanner.watch import watch
from facecheck.scanner.workers.local import ClassifyChunks, classify_locally

#: The name of stdout as an output.
STDOUT = Path("-")


@dataclass(frozen=True)
class ScanResult:
    """What ``scan`` did.

    Attributes:
        out: the results file; ``-`` for stdout.
        checkpoint: the model's file.
        model: what it knows, and does not.
        files: items that were scanned, those of an earlier, interrupted run included.
        rows: rows in the results.
        unwritten: rows of other verdicts than ``only`` asks for; they are counted, not written.
        resumed: files whose rows an earlier run had left.
        dropped: why rows of an earlier run were not kept, in a phrase; empty if none were there.
        skipped: what was skipped: other files, what globs leave out, folders that cannot be
            listed…
        statuses: rows by status.
        verdicts: rows by verdict.
        kinds: rows by kind.
        bases: rows by what their verdict rests on.
        placed: what was copied or moved; None where that was not asked for.
        updated: what an update of finished results found; None where nothing was updated.
        rejects: the table of what was skipped; None where none was asked for.
        notes: what a reader of ``out`` should know of it.
    """

    out: Path
    checkpoint: Path
    model: ModelFacts
    files: int
    rows: int
    unwritten: int
    resumed: int
    dropped: str
    skipped: Skipped
    statuses: Mapping[str, int]
    verdicts: Mapping[str, int]
    kinds: Mapping[str, int]
    bases: Mapping[str, int]
    placed: PlaceResult | None = None
    updated: Updated | None = None
    rejects: Path | None = None
    notes: tuple[str, ...] = ()

    def frame(self, table: FileTable = "polars") -> Any:
        """Return the rows as a typed frame, read from ``out`` now.

        Args:
            table: ``polars``, ``pandas`` or ``lazy``, as of
                :func:`~facecheck.scanner.results.frame.read_results`, which says more.

        Raises:
            UsageError: the rows went to stdout; or there is no such kind of frame.
            FacecheckError: the file is there no more; or pandas is asked for, and not installed.
        """
        if self.out == STDOUT:
            raise UsageError("the rows went to stdout: name a file as `out` to read them again")
        return read_results(self.out, table)


def scan(
    inputs: Path | str | Sequence[Path | str],
    out: Path | str = RESULTS,
    checkpoint: Path | str | None = None,
    options: ScanOptions = ScanOptions(),
    *,
    stop: Event | None = None,
    started: StartedAhead | None = None,
    progress: Progress = silent,
) -> ScanResult:
    """Classify every image among the inputs: one row per file, bad files included.

    Rows come in the order of :func:`~facecheck.scanner.inputs.items.find_inputs`. They are written
    as they come, to ``<out>.partial``; interrupt at any moment and run the same again: it resumes,
    to the same bytes as an unbroken run. Files that were added, removed or changed meanwhile are
    classified again, with all behind them; a change of model or options starts from scratch.

    An update keeps the rows of finished results whose files have not changed, and classifies what
    is new or changed. It can be interrupted likewise. Where there are no results yet it is a scan.

    A watch appends rows to ``out`` itself, in the order in which files come to rest; a later watch
    continues behind them, and passes over files that have rows.

    Args:
        inputs: folders, files, archives, addresses, and ``-`` for a list on standard input; or one
            of these. For images in memory there is :class:`~facecheck.scanner.checker.Checker`.
        out: the results: ``.csv``, ``.jsonl``, ``.parquet``, ``.xlsx``, or ``-`` for CSV on stdout.
        checkpoint: a checkpoint by ``train``, an export of one or a run folder; ``builtin`` or
            ``builtin-fast``; None takes the newest finished run of the workspace, or the built-in
            model.
        options: which files, faces and rows, thresholds, workers, and what follows; with ``video``
            the inputs are videos, and folders of them (docs/video.md).
        stop: ends a watch when another thread sets it.
        started: decoding processes that are running already.
        progress: told files done, and files in all once those are counted; a list on standard
            input, archives and stores are not.

    Raises:
        UsageError: an input or the checkpoint is missing, or ``out`` exists or has another ending;
            a move was not agreed to.
        CheckpointError: the checkpoint or the face detector cannot be used.
        FacecheckError: there is no image, or the results cannot be written.
    """
    inputs, out, checkpoint = _named(inputs), to_path(out, "out"), find_checkpoint(checkpoint)
    if options.video:
        from facecheck.scanner.video_job import scan_videos  # which builds on this module

        return scan_videos(inputs, out, checkpoint, options, started=started, progress=progress)
    _refuse_what_is_at_odds(inputs, out, options)
    if resumed := _resumed_placing(inputs, out, checkpoint, options):
        return resumed
    _refuse_a_table(inputs)
    mine = options.overwrite or options.update or is_begun(out)  # a table of rejects that is there
    rejects = noting_rejects(options.rejects, out=out, overwrite=mine)
    with rejects as (skipped, publish_rejects):
        lists = IsolatedListing()
        found = find_inputs(inputs, options, lists=lists, skipped=skipped)
        updates = options.update and out.exists()
        listed = (
            found if updates else _some(found, inputs)
        )  # there are results, if no files any more
        some = watch(found, stop or Event()) if options.watch else _shard(listed, options)
        roots = Roots(inputs, lists=options.manifest is not None)
        classifier, device = _classifier(checkpoint, options)
        size = max(CHUNK, options.batch_size)
        total_of = (
            _shard(find_inputs(inputs, options), options)
            if _countable(inputs, options, progress)
            else None
        )
        with (
            lists,
            _sink(out, scan_facts(checkpoint, device, classifier, options, size), options) as sink,
            _classify(classifier, checkpoint, device, options, sink.form, started) as classify,
            _counted(total_of) as total,
        ):
            for chunk, rows in classify(_chunks(roots.noting(some), sink, options, size)):
                sink.write(chunk, rows)
                progress(sink.items, total())
            before = read_meta(out) if updates else {}
            names = list(dict.fromkeys([*before.get(ROOTS, []), *roots.names()]))
            publish_rejects()  # first: where a kill comes between, the same command ends both
            ran = before.get(FOLDER) if _is_there(before.get(FOLDER)) else name_text(Path.cwd())
            sink.finish({ROOTS: names, FOLDER: ran, **_placing(inputs, options)})
        return ScanResult(
            out=out,
            checkpoint=checkpoint,
            model=facts_of(classifier.predictor.header),
            files=sink.items,
            rows=sink.rows,
            unwritten=sink.tally.total() - sink.rows,
            resumed=sink.resumed,
            dropped=sink.dropped,
            skipped=found.skipped,
            statuses=counts_of(sink.tally, "status"),
            verdicts=counts_of(sink.tally, "verdict"),
            kinds=counts_of(sink.tally, "kind"),
            bases=counts_of(sink.tally, "basis"),
            placed=_placed(out, inputs, options),
            updated=sink.updated if isinstance(sink, UpdateSink) else None,
            rejects=options.rejects,
            notes=_notes(out, sink.rows, options),
        )


def _named(inputs: Path | str | Sequence[Path | str]) -> Sequence[Path | str]:
    """Return what a caller named as a list; addresses stay as they are, which no path does.

    Raises:
        UsageError: it is something else than names.
    """
    given = [inputs] if isinstance(inputs, str | Path) else inputs
    named = list(given) if isinstance(given, Iterable) else [given]
    for each in named:
        if not isinstance(each, str | os.PathLike):
            raise UsageError(
                f"scan takes names of folders and files, not {type(each).__name__}: for images in "
                "memory use Checker.check_many"
            )
    return named


def _refuse_what_is_at_odds(inputs: Sequence[Path | str], out: Path, options: ScanOptions) -> None:
    if options.watch and not all(map(_is_folder, inputs)):
        raise UsageError("--watch is for folders: no files, lists or addresses")
    if options.update and out == STDOUT:
        raise UsageError("--update is for finished results: name them with --out")
    if options.update and (ran := _other_folder(inputs, out)):
        raise UsageError(
            f"{path_text(out)} cannot be updated from here: its relative paths are of {ran}, where "
            "the scan ran: run it there, or name the inputs by absolute paths"
        )
    if options.folder and out == STDOUT:
        raise UsageError("placing files goes by the results: name a file with --out")
    _refuse_scanned_target(inputs, options)
    if options.move_to and not options.yes:
        raise UsageError("moving takes files from where they are: agree, or pass --yes")


def _is_there(folder: Any) -> bool:
    return isinstance(folder, str) and named_path(folder).is_dir()


def _other_folder(inputs: Sequence[Path | str], out: Path) -> str:
    """Return where results were made, where relative inputs would mean other files there."""
    ran = read_meta(out).get(FOLDER)
    if not _is_there(ran):
        return ""
    relative = any(not (Path(each).is_absolute() or is_address(str(each))) for each in inputs)
    here = named_path(str(ran)).samefile(Path.cwd())
    return str(ran) if relative and not here else ""


def _refuse_scanned_target(inputs: Sequence[Path | str], options: ScanOptions) -> None:
    """Raise :class:`UsageError` if files would be placed where the next scan finds them."""
    if options.folder is None:
        return
    target = options.folder.resolve()
    selection = select(options)
    for folder in filter(_is_folder, inputs):
        top = Path(folder).resolve()
        if not target.is_relative_to(top):
            continue
        parts = target.relative_to(top).parts
        above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        hidden = not options.hidden and any(part.startswith(".") for part in parts)
        if not hidden and all(map(selection.enters, above)):
            flag = "--move-to" if options.move_to else "--copy-to"
            raise UsageError(
                f"{flag} {path_text(options.folder)} lies in {path_text(str(folder))}, which is "
                "scanned, so the next scan would find the files again: name a folder outside"
            )


def _is_folder(given: Path | str) -> bool:
    return given != STDIN and Path(given).is_dir()


def _countable(inputs: Sequence[Path | str], options: ScanOptions, progress: Progress) -> bool:
    """Return whether to list everything a second time, because somebody sees it and it is cheap."""
    slow = options.watch or options.archives or not all(map(_is_quickly_listed, inputs))
    return progress is not silent and not slow


def _is_quickly_listed(given: Path | str) -> bool:
    text = str(given)
    return text != STDIN and not is_address(text) and not is_archive_name(text)


def _some(found: Inputs, inputs: Sequence[Path | str]) -> Iterator[Item]:
    """Return the items, after making sure that there are any.

    Raises:
        UsageError: there is none.
    """
    items = iter(found)
    first = next(items, None)
    if first is None:
        raise UsageError(_nothing(inputs, found.skipped))
    return chain([first], items)


def _refuse_a_table(inputs: Sequence[Path | str]) -> None:
    """Raise :class:`UsageError` if all that is to be scanned is one table: it names images."""
    path = Path(inputs[0]) if len(inputs) == 1 else Path()
    if path.suffix.lower() not in (".csv", ".jsonl", ".parquet") or not path.is_file():
        return
    name = path_text(path)
    fixes = {
        "a manifest": f"scan its images with --manifest {name}",
        "a table of scan results": f"show it with `facecheck report {name}`",
    }
    if fix := fixes.get(what_is(path)):
        raise UsageError(mistaken(path, "an image or a folder", fix))


def _nothing(inputs: Sequence[Path | str], skipped: Skipped) -> str:
    where = ", ".join(path_text(str(given)) for given in inputs if given != STDIN) or "the list"
    return no_images(where, skipped)


def _shard(items: Iterable[Item], options: ScanOptions) -> Iterable[Item]:
    if options.shard is None:
        return items
    number, count = options.shard
    return shard(items, number - 1, count)


def _classifier(checkpoint: Path, options: ScanOptions) -> tuple[Classifier, str]:
    """Load what classifies; return the device that is computed on, too."""
    if options.on_ray:
        from facecheck.scanner.workers.on_ray import need_ray

        need_ray()
    # The machine that sends work to a cluster need not have what the cluster computes on.
    elsewhere = options.on_ray and options.device != "auto"
    classifier = load_classifier(
        checkpoint,
        options,
        options,
        options,
        options,
        device="cpu" if elsewhere else options.device,
        batch_size=options.batch_size,
    )
    return classifier, options.device if elsewhere else str(classifier.predictor.device)


def _classify(
    classifier: Classifier,
    checkpoint: Path,
    device: str,
    options: ScanOptions,
    form: RowForm,
    started: StartedAhead | None,
) -> AbstractContextManager[ClassifyChunks]:
    if options.on_ray:
        from facecheck.scanner.workers.on_ray import classify_on_ray

        return classify_on_ray(classifier, checkpoint, device, options, form)
    return classify_locally(classifier, options, form, started)


def scan_facts(
    checkpoint: Path, device: str, classifier: Classifier, options: ScanOptions, chunk: int
) -> dict[str, object]:
    """Return what the rows are made from; with anything else they would be others."""
    detector, header = classifier.detector, classifier.predictor.header
    return {
        "facecheck": VERSION,
        "decode_policy": DECODE_POLICY,
        "checkpoint_sha256": sha256_file(checkpoint),
        "face_detector_sha256": _digest(detector),
        "known_sha256": None if classifier.known is None else classifier.known.sha256,
        "device": device,
        "per_face": options.per_face,
        "stability": options.stability,
        "threshold": options.threshold,
        "budget": options.budget,
        "model": jsonable(facts_of(header)),
        "thresholds": list(header.thresholds),
        "artificial_from_by_faces": file_threshold(header).table(),
        "provenance": options.provenance,
        **{name: _digest(getattr(options, name)) for name in ("trust", "marks")},
        "batch_size": options.batch_size,
        "chunk": chunk,
    }


def _digest(path: Path | None) -> str | None:
    return None if path is None else sha256_file(path)


def _sink(out: Path, facts: Mapping[str, object], options: ScanOptions) -> FileSink | StreamSink:
    if out == STDOUT:
        if sys.stdout is None:  # what Python makes of a descriptor that is closed
            raise UsageError("--out -: stdout is closed: name a file")
        return StreamSink(sys.stdout.buffer, COLUMNS, options)
    if options.watch:
        return ArrivalSink(out, COLUMNS, facts, options)
    if options.update and out.exists():
        return UpdateSink(out, COLUMNS, facts, options)
    pictures = partial(jpegs, side=SIDE)
    return FileSink(out, COLUMNS, facts, options, shard=options.shard, pictures=pictures)


def _chunks(
    items: Iterable[Item | None], sink: FileSink | StreamSink, options: ScanOptions, size: int
) -> Iterator[Chunk]:
    """Return the chunks that have no rows yet."""
    if isinstance(sink, StreamSink):
        return takewhile(lambda _: not sink.closed, cut(items, size))
    if isinstance(sink, ArrivalSink):
        return not_seen_before(items, sink.journal, size)
    if isinstance(sink, UpdateSink):
        return sink.todo((item for item in items if item is not None), size)
    sharded = options.shard is not None
    chunks = cut(items, size, sharded=sharded, contents=options.verify)
    return without_rows(chunks, sink.journal, verify=options.verify)


@contextmanager
def _counted(items: Iterable[Item] | None) -> Iterator[Callable[[], int | None]]:
    """Count items in a thread of its own; yield what tells the number, None while not known."""
    known: list[int] = []
    stop = Event()

    def count() -> None:
        number = 0
        with suppress(FacecheckError, OSError):  # the scan itself will come to it
            for number, _ in enumerate(items or (), 1):  # noqa: B007
                if stop.is_set():
                    return
            known.append(number)

    if items is not None:
        Thread(target=count, daemon=True).start()
    try:
        yield lambda: known[0] if known else None
    finally:
        stop.set()


def _placing(inputs: Sequence[Path | str], options: ScanOptions) -> dict[str, Any]:
    """Return what the results' ``.meta.json`` is to say of the placing that is to follow."""
    if options.folder is None:
        return {}
    to, move = path_text(options.folder.absolute()), options.move_to is not None
    asked = {"inputs": [path_text(str(each)) for each in inputs], "to": to, "move": move}
    return {PLACING: {**asked, "done": False}}


def _resumed_placing(
    inputs: Sequence[Path | str], out: Path, checkpoint: Path, options: ScanOptions
) -> ScanResult | None:
    """Place the files that this very scan has classified and, interrupted, did not come to place.

    Returns:
        None where there is no such scan.

    Raises:
        UsageError: another scan's files are not all placed, and would lose their rows.
    """
    meta = read_meta(out)
    begun = meta.get(PLACING)
    if not isinstance(begun, dict) or begun.get("done") is not False or not is_published(out):
        return None
    classifier, device = _classifier(checkpoint, options)
    made = scan_facts(checkpoint, device, classifier, options, max(CHUNK, options.batch_size))
    made |= {"only": sorted(options.only), "raw_paths": options.raw_paths}
    made |= {"excel": options.excel}
    same = all(meta.get(name) == value for name, value in made.items())
    if not same or _placing(inputs, options) != {PLACING: begun}:
        if options.overwrite:
            return None
        raise UsageError(
            f"{path_text(out)}: its files were being {'moved' if begun.get('move') else 'copied'} "
            f"to {printable(str(begun.get('to')))} when the scan was interrupted: run that command "
            "again to finish, or pass --overwrite to scan what is left"
        )
    with only_one(out, "scan"):
        remove_drafts(out)
    tally = Counter({tuple(map(str, values)): int(count) for *values, count in meta["tally"]})
    return ScanResult(
        out=out,
        checkpoint=checkpoint,
        model=facts_of(classifier.predictor.header),
        files=int(meta["items"]),
        rows=int(meta["rows"]),
        unwritten=tally.total() - int(meta["rows"]),
        resumed=int(meta["items"]),
        dropped="",
        skipped=Skipped(),
        rejects=options.rejects,
        statuses=counts_of(tally, "status"),
        verdicts=counts_of(tally, "verdict"),
        kinds=counts_of(tally, "kind"),
        bases=counts_of(tally, "basis"),
        placed=_placed(out, inputs, options),
    )


def _placed(out: Path, inputs: Sequence[Path | str], options: ScanOptions) -> PlaceResult | None:
    if options.folder is None:
        return None
    roots = [Path(given) for given in inputs if _is_folder(given)]
    move = options.move_to is not None
    result = place(out, options.folder, move=move, confirmed=True, roots=roots, reach=EVERYWHERE)
    meta = read_meta(out)
    write_json(meta_path(out), {**meta, PLACING: {**meta[PLACING], "done": True}})
    return result


def _notes(out: Path, rows: int, options: ScanOptions) -> tuple[str, ...]:
    return workbook_notes(rows, options.thumbnails) if out.suffix.lower() == XLSX else ()
