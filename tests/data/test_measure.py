from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facecheck.core.manifest import read_manifest
from facecheck.data import measure as module
from facecheck.data.index import index
from facecheck.data.measure import Journal, Stamp, measure, stamp
from facecheck.data.options import IndexOptions


@pytest.fixture
def raw(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn, tmp_path / "raw")
    return tmp_path / "raw"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are decoded from here on."""
    paths: list[str] = []

    def counting(file: Stamp, known_sha256: str = "") -> object:
        row = measure(file, known_sha256)
        if row is not None:
            paths.append(file.path)
        return row

    monkeypatch.setattr(module, "measure", counting)
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
    assert len(Journal(raw.parent / "m.hashes.jsonl").read()) == 36


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


def test_another_policy_measures_anew(
    raw: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = raw.parent / "m.csv"
    index([raw], out)
    decoded.clear()
    monkeypatch.setattr(module, "POLICY", "another")
    assert Journal(raw.parent / "m.hashes.jsonl").read().height == 0


def test_a_journal_cut_at_any_byte_is_gone_on_with(raw: Path, decoded: list[str]) -> None:
    out, journal = raw.parent / "m.csv", raw.parent / "m.hashes.jsonl"
    index([raw], out)
    whole, manifest = journal.read_bytes(), out.read_bytes()
    for cut in (0, 1, 200, len(whole) // 2, len(whole) - 1):
        journal.write_bytes(whole[:cut])
        decoded.clear()
        index([raw], out, IndexOptions(overwrite=True))
        assert len(decoded) == 36 - whole[: cut + 1].count(b"\n")
        assert out.read_bytes() == manifest
    journal.write_text("no journal\n{}\n")
    index([raw], out, IndexOptions(overwrite=True))
    assert out.read_bytes() == manifest


def test_a_killed_index_is_gone_on_with(raw: Path) -> None:
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


def test_a_vanished_file_has_a_reason(tmp_path: Path) -> None:
    row = measure(stamp(tmp_path / "gone.png"))
    assert row is not None
    assert row.reason == "the file is not there"
