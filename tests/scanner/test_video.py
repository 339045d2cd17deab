from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from facecheck.core.errors import ImageError, UsageError
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.options import parse_every
from facecheck.scanner.video import (
    INTERVALS,
    _Reader,
    duration_of,
    frames_at,
    is_video_name,
    segments,
    unreadable,
)
from tests.scanner.videos import grey, turned, uneven, write_video


def numbers(path: Path, every: float, count: int, start: int = 0) -> list[tuple[float, int]]:
    """Return time and number of the frame of each interval, read forward."""
    reader = _Reader(path)
    found = []
    for number in range(start, start + count):
        frame = reader.first_within(number * every, (number + 1) * every)
        if frame is not None:
            found.append((round(frame[0], 3), round(float(frame[1].mean()) / 2)))
    return found


def test_the_first_frame_of_each_interval_is_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", grey(100))
    assert duration_of(path) == pytest.approx(10)
    found = numbers(path, 1, 12)
    assert [time for time, _ in found] == list(range(10))
    assert [number for _, number in found] == pytest.approx(range(0, 100, 10), abs=2)
    # Where frames are rarer than intervals, each is read once.
    assert [time for time, _ in numbers(path, 0.05, 200)] == pytest.approx(
        [number / 10 for number in range(100)]
    )


def test_a_jump_lands_on_the_frame_that_reading_on_would(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", grey(120), rate=2)  # a minute
    forward = numbers(path, 1, 60)
    for start in (0, 1, 24, 25, 31, 58):
        assert numbers(path, 1, 2, start) == forward[start : start + 2]
    assert numbers(path, 1, 5, 61) == []


def test_frames_of_a_variable_rate_have_their_own_times(tmp_path: Path) -> None:
    path = uneven(write_video(tmp_path / "v.mp4", grey(40)), [(20, 1), (4, 20), (16, 1)])
    found = numbers(path, 1, 14)
    # Two seconds of ten frames a second, eight of one in two seconds, and ten a second again.
    assert [time for time, _ in found] == [0, 1, 2, 4, 6, 8, 10, 11]
    assert [number for _, number in found] == pytest.approx([0, 10, 20, 21, 22, 23, 24, 34], abs=2)


def test_frames_are_upright(tmp_path: Path) -> None:
    half = np.zeros((48, 64, 3), np.uint8)
    half[:, :32] = 255  # the left half is white: turned clockwise, the upper one
    path = write_video(tmp_path / "v.mp4", [half] * 10)
    turned(path)
    frame = _Reader(path).first_within(0, 1)
    assert frame is not None
    pixels = frame[1].astype(int)
    assert pixels.shape == (64, 48, 3)
    assert pixels[:28].mean() > 200
    assert pixels[36:].mean() < 50


def test_what_is_no_video_is_an_image_error(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "v.mp4", grey(30)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    for name in ("cut.mp4", "text.mp4", "empty.mp4", "gone.mp4"):
        with pytest.raises(ImageError):
            duration_of(tmp_path / name)


def test_segments_cover_a_video_without_gaps() -> None:
    item = Item("v.mp4", 1, 2, "v.mp4")
    for duration, every in ((0.0, 1.0), (7.9, 1.0), (8.0, 1.0), (8.1, 1.0), (100.0, 0.5)):
        found = list(segments(item, duration, every))
        assert found[0].first == 0
        assert all(b.first - a.first == INTERVALS for a, b in pairwise(found))
        assert [one.until is None for one in found] == [True] * (len(found) - 1) + [False]
        assert (found[-1].first + INTERVALS) * every >= duration
        assert len({one.name for one in found}) == len(found)
    assert unreadable(item, "why", 1).problem == "why"


def test_intervals_are_written_as_people_do() -> None:
    given = {"1s": 1, "500ms": 0.5, "2m": 120, "0.25": 0.25, "1.5 s": 1.5, "1min": 60}
    assert {text: parse_every(text) for text in given} == given
    for text in ("0", "1h", "-1s", "", "nan", "1ms", "9999s"):
        with pytest.raises(UsageError, match="--every"):
            parse_every(text)


def test_names_of_videos() -> None:
    assert is_video_name("A.MP4")
    assert not is_video_name("a.jpg")


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile 'v.mp4'\n", "#EXTM3U\nv.mp4\n"])
def test_a_list_that_the_decoder_would_follow_to_other_files_is_no_video(
    text: str, tmp_path: Path
) -> None:
    write_video(tmp_path / "v.mp4", grey(4))
    (tmp_path / "list.mp4").write_text(text)
    with pytest.raises(ImageError, match="a list of videos"):
        duration_of(tmp_path / "list.mp4")


def test_frames_are_found_again_by_their_times_near_and_far(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", grey(100), rate=3)
    times = [0, 0.333, 2.667, 31.333, 99]
    found = list(frames_at(path, times))
    assert found[-1] is None
    shown = [round(float(one.mean()) / 2) for one in found if one is not None]
    assert shown == pytest.approx([0, 1, 8, 94], abs=2)
