"""The options of ``serve``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facecheck.core.options import Trust, option
from facecheck.scanner.options import ReachOptions

#: Names of this machine that no other machine reaches.
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class ServeOptions(ReachOptions):
    """Where the page is served, and where its work is kept."""

    results: Path = option(
        Path("facecheck-serve"),
        "For a folder: where results and corrections of its scans are kept.",
        metavar="DIR",
        trust=Trust.NAMED,
    )
    base: Path | None = option(
        None,
        "For results: the folder that relative paths in them are of.",
        metavar="DIR",
        words="the folder that the scan ran in, or the current one",
        trust=Trust.NAMED,
    )
    port: int = option(8765, "The port; 0: any that is free.", least=0, most=65_535)
    host: str = option(
        "127.0.0.1",
        "The address to serve on. Any but this machine's own lets others in who know the token, "
        "over a connection that is not encrypted.",
        metavar="ADDRESS",
        trust=Trust.NO_FILE,
    )
