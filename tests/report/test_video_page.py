"""The page of a scan of videos, looked at in a browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import write_json
from facecheck.report import video_page
from facecheck.report.options import ScanReportOptions
from facecheck.report.video_page import clock, video_report
from facecheck.scanner.results.columns import VIDEO_COLUMNS
from facecheck.scanner.results.place import place
from facecheck.scanner.results.rows import CSV, Row, tidy, write_rows
from tests.conftest import Outcome
from tests.scanner.videos import write_video

if TYPE_CHECKING:
    from playwright.sync_api import Page

    Browse = Callable[..., Page]

HOSTILE = "<img src=x onerror=alert(1)>#?.mp4"
RED, BLUE = (200, 30, 30), (30, 30, 200)


def frames(count: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield grey frames with a red square at the left, and from the middle on a blue one."""
    for number in range(count):
        frame = np.full((120, 240, 3), 128, np.uint8)
        frame[30:90, 20:80] = RED
        if number >= count // 2:
            frame[30:90, 150:210] = BLUE
        yield frame


def face(path: Path, track: int, time: float, score: float | None, **more: Any) -> Row:
    verdict = "" if score is None else "artificial" if score > 0.8 else "real"
    return {
        "path": str(path), "status": "ok", "verdict": verdict, "score": score, "view": "face",
        "face_left": 30 if track == 1 else 160, "face_top": 40, "face_width": 40,
        "face_height": 40, "width": 240, "height": 120, "track": track, "time": time, **more,
    }  # fmt: skip


@dataclass(frozen=True)
class Scan:
    """Results of two videos that were drawn, and of one that could not be read."""

    folder: Path
    results: Path

    def write(self, rows: list[Row]) -> Path:
        self.results.unlink(missing_ok=True)
        tidied = [tidy(row, VIDEO_COLUMNS) for row in rows]
        write_rows(self.results, tidied, VIDEO_COLUMNS, CSV)
        write_json(Path(f"{self.results}.meta.json"), {"roots": [str(self.folder)]})
        return self.results


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        write_video(folder / name, frames(40), rate=1)
    (folder / "b.mp4").rename(folder / HOSTILE)
    made = Scan(folder, tmp_path / "r.csv")
    mild, bad = folder / "a.mp4", folder / HOSTILE
    made.write(
        [
            *(face(mild, 1, time, 0.1) for time in range(3)),
            *(face(bad, 1, time, 0.2) for time in range(40)),
            *(face(bad, 2, time, 0.9, kind="generated") for time in range(20, 40)),
            {"path": str(folder / "c<b>.mp4"), "status": "error", "message": "damaged <i>"},
        ]
    )
    return made


def colour(page: Page, src: str | None) -> tuple[int, ...]:
    assert src is not None
    path = Path(unquote(page.url.removeprefix("file://"))).parent / src
    with Image.open(path) as image:
        return image.convert("RGB").getpixel((image.width // 2, image.height // 2))  # type: ignore[return-value]


def is_near(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return max(abs(one - other) for one, other in zip(found, wanted, strict=True)) < 40


def test_each_face_has_a_strip_over_time_the_most_artificial_first(
    scan: Scan, browse: Browse, tmp_path: Path
) -> None:
    report = video_report(scan.results, tmp_path / "page")
    assert (report.videos, report.shown, report.unread, report.errors) == (3, 2, 1, 1)
    assert (report.faces, report.verdicts) == (3, {"artificial": 1, "real": 2})
    assert (report.thumbnails, report.missing, report.hint) == (3 + 24 + 20, 0, "")
    for width, dark in ((1280, False), (390, True)):
        page = browse(report.page, width=width, dark=dark)
        names = page.locator(".video h3").all_inner_texts()
        assert names == [str(scan.folder / HOSTILE), str(scan.folder / "a.mp4")]
        assert "0:40 long · 2 faces" in page.locator(".said").first.inner_text()
        strips = page.locator(".video").first.locator(".frames")
        assert [strips.nth(n).locator("li").count() for n in (0, 1)] == [20, 24]
        first = strips.first
        assert first.locator("time").all_inner_texts()[::19] == ["0:20", "0:39"]
        assert first.locator("li .verdict").first.inner_text().split() == ["artificial", "0.900"]
        assert first.locator("li rect").first.get_attribute("width") == "90.0%"
        assert strips.nth(1).locator("time").all_inner_texts()[::23] == ["0:00", "0:39"]
        assert "40 frames, 24 of them here" in page.locator(".who").nth(1).inner_text()
        first.locator("img").first.scroll_into_view_if_needed()
        loaded = "image => image.decode().then(() => image.naturalWidth)"
        assert first.locator("img").first.evaluate(loaded) > 30
        for strip, wanted in ((first, BLUE), (strips.nth(1), RED)):
            assert is_near(colour(page, strip.locator("img").first.get_attribute("src")), wanted)
        assert page.locator("#errors tbody tr").inner_text().endswith("damaged <i>")
        assert page.locator("#unread").inner_text() == "1 video could not be read: see Errors."
        assert page.locator("#left-out").count() == 0
    link = str(page.locator(".frames a").first.evaluate("link => link.href"))
    address, _, moment = link.partition("#")
    assert Path(unquote(address.removeprefix("file://"))) == scan.folder / HOSTILE
    assert moment == "t=20"


def test_of_tracks_it_shows_the_frame_of_the_row_and_whole_ones(
    scan: Scan, browse: Browse, tmp_path: Path
) -> None:
    row = face(scan.folder / "a.mp4", 2, 20, 0.9, time_at=25, time_to=39, frames=20)
    nobody: Row = {"path": "gone.mp4", "status": "no_face", "time": 0, "time_to": 5, "frames": 6}
    scan.write([nobody, row])
    report = video_report(scan.results, tmp_path / "page")
    assert report.thumbnails == 3
    assert report.reasons == {"not in a folder that was scanned: name its folder with --root": 2}
    page = browse(report.page)
    strip = page.locator(".frames").first
    assert strip.locator("time").all_inner_texts() == ["0:20", "0:25", "0:39"]
    told = strip.locator("li .verdict").all_inner_texts()
    assert [text.split() for text in told] == [
        ["first", "seen"], ["artificial", "0.900"], ["last", "seen"],
    ]  # fmt: skip
    whole, near, _ = (image.get_attribute("src") for image in strip.locator("img").all())
    assert is_near(colour(page, near), BLUE)
    assert is_near(colour(page, whole), (128, 128, 128))
    assert "name its folder with --root" in page.locator(".trouble").inner_text()
    assert page.locator(".gone").count() == 2


def test_a_video_that_is_gone_changed_or_damaged_is_told(scan: Scan, tmp_path: Path) -> None:
    a, b, c = scan.folder / "a.mp4", scan.folder / HOSTILE, scan.folder / "c.mp4"
    c.write_text("no video")
    a.unlink()
    rows = [face(a, 1, 0, 0.1), face(b, 1, 0, 0.1, width=99), face(b, 1, 50, 0.1)]
    scan.write([*rows, face(c, 1, 0, None, face_left=-5)])
    report = video_report(scan.results, tmp_path / "page")
    assert (report.thumbnails, report.missing) == (0, 4)
    assert set(report.reasons) == {
        "No such file or directory",
        "another video than was scanned",
        "no frame at 50 s: another video than was scanned",
        "not a video that can be read, or damaged at its beginning",
    }
    assert "no picture could be shown" in report.hint


def test_a_video_that_crashes_its_decoder_costs_its_own_pictures_alone(
    scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_page, "pictures_at", crashing)
    report = video_report(scan.results, tmp_path / "page", ScanReportOptions(workers=1))
    assert report.thumbnails == 3
    assert report.reasons == {"the decoder crashed (SIGKILL)": 44}


def crashing(wanted: Any) -> list[bytes | str]:
    """Stand in for what reads moments: it dies of the hostile file."""
    import os
    import signal

    from facecheck.scanner.video_picture import pictures_at

    if wanted.path.name == HOSTILE:
        os.kill(os.getpid(), signal.SIGKILL)
    return pictures_at(wanted)


def test_the_page_is_bounded_and_says_what_it_leaves_out(
    scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_page, "MOST_VIDEOS", 1)
    monkeypatch.setattr(video_page, "MOST_FACES", 1)
    report = video_report(scan.results, tmp_path / "page", ScanReportOptions(thumbnails=5))
    assert (report.shown, report.left_out, report.thumbnails, report.missing) == (1, 1, 5, 0)
    text = report.page.read_text()
    assert "1 more video is in the results" in text
    assert "1 more face is in the results" in text
    assert HOSTILE not in text
    assert json.loads((tmp_path / "page" / "summary.json").read_text())["faces"] == 3


def test_report_and_place_know_results_of_videos(
    scan: Scan, command: Callable[..., Outcome], tmp_path: Path
) -> None:
    done = command("report", scan.results, "--json")
    assert done.code == 0
    assert json.loads(done.out)["thumbnails"] == 47
    again = command("report", scan.results, "--overwrite")
    assert "3 videos, 2 of them shown; 3 faces, 47 frames shown, 1 error" in again.out
    assert "heat-maps" in command("report", scan.results, "--heat-maps", "1", "--overwrite").err
    with pytest.raises(UsageError, match="a video has a verdict for each of its faces"):
        place(scan.results, tmp_path / "to")
    assert not (tmp_path / "to").exists()
    scan.write([])
    with pytest.raises(FacecheckError, match="nothing to show"):
        video_report(scan.results, tmp_path / "page")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (6.5, "0:06.5"), (59.9996, "1:00"), (3723, "1:02:03"), (-1, "0:00")],
)
def test_a_time_is_told_as_players_do(seconds: float, text: str) -> None:
    assert clock(seconds) == text
