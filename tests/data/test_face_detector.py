from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import sha256_file
from facecheck.data.face_detector import VARIABLE, detector_source, find_face_detector
from facecheck.data.sources.catalog import Source
from facecheck.data.sources.platforms import Retry, Transfer
from tests.data.sources.stub_server import Fault, StubServer

BYTES = b"a network" * 1000
QUICK = Transfer(retry=Retry(attempts=2, first_wait=0.001))


@pytest.fixture
def server() -> Iterator[StubServer]:
    stub = StubServer()
    yield stub
    stub.close()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the tests out of the user's cache and settings."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("FACECHECK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def published(server: StubServer, *mirrors: str, content: bytes = BYTES) -> Source:
    return Source(
        "net.onnx",
        "http",
        (f"{server.url}/net.onnx",),
        sha256=(hashlib.sha256(content).hexdigest(),),
        mirrors=tuple(f"{server.url}{mirror}" for mirror in mirrors),
    )


def test_it_is_downloaded_once_to_the_cache(server: StubServer, own_cache: Path) -> None:
    server.serve("/net.onnx", BYTES)
    source = published(server)
    first = find_face_detector(source=source, transfer=QUICK)
    assert first == own_cache / "net.onnx"
    assert first.read_bytes() == BYTES
    assert find_face_detector(source=source, transfer=QUICK) == first
    assert len(server.seen) == 1
    assert list(own_cache.iterdir()) == [first]


def test_a_dropped_connection_is_gone_on_with(server: StubServer, own_cache: Path) -> None:
    server.serve("/net.onnx", BYTES, Fault(drop_after=4000))
    assert find_face_detector(source=published(server), transfer=QUICK).read_bytes() == BYTES
    assert server.ranges() == [None, "bytes=4000-"]


def test_wrong_bytes_are_refused_and_not_kept(server: StubServer, own_cache: Path) -> None:
    server.serve("/net.onnx", BYTES[:-1] + b"!")
    with pytest.raises(FacecheckError, match=r"sha256 is .*--face-detector.*--faces off") as told:
        find_face_detector(source=published(server), transfer=QUICK)
    assert "\n" not in str(told.value)
    assert str(own_cache / "net.onnx") in str(told.value)
    assert not list(own_cache.iterdir())


@pytest.mark.parametrize("fault", ["gone", "wrong", "busy"])
def test_a_mirror_stands_in(server: StubServer, own_cache: Path, fault: str) -> None:
    if fault == "wrong":
        server.serve("/net.onnx", b"a page that says hello")
    elif fault == "busy":
        server.serve("/net.onnx", BYTES, *[Fault(status=503)] * 5)
    server.serve("/mirror", BYTES)
    found = find_face_detector(source=published(server, "/mirror"), transfer=QUICK)
    assert found.read_bytes() == BYTES


def test_a_damaged_cache_is_mended(server: StubServer, own_cache: Path) -> None:
    server.serve("/net.onnx", BYTES)
    source = published(server)
    find_face_detector(source=source, transfer=QUICK).write_bytes(b"cut short")
    assert find_face_detector(source=source, transfer=QUICK).read_bytes() == BYTES


def test_scans_that_start_together_do_not_disturb_each_other(
    server: StubServer, own_cache: Path
) -> None:
    served = server.serve("/net.onnx", BYTES)
    served.faults = [Fault(pause=0.002) for _ in range(4)]
    found: list[bytes] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(
                find_face_detector(source=published(server), transfer=QUICK).read_bytes()
            )
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [BYTES] * 4
    assert [path.name for path in own_cache.iterdir()] == ["net.onnx"]


def test_without_a_network_one_line_says_what_to_do(own_cache: Path) -> None:
    source = Source("net.onnx", "http", ("http://127.0.0.1:9/net.onnx",), sha256=("0" * 64,))
    with pytest.raises(FacecheckError, match=r"cannot be downloaded.*another machine") as told:
        find_face_detector(source=source, transfer=QUICK)
    assert "\n" not in str(told.value)


def test_a_cache_that_cannot_be_written_is_told(server: StubServer, own_cache: Path) -> None:
    own_cache.write_text("a file where the folder should be")
    with pytest.raises(FacecheckError, match=r"cannot be kept there: .*--face-detector"):
        find_face_detector(source=published(server), transfer=QUICK)
    assert not server.seen


def test_a_file_of_the_users_own_needs_no_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag, variable = tmp_path / "flag.onnx", tmp_path / "variable.onnx"
    flag.touch()
    variable.touch()
    monkeypatch.setenv(VARIABLE, str(variable))
    assert find_face_detector() == variable
    assert find_face_detector(flag) == flag
    flag.unlink()
    variable.unlink()
    with pytest.raises(UsageError, match=f"correct {VARIABLE}"):
        find_face_detector()
    with pytest.raises(UsageError, match=r"correct --face-detector"):
        find_face_detector(flag)


def test_the_published_digest_is_of_the_file_that_was_measured(shared_data: Path) -> None:
    source = detector_source()
    assert source.sha256 == (sha256_file(shared_data.parent / "models" / source.name),)
    assert all(
        address.startswith("https://") and address.endswith(f"/{source.name}")
        for address in (*source.handles, *source.mirrors)
    )


def test_the_list_has_mirrors_on_several_hosts() -> None:
    source = detector_source()
    hosts = {address.split("/")[2] for address in (*source.handles, *source.mirrors)}
    assert len(hosts) >= 3
