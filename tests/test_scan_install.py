"""The small install of the README: a scan without torch gives the rows of the full one.

Here the modules that it lacks are hidden from this interpreter. CI runs these tests again, on an
environment that really lacks them: SCAN_PYTHON names its interpreter.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import facecheck
from facecheck.core.install import FULL_INSTALL_ONLY
from tests.conftest import SHARED

pytestmark = pytest.mark.slow

OTHER = os.environ.get("SCAN_PYTHON")
HIDE = f"import sys; sys.modules.update(dict.fromkeys({sorted(FULL_INSTALL_ONLY)!r})); "
COMMAND = "from facecheck.cli import main; main()"
#: Real pictures of each kind that the built-in model knows.
REAL = (
    "photo/ffhq-256/00001.jpg", "photo/cufs-photos/cuhk_test_01.png",
    "cartoon/vector-avatars/dicebear_avataaars_11.png",
    "cartoon/vector-avatars/multiavatar_11.png",
)  # fmt: skip

Small = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def pictures(drawn: Path, tmp_path: Path) -> Path:
    """Drawn pictures, with real ones where ../shared/data is there, and one that is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in (*sorted(drawn.rglob("00[0-2].png")), *(SHARED / "data" / name for name in REAL)):
        if path.is_file():
            shutil.copy(path, folder / f"{path.parent.name}-{path.name}")
    (folder / "text.jpg").write_text("not a picture")
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Run code, after ``-c``, or a command in the small install."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        code, more = (COMMAND, arguments) if arguments[0] != "-c" else (arguments[1], arguments[2:])
        environment = dict(os.environ)
        if OTHER:
            environment.pop("PYTHONPATH", None)  # its own facecheck, not the one of this process
        return subprocess.run(
            [OTHER or sys.executable, "-c", f"{'' if OTHER else HIDE}{code}", *more],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_small_install_lacks_what_only_the_full_one_has(small: Small) -> None:
    find = f"from importlib import import_module\nfor name in {sorted(FULL_INSTALL_ONLY)!r}:\n"
    find += "    try: print(import_module(name))\n    except ImportError: pass"
    done = small("-c", "\n" + find)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("faces", ["auto", "off"])
def test_a_scan_gives_the_rows_of_the_full_install(
    faces: str, small: Small, pictures: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    detector = request.getfixturevalue("detector") if faces == "auto" else None
    more = ["--face-detector", str(detector)] if detector else []
    scan = ["scan", "pictures", "--faces", faces, *more, "--checkpoint", "builtin"]
    done = small(*scan, "--out", "small.csv", "--quiet")
    assert done.returncode == 3, done.stderr  # text.jpg
    full = subprocess.run(
        [sys.executable, "-m", "facecheck", *scan, "--out", "full.csv", "--quiet"],
        cwd=tmp_path, check=False,
    )  # fmt: skip
    assert full.returncode == 3
    found = rows(tmp_path / "small.csv")
    assert found == rows(tmp_path / "full.csv")
    assert len(found) == len(list(pictures.iterdir()))
    assert {row["status"] for row in found} >= {"ok", "error"}
    kinds = {row["path"]: row["kind"] for row in found}
    for path, kind in kinds.items():
        if "ffhq" in path or "cufs" in path:
            assert kind == "photo"
        elif "vector-avatars" in path:
            assert kind == "cartoon"


def test_checker_answers_as_in_the_full_install(small: Small, pictures: Path) -> None:
    path = sorted(pictures.glob("*.png"))[0]
    ask = "import facecheck; print(repr(facecheck.Checker('builtin').check(sys.argv[1])))"
    done = small("-c", "import sys; " + ask, path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == repr(facecheck.Checker("builtin").check(path))


def test_sources_help_merge_and_place_work(small: Small, pictures: Path, tmp_path: Path) -> None:
    assert small("--help").returncode == 0
    listed = json.loads(small("sources", "--json").stdout)
    assert "selfie2anime" in {entry["source"]["name"] for entry in listed["sources"]}
    (pictures / "text.jpg").unlink()
    scan = ("scan", "pictures", "--faces", "off", "--checkpoint", "builtin", "--quiet")
    parts = ("1.csv", "2.csv")
    for number, part in enumerate(parts, 1):
        done = small(*scan, "--shard", f"{number}/2", "--out", part)
        assert done.returncode == 0, done.stderr
    assert small("merge", "all.csv", *parts).returncode == 0
    placed = small("place", "all.csv", "--copy-to", "placed")
    assert placed.returncode == 0, placed.stderr
    files = [path for path in (tmp_path / "placed").rglob("*.*") if path.is_file()]
    assert len(files) == len(rows(tmp_path / "all.csv")) == len(list(pictures.iterdir()))


@pytest.mark.parametrize(
    "arguments",
    [
        ["train"], ["study", "doubling"], ["fetch", "lfw"], ["explain", "pictures/text.jpg"],
        ["report", "results.csv"], ["report", "m.csv"], ["split", "m.csv"], ["audit", "m.csv"],
        ["scan", "pictures", "--checkpoint", "run.safetensors", "--out", "new.csv"],
    ],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.usefixtures("pictures")
def test_what_is_missing_is_one_line(
    arguments: list[str], small: Small, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "results.csv").write_text(
        "path,status,verdict,kind,score\na.jpg,ok,real,photo,0.1\n"
    )
    shutil.copy(trained[0], tmp_path / "m.csv")
    shutil.copy(trained[1], tmp_path / "run.safetensors")
    done = small(*arguments)
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("facecheck: this needs ")
    assert line.endswith("pip install facecheck (from a checkout: pip install .)")
    assert done.stdout == ""
