"""HTTP and HTTPS: resumed by Range, retried with backoff, from mirrors where there are any.

Passwords, where a server asks for one, come from ``~/.netrc``.
"""

from __future__ import annotations

import email.utils
import os
import re
import shutil
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from facecheck.core.errors import SourceError
from facecheck.core.files import path_text, require_space, sha256_file, write_json
from facecheck.core.jsonable import parse_json
from facecheck.core.text import without_secrets
from facecheck.data.sources.archive import MAX_BYTES
from facecheck.data.sources.catalog import Source
from facecheck.data.sources.listing import MAX_RATIO
from facecheck.data.sources.platforms import Download, RefusedError, Transfer, one_by_one

if TYPE_CHECKING:
    import requests

#: Makes one request with these headers; the body is streamed.
Ask = Callable[[Mapping[str, str]], "requests.Response"]

#: Seconds to connect, and seconds of silence before a connection counts as dead.
TIMEOUT = (15, 60)
_BLOCK = 2**18
_MAY_PASS = frozenset((408, 425, 429))
#: Bytes that a round must bring to count as progress; a thousandth of the file where that is less.
_PROGRESS = 2**20
#: A body whose server does not say how long it is leaves this share of the disk free.
_KEPT_FREE = 0.1
#: How often it is checked, in bytes.
_CHECK_EVERY = 2**24
_HINTS = {
    401: "it needs a login: put one for this host into ~/.netrc",
    403: "access is refused: see whether its terms must be accepted first",
    404: "nothing is there: correct the handle in the catalogue, or add a mirror",
    410: "it was taken away for good: correct the handle in the catalogue",
}


def where(source: Source) -> str:
    """Return the addresses."""
    return ", ".join(map(without_secrets, source.handles))


def download(source: Source, folder: Path, transfer: Transfer) -> list[Download]:
    """Get each address, or else its mirrors, to ``folder``.

    Raises:
        SourceError: as :func:`save`, from the last address tried.
    """
    digests = dict(zip(source.handles, source.sha256, strict=False))

    def get(handle: str, part: Transfer) -> list[Download]:
        target = folder / file_name(handle, source.handles)
        addresses = (handle, *source.mirrors)
        for number, address in enumerate(addresses, 1):
            try:
                return [from_address(address, target, part, digests.get(handle))]
            except SourceError as error:
                if number == len(addresses):
                    others = f" (and from {number - 1} other addresses)" if number > 1 else ""
                    raise SourceError(f"{error}{others}") from None
        raise AssertionError("there is at least one address")

    return one_by_one(source.handles, transfer, get)


def from_address(
    address: str, target: Path, transfer: Transfer, sha256: str | None = None
) -> Download:
    """Get one address to ``target``.

    Raises:
        SourceError: as :func:`save`.
    """
    import requests

    with requests.Session() as session:

        def ask(headers: Mapping[str, str]) -> requests.Response:
            return session.get(address, headers=dict(headers), stream=True, timeout=TIMEOUT)

        return Download(target, save(ask, target, transfer, without_secrets(address), sha256))


def file_name(address: str, addresses: tuple[str, ...]) -> str:
    """Return a file name for what an address gives, unlike those of the other addresses."""
    last = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rstrip("/").split("/")[-1])
    name = re.sub(r"[^\w.-]", "_", last).strip(".")[-100:] or "download"
    return name if len(addresses) == 1 else f"{addresses.index(address) + 1}-{name}"


@dataclass(frozen=True)
class _State:
    """What is known of a file on its way, kept next to it so that a later run can resume.

    Attributes:
        what: the address it comes from; nothing is known of a file from another.
        validator: the server's strong ETag or date, which shows whether it still holds the
            same file; empty when it gave none, and the file is then started over.
        date: its date, where it gave one next to the ETag.
        total: bytes of the whole file; None when the server did not say.
    """

    what: str
    validator: str = ""
    total: int | None = None
    date: str = ""


class _Again(Exception):  # noqa: N818 - a reason to try again
    """A failure that may pass: why, and how to try again.

    Attributes:
        wait: seconds that the server asks to wait.
        discard: whether the part at hand is worth nothing.
    """

    def __init__(self, why: str, *, wait: float | None = None, discard: bool = False) -> None:
        super().__init__(why)
        self.wait = wait
        self.discard = discard


def save(ask: Ask, target: Path, transfer: Transfer, what: str, sha256: str | None = None) -> str:
    """Stream what ``ask`` answers to ``target``, through drops and restarts; return its version.

    Bytes go to ``<target>.part``, with what identifies them in ``<target>.json``; the part takes
    its final name when whole. An earlier part is resumed when the server confirms, by ETag
    or date (``If-Range``), that its file is still the same.

    Args:
        ask: makes the request with the headers given (Range among them).
        target: the file to make; when it is there already, nothing is asked.
        transfer: progress, cancellation and patience.
        what: the address without its secrets, for messages and notes, and to distinguish parts of
            different files.
        sha256: the file's digest where its makers publish one.

    Raises:
        RefusedError: the server says no for good.
        SourceError: it fails too often, is not of the length or digest promised, or the disk is
            full. What came stays for a later attempt, unless it is wrong.
    """
    notes = target.with_name(f"{target.name}.json")
    part = target.with_name(f"{target.name}.part")
    if target.is_file():
        transfer.progress(target.stat().st_size, target.stat().st_size)
        return _read_state(notes, what).validator
    target.parent.mkdir(parents=True, exist_ok=True)
    best = _size(part)
    failures = 0
    while True:
        try:
            state = _attempt(ask, part, notes, transfer, what)
            break
        except _Again as again:
            if again.discard:
                part.unlink(missing_ok=True)
            # Ten bytes a round would keep us here for ever.
            total = _read_state(notes, what).total
            gained = _size(part) - best >= min(_PROGRESS, (total or _PROGRESS * 1000) // 1000)
            best = max(best, _size(part))
            failures = 1 if gained else failures + 1
            if failures >= transfer.retry.attempts:
                raise SourceError(
                    f"{what}: {again}, {failures} times in a row: run the same command later "
                    "to resume"
                ) from None
            if again.wait is not None and again.wait > transfer.retry.longest_wait:
                raise SourceError(
                    f"{what}: {again}, and the server asks to wait {again.wait:,.0f} seconds: run "
                    "the same command after that to resume"
                ) from None
            transfer.wait(failures, again.wait)
    if sha256 and (found := sha256_file(part)) != sha256:
        part.unlink()
        raise SourceError(
            f"{what}: its sha256 is {found}, not {sha256} as published: it is not the file that "
            "the catalogue means, and was not kept"
        )
    with part.open("rb") as whole:
        os.fsync(whole.fileno())
    part.replace(target)
    return state.validator


def _attempt(ask: Ask, part: Path, notes: Path, transfer: Transfer, what: str) -> _State:
    """Make one request and write its body; return the state of the whole file.

    Raises:
        _Again: it failed in a way that may pass.
    """
    import requests
    import urllib3

    known = _read_state(notes, what)
    have = _size(part)
    if have and have == known.total:
        return known
    headers = {"Accept-Encoding": "identity"}
    if have and known.validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": known.validator}
    transfer.check_cancelled()
    try:
        with ask(headers) as response:
            start, state = _beginning(response, have, known)
            if state.total is not None:
                require_space(part.parent, state.total - start, f"downloading {what}")
            if start == 0:  # before the notes: they must never speak of an older file's bytes
                part.unlink(missing_ok=True)
            write_json(notes, asdict(state))
            _write(response, part, start, state, transfer)
    except (requests.exceptions.SSLError, requests.exceptions.TooManyRedirects) as error:
        raise SourceError(f"{what}: {_short(error)}: check the address") from None
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise SourceError(f"{what}: {_short(error)}: correct the address") from None
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _Again(_short(error)) from None
    if state.total is not None and _size(part) < state.total:
        raise _Again(f"the connection ended after {_size(part):,} of {state.total:,} bytes")
    return replace(state, total=_size(part))


def _beginning(response: requests.Response, have: int, known: _State) -> tuple[int, _State]:
    """Return where the body belongs and what it is part of, or raise for what is no body."""
    status, what = response.status_code, known.what
    if status in _MAY_PASS or status >= 500:
        raise _Again(f"HTTP {status} {response.reason}", wait=_retry_after(response))
    if status == 416:  # our part is not of the file that is there now
        raise _Again("the server refused to resume the part that was downloaded", discard=True)
    if status not in {200, 206}:
        hint = _HINTS.get(status, "check the address")
        raise RefusedError(f"{what}: HTTP {status} {response.reason}: {hint}", status)
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    validator = "" if encoded else _validator(response)
    date = response.headers.get("Last-Modified", "")
    if status == 200:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() and not encoded else None
        return 0, _State(what, validator, total, date)
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if span is None or int(span[1]) != have or encoded:
        raise _Again("the server answered with another range than asked for", discard=True)
    total = None if span[2] == "*" else int(span[2])
    # A server that ignores If-Range sends a part of whatever it holds now.
    for is_now, was, what_differs in (
        (total, known.total, "length"),
        (response.headers.get("ETag", ""), _etag(known.validator), "ETag"),
        (date, known.date, "date"),
    ):
        if is_now and was and is_now != was:
            raise _Again(f"the file has another {what_differs} than before", discard=True)
    return have, replace(known, total=total or known.total)


def _etag(validator: str) -> str:
    """Return a validator if it is an ETag, and not a date."""
    return validator if validator.startswith('"') else ""


def _write(
    response: requests.Response, part: Path, start: int, state: _State, transfer: Transfer
) -> None:
    done = start
    with part.open("r+b" if start else "wb") as out:
        out.seek(start)
        out.truncate()
        transfer.progress(done, state.total)
        limit = _Limit(response, part, state, transfer)
        for block in _blocks(response):
            transfer.check_cancelled()
            limit.check(done + len(block))
            out.write(block)
            done += len(block)
            transfer.progress(done, state.total)


class _Limit:
    """How many bytes a body may have: as many as were promised, or else as many as are sensible.

    Without a promise the catalogue's size, the ratio of a packed body and the disk are the limits.
    """

    def __init__(
        self, response: requests.Response, part: Path, state: _State, transfer: Transfer
    ) -> None:
        self._part, self._what, self._total = part, state.what, state.total
        packed = response.headers.get("Content-Length", "")
        limits = [transfer.limit or MAX_BYTES, MAX_BYTES]
        if response.headers.get("Content-Encoding", "identity") != "identity" and packed.isdigit():
            limits.append(max(MAX_RATIO * int(packed), 2**20))
        self._most = min(limits)
        self._next_check = _CHECK_EVERY

    def check(self, size: int) -> None:
        """Raise when ``size`` bytes are too many; what came is removed then.

        Raises:
            _Again: it is more than was promised.
            SourceError: it is more than is sensible, or fills the disk.
        """
        if self._total is not None:
            if size > self._total:
                raise _Again("more bytes came than were promised", discard=True)
            return
        if size > self._most:
            self._refuse(f"over {self._most:,} bytes came, and the server does not say how many")
        if size >= self._next_check:
            self._next_check = size + _CHECK_EVERY
            disk = shutil.disk_usage(self._part.parent)
            if disk.free < _KEPT_FREE * disk.total:
                self._refuse(
                    f"the server does not say how long it is, and after {size:,} bytes "
                    f"{path_text(self._part.parent)} is nearly full"
                )

    def _refuse(self, why: str) -> None:
        self._part.unlink(missing_ok=True)
        raise SourceError(
            f"{self._what}: {why}: nothing was kept; get it by hand, and pass it with --from"
        )


def _blocks(response: requests.Response) -> Iterator[bytes]:
    """Yield the body as it comes: waiting for full blocks would lose what a drop cuts short."""
    raw = response.raw
    if getattr(raw, "chunked", False) or not hasattr(raw, "read1"):
        yield from response.iter_content(_BLOCK)
        return
    while block := raw.read1(_BLOCK, decode_content=True):
        yield block


def _validator(response: requests.Response) -> str:
    """Return what a server takes in ``If-Range``: a strong ETag, or else a date."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified", "")


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds a server asks to wait, from a number or a date."""
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isdigit():
        return float(asked)
    try:
        moment = email.utils.parsedate_to_datetime(asked)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


def _read_state(notes: Path, what: str) -> _State:
    """Return what was noted of this very file, or a state that knows nothing of it."""
    try:
        stored = _State(**parse_json(notes.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return _State(what)
    return stored if stored.what == what else _State(what)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _short(error: BaseException) -> str:
    """Return the core of an error that requests wrapped in others."""
    text = str(error)
    inner = re.search(r"(?:Errno -?\d+\] |\(')([^'\"()<>\[\]]+)", text)
    return " ".join((inner[1] if inner else text).split())[:200] or type(error).__name__
