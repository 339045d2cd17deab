from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from facecheck.core.errors import FacecheckError
from facecheck.core.lock import only_one

HOLD = """
import sys, time
from pathlib import Path
from facecheck.core.lock import only_one
with only_one(Path(sys.argv[1]), "r.csv"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_refused_and_told_who_is_first_until_it_dies(tmp_path: Path) -> None:
    lock = tmp_path / "r.csv.lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        refused = f"r.csv is being written by process {other.pid} on {os.uname().nodename}"
        with pytest.raises(FacecheckError, match=refused), only_one(lock, "r.csv"):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert lock.exists()
    with only_one(lock, "r.csv"):
        assert str(os.getpid()) in lock.read_text()
    assert not lock.exists()
