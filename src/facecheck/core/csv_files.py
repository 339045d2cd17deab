"""CSV as other programs save it, and cells that no spreadsheet runs."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

#: What a spreadsheet runs, with marks that text has of its own; and what is only a number.
FORMULA = r"'*[=+\-@\t\r\n]"
NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
_FORMULA, _NUMBER = re.compile(FORMULA), re.compile(NUMBER)
#: What Excel reads in front of the header.
_SEPARATOR = re.compile(r'"?sep=([,;\t])"?')
#: More than any header takes.
_HEADER = 2**16


def safe_text(text: str) -> str:
    """Return text that no spreadsheet runs as a formula: a ``'`` in front marks it as text.

    What begins with such marks and a formula gets one more, so that :func:`exact_text` removes the
    right one. Numbers are left as they are.
    """
    is_formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def exact_text(cell: str) -> str:
    """Return the text that :func:`safe_text` wrote as ``cell``."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell, 1) else cell


@dataclass(frozen=True)
class CsvForm:
    """How a CSV file is written.

    Attributes:
        encoding: a codec of Python's that also takes a byte order mark off.
        separator: what stands between cells. With a semicolon, a spreadsheet writes decimals with a
            comma.
        skip: lines in front of the header: 1 where Excel's ``sep=;`` says the separator.
    """

    encoding: str = "utf-8-sig"
    separator: str = ","
    skip: int = 0

    def number(self, text: str) -> str:
        """Return a number as Python reads it."""
        return text.replace(",", ".") if self.separator == ";" else text


def encoding_of(start: bytes) -> str:
    """Return the codec of a text by its beginning, one that takes a byte order mark off.

    It is UTF-8 or UTF-16; of the latter, without a mark, what begins with ASCII letters: then every
    other byte is zero.

    Args:
        start: a few bytes or more; 64 are read.
    """
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = start[:64:2], start[1:64:2]
    if len(odd) > 3 and not any(odd) and all(even):
        return "utf-16-le"
    if len(odd) > 3 and not any(even) and all(odd):
        return "utf-16-be"
    return "utf-8-sig"


def csv_form(path: Path) -> CsvForm:
    """Return how a CSV file is written, from its byte order mark and its header.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(_HEADER)
    encoding = encoding_of(start)
    header = start.decode(encoding, "replace").partition("\n")[0]
    if said := _SEPARATOR.fullmatch(header.strip()):
        return CsvForm(encoding, said[1], 1)
    # Names of columns hold neither: what the header has most of separates them.
    return CsvForm(encoding, max(",;\t", key=header.count))
