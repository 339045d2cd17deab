"""A scan on Ray has the rows of one process, whatever happens to its workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

import facecheck
from facecheck.core.errors import FacecheckError, UsageError
from facecheck.engines.export import export_checkpoint
from facecheck.known.add import known_add
from facecheck.known.options import KnownAddOptions
from facecheck.scanner.job import ScanResult
from tests.scanner.items import prepare_or_not, prepare_slowly, prepare_together, scan_with

ray = pytest.importorskip("ray", reason="Ray, of the extra ray, is not installed")
pytestmark = pytest.mark.ray

#: Files of the scans; chunks of them are made four long.
FILES = 48


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Two nodes, a core each, whose workers can import these tests."""
    from ray.cluster_utils import Cluster

    root = str(Path(__file__).parents[3])
    path = os.pathsep.join([root, str(Path(facecheck.__file__).parents[1])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        patch.setenv("RAY_worker_niceness", "0")  # 15 would starve them on a busy machine
        nodes = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        nodes.add_node(num_cpus=1)
        yield nodes
    nodes.shutdown()


@pytest.fixture(scope="module")
def cluster(nodes: Any) -> str:
    """The address of the two nodes."""
    return str(nodes.address)


@pytest.fixture(scope="module")
def connected(cluster: str) -> Iterator[None]:
    """Be connected to the two nodes, whose workers then stay from scan to scan."""
    ray.init(cluster, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def model(trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    path = tmp_path_factory.mktemp("on_ray") / "m.onnx"
    export_checkpoint(trained[1], path, manifest=trained[0])
    return path


@pytest.fixture
def faces(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A relative folder of images, among them a damaged and a missing one."""
    monkeypatch.setattr("facecheck.scanner.job.CHUNK", 4)
    monkeypatch.chdir(tmp_path)
    folder = Path("in")
    folder.mkdir()
    images = sorted(drawn.rglob("*.png"))
    for number in range(FILES - 2):
        shutil.copy(images[number % len(images)], folder / f"{number:02}.png")
    (folder / "08-damaged.png").write_text("not a picture")
    (folder / "09-missing.png").symlink_to("nothing")
    return folder


def judge(folder: Path, out: str, model: Path, **options: Any) -> ScanResult:
    given = {"faces": "off", "device": "cpu", "batch_size": 4, **options}
    return scan_with([folder], Path(out), model, **given)


def workers() -> list[psutil.Process]:
    """The processes that are judging, by the name that Ray gives them."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "ray::_classify" in " ".join(process.info["cmdline"] or [])
    ]


def test_two_nodes_give_the_rows_of_one_process(
    connected: None, trained: tuple[Path, Path], faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With torch; the other tests run ONNX."""
    plain = judge(faces, "plain.csv", trained[1])
    Path("met").mkdir()
    monkeypatch.setattr("facecheck.scanner.classifier.prepare", prepare_together)
    spread = judge(faces, "ray.csv", trained[1], engine="ray")
    assert len(list(Path("met").iterdir())) == 2  # one on each node, which has a core
    assert Path("ray.csv").read_bytes() == Path("plain.csv").read_bytes()
    assert Path("ray.csv.meta.json").read_bytes() == Path("plain.csv.meta.json").read_bytes()
    assert (spread.statuses, spread.files) == (plain.statuses, FILES)
    assert plain.statuses == {"ok": FILES - 2, "error": 2}
    assert ray.is_initialized()  # by this test, so it is not ended


def test_killed_workers_lose_nothing_and_double_nothing(
    connected: None,
    model: Path,
    faces: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    judge(faces, "plain.csv", model)
    killed: list[int] = []

    def kill(done: int, total: int | None) -> None:
        while len(killed) < 2:  # the second may be the first, started again
            for process in workers():
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
            time.sleep(0.05)

    monkeypatch.setattr("facecheck.scanner.classifier.prepare", prepare_slowly)
    judge(faces, "ray.csv", model, engine="ray", progress=kill)
    assert len(killed) >= 2
    assert capfd.readouterr().out == ""  # Ray tells of it, but not where rows may go
    assert Path("ray.csv").read_bytes() == Path("plain.csv").read_bytes()


def test_a_node_that_is_lost_loses_nothing_and_doubles_nothing(
    nodes: Any, connected: None, model: Path, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a node's processes are killed at once, as where its power fails."""
    judge(faces, "plain.csv", model)
    node = nodes.add_node(num_cpus=1)
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    lost: list[int] = []

    def lose(done: int, total: int | None) -> None:
        while not lost:
            here = raylet.children(recursive=True)
            if any(process in here for process in workers()):
                lost.append(done)
                for process in (raylet, *here):
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
            time.sleep(0.05)

    monkeypatch.setattr("facecheck.scanner.classifier.prepare", prepare_slowly)
    judge(faces, "ray.csv", model, engine="ray", progress=lose)
    assert lost[0] < FILES
    assert Path("ray.csv").read_bytes() == Path("plain.csv").read_bytes()
    nodes.remove_node(node, allow_graceful=False)


def test_known_files_are_known_on_the_cluster(connected: None, model: Path, faces: Path) -> None:
    """By their bytes, and by their pixels."""
    photos, table = Path("photos"), Path("known.csv")
    photos.mkdir()
    shutil.copy(faces / "03.png", photos)
    with Image.open(faces / "05.png") as image:
        image.save(photos / "05.bmp")
    known_add([photos], table, KnownAddOptions(verdict="real", kind="photo"))
    plain = judge(faces, "plain.csv", model, known=table)
    spread = judge(faces, "ray.csv", model, known=table, engine="ray")
    assert spread.bases == plain.bases
    found = Path("ray.csv").read_text()
    assert "(same bytes)" in found
    assert "(same pixels)" in found
    assert Path("ray.csv").read_bytes() == Path("plain.csv").read_bytes()
    assert Path("ray.csv.meta.json").read_bytes() == Path("plain.csv.meta.json").read_bytes()


def test_a_scan_goes_on_from_one_engine_to_the_other(
    connected: None, model: Path, faces: Path
) -> None:
    judge(faces, "plain.csv", model)

    def interrupt(done: int, total: int | None) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(faces, "ray.csv", model, engine="ray", progress=interrupt)
    assert judge(faces, "ray.csv", model).resumed == 20
    assert Path("ray.csv").read_bytes() == Path("plain.csv").read_bytes()


def test_a_decoder_that_crashes_or_hangs_costs_one_row(
    connected: None, model: Path, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facecheck.scanner.classifier.prepare", prepare_or_not)
    (faces / "07.png").rename(faces / "07-crash.png")
    (faces / "12.png").rename(faces / "12-hang.png")
    judge(faces, "plain.csv", model, timeout=3)
    assert judge(faces, "ray.csv", model, timeout=3, engine="ray").statuses["error"] == 4
    assert Path("ray.csv").read_bytes() == Path("plain.csv").read_bytes()


def test_a_file_that_only_the_driver_can_read_ends_the_scan(
    connected: None, model: Path, faces: Path
) -> None:
    mine = "/proc/self/fd/999"  # in every process another file, or none
    with (faces / "00.png").open("rb") as stream:
        os.dup2(stream.fileno(), 999)
    try:
        with pytest.raises(FacecheckError, match="999 can be read here, but not by the worker on"):
            judge(Path(mine), "ray.csv", model, engine="ray")
    finally:
        os.close(999)


def test_what_cannot_be_is_one_line(
    model: Path, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="--ray-address is for --engine ray"):
        judge(faces, "r.csv", model, ray_address="auto")
    with pytest.raises(UsageError, match="leave --engine ray"):
        judge(faces, "r.csv", model, engine="ray", watch=True)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(FacecheckError, match=r"pip install 'facecheck\[ray\]'"):
        judge(faces, "r.csv", model, engine="ray")
    assert not Path("r.csv.partial").exists()


def command(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "facecheck", "scan", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_the_command_says_nothing_of_ray(cluster: str, model: Path, faces: Path) -> None:
    options = ("--checkpoint", model, "--faces", "off", "--out", "-")
    alone = command(faces, *options)
    spread = command(faces, *options, "--engine", "ray", "--ray-address", cluster)
    assert spread.communicate(timeout=120) == alone.communicate(timeout=120)
    assert spread.returncode == alone.returncode == 3  # two rows are errors


def test_a_cluster_that_is_not_there_is_one_line(model: Path, faces: Path) -> None:
    options = ("--checkpoint", model, "--faces", "off", "--engine", "ray")
    process = command(faces, *options, "--ray-address", "127.0.0.1:1")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err.startswith("facecheck: no Ray at 127.0.0.1:1: ")
    assert err.count("\n") == 1


def test_a_signal_ends_a_local_ray_with_the_scan(model: Path, faces: Path) -> None:
    for copy in range(100):
        shutil.copytree(faces, f"many/{copy:02}", symlinks=True)
    options = ("--checkpoint", model, "--faces", "off", "--workers", "1", "--out", "r.csv")
    process = command("many", *options, "--engine", "ray")
    journal = Path("r.csv.journal")
    while not journal.is_file() or journal.read_text().count("\n") < 2:
        assert process.poll() is None, "the scan ended"
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    assert any("raylet" in child.name() for child in family)
    process.send_signal(signal.SIGTERM)  # which Ray handles, too
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert (out, err) == (
        "",
        "facecheck: interrupted; rows are kept, run the same again to resume\n",
    )
    assert not psutil.wait_procs(family, timeout=20)[1]
