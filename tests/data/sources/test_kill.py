"""Kill -9 in the middle, run again: the same bytes as without."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facecheck.data.options import FetchOptions
from facecheck.data.sources.fetch import fetch
from tests.data.sources.stub_server import Fault, Served, StubServer, drive_file, turned_to, zipped

REPOSITORY = Path(__file__).parents[3]
#: The command, in a process of its own, its requests turned to the server here.
COMMAND = """
import sys
from facecheck.cli import main
from tests.data.sources.stub_server import turned_to
url = sys.argv.pop(1)
with turned_to(url):
    main()
"""
CATALOGUE = """
http: {platform: http, handle: '%s/a.zip', rules: [{files: 'p/*', kind: photo}]}
kaggle: {platform: kaggle, handle: some/faces, rules: [{files: 'p/*', kind: photo}]}
gdown: {platform: gdown, handle: aaaaaaaaaaaaaaaaaaaaaaaa, rules: [{files: 'p/*', kind: photo}]}
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubServer]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_API_TOKEN", "good-token")
    stub = StubServer()
    (tmp_path / "own.yaml").write_text(CATALOGUE % stub.url)
    yield stub
    stub.close()


@pytest.fixture
def archive(drawn: Path) -> bytes:
    """An archive of images, and enough noise to take a while."""
    faces = sorted((drawn / "photo" / "drawn-photo").iterdir())
    noise = {f"p/noise{n}.png": random.Random(n).randbytes(4000) for n in range(400)}
    return zipped({f"p/{face.name}": face.read_bytes() for face in faces} | noise)


def play(server: StubServer, platform: str, content: bytes) -> Served:
    served = drive_file(content) if platform == "gdown" else Served(content)
    if platform == "http":
        server.routes["/a.zip"] = served.answer
    elif platform == "kaggle":
        server.play_kaggle({"some/faces": served})
    else:
        server.play_drive({"a" * 24: served})
    return served


def killed_when(
    ready: Callable[[], bool],
    server: StubServer,
    name: str,
    tmp_path: Path,
    sent: signal.Signals = signal.SIGKILL,
) -> int:
    """Run the command, send it a signal as soon as ``ready``, and return how it ended."""
    arguments = ["fetch", name, "--catalog", "own.yaml", "--no-dedup", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, server.url, *arguments],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path]),
        },
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not ready():
        time.sleep(0.001)
    process.send_signal(sent)
    return process.wait()


def contents(root: Path) -> dict[str, str]:
    return {
        file.relative_to(root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(root.rglob("*"))
        if file.is_file() and ".facecheck" not in file.parts
    }


def run_again(server: StubServer, name: str, tmp_path: Path) -> dict[str, str]:
    root = tmp_path / "data" / "raw"
    with turned_to(server.url):
        result = fetch(
            [name],
            FetchOptions(
                catalog=tmp_path / "own.yaml",
                root=root,
                manifest=tmp_path / "manifest.csv",
                deduplicate=False,
            ),
            lock=tmp_path / "facecheck.lock",
        )
    assert result.sources[0].marker.files == 412
    assert sorted(path.name for path in (root / ".facecheck").iterdir()) == [
        "downloads", f"{name}.json", "staging",
    ]  # fmt: skip
    assert not list((root / ".facecheck" / "downloads").iterdir())
    assert not list((root / ".facecheck" / "staging").iterdir())
    return contents(root)


def came(workspace: Path) -> int:
    """Return the bytes of unfinished downloads that are on disk: what was sent may never be."""
    parts = (workspace / "data" / "raw" / ".facecheck" / "downloads").rglob("*.part")
    return sum(part.stat().st_size for part in parts)


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["http", "kaggle", "gdown"])
def test_a_download_killed_midway_ends_with_the_same_bytes(
    server: StubServer, archive: bytes, tmp_path: Path, platform: str
) -> None:
    served = play(server, platform, archive)
    # kagglesdk asks for the file as well, to learn its address, and lets the answer go.
    served.faults = [Fault(pause=0.0002)] * (2 if platform == "kaggle" else 1)
    ended = killed_when(lambda: came(tmp_path) > 400_000, server, platform, tmp_path)
    assert ended == -signal.SIGKILL
    assert not list((tmp_path / "data" / "raw").glob("photo"))
    found = run_again(server, platform, tmp_path)
    assert len(found) == 412
    for name, digest in found.items():
        if "noise" in name:
            number = int(name.partition("noise")[2].removesuffix(".png"))
            assert digest == hashlib.sha256(random.Random(number).randbytes(4000)).hexdigest()
    (gone_on,) = [range_ for range_ in server.ranges() if range_]
    assert gone_on > "bytes=0-"


@pytest.mark.slow
def test_ctrl_c_ends_it_at_once_and_keeps_what_came(
    server: StubServer, archive: bytes, tmp_path: Path
) -> None:
    served = play(server, "http", archive)
    served.faults = [Fault(pause=0.05)]  # half a minute in all, for a busy machine
    ended = killed_when(lambda: came(tmp_path) > 0, server, "http", tmp_path, sent=signal.SIGINT)
    assert ended == 130
    assert 0 < came(tmp_path) < len(archive)
    assert len(run_again(server, "http", tmp_path)) == 412
    assert [range_ for range_ in server.ranges() if range_]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["unpacked/1/p/noise1*", "ready/photo/*/p/noise1*"])
def test_an_unpacking_killed_midway_ends_with_the_same_files(
    server: StubServer, archive: bytes, tmp_path: Path, step: str
) -> None:
    play(server, "http", archive)
    staging = tmp_path / "data" / "raw" / ".facecheck" / "staging" / "http"
    killed_when(lambda: any(staging.glob(step)), server, "http", tmp_path)
    assert len(run_again(server, "http", tmp_path)) == 412
    assert len([seen for seen in server.seen if seen.path == "/a.zip"]) == 1
