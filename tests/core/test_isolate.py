from __future__ import annotations

import atexit
import ctypes
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from facecheck.cli.scan import DECODER
from facecheck.core.errors import ImageError
from facecheck.core.isolate import Failed, Isolated, StartedAhead
from facecheck.core.parallel import map_ordered
from facecheck.scanner.prepare import prepare


def double(number: int, *, crash: int = 99, hang: int = 99, leave: int = 99) -> object:
    if number == crash:
        ctypes.string_at(0)
    if number == hang:
        time.sleep(60)
    if number == leave:
        os._exit(7)
    if number < 0:
        raise ImageError(f"no {number}")
    return np.full(100_000, 2 * number, np.uint8)


@pytest.mark.slow
def test_results_come_in_order_from_other_processes() -> None:
    with Isolated(double, timeout=60) as isolated:
        results = list(map_ordered(isolated, range(20), workers=2, ahead=4))
        assert [int(result[0]) for result in results] == list(range(0, 40, 2))  # type: ignore[index]
        assert len(psutil.Process().children()) == 2
    assert psutil.Process().children() == []


@pytest.mark.slow
def test_a_crash_costs_one_item_and_says_what_it_was() -> None:
    with Isolated(partial(double, crash=3, leave=7), timeout=60) as isolated:
        results = list(map_ordered(isolated, range(12), workers=2))
    failed = {place: result for place, result in enumerate(results) if isinstance(result, Failed)}
    assert failed == {
        3: Failed("the decoder crashed (SIGSEGV)"),
        7: Failed("the decoder crashed (exit code 7)"),
    }
    assert [int(results[place][0]) for place in (2, 4, 8)] == [4, 8, 16]  # type: ignore[index]


@pytest.mark.slow
def test_what_hangs_is_killed_and_the_rest_goes_on() -> None:
    with Isolated(partial(double, hang=1), timeout=3) as isolated:
        first = list(map_ordered(isolated, range(4), workers=1))
    assert first[1] == Failed("took longer than 3 s")
    assert [int(first[place][0]) for place in (0, 2, 3)] == [0, 4, 6]  # type: ignore[index]


def test_an_exception_is_raised_here() -> None:
    with Isolated(double, timeout=60) as isolated:
        with pytest.raises(ImageError, match="no -1"):
            isolated(-1)
        assert int(isolated(4)[0]) == 8  # type: ignore[index]


@pytest.mark.slow
def test_a_killed_parent_leaves_no_process_behind(tmp_path: Path) -> None:
    # A script without the guard that multiprocessing asks for, and a module in the way.
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong module')")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, os\nsys.path.pop(0)\n"
        "from facecheck.core.isolate import Isolated\n"
        "from facecheck.core.image import is_image_name\n"
        "from pathlib import Path\n"
        "isolated = Isolated(is_image_name, timeout=60)\n"
        "print(isolated(Path('a.jpg')), flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, script],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "True\n"
    (child,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    child.wait(timeout=30)
    assert not child.is_running()
    parent.stdout.close()


def leave_something_to_do(number: int) -> int:
    atexit.register(sys.stderr.write, "taken down\n")
    sys.stderr.write("said")
    return number


def test_a_process_ends_by_itself_and_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    with Isolated(leave_something_to_do, timeout=60) as isolated:
        assert isolated(4) == 4
        process = isolated._mine.process
        process.connection.close()
        assert process._process.wait(timeout=60) == 0
    assert capfd.readouterr().err == "said"


def folder(_: int) -> str:
    return str(Path.cwd())


@pytest.mark.slow
def test_processes_that_were_started_ahead_are_taken_first_or_end_quietly(
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = StartedAhead(3, "facecheck.core.image")
    assert len(psutil.Process().children()) == 3
    monkeypatch.chdir(tmp_path)
    with Isolated(folder, timeout=60, ahead=started) as isolated:
        assert isolated(0) == str(tmp_path)
    with Isolated(double, timeout=60, ahead=started) as isolated:
        assert np.all(np.asarray(isolated(21)) == 42)
        assert len(psutil.Process().children()) == 2  # one of them serves
    started.close()
    assert psutil.Process().children() == []
    with Isolated(double, timeout=60, ahead=started) as isolated:
        assert np.all(np.asarray(isolated(21)) == 42)
    assert capfd.readouterr().err == ""


def shout(number: int) -> int:
    os.write(2, b"LZWDecode: not enough data\n")
    return number


def test_native_messages_of_a_worker_do_not_reach_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with Isolated(shout, timeout=60) as isolated:
        assert isolated(4) == 4
    assert capfd.readouterr().err == ""


def test_what_is_imported_ahead_is_the_decoders_module() -> None:
    assert prepare.__module__ == DECODER
