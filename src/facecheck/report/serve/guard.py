"""Who may ask: the browser that was given the token, from a page of ours, by our own name.

A server on this machine can be reached by every page that a browser shows, and by every program and
user of the machine. So a request counts only with the token, which is in the address that the
terminal shows and then in a cookie; with our own name as its host, which a page that points its own
name here (DNS rebinding) has not; and not where the browser says that another site sent it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import URL, Headers, MutableHeaders, QueryParams
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What every answer says; a page adds its own policy.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_OURS = {"same-origin", "none"}  # none: typed, or from a bookmark or the terminal
_READS = {"GET", "HEAD"}


class Guard:
    """Lets requests through to an app, or answers 403, and sets the headers of all answers.

    Args:
        app: what answers.
        token: what a request must know.
        hosts: how this server may be called, with the port.
        port: for the cookie's name: cookies are shared by all ports of a machine.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Iterable[str], port: int) -> None:
        self._app, self._token = app, token
        self._hosts = {host.lower() for host in hosts}
        self._cookie = f"facecheck-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":  # no websockets, and nothing to do at start and end
            return
        await self._answer(scope)(scope, receive, _with_headers(send))

    def _answer(self, scope: Scope) -> ASGIApp:
        headers = Headers(scope=scope)
        if why := self._why_strange(headers, scope["method"]):
            return _refused(why)
        given = QueryParams(scope["query_string"]).get("token")
        if given is not None and scope["path"] == "/":
            return self._let_in(given, URL(scope=scope))
        if not self._is_known(headers):
            return _refused("Open the address that the terminal shows: it has the token.")
        return self._app

    def _why_strange(self, headers: Headers, method: str) -> str:
        """Return why a request is not from a page of ours, empty if it may be."""
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return "This server is not called so: open the address that the terminal shows."
        if headers.get("sec-fetch-site", "none") not in _OURS:
            return "Another site sent this request."
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in {f"http://{host}"}:
            return "Another site sent this request."
        from_page = origin is not None or headers.get("sec-fetch-site") == "same-origin"
        if method not in _READS and not from_page:
            return "Not a request of the page."
        return ""

    def _let_in(self, given: str, address: URL) -> Response:
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return _refused("The token is another: open the address that the terminal shows.")
        # Away from the address, where it would be seen, and kept in the browser's history.
        answer = RedirectResponse(address.path, 303)
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
        return answer

    def _is_known(self, headers: Headers) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        given = "" if cookie is None else cookie.value
        return secrets.compare_digest(given.encode(), self._token.encode())


def _refused(why: str) -> Response:
    return HTMLResponse(f"<!doctype html><title>facecheck</title><p>{why}</p>", 403)


def _with_headers(send: Send) -> Send:
    async def more(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return more
