from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from threading import Event, Timer

from facecheck.scanner.inputs.items import Item, find_inputs
from facecheck.scanner.watch import watch


def one_look(looks: Iterator[Item | None]) -> list[str]:
    return [
        Path(found.name).name
        for found in takewhile(lambda found: found is not None, looks)
        if found
    ]


def test_a_file_comes_once_it_is_at_rest_and_again_when_it_changes(tmp_path: Path) -> None:
    stop = Event()
    looks = watch(find_inputs([tmp_path]), stop, interval=0.001)
    (tmp_path / "b.jpg").write_text("half")
    (tmp_path / "a.jpg").write_text("whole")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.jpg").write_text("hidden")
    assert one_look(looks) == []
    (tmp_path / "b.jpg").write_text("half and half")
    assert one_look(looks) == ["a.jpg"]
    assert one_look(looks) == ["b.jpg"]
    assert one_look(looks) == []
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "c.png").write_text("c")
    os.utime(tmp_path / "a.jpg", ns=(5, 5))
    assert one_look(looks) == []
    assert one_look(looks) == ["a.jpg", "c.png"]
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert one_look(looks) == []
    assert one_look(looks) == ["link.jpg"]  # as a scan, which says that it leads nowhere
    (tmp_path / "a.jpg").write_text("back")
    os.utime(tmp_path / "a.jpg", ns=(5, 5))
    assert one_look(looks) == []
    assert one_look(looks) == ["a.jpg"]
    stop.set()
    assert list(looks) == []


def test_it_ends_when_it_is_told_however_long_it_would_wait(tmp_path: Path) -> None:
    stop = Event()
    timer = Timer(0.05, stop.set)
    timer.start()
    assert list(watch(find_inputs([tmp_path]), stop, interval=3600)) == [None]
    timer.join()


def test_an_arrival_tells_what_it_saw(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_text("12345")
    looks = watch(find_inputs([tmp_path]), Event(), interval=0.001)
    assert next(looks) is None
    assert next(looks) == Item(str(path), 5, path.stat().st_mtime_ns, str(path))
