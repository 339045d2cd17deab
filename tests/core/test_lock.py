from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from facecheck.core.errors import FacecheckError, FacecheckWarning
from facecheck.core.lock import only_one

HOLD = """
import sys, time
from pathlib import Path
from facecheck.core.lock import only_one
with only_one(Path(sys.argv[1]), "index"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_refused_and_told_who_is_first_until_it_dies(tmp_path: Path) -> None:
    out, lock = tmp_path / "new" / "r.csv", tmp_path / "new" / "r.csv.lock"
    command = [sys.executable, "-c", HOLD, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        refused = (
            rf"r.csv is being written by process {other.pid} on {os.uname().nodename} "
            r"\(index, since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d "
        )
        with pytest.raises(FacecheckError, match=refused), only_one(out, "split", wait=0):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert lock.exists()
    with only_one(out, "split"):
        assert str(os.getpid()) in lock.read_text()
    assert not lock.exists()


def test_the_second_waits_for_the_first_to_end(tmp_path: Path) -> None:
    events = []

    def second() -> None:
        with only_one(tmp_path, "fetch", wait=60):
            events.append("second")

    with only_one(tmp_path, "fetch"), only_one(tmp_path / "other", "fetch"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        events.append("first")
    thread.join()
    assert events == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_not_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    warned = pytest.warns(FacecheckWarning, match="has no locks .No locks available")
    with warned, only_one(tmp_path / "r.csv", "scan"):
        (tmp_path / "r.csv").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv"]


def test_the_owner_named_in_a_lock_file_cannot_command_the_terminal(tmp_path: Path) -> None:
    lock = tmp_path / "r.csv.lock"
    with lock.open("w") as stream:
        stream.write("\x1b[2Jmine")
        stream.flush()
        fcntl.flock(stream, fcntl.LOCK_EX)
        refused = pytest.raises(FacecheckError, match=r"written by \\x1b\[2Jmine")
        with refused, only_one(tmp_path / "r.csv", "scan", wait=0):
            pass


def test_folders_made_for_the_lock_alone_do_not_stay(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), only_one(tmp_path / "a" / "b" / "m.csv", "index"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with only_one(tmp_path / "a" / "b" / "m.csv", "index"):
        (tmp_path / "a" / "b" / "m.csv").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["m.csv"]
