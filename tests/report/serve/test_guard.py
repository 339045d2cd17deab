"""Who is let in: the browser with the token, on a page of ours, by our own name."""

from __future__ import annotations

import pytest

from tests.report.serve.conftest import HOST, OURS, TOKEN, Asking

TYPED = {"host": HOST, "sec-fetch-site": "none"}


def test_the_token_is_traded_for_a_cookie_that_scripts_and_other_sites_do_not_get(
    ask: Asking,
) -> None:
    answer = ask(f"/?token={TOKEN}", headers=TYPED)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"facecheck-8765={TOKEN};")
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert ask("/", headers={**TYPED, "cookie": f"facecheck-8765={TOKEN}"}).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        TYPED,
        {**TYPED, "cookie": "facecheck-8765=another"},
        {**TYPED, "cookie": f"facecheck-8766={TOKEN}"},
        {**TYPED, "cookie": "facecheck-8765=é"},
        {**OURS, "host": "evil.example:8765"},
        {**OURS, "host": "127.0.0.1"},
        {**OURS, "host": "127.0.0.1:8765.evil.example"},
        {**OURS, "sec-fetch-site": "cross-site"},
        {**OURS, "sec-fetch-site": "same-site"},
        {**OURS, "origin": "http://evil.example"},
        {**OURS, "origin": "null"},
        {**OURS, "origin": "http://127.0.0.1:8766"},
    ],
)
def test_everybody_else_is_refused(ask: Asking, headers: dict[str, str]) -> None:
    for target in ("/", "/scans/x/progress", "/scans/x/thumbs/0"):
        answer = ask(target, headers=headers)
        assert answer.status == 403
        assert b"served" not in answer.content


def test_a_wrong_token_and_a_host_without_one_are_refused(ask: Asking) -> None:
    assert ask("/?token=guess", headers=TYPED).status == 403
    assert ask(f"/scans/x/?token={TOKEN}", headers=TYPED).status == 403
    assert ask("/", headers={"cookie": OURS["cookie"]}).status == 403


@pytest.mark.parametrize("target", ["/scans", "/scans/x/start", "/scans/x/decisions"])
def test_what_changes_something_must_come_from_a_page_of_ours(ask: Asking, target: str) -> None:
    program = {"host": HOST, "cookie": OURS["cookie"]}
    assert ask(target, method="POST", headers=program, body={}).status == 403
    cross = {**program, "origin": "http://evil.example"}
    assert ask(target, method="POST", headers=cross, body={}).status == 403
    ours = {**program, "origin": f"http://{HOST}"}
    assert ask(target, method="POST", headers=ours, body={}).status in {400, 404, 200}


def test_every_answer_is_what_it_says_and_shown_in_no_frame(ask: Asking) -> None:
    for target in ("/", "/scans/x/", "/nothing"):
        headers = ask(target).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
    policy = ask("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
