"""CSV as other programs save it: with a byte order mark, in UTF-16, with semicolons or tabs."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

#: More than any header takes.
_HEADER = 2**16


@dataclass(frozen=True)
class CsvForm:
    """How a CSV file is written.

    Attributes:
        encoding: a codec of Python's that also takes a byte order mark off.
        separator: what stands between cells. With a semicolon, a spreadsheet writes decimals with a
            comma.
    """

    encoding: str = "utf-8-sig"
    separator: str = ","

    def number(self, text: str) -> str:
        """Return a number as Python reads it."""
        return text.replace(",", ".") if self.separator == ";" else text


def csv_form(path: Path) -> CsvForm:
    """Return how a CSV file is written, from its byte order mark and its header.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(_HEADER)
    wide = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if wide else "utf-8-sig"
    header = start.decode(encoding, "replace").partition("\n")[0]
    # Names of columns hold neither: what the header has most of separates them.
    return CsvForm(encoding, max(",;\t", key=header.count))
