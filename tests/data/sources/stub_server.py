"""An HTTP server on loopback that serves bytes, and misbehaves as it is told to.

It also plays Kaggle and Google Drive for the real kagglesdk and gdown packages, whose addresses are
turned here in-process: kagglesdk's table of endpoints, and every request that any package sends
through ``requests`` to one of Google's or GitHub's hosts.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import threading
import time
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch

import requests.adapters

#: Hosts whose requests come to the stub server while :func:`turned_to` holds.
HOSTS = frozenset(("drive.google.com", "docs.google.com", "codeload.github.com"))


@dataclass
class Fault:
    """What goes wrong with one request.

    ``status`` answers with it, and with ``headers``; ``drop_after`` closes the connection after so
    many bytes; ``claim`` adds to the length promised; ``pause`` waits after each kilobyte.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    drop_after: int | None = None
    claim: int = 0
    pause: float = 0


@dataclass
class Served:
    """Bytes under one path, with the faults that its next requests meet, in order.

    ``sent`` counts the bytes of all answers.
    """

    content: bytes
    etag: str | None = "auto"
    ranges: bool = True
    faults: list[Fault] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: int = 0

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        fault = self.faults.pop(0) if self.faults else Fault()
        if fault.status:
            request.send_response(fault.status)
            for name, value in fault.headers.items():
                request.send_header(name, value)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        etag = f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'
        etag = etag if self.etag == "auto" else self.etag or ""
        start = self._start(request.headers.get("Range"), request.headers.get("If-Range"), etag)
        if start is not None and start >= len(self.content):
            request.send_error(416)
            return
        body = self.content[start or 0 :]
        request.send_response(200 if start is None else 206)
        for name, value in self.headers.items():
            request.send_header(name, value)
        if start is not None:
            last = len(self.content) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        if etag:
            request.send_header("ETag", etag)
        request.send_header("Content-Length", str(len(body) + fault.claim))
        request.end_headers()
        sent = body if fault.drop_after is None else body[: fault.drop_after]
        for at in range(0, len(sent), 1024 if fault.pause else max(1, len(sent))):
            block = sent[at : at + 1024] if fault.pause else sent
            request.wfile.write(block)
            self.sent += len(block)
            time.sleep(fault.pause)
        if fault.drop_after is not None or fault.claim:
            request.close_connection = True

    def _start(self, wanted: str | None, condition: str | None, etag: str) -> int | None:
        span = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        if not self.ranges or span is None or condition not in {None, etag}:
            return None
        return int(span[1])


Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Seen:
    """One request that came: its method, path and headers."""

    method: str
    path: str
    headers: Mapping[str, str]


class StubServer:
    """The server: ``routes`` by path, without the query; ``seen`` is what was asked for."""

    def __init__(self) -> None:
        self.routes: dict[str, Answer] = {}
        self.seen: list[Seen] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                stub.seen.append(Seen(self.command, self.path, dict(self.headers)))
                answer = stub.routes.get(urllib.parse.urlsplit(self.path).path)
                try:
                    if answer is None:
                        self.send_error(404)
                    else:
                        answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *args: Any) -> None:
                pass  # clients that are killed, or give up, are part of the tests

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def serve(self, path: str, content: bytes, *faults: Fault, **more: Any) -> Served:
        """Serve bytes under a path; return them, to add faults later."""
        served = Served(content, faults=list(faults), **more)
        self.routes[path] = served.answer
        return served

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def ranges(self) -> list[str | None]:
        """Return the Range header of each request."""
        return [seen.headers.get("Range") for seen in self.seen]

    def play_kaggle(self, archives: Mapping[str, Served], *, token: str = "good-token") -> None:
        """Answer as Kaggle's API: sign in with a token, and redirect to storage."""

        def introspect(request: BaseHTTPRequestHandler) -> None:
            asked = json.loads(request.body)  # type: ignore[attr-defined]
            good = asked["token"] == token
            send_json(request, {"active": good, "username": "someone" if good else ""})

        def redirect(request: BaseHTTPRequestHandler) -> None:
            asked = json.loads(request.body)  # type: ignore[attr-defined]
            name = asked.get("competitionName") or f"{asked['ownerSlug']}/{asked['datasetSlug']}"
            authorization = request.headers.get("Authorization", "")
            if authorization != f"Bearer {token}" and not authorization.startswith("Basic "):
                send_json(request, {"code": 401, "message": "Unauthenticated"}, 401)
            elif name not in archives:
                send_json(request, {"code": 403, "message": "Permission denied"}, 403)
            else:
                request.send_response(302)
                request.send_header("Location", f"{self.url}/storage/{name}.zip?signed=1")
                request.send_header("Content-Length", "0")
                request.end_headers()

        self.routes["/v1/security.OAuthService/IntrospectToken"] = introspect
        self.routes["/v1/datasets.DatasetApiService/DownloadDataset"] = redirect
        self.routes["/v1/competitions.CompetitionApiService/DownloadDataFiles"] = redirect
        for name, served in archives.items():
            self.routes[f"/storage/{name}.zip"] = served.answer

    def play_drive(
        self, files: Mapping[str, Served], *, scan_page: bool = False, quota: bool = False
    ) -> None:
        """Answer as Google Drive: files by id, behind the page on virus scans, or none at all."""

        def download(request: BaseHTTPRequestHandler) -> None:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
            name = query["id"][0]
            if quota:
                send_html(request, '<html><p class="uc-error-subcaption">Too many users have '
                          "viewed or downloaded this file recently.</p></html>")  # fmt: skip
            elif scan_page and "confirm" not in query:
                send_html(
                    request,
                    "<!DOCTYPE html><html><body>Google Drive can't scan this file for viruses."
                    f'<form id="download-form" action="{self.url}/uc" method="get">'
                    f'<input type="hidden" name="id" value="{name}">'
                    '<input type="hidden" name="confirm" value="t"></form></body></html>',
                )
            elif name in files:
                files[name].answer(request)
            else:
                send_html(request, "<html><body>You need access</body></html>")

        self.routes["/uc"] = download

    def list_drive_folder(self, name: str, links: str) -> None:
        """Answer with one folder's page, its links as Drive writes them."""
        page = f"<html><head><title>{name}</title></head><body>{links}</body></html>"
        self.routes["/embeddedfolderview"] = lambda request: send_html(request, page)


def drive_file(content: bytes, **more: Any) -> Served:
    """Return a file as Drive sends it."""
    headers = {
        "Content-Disposition": 'attachment; filename="archive.zip"',
        "Content-Type": "application/octet-stream",
    }
    return Served(content, headers=headers, **more)


def send_json(request: BaseHTTPRequestHandler, value: Any, status: int = 200) -> None:
    _send(request, json.dumps(value).encode(), "application/json", status)


def send_html(request: BaseHTTPRequestHandler, page: str) -> None:
    _send(request, page.encode(), "text/html; charset=utf-8", 200)


def _send(request: BaseHTTPRequestHandler, body: bytes, kind: str, status: int) -> None:
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


@contextmanager
def turned_to(url: str) -> Iterator[None]:
    """Turn the requests of the kagglesdk and gdown packages, and those to GitHub, to a server."""
    from kagglesdk import kaggle_env

    target = urllib.parse.urlsplit(url)
    send = requests.adapters.HTTPAdapter.send

    def turned(
        adapter: requests.adapters.HTTPAdapter, request: requests.PreparedRequest, **more: Any
    ) -> requests.Response:
        asked = urllib.parse.urlsplit(request.url or "")
        if asked.hostname in HOSTS:
            request.url = asked._replace(scheme=target.scheme, netloc=target.netloc).geturl()
        return send(adapter, request, **more)

    endpoints = {kaggle_env.KaggleEnv.PROD: url}
    with (
        patch.object(requests.adapters.HTTPAdapter, "send", turned),
        patch.dict(kaggle_env._env_to_endpoint, endpoints),
    ):
        yield


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of these files, the same bytes each time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    """Return a tar archive of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as bundle:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            bundle.addfile(member, io.BytesIO(content))
    return out.getvalue()
