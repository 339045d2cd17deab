"""Where sources come from: one module for each platform, all behind :class:`Platform`.

A platform brings what a source's handles name to a folder of its own, and knows nothing of kinds,
rules or manifests. Its module is imported when a source needs it, and the package it drives
(kaggle, gdown, fsspec) only inside its functions.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Protocol, cast

from facecheck.core.errors import SourceError
from facecheck.core.parallel import Progress, silent
from facecheck.data.sources.catalog import Source

_MODULES = {
    "kaggle": "kaggle",
    "kaggle-competition": "kaggle",
    "gdown": "gdown",
    "http": "http",
    "github": "github",
    "cloud": "cloud",
    "local": "local",
    "manual": "manual",
}


class Interrupted(Exception):  # noqa: N818 - not an error: someone asked for it
    """Raised inside a download when another thread asked all of them to stop."""


@dataclass(frozen=True)
class Retry:
    """How often, and how long apart, a failed transfer is taken up again.

    Attributes:
        attempts: failures in a row, without a byte gained, after which it is given up.
        first_wait: seconds before the first new attempt; each later wait doubles, with jitter.
        longest_wait: seconds that no wait exceeds. A server that asks for more is not waited for.
    """

    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 120.0


@dataclass(frozen=True)
class Transfer:
    """What every download needs besides its source.

    Attributes:
        progress: called with bytes so far and in all, from the thread that downloads.
        cancel: set to make it stop soon.
        retry: how it deals with failures that may pass.
        limit: bytes that one file may have where its server does not say how many; None: as many
            as an archive may unpack to.
    """

    progress: Progress = silent
    cancel: threading.Event = field(default_factory=threading.Event)
    retry: Retry = Retry()
    limit: int | None = None

    def check_cancelled(self) -> None:
        """Raise :class:`Interrupted` if asked to stop."""
        if self.cancel.is_set():
            raise Interrupted

    def after(self, before: int, total: int | None = None) -> Transfer:
        """Return a transfer for the next of several files, reported as bytes after ``before``."""

        def report(done: int, of: int | None) -> None:
            del of  # of one file; what counts is all of them
            self.progress(before + done, total)

        return replace(self, progress=report)

    def wait(self, failures: int, asked: float | None) -> None:
        """Wait before another attempt: as long as the server ``asked``, or backing off.

        ``failures`` counts from 1. The backoff is drawn between half and all of
        ``first_wait * 2**(failures - 1)``, so that many clients do not return at once.
        """
        longest = min(self.retry.longest_wait, self.retry.first_wait * 2.0 ** (failures - 1))
        seconds = longest * random.uniform(0.5, 1) if asked is None else asked  # noqa: S311
        self.cancel.wait(seconds)
        self.check_cancelled()


@dataclass(frozen=True)
class Download:
    """One file or folder that a platform brought.

    Attributes:
        path: where it lies.
        version: what the platform calls this state of it (an ETag, a date, a number), or empty.
        ours: whether it is a copy of ours, to be moved or removed at will.
        inner: its path within the source, for a single file out of a remote folder.
    """

    path: Path
    version: str = ""
    ours: bool = True
    inner: PurePosixPath | None = None


class Platform(Protocol):
    """What a platform's module offers."""

    def where(self, source: Source) -> str:
        """Return where the source lives, for people: an address as a rule."""

    def download(self, source: Source, folder: Path, transfer: Transfer) -> list[Download]:
        """Bring the source to ``folder``, which is its own, resuming where it stopped before.

        Raises:
            SourceError: it cannot be had; the message says why and how to fix it.
        """


def platform_of(source: Source) -> Platform:
    """Return the module for a source's platform."""
    module = import_module(f"{__name__}.{_MODULES[source.platform]}")
    return cast("Platform", module)


def one_by_one(
    handles: tuple[str, ...], transfer: Transfer, get: Callable[[str, Transfer], list[Download]]
) -> list[Download]:
    """Get handles in order, adding up their bytes to one progress."""
    if len(handles) == 1:
        return get(handles[0], transfer)
    downloads: list[Download] = []
    for handle in handles:
        before = sum(item.path.stat().st_size for item in downloads)
        downloads += get(handle, transfer.after(before))
    return downloads


class RefusedError(SourceError):
    """A server's final no.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
