"""video_report: a page to look through the results of a scan of videos, strips of frames over time.

Frames are decoded as the scan decodes them: in processes of their own, a few at a time, each of
which may take as long as a part of a scan.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from facecheck.core.errors import FacecheckError, ImageError, UsageError
from facecheck.core.files import named_path, path_text, to_path, write_json
from facecheck.core.isolate import Failed, Isolated
from facecheck.core.labels import Status
from facecheck.core.parallel import Progress, cpu_count, map_ordered, silent
from facecheck.report.gallery_rows import VERDICTS
from facecheck.report.options import ScanReportOptions
from facecheck.report.page import INDEX, number_text, report_folder, write_page
from facecheck.report.scan_facts import ScanFacts
from facecheck.report.scan_report import named_bases, why_none
from facecheck.report.thumbs import SIDE, numbered
from facecheck.scanner.classified_picture import box_of
from facecheck.scanner.inputs.named import base_of, located
from facecheck.scanner.inputs.reach import Reach, reach_of
from facecheck.scanner.options import ScanOptions
from facecheck.scanner.results.columns import VIDEO_COLUMNS
from facecheck.scanner.results.rows import PATH, Row, read_rows
from facecheck.scanner.tracks import Track, row_of_track
from facecheck.scanner.video import INTERVALS, duration_of
from facecheck.scanner.video_picture import Moment, Moments, pictures_at

#: What is on the page at most: videos, faces of each, frames of each, and errors.
MOST_VIDEOS, MOST_FACES, MOST_FRAMES, MOST_ERRORS = 100, 12, 24, 200


@dataclass(frozen=True)
class VideoReport:
    """What ``video_report`` made.

    Attributes:
        results: the rows it shows.
        out: the report's folder.
        page: the page in it.
        videos: how many videos have rows.
        shown: how many of them are on the page, those with the most artificial faces.
        unread: videos of which nothing could be read; they are among the errors.
        faces: faces that were followed, of all videos.
        verdicts: these by verdict, of those that have one.
        errors: rows of what could not be read.
        thumbnails: frames that are shown.
        missing: frames that could not be shown: their files are gone, changed or out of reach.
        reasons: these by why.
        base: the folder that relative paths are of.
        hint: what to do where no frame was found; empty where one was.
    """

    results: Path
    out: Path
    page: Path
    videos: int
    shown: int
    unread: int
    faces: int
    verdicts: Mapping[str, int]
    errors: int
    thumbnails: int
    missing: int
    reasons: Mapping[str, int]
    base: Path
    hint: str

    @property
    def left_out(self) -> int:
        """Videos that could be read, and are not on the page, which is full."""
        return self.videos - self.unread - self.shown


@dataclass
class _Frame:
    """A frame of a strip: its time, and the row about the face in it; None shows all of it."""

    time: float
    row: Row | None
    picture: str = ""


@dataclass
class _Strip:
    """A face that was followed, or a video without one: its one row, and frames of ``count``."""

    row: Row
    frames: list[_Frame]
    count: int


@dataclass
class _Video:
    name: str
    strips: list[_Strip]
    faces: int
    verdicts: Counter[str]
    length: float | None = None
    trouble: str = ""
    href: str = ""

    @property
    def score(self) -> float:
        """Of its most artificial face; those without one come last."""
        return max((_score(one.row) for one in self.strips), default=-2.0)

    @property
    def frames(self) -> list[_Frame]:
        """All that are to be shown, in the order of their times."""
        every = (frame for strip in self.strips for frame in strip.frames)
        return sorted(every, key=lambda frame: frame.time)


@dataclass
class _Counts:
    """What is counted of all videos, on the page or not."""

    videos: int = 0
    unread: int = 0
    faces: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    first_errors: list[Row] = field(default_factory=list)


def video_report(
    results: Path | str,
    out: Path | str,
    options: ScanReportOptions = ScanReportOptions(),
    *,
    reach: Reach | None = None,
    progress: Progress = silent,
) -> VideoReport:
    """Write a page of the results of ``scan --video``, to the folder ``out``.

    In the folder are ``index.html``, ``thumbs/`` and ``summary.json``.

    Each video has a strip of frames for each face that was followed, the most artificial first. Of
    rows of frames a strip shows the face in up to 24 frames, evenly spread; of rows of tracks it
    shows the frame that the row is of, and the whole frames in which the face was first and last
    seen: other boxes are not in the results.

    Args:
        results: as ``scan`` with ``video`` writes them.
        out: the folder.
        options: how many frames are shown in all, which folder relative names are of, workers, and
            whether a report that is at ``out`` is replaced. Heat maps are not drawn.
        reach: as of :func:`~facecheck.report.scan_report.scan_report`.
        progress: called with videos done, and how many there will be.

    Raises:
        UsageError: ``out`` is there and no report that may be replaced; or heat maps are wanted.
        FacecheckError: the results cannot be read, or hold no row.
    """
    results, out = to_path(results, "the results"), to_path(out, "out")
    if options.heat_maps:
        raise UsageError("--heat-maps: none are drawn for videos: leave that out")
    counts = _Counts()
    videos = heapq.nlargest(MOST_VIDEOS, _videos(results, counts), key=lambda one: one.score)
    if not counts.videos:
        raise FacecheckError(f"{path_text(results)}: no rows: there is nothing to show")
    base = base_of(results, (video.name for video in videos), options.base)
    reach = reach or reach_of(results, named_bases(options))
    with report_folder(out, overwrite=options.overwrite) as folder:
        why = _write_frames(videos, folder / "thumbs", base, reach, options, progress)
        for video in videos:
            video.href = _address(video.name, base, out)
        made = sum(bool(frame.picture) for video in videos for frame in video.frames)
        named = [{PATH: video.name} for video in videos]
        report = VideoReport(
            results=results,
            out=out,
            page=out / INDEX,
            videos=counts.videos,
            shown=len(videos),
            unread=counts.unread,
            faces=counts.faces,
            verdicts={name: counts.verdicts[name] for name in VERDICTS if counts.verdicts[name]},
            errors=counts.errors,
            thumbnails=made,
            missing=why.total(),
            reasons=dict(why.most_common()),
            base=base,
            hint="" if made else why_none(results, named, base, why),
        )
        write_json(folder / "summary.json", _summary(report))
        write_page(folder, "videos.html.j2", _context(report, videos, counts))
    return report


def _summary(report: VideoReport) -> dict[str, object]:
    names = ("videos", "shown", "unread", "faces", "verdicts", "errors", "thumbnails", "missing")
    return {"results": path_text(report.results)} | {name: getattr(report, name) for name in names}


def _videos(results: Path, counts: _Counts) -> Iterator[_Video]:
    """Yield each video that could be read in part at least; count all of them."""
    rows = read_rows(results, VIDEO_COLUMNS)
    for name, own in groupby(rows, key=lambda row: str(row[PATH])):
        read = []
        for row in own:
            if row["status"] == Status.ERROR:
                counts.errors += 1
                counts.first_errors += [row] if counts.errors <= MOST_ERRORS else []
            else:
                read.append({**row, "time": float(row["time"] or 0)})
        counts.videos += 1
        counts.unread += not read
        if read:
            video = _video(name, read)
            counts.faces += video.faces
            counts.verdicts += video.verdicts
            yield video


def _video(name: str, rows: Sequence[dict[str, Any]]) -> _Video:
    tracks: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        if row["track"] is not None:
            tracks.setdefault(row["track"], []).append(row)
    strips = [_strip(number, own) for number, own in tracks.items()]
    if not strips:
        times = dict.fromkeys(time for row in rows for time in _times(row))
        frames = [_Frame(time, None) for time in times]
        strips = [_Strip(rows[0], _spread(frames), rows[0]["frames"] or len(rows))]
    strips.sort(key=lambda one: -_score(one.row))
    verdicts = Counter(str(one.row["verdict"]) for one in strips if one.row["verdict"])
    return _Video(name, strips[:MOST_FACES], len(tracks), verdicts)


def _strip(number: int, rows: list[dict[str, Any]]) -> _Strip:
    """Return the strip of a face, of its rows: one for all frames, or one for each."""
    first = rows[0]
    if first["time_to"] is None:
        frames = [_Frame(row["time"], row) for row in rows]
        return _Strip(row_of_track(Track(number, rows)), _spread(frames), len(rows))
    found = {time: _Frame(time, None) for time in _times(first)}
    if first["time_at"] is not None:
        found[first["time_at"]] = _Frame(first["time_at"], first)
    return _Strip(first, sorted(found.values(), key=lambda one: one.time), first["frames"] or 1)


def _times(row: Mapping[str, Any]) -> list[float]:
    return [time for time in (row["time"], row["time_to"]) if time is not None]


def _spread(frames: list[_Frame]) -> list[_Frame]:
    """Return at most :data:`MOST_FRAMES`, evenly spread, the first and the last among them."""
    last, most = len(frames) - 1, MOST_FRAMES - 1
    if last <= most:
        return frames
    return [frames[round(place * last / most)] for place in range(MOST_FRAMES)]


def _score(row: Mapping[str, Any]) -> float:
    return -1.0 if row["score"] is None else float(row["score"])


def _write_frames(
    videos: Sequence[_Video],
    folder: Path,
    base: Path,
    reach: Reach,
    options: ScanReportOptions,
    progress: Progress,
) -> Counter[str]:
    """Write the frames, note their pictures, and return by why how many there are not."""
    left = iter(range(options.thumbnails))
    wanted = [list(zip(video.frames, left, strict=False)) for video in videos]
    timeout = ScanOptions().timeout
    why: Counter[str] = Counter()
    with (
        Isolated(duration_of, timeout=timeout) as length,
        Isolated(pictures_at, timeout=INTERVALS * timeout) as decode,
    ):
        read = partial(_read, base=base, reach=reach, length=length, decode=decode)
        pairs = zip(videos, wanted, strict=True)
        done = map_ordered(lambda pair: read(*pair), pairs, workers=options.workers or cpu_count())
        for number, (video, frames, pictures) in enumerate(
            zip(videos, wanted, done, strict=True), 1
        ):
            for (frame, place), picture in zip(frames, pictures, strict=True):
                if isinstance(picture, str):
                    why[picture] += 1
                    video.trouble = picture
                else:
                    frame.picture = f"thumbs/{numbered(place)}"
                    target = folder / numbered(place)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(picture)
            progress(number, len(videos))
    return why


def _read(
    video: _Video,
    frames: Sequence[tuple[_Frame, int]],
    *,
    base: Path,
    reach: Reach,
    length: Isolated[Path, float],
    decode: Isolated[Moments, list[bytes | str]],
) -> list[bytes | str]:
    """Return pictures of frames of a video; of those that cannot be had, why."""
    pictures: list[bytes | str] = []
    try:
        name = located(video.name, base)
        reach.check(name)
        # Absolute: FFmpeg takes a name with a colon for an address.
        path = named_path(name).absolute()
        seconds = length(path)
        if isinstance(seconds, Failed):
            raise ImageError(seconds.reason)
        video.length = seconds or None
        moments = [_moment(frame) for frame, _ in frames]
        for start in range(0, len(moments), INTERVALS):
            part = tuple(moments[start : start + INTERVALS])
            found = decode(Moments(path, part, SIDE))
            if isinstance(found, Failed):
                raise ImageError(found.reason)
            pictures += found
    except ImageError as error:
        pictures += [str(error)] * (len(frames) - len(pictures))
    return pictures


def _moment(frame: _Frame) -> Moment:
    row = frame.row
    if row is None:
        return Moment(frame.time)
    size = (int(row["width"] or 0), int(row["height"] or 0))
    return Moment(frame.time, size, box_of(row))


def _address(name: str, base: Path, out: Path) -> str:
    """Return a link from the report to a video."""
    path = os.path.relpath(named_path(located(name, base)), out.absolute())
    return "./" + quote(os.fsencode(path))


def _context(report: VideoReport, videos: Sequence[_Video], counts: _Counts) -> dict[str, Any]:
    contents = {"videos": "Videos", "errors": "Errors", "scan": "How it was made"}
    if not counts.errors:
        del contents["errors"]
    if not videos:
        del contents["videos"]
    noun = "video" if report.videos == 1 else "videos"
    return {
        "title": f"Scan of {number_text(report.videos)} {noun}",
        "contents": contents,
        "report": report,
        "videos": videos,
        "errors": counts.first_errors,
        # Verdicts are those of single faces: how several of a file count is not said.
        "scan": replace(ScanFacts.of(report.results), by_faces={}),
        "clock": clock,
    }


def clock(seconds: float) -> str:
    """Return a time in a video as players show it: ``1:02:03``, ``0:06.5``."""
    thousandths = round(max(0.0, seconds) * 1000)
    whole, rest = divmod(thousandths, 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    start = f"{hours}:{minute:02}" if hours else f"{minute}"
    return f"{start}:{second:02}" + (f".{rest:03}".rstrip("0") if rest else "")
