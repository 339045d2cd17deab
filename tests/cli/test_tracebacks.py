"""What the system refuses gives one line; what a stream cannot hold is escaped."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from tests.conftest import UNPRIVILEGED, Outcome

Run = Callable[..., Outcome]
FACECHECK = (sys.executable, "-m", "facecheck")


def run(
    *arguments: object,
    where: Path,
    environment: dict[str, str] | None = None,
    stdout: int | IO[str] = subprocess.PIPE,
    first: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*UNPRIVILEGED, *FACECHECK, *map(str, arguments)],
        cwd=where,
        env={**os.environ, **(environment or {})},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        preexec_fn=first,
        check=False,
    )


def one_line_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode in {1, 2}, done.stderr
    lines = [line for line in done.stderr.splitlines() if "warning: " not in line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("facecheck: ")
    return lines[0]


@pytest.fixture(scope="module")
def workspace(
    trained: tuple[Path, Path], drawn: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A manifest, a checkpoint, results of a scan, and a folder that takes no file."""
    import facecheck

    folder = tmp_path_factory.mktemp("full")
    closed = folder / "closed"
    closed.mkdir()
    results = folder / "r.csv"
    options = facecheck.ScanOptions(faces="off", workers=1)
    facecheck.scan([drawn / "photo"], results, trained[1], options)
    from draw_faces import draw_dataset

    more = folder / "more"
    draw_dataset(more, 20)
    facecheck.index([more], closed / "audited.csv")
    closed.chmod(0o555)
    face = drawn / "photo" / "drawn-photo" / "000.png"
    return {
        "drawn": drawn, "manifest": trained[0], "checkpoint": trained[1], "results": results,
        "closed": closed, "face": face,
    }  # fmt: skip


#: Every command that writes, with what it needs besides a place to write to.
WRITING = (
    "index {drawn} --out m.csv",
    "dedup {manifest} --out m.csv",
    "split {manifest} --out m.csv",
    "audit audited.csv",
    "convert {manifest} m.csv",
    "convert {manifest} tree",
    "fetch --from {drawn}",
    "train --manifest {manifest} --arch resnet10t --no-pretrained --image-size 32 --epochs 1"
    " --batch-size 8 --workers 0 --device cpu",
    "lr-find --manifest {manifest} --arch resnet10t --no-pretrained --image-size 32 --batch-size 8"
    " --steps 20 --device cpu",
    "calibrate {checkpoint} --manifest {manifest} --out c.safetensors",
    "evaluate {checkpoint} --manifest {manifest} --predictions p.csv",
    "export {checkpoint} --manifest {manifest} --out e.onnx",
    "scan {drawn}/photo --checkpoint {checkpoint} --faces off --workers 1",
    "place {results} --copy-to sorted",
    "explain {face} --checkpoint {checkpoint} --faces off",
    "report {manifest} --out rep",
    "report {results} --out rep",
    "generate train --manifest {manifest} --kind photo --size 64 --steps 1 --device cpu",
)


@pytest.mark.slow
@pytest.mark.parametrize("line", WRITING, ids=lambda line: " ".join(line.split()[:2]))
def test_a_folder_that_takes_no_file_gives_one_line(workspace: dict[str, Path], line: str) -> None:
    words = line.format(**workspace).split()
    before = sorted(workspace["closed"].iterdir())
    done = run(*words, where=workspace["closed"])
    said = one_line_of(done)
    assert "ermission" in said, said
    assert sorted(workspace["closed"].iterdir()) == before


def _small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


@pytest.mark.slow
@pytest.mark.parametrize("out", ["m.csv", "m.parquet"])
def test_a_disk_that_takes_no_more_gives_one_line(drawn: Path, tmp_path: Path, out: str) -> None:
    done = run("index", drawn, "--out", out, where=tmp_path, first=_small_files)
    assert "File too large" in one_line_of(done)
    assert not (tmp_path / out).exists()


@pytest.mark.slow
def test_a_full_standard_output_gives_one_line(drawn: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(
            *("index", drawn, "--out", "m.csv"), where=tmp_path,
            stdout=full,
        )  # fmt: skip
    assert "No space left on device" in one_line_of(done)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_stream_that_cannot_hold_a_name_gets_it_escaped(
    drawn: Path, tmp_path: Path, encoding: str
) -> None:
    shutil.copytree(drawn / "photo" / "drawn-photo", tmp_path / "in" / "photo" / "日é")
    environment = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    for number, arguments in enumerate((["index", "in", "--out", "m.csv"], ["split", "m.csv"])):
        done = run(*arguments, where=tmp_path, environment=environment)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert r"\u65e5" in done.stdout, number
    done = run("split", "m.csv", "--json", where=tmp_path, environment=environment)
    assert list(json.loads(done.stdout)["by_source"]) == ["photo/日é"]


@pytest.mark.slow
def test_explain_draws_its_bars_in_what_there_is(
    workspace: dict[str, Path], tmp_path: Path
) -> None:
    done = run(
        *("explain", workspace["face"], "--checkpoint", workspace["checkpoint"], "--faces", "off"),
        where=tmp_path, environment={"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "##" in done.stdout
    assert "\\u" not in done.stdout


@pytest.mark.slow
def test_a_locale_that_is_not_utf8_names_every_file(drawn: Path, tmp_path: Path) -> None:
    photos = tmp_path / "in" / "photo" / "s"
    shutil.copytree(drawn / "photo" / "drawn-photo", photos)
    (photos / "000.png").rename(photos / "ü.png")
    (photos / "001.png").rename(photos / os.fsdecode(b"caf\xe9.png"))
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run("index", "in", "--out", "m.csv", where=tmp_path, environment=locale)
    assert done.returncode in {0, 3}, done.stderr
    assert done.stderr == ""
    assert "ü.png" in (tmp_path / "m.csv").read_text(encoding="utf-8")
    rejects = (tmp_path / "m.rejects.csv").read_text(encoding="utf-8")
    assert "caf\\xe9.png,the file name is not UTF-8: rename it" in rejects


def test_a_bug_still_gives_a_traceback(
    command: Run, drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("facecheck.data.index.index", broken)
    with pytest.raises(ZeroDivisionError):
        command("index", drawn)
