"""What may happen to a scan: each fault costs at most a row, and never the rows of others."""

from __future__ import annotations

import csv
import ctypes
import io
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facecheck.core.errors import FacecheckError
from facecheck.engines.export import export_checkpoint
from facecheck.scanner.job import ScanResult
from tests.conftest import SHARED
from tests.scanner.items import prepare_or_not, scan_with

#: Mutated files in the fuzz.
FUZZ = int(os.environ.get("FUZZ", "300"))


@pytest.fixture(scope="session")
def model(trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn checkpoint as ONNX, which a process loads in a fraction of the time."""
    pytest.importorskip("onnx")
    path = tmp_path_factory.mktemp("faults") / "m.onnx"
    export_checkpoint(trained[1], path, manifest=trained[0])
    return path


@pytest.fixture
def judge(model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ScanResult]:
    """Scan in this process, in chunks of four."""
    monkeypatch.setattr("facecheck.scanner.job.CHUNK", 4)

    def run(inputs: Sequence[Path | str], out: Path, **options: Any) -> ScanResult:
        given = {"faces": "off", "device": "cpu", "batch_size": 4, "workers": 1, **options}
        return scan_with(inputs, out, model, **given)

    return run


@pytest.fixture
def face(drawn: Path) -> Path:
    return drawn / "photo" / "drawn-photo" / "000.png"


@pytest.fixture
def faces(face: Path, tmp_path: Path) -> Path:
    """A folder of 20 images, 00.png to 19.png."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for number in range(20):
        shutil.copy(face, folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def many(model: Path, drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of 220 images, and what an unbroken scan says of them."""
    place = tmp_path_factory.mktemp("many")
    (place / "in").mkdir()
    for number in range(220):
        (place / "in" / f"{number:03}.png").hardlink_to(drawn / "photo/drawn-photo/000.png")
    scan_with([place / "in"], place / "whole.csv", model, faces="off", device="cpu", workers=1)
    return place / "in", place / "whole.csv"


def command(model: Path, *arguments: str) -> list[str]:
    options = ("--checkpoint", str(model), "--faces", "off", "--device", "cpu", "--workers", "1")
    return [sys.executable, "-m", "facecheck", "scan", *arguments, *options]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not condition():
        assert process.poll() is None, "the scan ended"
        time.sleep(0.02)


def _no_more_than_a_user() -> None:
    """Take from root what lets it read and enter anything (CAP_DAC_OVERRIDE, _READ_SEARCH)."""
    for right in (1, 2):
        if not os.geteuid() and ctypes.CDLL(None).prctl(24, right, 0, 0, 0):
            raise OSError("rights cannot be dropped")


@pytest.mark.slow
def test_a_tree_of_all_that_is_wrong_gives_a_row_for_each_file(
    model: Path, face: Path, bad_files: dict[str, str], tmp_path: Path
) -> None:
    tree = (tmp_path / "bad").rename(tmp_path / "x")
    wanted = {f"x/{name}": reason for name, reason in bad_files.items()}
    hostile = ["=cmd().png", "-rf.png", "new\nline.png", 'q"uote,.png', f"{'n' * 251}.png"]
    for name in [*hostile, os.fsdecode(b"caf\xe9.png")]:
        shutil.copy(face, tree / name)
    wanted |= {f"x/{name}": "" for name in [*hostile, "caf\\xe9.png"]}
    for name in ("locked.png", "shut/a.png", "closed/b.png"):
        (tree / name).parent.mkdir(exist_ok=True)
        shutil.copy(face, tree / name)
    (tree / "locked.png").chmod(0)
    (tree / "shut").chmod(0o444)
    (tree / "closed").chmod(0)
    wanted |= dict.fromkeys(["x/locked.png", "x/shut/a.png"], "no permission")
    (tree / "dangling.png").symlink_to("nothing")
    (tree / "circle.png").symlink_to("circle.png")
    wanted |= {"x/dangling.png": "not there", "x/circle.png": "cannot be opened"}
    os.mkfifo(tree / "pipe.png")
    (tree / "device.png").symlink_to("/dev/zero")
    (tree / "loop").symlink_to(".")
    (tree / "notes.txt").write_text("no image")
    done = subprocess.run(
        command(model, "x", "--follow", "--out", "r.csv"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=_no_more_than_a_user,
        check=False,
    )
    for name in ("shut", "closed"):
        (tree / name).chmod(0o755)
    assert done.returncode == 3, done.stderr
    assert "skipped 1 folder that cannot be listed, x/closed/" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    rows = rows_of(tmp_path / "r.csv")
    assert len(rows) == len(wanted)
    for row in rows:
        reason = wanted.pop(row["path"])
        assert reason in row["message"], row
        assert row["status"] == ("error" if reason else "ok"), row
        assert bool(row["score"]) != bool(reason)
    assert wanted == {}


@pytest.mark.slow
def test_a_decoder_that_crashes_or_hangs_costs_one_row(
    judge: Callable[..., ScanResult], faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facecheck.scanner.classifier.prepare", prepare_or_not)
    (faces / "07.png").rename(faces / "07-crash.png")
    (faces / "12.png").rename(faces / "12-hang.png")
    result = judge([faces], tmp_path / "r.csv", timeout=3)
    assert result.statuses == {"ok": 18, "error": 2}
    told = {Path(row["path"]).name: row["message"] for row in rows_of(tmp_path / "r.csv")}
    assert len(told) == 20
    assert {name: message for name, message in told.items() if message} == {
        "07-crash.png": "the decoder crashed (SIGSEGV)",
        "12-hang.png": "took longer than 3 s",
    }


@pytest.mark.slow
def test_files_that_vanish_or_change_during_the_scan(
    judge: Callable[..., ScanResult], faces: Path, tmp_path: Path
) -> None:
    def interfere(done: int, total: int | None) -> None:
        if done == 4:
            (faces / "18.png").unlink()
            (faces / "17.png").write_bytes((faces / "17.png").read_bytes()[:500])
            (faces / "16.png").unlink()
            os.mkfifo(faces / "16.png")

    judge([faces], tmp_path / "r.csv", progress=interfere)
    rows = rows_of(tmp_path / "r.csv")
    told = {Path(row["path"]).name: row["message"] for row in rows if row["status"] != "ok"}
    assert told.keys() == {"17.png", "18.png"}  # what became a pipe is passed over
    assert told["18.png"] == "the file is not there"
    assert len(rows) == 19


def test_an_output_folder_that_takes_nothing_is_one_line(
    judge: Callable[..., ScanResult], faces: Path, small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(FacecheckError, match="Read-only file system") as caught:
        judge([faces], small_disk / "r.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_full_disk_is_one_line_and_the_scan_goes_on_when_there_is_room(
    judge: Callable[..., ScanResult], faces: Path, small_disk: Path, tmp_path: Path, suffix: str
) -> None:
    out = small_disk / f"r{suffix}"
    judge([faces], tmp_path / f"whole{suffix}")
    # Some pages of 4 kB are left: for the header, the journal, and the rows of a chunk or two.
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "ballast").write_bytes(bytes(free - 3 * 4096))
    with pytest.raises(FacecheckError, match="No space left") as caught:
        judge([faces], out)
    assert "\n" not in str(caught.value)
    (small_disk / "ballast").unlink()
    result = judge([faces], out)
    assert result.files == 20
    assert out.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_scan_that_is_ended_keeps_its_rows_and_goes_on(
    model: Path,
    many: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: signal.Signals,
) -> None:
    folder, whole = many
    names = sorted(map(str, folder.iterdir()))
    listed = "".join(f"{name}\n" for name in names).encode()
    out = tmp_path / "r.csv"
    run = command(model, "-", "--out", str(out))
    with subprocess.Popen(
        run, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(listed)
        process.stdin.flush()  # and not closed: it waits for more
        # Rows count once the journal says so: its head, the first chunk of 8, and one of 64.
        journal = out.with_name("r.csv.journal")
        wait_for(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 3, process)
        if ending == signal.SIGINT:
            with pytest.raises(FacecheckError, match="being written by process"):
                scan_with(names, out, model, faces="off", device="cpu")
        process.send_signal(ending)
        told = process.stderr.read().decode()
        code = process.wait()
    if ending == signal.SIGKILL:
        assert (code, told) == (-9, "")
    else:
        assert code == 128 + ending
        assert told == "facecheck: interrupted; rows are kept, run the same again to resume\n"
    assert not out.exists()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
    assert scan_with(["-"], out, model, faces="off", device="cpu", workers=1).resumed >= 64
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("r.")) == [
        "r.csv", "r.csv.journal", "r.csv.meta.json",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_folder_is_watched_until_it_is_told_to_end(
    model: Path, face: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "r.csv"
    folder.mkdir()
    shutil.copy(face, folder / "b.png")
    with subprocess.Popen(
        command(model, str(folder), "--watch", "--out", str(out)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        wait_for(lambda: out.exists() and b"b.png" in out.read_bytes(), process)
        shutil.copy(face, folder / "a.png")
        (folder / "text.png").write_text("text")
        wait_for(lambda: b"text.png" in out.read_bytes(), process)
        process.send_signal(signal.SIGTERM)
        told = process.stdout.read().decode()
        assert process.wait() == 3  # done, with an error among the rows
    assert "3 files, 3 rows" in told
    shutil.copy(face, folder / "c.png")
    stop = threading.Event()
    result = scan_with(
        [folder], out, model, faces="off", device="cpu", watch=True, stop=stop,
        progress=lambda done, total: stop.set(),
    )  # fmt: skip
    assert (result.resumed, result.files) == (3, 4)
    names = [Path(row["path"]).name for row in rows_of(out)]
    assert names == ["b.png", "a.png", "text.png", "c.png"]


@pytest.mark.slow
def test_mutated_files_have_a_row_each_and_crash_nothing(
    judge: Callable[..., ScanResult], face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the face detector where it is; FUZZ=5000 makes more of them."""
    monkeypatch.setattr("facecheck.scanner.job.CHUNK", 64)
    detector = SHARED / "models" / "yunet_n_dynamic.onnx"
    options = {"faces": "auto", "face_detector": detector} if detector.is_file() else {}
    folder = tmp_path / "mutated"
    folder.mkdir()
    chance = random.Random(7)
    whole = originals(face)
    for number, (ending, content) in enumerate(itertools.islice(itertools.cycle(whole), FUZZ)):
        other = chance.choice(whole)[1]
        (folder / f"{number:05}.{ending}").write_bytes(mutated(content, other, chance))
    result = judge([folder], tmp_path / "r.csv", batch_size=32, **options)
    rows = rows_of(tmp_path / "r.csv")
    assert [Path(row["path"]).name for row in rows] == sorted(os.listdir(folder))
    assert not [row for row in rows if row["message"].startswith(("the decoder", "took longer"))]
    assert all(row["message"] for row in rows if row["status"] == "error")
    assert all(0 <= float(row["score"]) <= 1 for row in rows if row["status"] == "ok")
    assert result.statuses["error"] > FUZZ / 10
    assert result.files - result.statuses["error"] > FUZZ / 10


def originals(face: Path) -> list[tuple[str, bytes]]:
    """A photograph, where there is one, else a drawing, as files of every kind."""
    photograph = SHARED / "data" / "photo" / "ffhq-256" / "00000.jpg"
    image = Image.open(photograph if photograph.is_file() else face).convert("RGB")
    image = image.resize((160, 160))
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("jpg", "JPEG", {"quality": 85}),
        ("jpg", "JPEG", {"progressive": True, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}),
        ("png", "PNG", {}),
        ("webp", "WEBP", {}),
        ("webp", "WEBP", {"lossless": True}),
    ]
    made = []
    for ending, kind, options in ways:
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        made.append((ending, stream.getvalue()))
    stream = io.BytesIO()
    image.quantize(16).save(stream, "PNG", optimize=True)
    return [*made, ("png", stream.getvalue())]


def mutated(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """Change bytes, in the header more often; cut, double, lose or exchange a piece."""
    data = bytearray(content)
    start = chance.randrange(len(data))
    piece = slice(start, start + chance.randrange(1, 200))
    match chance.randrange(6):
        case 0:
            del data[start:]
        case 1:
            del data[piece]
        case 2:
            data[start:start] = data[piece]
        case 3:
            data[piece] = other[piece]
        case way:
            most = min(64, len(data)) if way == 4 else len(data)
            for _ in range(chance.choice([1, 1, 2, 8, 32])):
                data[chance.randrange(most)] = chance.randrange(256)
    return bytes(data)
