"""scan: images to one row per file.

Items are decoded, their faces found and cut out in processes of their own; the model judges what
they give, chunk by chunk; the sink keeps each chunk's rows. All of it is a stream: memory does not
grow with the files.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Event, Thread
from typing import Any, Literal

from facecheck.core.errors import CheckpointError, FacecheckError, UsageError
from facecheck.core.files import path_text, sha256_file
from facecheck.core.image import DECODE_POLICY
from facecheck.core.parallel import Progress, cpu_count, silent
from facecheck.core.version import VERSION
from facecheck.data.face_detector import find_face_detector
from facecheck.engines.load import load_predictor
from facecheck.model.predict import Predictor
from facecheck.scanner.faces import check_detector
from facecheck.scanner.inputs.archives import is_archive_name
from facecheck.scanner.inputs.items import STDIN, Inputs, Item, Passed, find_inputs, shard
from facecheck.scanner.inputs.remote import is_address
from facecheck.scanner.prepare import prepare
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.place import PlaceResult, place
from facecheck.scanner.results.sink import CHUNK, Sink, StreamSink
from facecheck.scanner.watch import watch as watched
from facecheck.scanner.workers.local import Work, here

#: Seconds that decoding one file, and finding its faces, may take.
TIMEOUT = 60.0
#: Where chunks are judged.
LOCAL: Literal["local"] = "local"
RAY: Literal["ray"] = "ray"
#: The name of stdout as an output.
STDOUT = Path("-")


@dataclass(frozen=True)
class ScanResult:
    """What ``scan`` did.

    Attributes:
        out: the results file; ``-`` for stdout.
        checkpoint: the model's file.
        files: items that were scanned, those of an earlier, interrupted run included.
        rows: rows in the results.
        resumed: files whose rows an earlier run had left.
        dropped: why rows of an earlier run were not kept, in a phrase; empty if none were there.
        passed: what was passed over: other files, what globs leave out, folders that cannot be
            listed…
        statuses: rows by status.
        verdicts: rows by verdict.
        kinds: rows by kind.
        no_detector: why images were judged whole although faces were to be found; else empty.
        placed: what was copied or moved; None where that was not asked for.
    """

    out: Path
    checkpoint: Path
    files: int
    rows: int
    resumed: int
    dropped: str
    passed: Passed
    statuses: Mapping[str, int]
    verdicts: Mapping[str, int]
    kinds: Mapping[str, int]
    no_detector: str = ""
    placed: PlaceResult | None = None


def scan(
    inputs: Sequence[Path | str],
    out: Path,
    checkpoint: Path,
    *,
    manifest: Path | None = None,
    splits: Sequence[str] = (),
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    hidden: bool = False,
    follow: bool = False,
    archives: bool = False,
    null: bool = False,
    faces: Literal["auto", "off"] = "auto",
    face_detector: Path | None = None,
    per_face: bool = False,
    stability: int = 0,
    threshold: float | None = None,
    budget: float | None = None,
    only: Collection[str] = (),
    raw_paths: bool = False,
    verify: bool = False,
    part: tuple[int, int] | None = None,
    watch: Event | None = None,
    copy_to: Path | None = None,
    move_to: Path | None = None,
    confirmed: bool = False,
    overwrite: bool = False,
    engine: Literal["local", "ray"] = LOCAL,
    ray_address: str | None = None,
    device: str = "auto",
    batch_size: int = 32,
    workers: int | None = None,
    timeout: float = TIMEOUT,
    progress: Progress = silent,
) -> ScanResult:
    """Judge every image among the inputs: one row per file, bad files included.

    Rows come in the order of :func:`~facecheck.scanner.inputs.items.find_inputs`. They are written
    as they come, to ``<out>.partial``; interrupt at any moment and run the same again: it goes on
    to the same bytes as an unbroken run. Files that were added, removed or changed meanwhile are
    judged anew, with all behind them; a change of model or options starts anew.

    Args:
        inputs: folders, files, archives, addresses, and ``-`` for a list on standard input.
        out: the results: ``.csv``, ``.jsonl``, ``.parquet``, or ``-`` for CSV on stdout.
        checkpoint: a checkpoint by ``train``, or its ONNX export.
        manifest: scan the records of a manifest, too.
        splits: of the manifest only these splits.
        include: take only what matches one of these globs.
        exclude: leave out what matches one of these.
        hidden: take hidden files, too.
        follow: enter folders behind symbolic links.
        archives: open the archives in folders.
        null: the list on standard input is separated by NUL; mostly found out by itself.
        faces: ``auto`` finds faces and judges each, or judges images whole where no detector can be
            had, and says so; ``off`` judges every image whole.
        face_detector: YuNet's file; None takes the cached one, or downloads it.
        per_face: a row for each face; else one per file, of its most artificial face.
        stability: judge so many variants as well, scaled and encoded anew: a verdict that flips
            becomes ``uncertain``, and a column says how far the score moves; 0: none.
        threshold: artificial is what has this score or more, 0 to 1, and real the rest but for what
            the checkpoint's guard sends to ``uncertain``; None takes the checkpoint's thresholds.
        budget: the share of either side that may be judged wrong, one of those that ``calibrate``
            stored thresholds for; None takes the one it was told.
        only: write only rows of these verdicts; all are counted.
        raw_paths: keep names in CSV that a spreadsheet would run as formulas.
        verify: when resuming, know files by their content, not by size and time.
        part: (i, n) to scan the i-th of n parts, from 1; ``merge`` joins them.
        watch: go on as files come into the folders, until another thread sets this. Rows are
            appended to ``out`` itself, in the order in which files come to rest; a later watch goes
            on behind them, and passes over files that have rows.
        copy_to: when done, copy files to this folder's ``real``, ``artificial`` and ``uncertain``.
        move_to: move them there instead.
        confirmed: the user agreed to the move.
        overwrite: replace an existing ``out``.
        engine: where chunks are judged, with the same rows: ``local``, on this machine; or ``ray``,
            on a cluster, see :mod:`~facecheck.scanner.workers.on_ray`.
        ray_address: of the cluster, ``auto`` for the one that runs on this machine, ``local`` to
            start one for this scan; None takes RAY_ADDRESS, or ``local``.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``; of a cluster ``auto`` is what this machine
            has.
        batch_size: images a step, 1 or more.
        workers: decoding processes, None for one per core; on a cluster chunks in progress at a
            time, None for four per core.
        timeout: seconds that one file may take before it is an error.
        progress: told files done, and files in all once those are counted; a list on standard
            input, archives and stores are not.

    Raises:
        UsageError: an input is missing, or ``out`` exists or has another ending.
        CheckpointError: the checkpoint or the face detector cannot be used.
        FacecheckError: there is no image, or the results cannot be written.
    """
    _refuse_what_is_at_odds(
        *(inputs, out, part, threshold, budget),
        watches=watch is not None,
        on_cluster=engine == RAY,
        ray_address=ray_address,
        only_folders=manifest is None and not archives,
        places=[folder for folder in (copy_to, move_to) if folder],
        agreed=confirmed or move_to is None,
    )
    look = partial(
        find_inputs,
        inputs,
        manifest=manifest,
        splits=splits,
        include=include,
        exclude=exclude,
        hidden=hidden,
        follow=follow,
        archives=archives,
        null=null,
    )
    found = look()
    items = watched(found, watch) if watch else _part(_some(found, inputs), part)
    if engine == RAY:
        from facecheck.scanner.workers.on_ray import need_ray, on_ray

        need_ray()
    # Who sends work to a cluster need not have what the cluster computes on.
    elsewhere = engine == RAY and device != "auto"
    predictor = _predictor(checkpoint, "cpu" if elsewhere else device, threshold, budget)
    chosen = device if elsewhere else str(predictor.device)
    detector, no_detector = None, ""
    if faces == "auto":
        detector, no_detector = usable_detector(face_detector, needed=per_face)
    facts = {
        **_facts(checkpoint, chosen, detector),
        **{"per_face": per_face, "stability": stability, "threshold": threshold},
        **{"budget": budget, "batch_size": batch_size},
    }
    sink = _sink(
        *(out, facts),
        chunk=max(CHUNK, batch_size),
        only=only,
        raw_paths=raw_paths,
        kept={"verify": verify, "shard": part, "overwrite": overwrite, "arrivals": bool(watch)},
    )
    work = Work(
        prepare=partial(
            prepare,
            transform=predictor.header.transform,
            detector=None if detector is None else detector.read_bytes(),
            stability=stability,
        ),
        timeout=timeout,
        predictor=predictor,
        batch_size=batch_size,
        per_face=per_face,
    )
    if engine == RAY:
        judging = on_ray(work, checkpoint, chosen, address=ray_address, workers=workers)
    else:
        judging = here(work, workers or cpu_count(), ahead=0 if watch else 1)
    countable = progress is not silent and not (watch or archives) and all(map(_is_plain, inputs))
    judged = 0
    counting = _counted(_part(look(), part) if countable else None)
    with sink, judging as rows_of, counting as total:
        for chunk, rows in rows_of(sink.left(items)):
            sink.write(chunk, rows)
            judged += len(chunk.items)
            progress(sink.done + judged, total())
        sink.finish()
    return ScanResult(
        out=out,
        checkpoint=checkpoint,
        files=sink.done + judged,
        rows=sink.rows,
        resumed=sink.done,
        dropped=sink.reason,
        passed=found.passed,
        statuses=_marginal(sink.tally, 0),
        verdicts=_marginal(sink.tally, 1),
        kinds=_marginal(sink.tally, 2),
        no_detector=no_detector,
        placed=_placed(out, inputs, copy_to, move_to),
    )


def _refuse_what_is_at_odds(
    inputs: Sequence[Path | str],
    out: Path,
    part: tuple[int, int] | None,
    threshold: float | None,
    budget: float | None,
    *,
    watches: bool,
    on_cluster: bool,
    ray_address: str | None,
    only_folders: bool,
    places: Sequence[Path],
    agreed: bool,
) -> None:
    if part is not None and not 1 <= part[0] <= part[1]:
        raise UsageError(f"part {part[0]} of {part[1]}: parts count from 1")
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"--threshold {threshold:g}: a score is from 0 to 1")
    if threshold is not None and budget is not None:
        raise UsageError("--threshold and --budget: name one of them")
    if watches and not (only_folders and part is None and all(map(_is_folder, inputs))):
        raise UsageError(
            "--watch is for folders alone: no files, lists, manifests, archives, parts"
        )
    if watches and places:
        raise UsageError(
            "--watch places no files: scan the folder again with --copy-to or --move-to"
        )
    if watches and on_cluster:
        raise UsageError("--watch waits for files on this machine: leave --engine ray")
    if ray_address is not None and not on_cluster:
        raise UsageError("--ray-address is for --engine ray: pass that, too")
    if len(places) > 1:
        raise UsageError("--copy-to and --move-to: name one of them")
    if places and out == STDOUT:
        raise UsageError("placing files goes by the results: name a file with --out")
    if not agreed:
        raise UsageError("moving takes files from where they are: agree, or pass --yes")


def _is_folder(given: Path | str) -> bool:
    return given != STDIN and Path(given).is_dir()


def _is_plain(given: Path | str) -> bool:
    """Return whether what is given can be listed twice, at little cost."""
    text = str(given)
    return text != STDIN and not is_address(text) and not is_archive_name(text)


def _some(found: Inputs, inputs: Sequence[Path | str]) -> Iterator[Item]:
    """Return the items, after a look whether there are any.

    Raises:
        FacecheckError: there is none.
    """
    items = iter(found)
    first = next(items, None)
    if first is None:
        raise FacecheckError(_nothing(inputs, found.passed))
    return chain([first], items)


def _nothing(inputs: Sequence[Path | str], passed: Passed) -> str:
    where = ", ".join(path_text(str(given)) for given in inputs if given != STDIN) or "the list"
    others = f" ({passed.ignored:,} other files)" if passed.ignored else ""
    return f"no images in {where}{others}: check the folder, or the endings of its files"


def _part(items: Iterable[Item], part: tuple[int, int] | None) -> Iterable[Item]:
    return items if part is None else shard(items, part[0] - 1, part[1])


def _predictor(
    checkpoint: Path, device: str, threshold: float | None, budget: float | None
) -> Predictor:
    predictor = load_predictor(checkpoint, device)
    if threshold is not None:
        predictor.header = replace(predictor.header, thresholds=(threshold, threshold))
    if budget is not None:
        predictor.header = replace(predictor.header, thresholds=_thresholds(predictor, budget))
    return predictor


def _thresholds(predictor: Predictor, budget: float) -> tuple[float, float]:
    known = predictor.header.calibration.get("budgets", {})
    if f"{budget:g}" not in known:
        there = f"knows {', '.join(known)}" if known else "knows none: run `facecheck calibrate`"
        raise UsageError(f"--budget {budget:g}: the checkpoint {there}")
    low, high = known[f"{budget:g}"]
    return low, high


def usable_detector(named: Path | None, *, needed: bool) -> tuple[Path | None, str]:
    """Return the face detector, or why there is none.

    Who never chose one must get answers without it, where it cannot be downloaded.

    Args:
        named: a file of the user's own; None takes the cached one, or downloads it.
        needed: whether there is nothing to be done without one.

    Raises:
        UsageError: one is named, and is not there.
        CheckpointError: the file is not a face detector.
        FacecheckError: it is needed, and cannot be downloaded.
    """
    try:
        detector = find_face_detector(named)
        check_detector(detector)
    except (UsageError, CheckpointError):  # one that was named, or is there and broken
        raise
    except FacecheckError as error:
        if needed:
            raise
        return None, str(error)
    return detector, ""


def _facts(checkpoint: Path, device: str, detector: Path | None) -> dict[str, object]:
    return {
        "facecheck": VERSION,
        "decode_policy": DECODE_POLICY,
        "checkpoint_sha256": sha256_file(checkpoint),
        "face_detector_sha256": None if detector is None else sha256_file(detector),
        "device": device,
    }


def _sink(
    out: Path,
    facts: Mapping[str, object],
    *,
    chunk: int,
    only: Collection[str],
    raw_paths: bool,
    kept: Mapping[str, Any],
) -> Sink | StreamSink:
    """Return where rows go; ``kept`` is what only a file has a use for."""
    if out == STDOUT:
        stdout = sys.stdout.buffer
        return StreamSink(stdout, COLUMNS, chunk=chunk, only=only, raw_paths=raw_paths)
    return Sink(out, COLUMNS, facts, chunk=chunk, only=only, raw_paths=raw_paths, **kept)


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


def _placed(
    out: Path, inputs: Sequence[Path | str], copy_to: Path | None, move_to: Path | None
) -> PlaceResult | None:
    to = move_to or copy_to
    if to is None:
        return None
    roots = [Path(given) for given in inputs if _is_folder(given)]
    return place(out, to, move=move_to is not None, confirmed=True, roots=roots)


def _marginal(tally: Mapping[tuple[str, ...], int], position: int) -> dict[str, int]:
    """Sum a tally over all but one position of its keys, leaving out the empty value."""
    sums: Counter[str] = Counter()
    for key, count in tally.items():
        if key[position]:
            sums[key[position]] += count
    return dict(sums)
