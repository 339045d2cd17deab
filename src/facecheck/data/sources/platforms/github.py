"""GitHub repositories at one commit, as the zip archive that GitHub makes of it."""

from __future__ import annotations

from pathlib import Path

from facecheck.data.sources.catalog import Source
from facecheck.data.sources.platforms import Download, Transfer, one_by_one
from facecheck.data.sources.platforms.http import from_address


def where(source: Source) -> str:
    """Return the addresses of the commits."""
    return ", ".join(
        f"https://github.com/{repository}/tree/{commit}"
        for repository, commit in map(_parts, source.handles)
    )


def download(source: Source, folder: Path, transfer: Transfer) -> list[Download]:
    """Get each commit's archive to ``folder``.

    Raises:
        SourceError: as :func:`facecheck.data.sources.platforms.http.save`.
    """

    def get(handle: str, part: Transfer) -> list[Download]:
        repository, commit = _parts(handle)
        address = f"https://codeload.github.com/{repository}/zip/{commit}"
        target = folder / f"{repository.replace('/', '-')}-{commit[:12]}.zip"
        # The commit is its own digest: a version that no server can change behind our back.
        return [Download(from_address(address, target, part).path, commit)]

    return one_by_one(source.handles, transfer, get)


def _parts(handle: str) -> tuple[str, str]:
    repository, _, commit = handle.partition("@")
    return repository, commit
