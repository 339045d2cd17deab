from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from PIL import Image

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.workspace import BUILTIN_FAST
from facecheck.scanner.job import ScanResult, scan
from facecheck.scanner.options import ScanOptions
from facecheck.scanner.results.columns import COLUMNS, VIDEO_COLUMNS
from facecheck.scanner.results.frame import read_results
from facecheck.scanner.results.journal import read_lines
from facecheck.scanner.video_job import VideoSink, joined, scan_videos
from tests.scanner.videos import grey, write_video


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def scanned(folder: Path, out: Path, model: Path, detector: Path, **options: Any) -> ScanResult:
    given = ScanOptions(
        video=True, face_detector=detector, device="cpu", workers=1, timeout=120, **options
    )
    return scan_videos([folder], out, model, given)


def moving(portraits: list[Path]) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield 24 frames, two a second: one face moves to the right, another comes after 6 s."""
    faces = [Image.open(path).convert("RGB").resize((200, 200)) for path in portraits[:3:2]]
    for number in range(24):
        image = Image.new("RGB", (800, 400), "#7090b0")
        image.paste(faces[0], (20 + 12 * number, 60))
        if number >= 12:
            image.paste(faces[1], (570, 120))
        yield np.asarray(image)


@pytest.fixture
def folder(tmp_path: Path, portraits: list[Path]) -> Path:
    """Two people in one video, nobody in the next, one damaged, and an image."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_video(folder / "a.mp4", moving(portraits), rate=2)
    write_video(folder / "b.mp4", grey(40))
    (folder / "c.mp4").write_text("no video")
    Image.new("RGB", (40, 40)).save(folder / "d.png")
    return folder


@pytest.mark.slow
def test_one_person_is_one_row_and_every_video_has_one(
    trained: tuple[Path, Path], detector: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.csv"
    result = scanned(folder, out, trained[1], detector)
    assert result.skipped.no_videos == 1
    assert (result.files, result.rows) == (3, 4)
    rows = rows_of(out)
    assert list(rows[0]) == list(VIDEO_COLUMNS)
    names = [Path(row["path"]).name for row in rows]
    assert names == ["a.mp4", "a.mp4", "b.mp4", "c.mp4"]
    first, second, nobody, damaged = rows
    assert [row["track"] for row in rows] == ["1", "2", "", ""]
    assert [float(first["time"]), float(first["time_to"])] == [0, 11]
    assert [float(second["time"]), float(second["time_to"])] == [6, 11]
    assert (first["frames"], second["frames"]) == ("12", "6")
    assert first["status"] == "ok"
    assert first["message"].startswith(("median of", "score", "the face")) or first["message"]
    assert int(first["face_left"]) < int(second["face_left"])
    assert nobody["status"] == "no_face"
    assert damaged["status"] == "error"
    assert "not a video" in damaged["message"]
    assert result.statuses == {"ok": 2, "no_face": 1, "error": 1}

    frames = tmp_path / "frames.parquet"
    by_frame = scanned(folder, frames, trained[1], detector, video_rows="frame", every=2)
    table = by_frame.frame()
    assert table.equals(pl.read_parquet(frames))
    assert read_results(out)["track"].to_list() == [1, 2, None, None]
    assert read_results(out, "lazy").collect().equals(read_results(out))
    assert by_frame.rows == table.height
    of_a = table.filter(pl.col("path").str.ends_with("a.mp4"))
    assert of_a["time"].to_list() == [0, 2, 4, 6, 6, 8, 8, 10, 10]
    assert of_a["track"].to_list() == [1, 1, 1, 1, 2, 1, 2, 1, 2]


@pytest.mark.slow
def test_a_scan_resumes_within_a_file_to_the_same_bytes(
    trained: tuple[Path, Path],
    detector: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, out = tmp_path / "whole.csv", tmp_path / "r.csv"
    options = {"every": 0.5}
    scanned(folder, whole, trained[1], detector, **options)
    with monkeypatch.context() as patch:
        patch.setattr("facecheck.scanner.video_job._CHUNK", 1)
        scanned(folder, tmp_path / "one.csv", trained[1], detector, **options)
        assert (tmp_path / "one.csv").read_bytes() == whole.read_bytes()
        write = VideoSink.write
        done: list[int] = []

        def interrupted(sink: VideoSink, chunk: Any, rows: Any) -> None:
            write(sink, chunk, rows)
            done.append(chunk.number)
            if len(done) == 2:
                raise KeyboardInterrupt

        with monkeypatch.context() as inner, pytest.raises(KeyboardInterrupt):
            inner.setattr(VideoSink, "write", interrupted)
            scanned(folder, out, trained[1], detector, **options)
        assert not out.exists()
        assert (tmp_path / "r.csv.partial").exists()
        again = scanned(folder, out, trained[1], detector, **options)
        assert again.resumed == 2  # of the three parts of a.mp4
        assert out.read_bytes() == whole.read_bytes()
    assert sum(line.items for line in read_lines(out)) == 5


def test_a_video_that_ends_before_its_header_says_is_told() -> None:
    row: dict[str, Any] = dict.fromkeys(VIDEO_COLUMNS)
    face = {**row, "path": "v", "status": "ok", "score": 0.5, "message": "", "time": 1.0} | {
        f"face_{name}": 50 for name in ("left", "top", "width", "height")
    }
    error = {**row, "path": "v", "status": "error", "message": "cut short", "time": 8.0}
    found = joined([dict(face), error], 1, per_track=True)
    assert [one["status"] for one in found] == ["ok", "error"]
    assert len(joined([dict(face), error], 1, per_track=False)) == 2
    assert set(COLUMNS) < set(VIDEO_COLUMNS)


def test_what_is_at_odds_is_refused_in_one_line(tmp_path: Path) -> None:
    for options in ({"watch": True}, {"update": True}, {"faces": "off"}, {"only": ("real",)}):
        with pytest.raises(UsageError, match="--video does not go with --"):
            ScanOptions(video=True, **options)
    with pytest.raises(UsageError, match="are for --video"):
        ScanOptions(every=2.0)
    video = ScanOptions(video=True)
    with pytest.raises(FacecheckError, match="no videos in"):
        scan(tmp_path, tmp_path / "r.csv", BUILTIN_FAST, video)
    with pytest.raises(UsageError, match="nothing to scan at"):
        scan_videos([tmp_path / "gone"], tmp_path / "r.csv", tmp_path, video)
    with pytest.raises(FacecheckError, match="no videos in"):
        scan_videos([tmp_path], tmp_path / "r.csv", tmp_path, video)
    with pytest.raises(UsageError, match="--video writes"):
        scan_videos([tmp_path], Path("-"), tmp_path, video)
