from __future__ import annotations

import gzip
import random
import threading
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace

import pytest

from facecheck.core.errors import FacecheckError, SourceError
from facecheck.data.sources.catalog import Source
from facecheck.data.sources.platforms import Interrupted, Retry, Transfer, http, platform_of
from facecheck.data.sources.platforms.http import from_address
from tests.data.sources.stub_server import Fault, StubServer

BYTES = random.Random(0).randbytes(300_000)
QUICK = Retry(attempts=4, first_wait=0.001, longest_wait=100)


class Waits(threading.Event):
    """Remembers how long it was asked to wait, and does not."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.asked.append(timeout)
        return self.is_set()


@pytest.fixture
def server() -> Iterator[StubServer]:
    stub = StubServer()
    yield stub
    stub.close()


@pytest.fixture
def waits() -> Waits:
    return Waits()


def get(server: StubServer, tmp_path: Path, waits: Waits, **more: str) -> bytes:
    transfer = Transfer(cancel=waits, retry=QUICK)
    got = from_address(f"{server.url}/a.zip", tmp_path / "a.zip", transfer, **more)
    assert not list(tmp_path.glob("*.part"))
    return got.path.read_bytes()


def test_progress_is_told_and_nothing_is_asked_twice(server: StubServer, tmp_path: Path) -> None:
    served = server.serve("/a.zip", BYTES)
    told: list[tuple[int, int | None]] = []
    transfer = Transfer(progress=lambda done, total: told.append((done, total)))
    got = from_address(f"{server.url}/a.zip", tmp_path / "a.zip", transfer)
    assert got.path.read_bytes() == BYTES
    assert got.version.startswith('"')
    assert told[0] == (0, len(BYTES))
    assert told[-1] == (len(BYTES), len(BYTES))
    served.content = b"other"
    again = from_address(f"{server.url}/a.zip", tmp_path / "a.zip", transfer)
    assert (again.path.read_bytes(), again.version) == (BYTES, got.version)
    assert len(server.seen) == 1


def test_a_dropped_connection_is_gone_on_with(
    server: StubServer, tmp_path: Path, waits: Waits
) -> None:
    server.serve("/a.zip", BYTES, *(Fault(drop_after=at) for at in (70_000, 0, 1, 90_000)))
    assert get(server, tmp_path, waits) == BYTES
    assert server.ranges() == [
        None, "bytes=70000-", "bytes=70000-", "bytes=70001-", "bytes=160001-",
    ]  # fmt: skip
    assert {seen.headers.get("If-Range") for seen in server.seen[1:]} != {None}


@pytest.mark.parametrize("odd", [{"ranges": False}, {"etag": None}])
def test_a_server_without_ranges_or_identity_starts_over(
    server: StubServer, tmp_path: Path, waits: Waits, odd: dict[str, object]
) -> None:
    server.serve("/a.zip", BYTES, Fault(drop_after=70_000), Fault(drop_after=50_000), **odd)
    assert get(server, tmp_path, waits) == BYTES


def test_a_file_that_changes_midway_is_never_mixed(
    server: StubServer, tmp_path: Path, waits: Waits
) -> None:
    server.serve("/a.zip", BYTES, *[Fault(drop_after=70_000)] + [Fault(drop_after=0)] * 9)
    with pytest.raises(SourceError, match="the connection ended|drop|closed|Remote|broken"):
        get(server, tmp_path, waits)
    assert (tmp_path / "a.zip.part").stat().st_size == 70_000
    newer = bytes(reversed(BYTES))
    server.serve("/a.zip", newer)
    assert get(server, tmp_path, waits) == newer


def test_an_earlier_part_of_another_address_is_not_used(
    server: StubServer, tmp_path: Path, waits: Waits
) -> None:
    (tmp_path / "a.zip.part").write_bytes(b"x" * 1000)
    server.serve("/a.zip", BYTES)
    assert get(server, tmp_path, waits) == BYTES
    assert server.ranges() == [None]


def test_a_wrong_length_is_found_out(server: StubServer, tmp_path: Path, waits: Waits) -> None:
    server.serve("/a.zip", BYTES, *[Fault(claim=5)] * 9)
    with pytest.raises(SourceError, match="times in a row"):
        get(server, tmp_path, waits)
    assert not (tmp_path / "a.zip").exists()


def test_retry_after_is_obeyed_and_other_waits_grow(
    server: StubServer, tmp_path: Path, waits: Waits
) -> None:
    server.serve("/a.zip", BYTES, Fault(429, {"Retry-After": "7"}), Fault(503), Fault(500))
    assert get(server, tmp_path, waits) == BYTES
    assert waits.asked[0] == 7
    assert waits.asked[1] is not None
    assert 0.001 <= waits.asked[1] <= 0.002
    assert waits.asked[2] is not None
    assert 0.002 <= waits.asked[2] <= 0.004


def test_retry_after_may_be_a_date(server: StubServer, tmp_path: Path, waits: Waits) -> None:
    server.serve("/a.zip", BYTES, Fault(503, {"Retry-After": formatdate(0, usegmt=True)}))
    assert get(server, tmp_path, waits) == BYTES
    assert waits.asked == [0]


def test_a_wait_of_hours_is_left_to_the_user(
    server: StubServer, tmp_path: Path, waits: Waits
) -> None:
    server.serve("/a.zip", BYTES, Fault(429, {"Retry-After": "7200"}))
    with pytest.raises(SourceError, match="asks to wait 7,200 seconds"):
        get(server, tmp_path, waits)
    assert waits.asked == []


def test_a_server_that_stays_broken_is_given_up(
    server: StubServer, tmp_path: Path, waits: Waits
) -> None:
    server.serve("/a.zip", BYTES, *[Fault(502)] * 9)
    with pytest.raises(SourceError, match="HTTP 502.*4 times in a row"):
        get(server, tmp_path, waits)
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    ("status", "hint"), [(404, "correct the handle"), (403, "terms"), (401, "netrc")]
)
def test_a_plain_no_is_told_at_once(
    server: StubServer, tmp_path: Path, waits: Waits, status: int, hint: str
) -> None:
    server.serve("/a.zip", BYTES, Fault(status))
    with pytest.raises(SourceError, match=hint):
        get(server, tmp_path, waits)
    assert len(server.seen) == 1


def test_redirects_are_followed_and_ranges_with_them(
    server: StubServer, tmp_path: Path, waits: Waits
) -> None:
    served = server.serve("/real", BYTES, Fault(drop_after=70_000))
    server.serve("/a.zip", b"", *[Fault(302, {"Location": f"{server.url}/real"})] * 2)
    assert get(server, tmp_path, waits) == BYTES
    assert server.ranges() == [None, None, "bytes=70000-", "bytes=70000-"]
    assert not served.faults


def test_endless_redirects_are_told(server: StubServer, tmp_path: Path, waits: Waits) -> None:
    server.serve("/a.zip", b"", *[Fault(302, {"Location": "/a.zip"})] * 99)
    with pytest.raises(SourceError, match="redirects"):
        get(server, tmp_path, waits)


def test_slow_bytes_arrive(server: StubServer, tmp_path: Path, waits: Waits) -> None:
    server.serve("/a.zip", BYTES[:20_000], Fault(pause=0.002))
    assert get(server, tmp_path, waits) == BYTES[:20_000]


def test_a_download_stops_when_asked_and_goes_on_later(
    server: StubServer, tmp_path: Path, waits: Waits
) -> None:
    server.serve("/a.zip", BYTES, Fault(drop_after=70_000))
    waits.set()
    with pytest.raises(Interrupted):
        get(server, tmp_path, waits)
    waits.clear()
    assert get(server, tmp_path, waits) == BYTES


def test_nobody_there_is_told(tmp_path: Path, waits: Waits) -> None:
    with pytest.raises(SourceError, match="[Rr]efused"):
        from_address("http://127.0.0.1:1/a", tmp_path / "a", Transfer(cancel=waits, retry=QUICK))


def test_a_published_digest_is_checked_and_mirrors_are_tried(
    server: StubServer, tmp_path: Path, waits: Waits
) -> None:
    import hashlib

    server.serve("/a.zip", b"tampered")
    server.serve("/b.zip", BYTES)
    source = Source(
        "s",
        "http",
        (f"{server.url}/a.zip",),
        mirrors=(f"{server.url}/gone.zip", f"{server.url}/b.zip"),
        sha256=(hashlib.sha256(BYTES).hexdigest(),),
    )
    transfer = Transfer(cancel=waits, retry=QUICK)
    (got,) = platform_of(source).download(source, tmp_path, transfer)
    assert got.path.read_bytes() == BYTES
    server.routes.pop("/b.zip")
    got.path.unlink()
    with pytest.raises(SourceError, match="HTTP 404.*2 other addresses"):
        platform_of(source).download(source, tmp_path, transfer)


def test_a_disk_too_small_is_told_before_a_byte_is_written(
    server: StubServer, tmp_path: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/a.zip", BYTES)
    usage = SimpleNamespace(total=10_000, used=9_000, free=1_000)
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage)
    with pytest.raises(FacecheckError, match="GB are free"):
        get(server, tmp_path, waits)
    assert not list(tmp_path.glob("*.part"))


def test_several_addresses_share_one_progress(server: StubServer, tmp_path: Path) -> None:
    server.serve("/x/data.zip", BYTES)
    server.serve("/y/data.zip", BYTES[:1000])
    told: list[int] = []
    source = Source("s", "http", (f"{server.url}/x/data.zip", f"{server.url}/y/data.zip"))
    transfer = Transfer(progress=lambda done, _: told.append(done))
    got = platform_of(source).download(source, tmp_path, transfer)
    assert [item.path.name for item in got] == ["1-data.zip", "2-data.zip"]
    assert told == sorted(told)
    assert told[-1] == len(BYTES) + 1000


class Odd:
    """A server's answers one after the other, each with its status, headers and body."""

    def __init__(self, *answers: tuple[int, dict[str, str], bytes]) -> None:
        self.answers = list(answers)
        self.given = 0

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        status, headers, body = self.answers[min(self.given, len(self.answers) - 1)]
        self.given += 1
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)
        request.close_connection = True


def part_of(content: bytes, start: int, **headers: str) -> tuple[int, dict[str, str], bytes]:
    span = f"bytes {start}-{len(content) - 1}/{len(content)}"
    known = {name.replace("_", "-"): value for name, value in headers.items()}
    body = content[start:]
    return 206, {"Content-Range": span, "Content-Length": str(len(body)), **known}, body


OLDER, NEWER = BYTES, bytes(reversed(BYTES))
CUT = {"Content-Length": str(len(OLDER)), "ETag": '"a"', "Last-Modified": formatdate(0)}


@pytest.mark.parametrize(
    "spliced",
    [
        part_of(NEWER, 1000, ETag='"b"'),
        part_of(NEWER, 1000, ETag='W/"b"'),
        part_of(NEWER, 1000, ETag='"a"', Last_Modified=formatdate(99)),
        part_of(NEWER + b"more", 1000, ETag='"a"'),
    ],
    ids=["etag", "weak-etag", "date", "length"],
)
def test_a_part_of_another_file_is_never_joined_on(
    server: StubServer,
    tmp_path: Path,
    waits: Waits,
    spliced: tuple[int, dict[str, str], bytes],
) -> None:
    whole = {"Content-Length": str(len(NEWER)), "ETag": '"b"'}
    server.routes["/a.zip"] = Odd((200, CUT, OLDER[:1000]), spliced, (200, whole, NEWER))
    assert get(server, tmp_path, waits) == NEWER
    assert server.ranges() == [None, "bytes=1000-", None]


def test_ten_bytes_a_round_are_no_progress(
    server: StubServer, tmp_path: Path, waits: Waits
) -> None:
    rounds = [
        (206, {"Content-Range": f"bytes {at}-{at + 9}/{len(OLDER)}", "ETag": '"a"'}, b"x" * 10)
        for at in range(1000, 2000, 10)
    ]
    server.routes["/a.zip"] = Odd((200, CUT, OLDER[:1000]), *rounds)
    with pytest.raises(SourceError, match="times in a row"):
        get(server, tmp_path, waits)
    assert len(server.seen) < 10


def test_a_body_without_a_length_ends_before_the_disk_is_full(
    server: StubServer, tmp_path: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.routes["/a.zip"] = Odd((200, {}, OLDER))
    monkeypatch.setattr(http, "_CHECK_EVERY", 50_000)
    usage = SimpleNamespace(total=1_000_000, used=950_000, free=50_000)
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage)
    with pytest.raises(SourceError, match="does not say how long it is.*nothing was kept"):
        get(server, tmp_path, waits)
    assert not list(tmp_path.glob("*.part"))


def test_a_body_without_a_length_ends_at_what_the_catalogue_expects(
    server: StubServer, tmp_path: Path, waits: Waits
) -> None:
    server.routes["/a.zip"] = Odd((200, {}, OLDER))
    transfer = Transfer(cancel=waits, retry=QUICK, limit=100_000)
    with pytest.raises(SourceError, match="over 100,000 bytes came"):
        from_address(f"{server.url}/a.zip", tmp_path / "a.zip", transfer)
    assert not list(tmp_path.glob("*.part"))


def test_a_packed_body_that_is_a_bomb_is_refused(
    server: StubServer, tmp_path: Path, waits: Waits
) -> None:
    bomb = gzip.compress(bytes(30_000_000))
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(bomb))}
    server.routes["/a.zip"] = Odd((200, headers, bomb))
    with pytest.raises(SourceError, match="bytes came, and the server does not say how many"):
        get(server, tmp_path, waits)
    assert not list(tmp_path.glob("*.part"))


def test_no_note_and_no_error_holds_the_tokens_of_an_address(
    server: StubServer, tmp_path: Path, waits: Waits
) -> None:
    server.serve("/a.zip", BYTES, Fault(drop_after=1000), *[Fault(403)] * 9)
    address = f"{server.url.replace('//', '//me:PASSWORD@')}/a.zip?token=SECRET&id=7#FRAGMENT"
    transfer = Transfer(cancel=waits, retry=QUICK)
    with pytest.raises(SourceError) as caught:
        from_address(address, tmp_path / "a.zip", transfer)
    kept = str(caught.value) + (tmp_path / "a.zip.json").read_text()
    assert "id=7" in kept
    assert not [word for word in ("PASSWORD", "SECRET", "FRAGMENT") if word in kept]
