from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from facecheck.data.measure import measure, measure_each, stamp


def test_a_vanished_file_has_a_reason(tmp_path: Path) -> None:
    row = measure(stamp(tmp_path / "gone.png"))
    assert row is not None
    assert row.reason == "the file is not there"


def test_files_whose_bytes_are_known_are_not_decoded(drawn: Path) -> None:
    first, other = sorted((drawn / "sketch" / "drawn-sketch").iterdir())[:2]
    (row,) = measure_each([(stamp(first), "")])
    assert row is not None
    assert (row.reason, row.format, len(row.phash)) == ("", "PNG", 16)
    again = measure_each([(stamp(first), row.sha256), (stamp(other), row.sha256)])
    assert [found is None for found in again] == [True, False]


def test_what_measures_imports_no_tables() -> None:
    """Each process that measures begins with it, and an index has as many as there are cores."""
    code = (
        "import sys, facecheck.data.measure; print({'polars', 'scipy', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
