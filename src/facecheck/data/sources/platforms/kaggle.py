"""Kaggle datasets and competitions, through Kaggle's own bindings, the package kagglesdk.

They sign in and find the archive; its bytes then travel as any other download of ours, so that
they are resumed, retried and shown in one way. Credentials are those of the ``kaggle`` command:
``KAGGLE_API_TOKEN`` or its token file, ``KAGGLE_USERNAME`` with ``KAGGLE_KEY``, ``kaggle.json``,
or what ``kaggle auth login`` left.
"""

from __future__ import annotations

import json
import os
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

        # Each time from Kaggle: the address that the bytes come from is signed, and expires.
        response = _open(source, handle)
        if not response.ok:
            return response
        request = response.request
        response.close()  # its connection would wait for ever for a server that falls silent
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

    try:
        with _client() as client:
            if source.platform == "kaggle-competition":
                from kagglesdk.competitions.types.competition_api_service import (
                    ApiDownloadDataFilesRequest,
                )

                files = ApiDownloadDataFilesRequest()
                files.competition_name = handle
                competitions = client.competitions.competition_api_client
                response: requests.Response = competitions.download_data_files(files)
            else:
                from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

                dataset = ApiDownloadDatasetRequest()
                dataset.owner_slug, dataset.dataset_slug, *version = handle.split("/")
                dataset.dataset_version_number = int(version[0]) if version else None
                response = client.datasets.dataset_api_client.download_dataset(dataset)
    except requests.exceptions.HTTPError as error:
        if error.response is None or error.response.status_code < 400:
            raise SourceError(f"{_page(source, handle)}: {error}") from None
        return error.response  # explained, or tried again, as any other answer
    return response


def _client() -> Any:
    """Return the package's client, with the user's credentials.

    The package reads tokens; the older user name and key are looked up where the ``kaggle``
    command does so.
    """
    import requests
    from kagglesdk import KaggleClient
    from kagglesdk.kaggle_creds import KaggleCredentials
    from kagglesdk.kaggle_env import KaggleEnv, get_access_token_from_env

    more = {"env": KaggleEnv.PROD, "user_agent": "facecheck"}
    try:
        token, _ = get_access_token_from_env()
        name, key = ("", "") if token else _name_and_key()
        if token or (name and key):
            return KaggleClient(api_token=token, username=name, password=key, **more)
        with KaggleClient(**more) as anonymous:  # what `kaggle auth login` left
            login = KaggleCredentials.load(anonymous)
            token = login and login.get_access_token()
    except requests.exceptions.RequestException:
        raise
    except (OSError, ValueError) as error:
        raise SourceError(f"no Kaggle credentials ({error}): {_SIGN_IN}") from None
    if not token:
        raise SourceError(f"no Kaggle credentials: {_SIGN_IN}")
    return KaggleClient(api_token=token, **more)


def _name_and_key() -> tuple[str, str]:
    """Return the user name and key of the variables, or else of ``kaggle.json``."""
    name, key = os.environ.get("KAGGLE_USERNAME", ""), os.environ.get("KAGGLE_KEY", "")
    path = _config_folder() / "kaggle.json"
    if (name and key) or not path.is_file():
        return name, key
    stored = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(stored, dict) or not {"username", "key"} <= stored.keys():
        raise ValueError(f"{path} lacks username or key")
    return str(stored["username"]), str(stored["key"])


def _config_folder() -> Path:
    if named := os.environ.get("KAGGLE_CONFIG_DIR"):
        return Path(named)
    old = Path.home() / ".kaggle"
    parent = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return old if old.is_dir() else parent / "kaggle"
