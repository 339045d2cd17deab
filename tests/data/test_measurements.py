from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from facecheck.core.manifest import read_manifest
from facecheck.data import measurements as module
from facecheck.data.index import index
from facecheck.data.measure import Measured, Stamp, measure_each
from facecheck.data.measurements import Measurements
from facecheck.data.options import IndexOptions


@pytest.fixture
def raw(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn, tmp_path / "raw")
    return tmp_path / "raw"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are decoded from here on."""
    paths: list[str] = []
    measured_by = module._measured_by

    def counting(*arguments: Any) -> list[Measured | None]:
        rows = measured_by(*arguments)
        paths.extend(row.path for row in rows if row is not None)
        return rows

    monkeypatch.setattr(module, "_measured_by", counting)
    return paths


def test_unchanged_files_are_not_decoded_again(raw: Path, decoded: list[str]) -> None:
    out = raw.parent / "m.csv"
    index([raw], out)
    first = out.read_bytes()
    assert len(decoded) == 36
    decoded.clear()
    index([raw], out, IndexOptions(overwrite=True))
    assert decoded == []
    assert out.read_bytes() == first


def test_changed_new_and_removed_files_are_noticed(raw: Path, decoded: list[str]) -> None:
    out = raw.parent / "m.csv"
    index([raw], out)
    decoded.clear()
    photos = raw / "photo" / "drawn-photo"
    shutil.copy(raw / "sketch" / "drawn-sketch" / "000.png", photos / "000.png")
    shutil.copy(photos / "001.png", photos / "new.png")
    (photos / "002.png").unlink()
    result = index([raw], out, IndexOptions(overwrite=True))
    assert sorted(Path(path).name for path in decoded) == ["000.png", "new.png"]
    assert result.records == 36
    assert len(Measurements(raw.parent / "m.hashes.jsonl").read()) == 36


def test_verify_finds_a_change_that_size_and_time_hide(raw: Path, decoded: list[str]) -> None:
    out = raw.parent / "m.csv"
    bitmap = raw / "photo" / "drawn-photo" / "b.ppm"
    bitmap.write_bytes(b"P6 20 20 255\n" + bytes(1200))
    index([raw], out)
    before = bitmap.stat()
    bitmap.write_bytes(b"P6 20 20 255\n" + bytes(1199) + b"\xff")
    os.utime(bitmap, ns=(before.st_atime_ns, before.st_mtime_ns))
    decoded.clear()
    index([raw], out, IndexOptions(overwrite=True))
    assert decoded == []
    index([raw], out, IndexOptions(overwrite=True, verify=True))
    assert decoded == [str(bitmap)]


def test_another_policy_measures_again(
    raw: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = raw.parent / "m.csv"
    index([raw], out)
    decoded.clear()
    monkeypatch.setattr(module, "POLICY", "another")
    assert Measurements(raw.parent / "m.hashes.jsonl").read().height == 0


def test_a_journal_cut_at_any_byte_is_resumed(raw: Path, decoded: list[str]) -> None:
    out, journal = raw.parent / "m.csv", raw.parent / "m.hashes.jsonl"
    index([raw], out)
    whole, manifest = journal.read_bytes(), out.read_bytes()
    for cut in (0, 1, 200, len(whole) // 2, len(whole) - 1):
        journal.write_bytes(whole[:cut])
        decoded.clear()
        index([raw], out, IndexOptions(overwrite=True))
        assert len(decoded) == 36 - whole[:cut].count(b"\n")
        assert out.read_bytes() == manifest
    journal.write_text("no journal\n{}\n")
    index([raw], out, IndexOptions(overwrite=True))
    assert out.read_bytes() == manifest


@pytest.mark.parametrize(
    "change",
    [{"mtime_ns": 2**63}, {"width": "wide"}, {"phash": None}],
)
def test_a_bad_line_of_the_journal_is_counted_and_its_file_measured_again(
    raw: Path, decoded: list[str], change: dict[str, Any]
) -> None:
    out, journal = raw.parent / "m.csv", raw.parent / "m.hashes.jsonl"
    index([raw], out)
    manifest = out.read_bytes()
    first, *others = journal.read_text().splitlines()
    bad = {**json.loads(first), **change}
    journal.write_text("\n".join([json.dumps(bad), *others, ""]))
    measurements = Measurements(journal)
    assert measurements.read().height == 35
    assert measurements.dropped == 1
    decoded.clear()
    assert index([raw], out, IndexOptions(overwrite=True)).bad_lines == 1
    assert decoded == [bad["path"]]
    assert out.read_bytes() == manifest
    assert index([raw], out, IndexOptions(overwrite=True)).bad_lines == 0


def test_a_file_of_the_year_2300_is_indexed_like_any_other(raw: Path, decoded: list[str]) -> None:
    out = raw.parent / "m.csv"
    file = raw / "photo" / "drawn-photo" / "000.png"
    os.utime(file, (10413792000, 10413792000))
    assert index([raw], out).records == 36
    decoded.clear()
    index([raw], out, IndexOptions(overwrite=True))
    assert decoded == []
    os.utime(file, (1, 1))
    assert index([raw], out, IndexOptions(overwrite=True)).records == 36
    assert decoded == [str(file)]


@pytest.mark.slow
def test_a_killed_index_is_resumed(raw: Path) -> None:
    out, journal = raw.parent / "m.csv", raw.parent / "m.hashes.jsonl"
    for number in range(40):
        shutil.copytree(raw / "photo" / "drawn-photo", raw / "photo" / f"copy{number}")
    command = [sys.executable, "-m", "facecheck", "index", str(raw), "--out", str(out), "-q"]
    process = subprocess.Popen(command)
    while not journal.exists() or not journal.stat().st_size:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    known = journal.read_bytes().count(b"\n")
    assert known
    assert not out.exists()
    index([raw], out)
    resumed = out.read_bytes()
    journal.unlink()
    index([raw], out, IndexOptions(overwrite=True))
    assert out.read_bytes() == resumed
    assert len(read_manifest(out)) == 36 + 40 * 12


def measure_or_not(files: Sequence[tuple[Stamp, str]]) -> list[Measured | None]:
    """Measure files, but crash at some, and never end with others."""
    for file, _ in files:
        if file.path.endswith("crash.png"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if file.path.endswith("hang.png"):
            time.sleep(60)
    return measure_each(files)


@pytest.mark.slow
def test_a_decoder_that_crashes_or_hangs_costs_one_file(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "measure_each", measure_or_not)
    monkeypatch.setattr(module, "TIMEOUT", 3)
    photos = raw / "photo" / "drawn-photo"
    (photos / "003.png").rename(photos / "crash.png")
    (photos / "005.png").rename(photos / "hang.png")
    result = index([raw], raw.parent / "m.csv")
    assert (result.records, result.rejected) == (34, 2)
    assert dict(result.reasons) == {
        "the decoder crashed (SIGSEGV)": 1,
        "took longer than 3 s": 1,
    }
