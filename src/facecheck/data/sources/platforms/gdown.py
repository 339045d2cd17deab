"""Google Drive files and folders, through the gdown package.

Drive answers with web pages where it will not give a file: its quota is spent, or it wants a
person to confirm that the file was not scanned for viruses. gdown follows the second and stops at
the first; whatever else comes as a page is refused, and nothing of it is kept as data.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from facecheck.core.errors import SourceError, reason
from facecheck.core.files import require_space
from facecheck.data.sources.catalog import Source
from facecheck.data.sources.platforms import Download, Interrupted, Transfer, one_by_one

#: Seconds of silence before a connection counts as dead.
TIMEOUT = 60
_QUOTA = re.compile(r"(?i)quota|too many users|many accesses")
_ID = re.compile(r"[-\w]{20,}")


def where(source: Source) -> str:
    """Return the addresses."""
    return ", ".join(_page(handle) for handle in source.handles)


def download(source: Source, folder: Path, transfer: Transfer) -> list[Download]:
    """Get each file, or each file of a folder, to ``folder``.

    Raises:
        SourceError: Drive's quota for the file is spent, it is not shared with everyone, a page
            came in its place, or the connection fails too often.
    """

    def get(handle: str, part: Transfer) -> list[Download]:
        if "/folders/" in handle:
            return _folder(handle, folder, part)
        return [Download(_file(_id_of(handle), folder, part, _page(handle)))]

    return one_by_one(source.handles, transfer, get)


def _page(handle: str) -> str:
    return handle if "://" in handle else f"https://drive.google.com/file/d/{handle}/view"


def _id_of(handle: str) -> str:
    if "://" not in handle:
        return handle
    found = re.search(r"(?:/d/|[?&]id=)([-\w]{20,})", handle)
    if found is None:
        raise SourceError(f"{handle}: holds no file id: write the id alone as the handle")
    return found[1]


def _folder(handle: str, folder: Path, transfer: Transfer) -> list[Download]:
    import gdown

    listed = _asked(
        lambda: gdown.download_folder(
            url=handle,
            output=str(folder),
            skip_download=True,
            quiet=True,
            use_cookies=False,
            timeout=TIMEOUT,
        ),
        handle,
    )
    if not listed:
        raise SourceError(f"{handle}: the folder is empty, or not shared with everyone")
    downloads = []
    done = 0
    for item in listed:
        inner = PurePosixPath(item.path.replace("\\", "/"))
        path = _file(item.id, folder, transfer.after(done), f"{handle} ({inner})")
        downloads.append(Download(path, inner=inner))
        done += path.stat().st_size
    return downloads


def _file(file_id: str, folder: Path, transfer: Transfer, what: str) -> Path:
    """Get one file to ``folder/<its id>``, resuming an earlier part of it."""
    import gdown

    target = folder / file_id
    if target.is_file():
        transfer.progress(target.stat().st_size, target.stat().st_size)
        return target
    folder.mkdir(parents=True, exist_ok=True)
    # gdown finishes under the name it is given; a name of ours follows only once it is checked.
    unchecked = folder / f"{file_id}.unchecked"

    def report(done: int, total: int | None) -> None:
        transfer.check_cancelled()
        if total is not None and done <= total:
            require_space(folder, total - done, f"downloading {what}")
        transfer.progress(done, total)

    def get() -> Any:
        return gdown.download(
            id=file_id,
            output=str(unchecked),
            quiet=True,
            use_cookies=False,
            resume=True,
            timeout=TIMEOUT,
            retries=transfer.retry.attempts - 1,
            progress=report,
            cancel=transfer.cancel,
        )

    transfer.check_cancelled()
    try:
        _asked(get, what)
    except _StalePartError:
        for part in folder.glob(f"{file_id}.unchecked????????.part"):
            part.unlink()
        _asked(get, what)
    _refuse_page(unchecked, what)
    unchecked.replace(target)
    return target


class _StalePartError(SourceError):
    """What was downloaded earlier cannot be resumed."""


def _asked(call: Callable[[], Any], what: str) -> Any:
    """Return what a call of gdown returns, its errors turned into ours."""
    import requests
    from gdown.exceptions import DownloadCancelled, DownloadError

    try:
        return call()
    except DownloadCancelled:
        raise Interrupted from None
    except DownloadError as error:
        text = reason(error)
        if "byte range" in text or "multiple temporary files" in text:
            raise _StalePartError(f"{what}: {text}") from None
        raise SourceError(_explained(what, text)) from None
    except requests.exceptions.HTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status == 416:
            raise _StalePartError(f"{what}: {error}") from None
        raise SourceError(_explained(what, f"HTTP {status}")) from None
    except requests.exceptions.RequestException as error:
        raise SourceError(f"{what}: {error}: run the same command later") from None


def _explained(what: str, text: str) -> str:
    if _QUOTA.search(text) and "You may need to change the permission" not in text:
        return (
            f"{what}: Google Drive's download quota for this file is spent: try again in a day, or "
            "copy the file to a Drive of your own and name that copy in a catalogue"
        )
    if "incomplete" in text or "retries" in text:
        return f"{what}: {text}: run the same command later, and it resumes"
    return (
        f"{what}: Google Drive does not give this file ({text[:200]}): see in a browser whether it "
        "is still shared with everyone, or whether its quota is spent"
    )


def _refuse_page(path: Path, what: str) -> None:
    """Remove a web page that came in place of the file, and say what it was."""
    with path.open("rb") as stream:
        start = stream.read(4096).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        path.unlink()
        raise SourceError(_explained(what, start.decode("utf-8", "replace")))
