"""``fetch`` with its options as keywords, of which a test gives three or four each time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facecheck.data.options import FetchOptions
from facecheck.data.sources.fetch import FetchResult
from facecheck.data.sources.fetch import fetch as job
from facecheck.data.sources.platforms import Retry


def fetch(
    names: Sequence[str] = (), *, lock: Path, retry: Retry | None = None, **options: Any
) -> FetchResult:
    return job(names, FetchOptions(**options), lock=lock, retry=retry)
