"""An app of `facecheck serve` that is asked without a network, as a server would ask it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("starlette", reason="needs starlette of extra serve")

from facecheck.core.workspace import BUILTIN_FAST
from facecheck.report.serve.app import make_app
from facecheck.report.serve.guard import Guard
from facecheck.report.serve.options import ServeOptions
from facecheck.report.serve.workplace import Workplace
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import CSV, Row, tidy, write_rows

TOKEN = "the-token"
HOST = "127.0.0.1:8765"
#: What a page of ours sends.
OURS = {"host": HOST, "cookie": f"facecheck-8765={TOKEN}", "sec-fetch-site": "same-origin"}


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Asking:
    """Asks an app behind its guard."""

    def __init__(self, workplace: Workplace) -> None:
        self._app = Guard(make_app(workplace), token=TOKEN, hosts=[HOST], port=8765)

    def __call__(
        self,
        target: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] = OURS,
        body: Any = None,
    ) -> Answered:
        """Ask for a path and query, which are sent as they are."""
        content = b"" if body is None else json.dumps(body).encode()
        more = {} if body is None else {"content-type": "application/json"}
        return asyncio.run(self._ask(target, method, {**headers, **more}, content))

    async def _ask(
        self, target: str, method: str, headers: Mapping[str, str], content: bytes
    ) -> Answered:
        from urllib.parse import unquote

        path, _, query = target.partition("?")
        scope = {
            "type": "http", "http_version": "1.1", "method": method, "scheme": "http",
            "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(),
            "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8765),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        sent: list[Any] = []
        messages = [{"type": "http.request", "body": content, "more_body": False}]

        async def receive() -> Any:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        found = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        return Answered(sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures in it, next to one that is not served."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "served"
    (made / "inner").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    for path in (made / "a.png", made / "inner" / "b.png", tmp_path / "secret" / "s.png"):
        Image.new("RGB", (60, 40), "#7090b0").save(path)
    return made


def row(path: Path | str, **more: Any) -> Row:
    """Return the row of a picture of 60 x 40 pixels."""
    known = {"status": "ok", "verdict": "real", "kind": "photo", "basis": "pixels", "score": 0.1}
    return {"path": str(path), **known, "view": "whole", "width": 60, "height": 40, **more}


def results_of(tmp_path: Path, rows: list[Row], **meta: Any) -> Path:
    """Write rows as results of a scan of the folder ``served``."""
    results = tmp_path / "results.csv"
    write_rows(results, (tidy(each, COLUMNS) for each in rows), COLUMNS, CSV, raw_paths=True)
    known = {"roots": [str(tmp_path / "served")], "thresholds": [0.2, 0.9], **meta}
    results.with_name("results.csv.meta.json").write_text(json.dumps(known))
    return results


@pytest.fixture
def ask(folder: Path) -> Iterator[Asking]:
    """Ask what serves a folder."""
    options = ServeOptions(results=folder.parent / "kept")
    with Workplace(folder, BUILTIN_FAST, options) as workplace:
        yield Asking(workplace)
