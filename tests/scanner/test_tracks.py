from __future__ import annotations

from typing import Any

from facecheck.scanner.tracks import row_of_track, track


def face(
    time: float, left: float, top: float = 100, size: float = 50, **more: Any
) -> dict[str, Any]:
    return {
        "time": time, "face_left": left, "face_top": top, "face_width": size, "face_height": size,
        "status": "ok", "score": 0.5, "message": "", "name": "", **more,
    }  # fmt: skip


def followed(rows: list[dict[str, Any]], every: float = 1) -> list[set[str]]:
    """Return the names that were joined, track by track."""
    tracks = sorted(track(rows, every), key=lambda one: one.number)
    return [{row["name"] for row in one.rows} for one in tracks]


def test_two_people_are_two_tracks_wherever_they_stand_in_a_frame() -> None:
    rows = []
    for time in range(8):
        both = [face(time, 100 + 20 * time, name="a"), face(time, 600 - 25 * time, name="b")]
        rows += both if time % 2 else both[::-1]
    assert followed(rows) == [{"b"}, {"a"}]


def test_a_face_that_is_missing_for_two_intervals_keeps_its_track_and_for_more_does_not() -> None:
    times = [0, 1, 4, 5, 10]
    rows = [face(time, 100) for time in times]
    found = sorted(track(rows, 1), key=lambda one: one.number)
    assert [[row["time"] for row in one.rows] for one in found] == [[0, 1, 4, 5], [10]]
    assert [row["track"] for row in rows] == [1, 1, 1, 1, 2]
    assert len(list(track([face(time, 100) for time in times], 2))) == 1


def test_a_face_far_away_or_of_another_size_is_another_person() -> None:
    assert followed([face(0, 100, name="a"), face(1, 250, name="b")]) == [{"a"}, {"b"}]
    assert followed([face(0, 100, name="a"), face(1, 100, size=150, name="b")]) == [{"a"}, {"b"}]
    assert followed([face(0, 100, name="a"), face(1, 160, name="b")]) == [{"a", "b"}]


def test_the_nearest_pair_is_joined_first() -> None:
    rows = [face(0, 100, name="a"), face(1, 150, name="new"), face(1, 102, name="a")]
    assert followed(rows) == [{"a"}, {"new"}]


def test_a_track_is_the_frame_of_its_median_score() -> None:
    scores = [0.1, 0.9, 0.2, None, 0.15]
    rows = [face(t, 100, score=s, status="ok" if s else "too_small") for t, s in enumerate(scores)]
    (one,) = track(rows, 1)
    row = row_of_track(one)
    assert (row["score"], row["time"], row["time_to"], row["frames"]) == (0.15, 0, 4, 5)
    assert row["time_at"] == 4
    assert row["message"] == "median of 4 frames, scores 0.100 to 0.900"
    (small,) = track([face(t, 100, score=None, status="too_small") for t in range(3)], 1)
    assert row_of_track(small)["status"] == "too_small"
    (single,) = track([face(3, 100, score=0.7)], 1)
    assert row_of_track(single)["message"] == ""
