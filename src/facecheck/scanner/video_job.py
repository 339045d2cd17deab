"""scan of videos: frames to rows of faces, and these to one row for each face that is followed.

A segment of a video is an item of the scan: chunks of them are classified and written as those of
images are, so a scan resumes within a file. Until the end the file of rows holds the faces of every
frame; then they are joined to tracks, by their boxes alone, and the results get their name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from facecheck.core.errors import FacecheckError, ImageError, UsageError
from facecheck.core.files import name_text, path_text
from facecheck.core.isolate import Failed, Isolated, StartedAhead
from facecheck.core.parallel import Progress, cpu_count, silent
from facecheck.core.selection import select
from facecheck.core.tree import skipped_sentences
from facecheck.model.facts import facts_of
from facecheck.scanner.chunking import Chunk, cut, without_rows
from facecheck.scanner.classifier import Classifier, load_classifier
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.inputs.reach import FOLDER, ROOTS, Roots
from facecheck.scanner.job import STDOUT, ScanResult, scan_facts
from facecheck.scanner.options import ScanOptions
from facecheck.scanner.results.columns import VIDEO_COLUMNS, rows_of
from facecheck.scanner.results.item_rows import RowForm, counts_of, tallied
from facecheck.scanner.results.journal import Tally
from facecheck.scanner.results.rows import CSV, PATH, Row, read_rows
from facecheck.scanner.results.sink import FileSink, Rows
from facecheck.scanner.tracks import row_of_track, track
from facecheck.scanner.video import (
    INTERVALS,
    Read,
    Segment,
    duration_of,
    error_row,
    is_video_name,
    read_segment,
    segments,
    unreadable,
)
from facecheck.scanner.workers.local import prepared_chunks

#: Segments in a chunk: what an interrupted scan may have to do again.
_CHUNK = 4


def scan_videos(
    inputs: Sequence[Path | str],
    out: Path,
    checkpoint: Path,
    options: ScanOptions,
    *,
    started: StartedAhead | None = None,
    progress: Progress = silent,
) -> ScanResult:
    """Classify the faces in videos, a frame for each interval, and follow them through each.

    It can be interrupted and resumed as a scan of images, within a file as well.

    Args:
        inputs: videos, and folders that are searched for them in depth.
        out: the results: ``.csv``, ``.jsonl`` or ``.parquet``.
        checkpoint: a checkpoint by ``train``, or an export of one.
        options: with ``video``: how often, and which rows; which files, thresholds, workers.
        started: decoding processes that are running already.
        progress: told parts of videos done.

    Raises:
        UsageError: an input is missing, or ``out`` exists or has another ending.
        CheckpointError: the checkpoint or the face detector cannot be used.
        FacecheckError: there is no video, or the results cannot be written.
    """
    if out == STDOUT or out.suffix.lower() == ".xlsx":
        raise UsageError("--video writes .csv, .jsonl or .parquet: name such a file with --out")
    selection = select(options, hidden=options.hidden)
    videos = _Videos(inputs, selection)
    first = next(iter(videos), None)
    if first is None:
        raise FacecheckError(_nothing(inputs, selection))
    roots = Roots(inputs, lists=False)
    classifier = load_classifier(
        checkpoint, options, options, device=options.device, batch_size=options.batch_size
    )
    facts = {
        **scan_facts(checkpoint, str(classifier.predictor.device), classifier, options, _CHUNK),
        "every": options.every,
        "video_rows": options.video_rows,
    }
    with (
        Isolated(duration_of, timeout=options.timeout) as probe,
        # Each frame may take as long as an image.
        Isolated(_reading(classifier), timeout=INTERVALS * options.timeout, ahead=started) as read,
        VideoSink(out, VIDEO_COLUMNS, facts, options) as sink,
    ):
        parts = videos.segments(probe, options.every)
        chunks = without_rows(cut(parts, _CHUNK), sink.journal, verify=False)
        for chunk, rows in _classified(chunks, read, classifier, options, sink.form):
            sink.write(chunk, rows)
            progress(sink.journal.items, None)
        sink.finish({ROOTS: roots.names(), FOLDER: name_text(Path.cwd())})
    return ScanResult(
        out=out,
        checkpoint=checkpoint,
        model=facts_of(classifier.predictor.header),
        files=videos.count,
        rows=sink.rows,
        unwritten=0,
        resumed=sink.resumed,
        dropped=sink.dropped,
        skipped=selection.skipped,
        statuses=counts_of(sink.tally, "status"),
        verdicts=counts_of(sink.tally, "verdict"),
        kinds=counts_of(sink.tally, "kind"),
        bases=counts_of(sink.tally, "basis"),
    )


def _reading(classifier: Classifier) -> partial[Read]:
    """Return what reads a segment, to be sent to other processes."""
    known = classifier.prepare.keywords
    return partial(
        read_segment,
        transform=known["transform"],
        detector=known["detector"],
        stability=known["stability"],
    )


def _nothing(inputs: Sequence[Path | str], selection: Any) -> str:
    where = ", ".join(path_text(str(given)) for given in inputs)
    others = "; ".join(skipped_sentences(selection.skipped))
    return f"no videos in {where}{f' (skipped {others})' if others else ''}: check the folder"


class _Videos:
    """The videos among the inputs, in their order and within folders in that of names.

    Attributes:
        count: videos that were found, of the last iteration.
    """

    def __init__(self, inputs: Sequence[Path | str], selection: Any) -> None:
        self.count = 0
        self._inputs, self._selection = [Path(each) for each in inputs], selection
        if not self._inputs:
            raise UsageError("nothing to scan: name videos, or folders of them")
        for path in self._inputs:
            if not path.exists():
                raise UsageError(f"nothing to scan at {path_text(path)}: check the path")

    def __iter__(self) -> Iterator[Item]:
        self.count = 0
        self._selection.skipped.clear()
        for path in self._inputs:
            for item in self._found(path):
                self.count += 1
                yield item

    def _found(self, path: Path) -> Iterator[Item]:
        if not path.is_dir():
            yield _item(path)
            return
        for name, _ in self._selection.walk(str(path), every_ending=True):
            if is_video_name(name):
                yield _item(Path(name))
            else:
                self._selection.skipped.count("no_videos", name)

    def segments(self, probe: Isolated[Path, float], every: float) -> Iterator[Segment]:
        """Yield the segments of all videos; each is asked how long it is, in another process."""
        for item in self:
            assert item.source is not None  # noqa: S101
            try:
                duration = probe(Path(item.source))
            except ImageError as error:
                yield unreadable(item, str(error), every)
                continue
            if isinstance(duration, Failed):
                yield unreadable(item, duration.reason, every)
            else:
                yield from segments(item, duration, every)


def _item(path: Path) -> Item:
    try:
        status = path.stat()
    except OSError:  # said when it is opened
        return Item(name_text(path), 0, 0, str(path))
    return Item(name_text(path), status.st_size, status.st_mtime_ns, str(path))


def _classified(
    chunks: Iterator[Chunk],
    read: Isolated[Segment, Read],
    classifier: Classifier,
    options: ScanOptions,
    form: RowForm,
) -> Iterator[tuple[Chunk, Rows]]:
    make = form.maker()

    def safely(segment: Segment) -> Read:
        done = read(segment)
        return Read((), done.reason) if isinstance(done, Failed) else done

    workers = options.workers or cpu_count()
    for chunk, done in prepared_chunks(chunks, safely, workers, 1):
        pairs = zip(chunk.items, done, strict=True)
        yield chunk, [make(_rows(item, each, classifier)) for item, each in pairs]


def _rows(segment: Item, read: Read, classifier: Classifier) -> list[Row]:
    """Return a row for each face of each frame, and one for what is wrong."""
    assert isinstance(segment, Segment)  # noqa: S101
    answers = classifier.answers([prepared for _, prepared in read.frames])
    rows: list[Row] = [
        {**row, "time": time}
        for (time, _), answer in zip(read.frames, answers, strict=True)
        for row in rows_of(answer, per_face=True)
    ]
    return [*rows, error_row(segment, read.problem)] if read.problem else rows


class VideoSink(FileSink):
    """The rows of videos: of the faces of all frames, until the end joins them to tracks."""

    _final: Tally | None = None

    @property
    def _is_made_at_the_end(self) -> bool:
        return True

    @property
    def rows(self) -> int:
        """Rows in the file; those of all frames until it is finished."""
        return super().rows if self._final is None else self._final.total()

    @property
    def tally(self) -> Tally:
        """Rows by what is counted of them, likewise."""
        return super().tally if self._final is None else self._final

    def _final_rows(self) -> Iterable[Row]:
        every = float(str(self.journal.made_from["every"]))
        per_track = self.journal.made_from["video_rows"] == "track"
        stored = read_rows(self.rows_path, self.columns, CSV)
        for _, rows in groupby(stored, key=lambda row: row[PATH]):
            yield from joined(map(dict, rows), every, per_track=per_track)

    def _publish(self, more: Mapping[str, object]) -> None:
        self._final = tallied(self._final_rows())
        super()._publish(more)


def joined(rows: Iterable[dict[str, Any]], every: float, *, per_track: bool) -> list[Row]:
    """Return the final rows of one video.

    Args:
        rows: of the faces of its frames, in the order of their times.
        every: seconds of an interval.
        per_track: one row for each face that was followed, in the order in which they appear, or
            one for the whole video where there is none; else the rows as they are, with the numbers
            of the tracks.
    """
    stored = list(rows)
    faces = [row for row in stored if row["face_left"] is not None]
    tracks = sorted(track(faces, every), key=lambda one: one.number)
    if not per_track:
        return list(stored)
    found: list[Row] = [row_of_track(one) for one in tracks]
    errors: list[Row] = [row for row in stored if row["status"] == "error"]
    if found or errors or not stored:
        return [*found, *errors]
    last = stored[-1]["time"]
    return [{**stored[0], "time_to": last, "frames": len(stored)}]
