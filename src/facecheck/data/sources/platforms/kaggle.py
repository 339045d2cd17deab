"""Kaggle datasets and competitions, through the kaggle package.

The package signs in and finds the archive; its bytes then travel as any other download of ours,
so that they are resumed, retried and shown in one way. Credentials are the package's own:
``KAGGLE_API_TOKEN`` or its token file, ``KAGGLE_USERNAME`` with ``KAGGLE_KEY``, ``kaggle.json``.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facecheck.core.errors import SourceError
from facecheck.data.sources.catalog import Source
from facecheck.data.sources.platforms import Download, RefusedError, Transfer, one_by_one
from facecheck.data.sources.platforms.http import TIMEOUT, save

if TYPE_CHECKING:
    import requests

_SIGN_IN = (
    "make a token at https://www.kaggle.com/settings/api and put it into the variable "
    "KAGGLE_API_TOKEN or the file ~/.kaggle/access_token"
)
# The package reads global state and prints; one thread at a time may use it.
_lock = threading.Lock()


def where(source: Source) -> str:
    """Return the addresses of the datasets or competitions."""
    return ", ".join(_page(source, handle) for handle in source.handles)


def download(source: Source, folder: Path, transfer: Transfer) -> list[Download]:
    """Get each dataset's or competition's archive to ``folder``.

    Raises:
        SourceError: there are no credentials, they are refused, the rules of the dataset were
            not accepted, or as :func:`facecheck.data.sources.platforms.http.save`.
    """

    def get(handle: str, part: Transfer) -> list[Download]:
        target = folder / f"{handle.replace('/', '-')}.zip"
        page = _page(source, handle)
        try:
            version = save(_asking(source, handle), target, part, page)
        except RefusedError as error:
            raise SourceError(_explained(error.status, source, handle)) from None
        pinned = handle.split("/")[2:]
        return [Download(target, pinned[0] if pinned else version)]

    return one_by_one(source.handles, transfer, get)


def _page(source: Source, handle: str) -> str:
    part = "competitions" if source.platform == "kaggle-competition" else "datasets"
    owner_and_name = "/".join(handle.split("/")[:2])
    return f"https://www.kaggle.com/{part}/{owner_and_name}"


def _explained(status: int, source: Source, handle: str) -> str:
    page = _page(source, handle)
    if status == 401:
        return f"{page}: Kaggle does not accept the credentials: {_SIGN_IN}"
    if status == 403:
        rules = f"{page}/rules" if source.platform == "kaggle-competition" else page
        return (
            f"{page}: Kaggle refuses access (HTTP 403): sign in and accept the rules at {rules}, "
            "then run the same command again"
        )
    if status == 404:
        return f"{page}: Kaggle has nothing there (HTTP 404): correct the handle in the catalogue"
    return f"{page}: Kaggle answers HTTP {status}: try again later"


def _asking(source: Source, handle: str) -> Any:
    """Return what makes one request for the archive, from the given place in it."""

    def ask(headers: Mapping[str, str]) -> requests.Response:
        import requests

        # Each time anew: the address that the bytes come from is signed, and expires.
        response = _open(source, handle)
        if "Range" not in headers:
            return response
        request = response.request
        response.close()
        return requests.request(
            str(request.method),
            str(response.url),
            headers={**request.headers, **headers},
            data=request.body,
            stream=True,
            timeout=TIMEOUT,
        )

    return ask


def _open(source: Source, handle: str) -> requests.Response:
    """Let the package sign in and ask for the archive; return the response, its body unread."""
    import requests

    # Whatever it prints is for users of its own command.
    with _lock, contextlib.redirect_stdout(io.StringIO()):
        try:
            api = _signed_in()
            if source.platform == "kaggle-competition":
                api.competition_download_files(handle, path=".", force=True, quiet=True)
            else:
                api.dataset_download_files(handle, path=".", force=True, quiet=True)
        except requests.exceptions.HTTPError as error:
            if error.response is None or error.response.status_code < 400:
                raise SourceError(f"{_page(source, handle)}: {error}") from None
            return error.response  # judged, and retried, as any other answer
        except (ValueError, OSError) as error:
            if isinstance(error, requests.exceptions.RequestException):
                raise
            raise SourceError(f"{_page(source, handle)}: {error}") from None
    response: requests.Response = api.response
    return response


def _signed_in() -> Any:
    """Return the package's client, with credentials.

    The package signs in when imported, and ends the process where that fails.
    """
    import requests

    try:
        from kaggle.api.kaggle_api_extended import KaggleApi

        class Client(KaggleApi):  # type: ignore[misc]
            """The package's client, which hands over the response instead of saving it."""

            def download_file(self, response: Any, *args: Any, **kwargs: Any) -> None:
                del args, kwargs
                self.response = response

        api = Client()
        api.authenticate()
    except ImportError as error:
        raise SourceError(
            f"the kaggle package cannot be loaded ({error}): pip install --upgrade kaggle six"
        ) from None
    except SystemExit:
        raise SourceError(f"no Kaggle credentials: {_SIGN_IN}") from None
    except requests.exceptions.RequestException:
        raise
    except OSError as error:  # a token file that cannot be read
        raise SourceError(f"no Kaggle credentials ({error}): {_SIGN_IN}") from None
    return api
