"""Sources that only a person can get: by signing an agreement, or asking by mail."""

from __future__ import annotations

from pathlib import Path

from facecheck.core.errors import SourceError
from facecheck.data.sources.catalog import Source
from facecheck.data.sources.platforms import Download, Transfer


def where(source: Source) -> str:
    """Return the address of its terms."""
    return source.terms


def download(source: Source, folder: Path, transfer: Transfer) -> list[Download]:
    """Raise :class:`SourceError` with the instructions: there is nothing that a program can do."""
    del folder, transfer
    raise SourceError(
        f"{source.name} must be got by hand: {source.instructions}; then run `facecheck fetch "
        f"{source.name} --from FOLDER_OR_ARCHIVE`, which checks it"
    )
