"""Scratch folders: removed at the end, or by the next run after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from facecheck.core.scratch import scratch_folder

HOLD = """
from facecheck.core.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "large").write_text("x")
    print(folder, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_what_a_kill_left_is_cleared_by_the_next_and_nothing_else(scratch: Path) -> None:
    foreign = scratch / "facecheck-results"
    foreign.mkdir()
    pipes = subprocess.PIPE
    killed, alive = (
        subprocess.Popen([sys.executable, "-c", HOLD], stdin=pipes, stdout=pipes, text=True)
        for _ in range(2)
    )
    assert killed.stdout is not None
    assert alive.stdout is not None
    left, held = (Path(process.stdout.readline().strip()) for process in (killed, alive))  # type: ignore[union-attr]
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert left.exists()
    with scratch_folder() as mine:
        assert set(scratch.iterdir()) == {foreign, held, mine}
        with scratch_folder() as another:
            assert mine.exists()
            assert another.exists()
    assert set(scratch.iterdir()) == {foreign, held}
    alive.communicate("\n")
    assert set(scratch.iterdir()) == {foreign}


def test_a_link_of_that_name_leads_nowhere(scratch: Path) -> None:
    (scratch / "kept").mkdir()
    (scratch / "kept" / "file").touch()
    (scratch / "facecheck-tmp-link").symlink_to(scratch / "kept")
    with scratch_folder():
        pass
    assert (scratch / "kept" / "file").exists()
