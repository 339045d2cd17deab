"""The pages and answers of `facecheck serve`; what they are about is in :mod:`.workplace`."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

from facecheck.core.errors import FacecheckError, ImageError, UsageError
from facecheck.core.files import path_text
from facecheck.core.jsonable import jsonable, parse_json
from facecheck.core.labels import KINDS
from facecheck.core.text import printable
from facecheck.report.page import page_text
from facecheck.report.serve.live_scan import LiveScan
from facecheck.report.serve.workplace import OPENED, Workplace

#: Bytes of a request, at most: decisions about some hundred thousand rows.
MOST_BYTES = 64 * 2**20
#: Rows that an answer holds, at most.
MOST_ROWS = 50_000
_POLICY = re.compile(r'http-equiv="Content-Security-Policy" content="([^"]*)"')

Answer = Callable[[Request], Response]


def make_app(workplace: Workplace) -> Starlette:
    """Return the app of a workplace; it checks no one: put a :class:`.guard.Guard` before it."""
    answers = _Answers(workplace)
    one = "/scans/{name}/"
    return Starlette(
        routes=[
            Route("/", answers.home),
            Route("/scans", answers.choose, methods=["POST"]),
            Route(one, answers.page),
            Route(f"{one}rows", answers.rows),
            Route(f"{one}progress", answers.progress),
            Route(f"{one}start", answers.start, methods=["POST"]),
            Route(f"{one}stop", answers.stop, methods=["POST"]),
            Route(f"{one}decisions", answers.decisions),
            Route(f"{one}decisions", answers.decide, methods=["POST"]),
            Route(f"{one}thumbs/{{row:int}}", answers.thumbnail),
            Route(f"{one}pictures/{{row:int}}", answers.picture),
            Route(f"{one}results.csv", answers.results),
            Route(f"{one}corrections.csv", answers.corrections),
        ],
        exception_handlers={
            UsageError: _wrong, FacecheckError: _failed, ImageError: _no_picture,
        },
    )  # fmt: skip


async def _wrong(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": printable(str(error))}, 400)


async def _failed(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": printable(str(error))}, 500)


async def _no_picture(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": printable(str(error))}, 404)


class _Answers:
    """Answers requests; those that are not ``async`` run in threads, since files are slow."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def _scan(self, request: Request) -> LiveScan:
        found = self._workplace.scans.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        return found

    # ---- pages ----

    def home(self, request: Request) -> Response:
        if self._workplace.base is None:
            return RedirectResponse(f"/scans/{OPENED}/", 303)
        try:
            folder, wrong = self._workplace.folder(request.query_params.get("in", "")), ""
        except UsageError as error:
            folder, wrong = self._workplace.folder(""), str(error)
        scans = [
            {"name": name, "folder": path_text(scan.folder or ""), "per_face": scan.per_face,
             "progress": scan.progress(), "rows": len(scan.rows), "decided": scan.decided}
            for name, scan in self._workplace.scans.items()
        ]  # fmt: skip
        context = {
            "title": "Folders and scans",
            "contents": {},
            "folder": folder,
            "scans": scans,
            "wrong": wrong,
            "kept": path_text(self._workplace.kept),
        }
        return _page("serve.html.j2", context, 400 if wrong else 200)

    def page(self, request: Request) -> Response:
        scan = self._scan(request)
        progress, facts = scan.progress(), scan.facts
        context = {
            "title": path_text(scan.folder or scan.results),
            "contents": {"gallery": "Gallery", "scan": "How it was made"},
            "scan": facts,
            "kinds_known": KINDS,
            "live": True,
            "can_start": scan.folder is not None,
            "home": self._workplace.base is not None,
            "corrections": path_text(scan.corrections),
            "per_face": scan.per_face,
        }
        data = {
            **scan.packed(0, MOST_ROWS), **facts.page_data(), "live": True, "missing": [],
            "heat": [], "generation": scan.generation, "progress": jsonable(progress),
            "known": facts.thresholds is not None,
        }  # fmt: skip
        return _page("scan_live.html.j2", context, data=data)

    # ---- a scan ----

    async def choose(self, request: Request) -> Response:
        asked = await _json(request)
        place, per_face = str(asked.get("folder", "")), asked.get("perFace") is True
        name = await run_in_threadpool(self._workplace.choose, place, per_face=per_face)
        return JSONResponse({"address": f"/scans/{name}/"})

    def rows(self, request: Request) -> Response:
        scan, start = self._scan(request), request.query_params.get("from", "0")
        if not start.isascii() or not start.isdigit():
            raise UsageError("from: a number of rows")
        return JSONResponse(scan.packed(int(start), MOST_ROWS))

    def progress(self, request: Request) -> Response:
        scan = self._scan(request)
        found = jsonable(scan.progress())
        return JSONResponse(
            {
                **found,
                "rows": len(scan.rows),
                "generation": scan.generation,
                "known": scan.facts.thresholds is not None,
            }
        )

    def start(self, request: Request) -> Response:
        self._scan(request).start()
        return self.progress(request)

    def stop(self, request: Request) -> Response:
        self._scan(request).stop()
        return self.progress(request)

    # ---- decisions ----

    def decisions(self, request: Request) -> Response:
        return JSONResponse({"decisions": self._scan(request).decisions()})

    async def decide(self, request: Request) -> Response:
        scan, asked = self._scan(request), await _json(request)
        decisions = asked.get("decisions")
        if not isinstance(decisions, list) or not all(map(_is_decision, decisions)):
            raise UsageError("decisions: a list of numbers of rows and what is decided of them")
        await run_in_threadpool(scan.decide, decisions)
        return JSONResponse({"decided": scan.decided})

    # ---- pictures and files ----

    def thumbnail(self, request: Request) -> Response:
        return self._picture(request, large=False)

    def picture(self, request: Request) -> Response:
        return self._picture(request, large=True)

    def _picture(self, request: Request, *, large: bool) -> Response:
        try:
            made = self._scan(request).draw(request.path_params["row"], large=large)
        except UsageError as error:
            raise ImageError(str(error)) from None
        kept = {"Cache-Control": "private, max-age=600"}
        return Response(made.content, media_type=made.media_type, headers=kept)

    def results(self, request: Request) -> Response:
        scan = self._scan(request)
        if not scan.results.exists():
            raise UsageError("the scan is not finished")
        return _download(scan.results, "application/octet-stream")

    def corrections(self, request: Request) -> Response:
        scan = self._scan(request)
        if not scan.corrections.exists():
            raise UsageError("nothing is decided yet")
        return _download(scan.corrections, "text/csv; charset=utf-8")


def _page(
    template: str, context: dict[str, Any], status: int = 200, *, data: dict[str, Any] | None = None
) -> Response:
    text = page_text(template, context, data=data)
    # The page's own policy, and what only a header may say: no site may show it in a frame.
    found = _POLICY.search(text)
    assert found is not None  # noqa: S101
    policy = f"{html.unescape(found[1])}; frame-ancestors 'none'"
    return HTMLResponse(text, status, headers={"Content-Security-Policy": policy})


def _download(path: Path, media_type: str) -> Response:
    return FileResponse(
        path, media_type=media_type, filename=path.name, content_disposition_type="attachment"
    )


def _is_decision(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and type(value[0]) is int
        and (value[1] is None or isinstance(value[1], dict))
    )


async def _json(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request.

    Raises:
        UsageError: it is none, or too large.
    """
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            raise UsageError("the request is too large: decide fewer rows at a time")
    try:
        asked = parse_json(bytes(content))
    except (ValueError, UnicodeDecodeError):
        asked = None
    if request.headers.get("content-type", "").partition(";")[0] != "application/json" or not (
        isinstance(asked, dict)
    ):
        raise UsageError("the request is no JSON object")
    return asked
