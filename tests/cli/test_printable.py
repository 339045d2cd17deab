"""What strangers wrote reaches the terminal escaped, and warnings of ours are one line."""

from __future__ import annotations

import errno
import fcntl
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from facecheck.cli import main

NAME = "s\x1b[31m\x9b\u202e"
ESCAPED = r"s\x1b[31m\x9b\u202e"


@pytest.fixture
def raw(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn / "photo" / "drawn-photo", tmp_path / "raw" / "photo" / NAME)
    return tmp_path / "raw"


def facecheck(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["facecheck", *map(str, arguments)])
    with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_tables_json_and_errors_show_control_characters_escaped(
    raw: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert facecheck(monkeypatch, "index", raw, "--out", tmp_path / "m.csv") == 0
    assert ESCAPED in capsys.readouterr().out
    out = tmp_path / "n.csv"
    assert facecheck(monkeypatch, "index", raw, "--out", out, "--json") == 0
    text = capsys.readouterr().out
    assert not set(text) & set(NAME[1:2] + NAME[-2:])
    assert json.loads(text)["by_source"] == {f"photo/{NAME}": 12}
    assert facecheck(monkeypatch, "index", raw / NAME, "--out", tmp_path / "o.csv") == 2
    assert capsys.readouterr().err.startswith(f"facecheck: no folder at {raw}/{ESCAPED}: ")


def test_a_file_system_without_locks_gives_a_warning_of_one_line(
    raw: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def no_locks(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    root, manifest = tmp_path / "root", tmp_path / "m.csv"
    assert (
        facecheck(
            monkeypatch, "fetch", "--from", raw, "--root", root, "--manifest", manifest, "--quiet"
        )
        == 0
    )
    lines = capsys.readouterr().err.splitlines()
    said = "facecheck: warning: {}: its file system has no locks (No locks available)"
    assert {line.partition(")")[0] + ")" for line in lines} == {
        said.format(root),
        said.format(manifest),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "code", "said"),
    [
        ("{facecheck} sources >&-", 1, "stdout is closed"),
        ("{facecheck} sources --json > /dev/full", 1, "cannot be written to stdout"),
        ("{facecheck} scan . --out - >&-", 2, "stdout is closed"),
        ("{facecheck} scan nothing >&- 2>&-", 2, ""),
        ("{facecheck} scan $'x\\e]0;PWN\\a'", 2, "x\\x1b]0;PWN\\x07"),
    ],
)
def test_a_stdout_that_takes_nothing_is_one_line(
    tmp_path: Path, drawn: Path, shell: str, code: int, said: str
) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not there")
    (tmp_path / "1.png").write_bytes(next(drawn.rglob("*.png")).read_bytes())
    line = shell.format(facecheck=f"{sys.executable} -m facecheck")
    done = subprocess.run(
        [bash, "-c", line], cwd=tmp_path, stdout=None, stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    assert b"\x1b" not in done.stderr
    assert done.stderr.count(b"\n") <= 1
