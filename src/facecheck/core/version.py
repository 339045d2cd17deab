"""Which facecheck this is, and where: for headers, reports, and processes that must find it."""

from __future__ import annotations

from pathlib import Path

#: The version; the build reads it here.
VERSION = "0.2.0"
#: The folder of the package, this one's parent.
PACKAGE = Path(__file__).parents[1]
