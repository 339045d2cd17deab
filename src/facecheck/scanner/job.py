"""scan: images to one row per file.

Items are decoded, their faces found and cut out in processes of their own; the model judges what
they give, chunk by chunk; the sink keeps each chunk's rows. All of it is a stream: memory does not
grow with the files.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

import facecheck
from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import path_text, sha256_file
from facecheck.core.image import DECODE_POLICY
from facecheck.core.parallel import Progress, chunked, cpu_count, map_ordered, silent
from facecheck.data.face_detector import find_face_detector
from facecheck.model.engine import load_predictor
from facecheck.model.predict import ERROR, Predictor, Verdict
from facecheck.model.stability import steadied
from facecheck.scanner.columns import COLUMNS, row_of
from facecheck.scanner.faces import check_detector
from facecheck.scanner.inputs import STDIN, Inputs, Item, Passed, find_inputs, shard
from facecheck.scanner.isolate import Failed, Isolated
from facecheck.scanner.prepare import Crop, Prepared, prepare, settle
from facecheck.scanner.rows import Row
from facecheck.scanner.sink import CHUNK, Chunk, Sink, StreamSink

#: Seconds that decoding one file, and finding its faces, may take.
TIMEOUT = 60.0
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
    faces: Literal["auto", "off"] = "auto",
    face_detector: Path | None = None,
    per_face: bool = False,
    stability: int = 0,
    only: Collection[str] = (),
    raw_paths: bool = False,
    verify: bool = False,
    part: tuple[int, int] | None = None,
    overwrite: bool = False,
    device: str = "auto",
    batch_size: int = 32,
    workers: int | None = None,
    timeout: float = TIMEOUT,
    progress: Progress = silent,
) -> ScanResult:
    """Judge every image among the inputs: one row per file, bad files included.

    Rows come in the order of :func:`~facecheck.scanner.inputs.find_inputs`. They are written as
    they come, to ``<out>.partial``; interrupt at any moment and run the same again, and it goes on
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
        faces: ``auto`` finds faces and judges each; ``off`` judges every image whole.
        face_detector: YuNet's file; None takes the cached one, or downloads it.
        per_face: a row for each face; else one per file, of its most artificial face.
        stability: judge so many variants as well, scaled and encoded anew: a verdict that flips
            becomes ``uncertain``, and a column says how far the score moves; 0: none.
        only: write only rows of these verdicts; all are counted.
        raw_paths: keep names in CSV that a spreadsheet would run as formulas.
        verify: when resuming, know files by their content, not by size and time.
        part: (i, n) to scan the i-th of n parts, from 1; ``merge`` joins them.
        overwrite: replace an existing ``out``.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        batch_size: images a step, 1 or more.
        workers: decoding processes; None takes one per core.
        timeout: seconds that one file may take before it is an error.
        progress: told files done; how many there are in all is not known beforehand.

    Raises:
        UsageError: an input is missing, or ``out`` exists or has another ending.
        CheckpointError: the checkpoint or the face detector cannot be used.
        FacecheckError: there is no image, or the results cannot be written.
    """
    found = find_inputs(
        *([*inputs],),
        manifest=manifest,
        splits=splits,
        include=include,
        exclude=exclude,
        hidden=hidden,
        follow=follow,
        archives=archives,
    )
    if part is not None and not 1 <= part[0] <= part[1]:
        raise UsageError(f"part {part[0]} of {part[1]}: parts count from 1")
    predictor = load_predictor(checkpoint, device)
    detector = None
    if faces == "auto":
        detector = find_face_detector(face_detector)
        check_detector(detector)
    facts = {
        "facecheck": facecheck.__version__,
        "decode_policy": DECODE_POLICY,
        "checkpoint_sha256": sha256_file(checkpoint),
        "face_detector_sha256": None if detector is None else sha256_file(detector),
        "per_face": per_face,
        "device": str(predictor.device),
        "batch_size": batch_size,
        "stability": stability,
    }
    chunk = max(CHUNK, batch_size)
    sink: Sink | StreamSink = (
        StreamSink(sys.stdout.buffer, COLUMNS, chunk=chunk, only=only, raw_paths=raw_paths)
        if out == STDOUT
        else Sink(
            *(out, COLUMNS, facts),
            chunk=chunk,
            only=only,
            raw_paths=raw_paths,
            verify=verify,
            shard=part,
            overwrite=overwrite,
        )
    )
    work = partial(
        prepare, transform=predictor.header.transform, detector=detector, stability=stability
    )
    with sink, Isolated(work, timeout=timeout) as isolated:
        chunks = sink.left(_items(found, part))
        done = 0
        for number, (chunk_, prepared) in enumerate(
            _prepared_chunks(chunks, isolated, workers or cpu_count(), batch_size)
        ):
            done = done if number else sink.done
            answers = _judged(prepared, predictor, batch_size, per_face=per_face)
            sink.write(chunk_, answers)
            done += len(chunk_.items)
            progress(done, None)
        if not (done or sink.done):
            raise FacecheckError(_nothing(inputs, found.passed))
        sink.finish()
    return ScanResult(
        out=out,
        checkpoint=checkpoint,
        files=done or sink.done,
        rows=sink.rows,
        resumed=sink.done,
        dropped=sink.reason,
        passed=found.passed,
        statuses=_marginal(sink.tally, 0),
        verdicts=_marginal(sink.tally, 1),
        kinds=_marginal(sink.tally, 2),
    )


def _items(found: Inputs, part: tuple[int, int] | None) -> Iterable[Item]:
    return found if part is None else shard(found, part[0] - 1, part[1])


def _nothing(inputs: Sequence[Path | str], passed: Passed) -> str:
    where = ", ".join(path_text(str(given)) for given in inputs if given != STDIN) or "the list"
    others = f" ({passed.ignored:,} other files)" if passed.ignored else ""
    return f"no images in {where}{others}: check the folder, or the endings of its files"


def _prepared_chunks(
    chunks: Iterator[Chunk],
    isolated: Isolated[Item, Prepared],
    workers: int,
    ahead: int,
) -> Iterator[tuple[Chunk, list[Prepared]]]:
    """Yield each chunk with its items prepared, in order, while the next ones are being prepared.

    What cannot be prepared for want of time, or crashes its process, is an error of its own.
    """
    begun: deque[Chunk] = deque()

    def items() -> Iterator[Item]:
        for chunk in chunks:
            begun.append(chunk)
            yield from chunk.items

    def safely(item: Item) -> Prepared:
        result = isolated(item)
        return Prepared(item, ERROR, result.reason) if isinstance(result, Failed) else result

    finished: list[Prepared] = []
    for prepared in map_ordered(safely, items(), workers=workers, ahead=ahead):
        finished.append(prepared)
        if len(finished) == len(begun[0].items):
            yield begun.popleft(), finished
            finished = []


def _judged(
    prepared: Sequence[Prepared], predictor: Predictor, batch_size: int, *, per_face: bool
) -> list[list[Row]]:
    """Return the rows of each item of one chunk."""
    crops = [crop for one in prepared for crop in one.crops]
    verdicts = iter(_verdicts(crops, predictor, batch_size))
    return [
        [
            row_of(answer)
            for answer in settle(one, [next(verdicts) for _ in one.crops], per_face=per_face)
        ]
        for one in prepared
    ]


def _verdicts(crops: Sequence[Crop], predictor: Predictor, batch_size: int) -> Iterator[Verdict]:
    """Yield a verdict for each crop, in the light of its variants."""
    inputs = [pixels for crop in crops for pixels in crop.inputs]
    answers = (
        answer
        for batch in chunked(inputs, batch_size)
        for answer in predictor.verdicts(np.stack(batch))
    )
    for crop in crops:
        yield steadied([next(answers) for _ in crop.inputs])


def _marginal(tally: Mapping[tuple[str, ...], int], position: int) -> dict[str, int]:
    """Sum a tally over all but one position of its keys, leaving out the empty value."""
    sums: Counter[str] = Counter()
    for key, count in tally.items():
        if key[position]:
            sums[key[position]] += count
    return dict(sums)
