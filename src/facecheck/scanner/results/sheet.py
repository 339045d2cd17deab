"""A scan's rows as an Excel workbook: for people to filter, look through and click on.

Rows are streamed: XlsxWriter keeps one of them in memory, and of thumbnails as many as were asked
for. It is the extra ``excel``: BSD-licensed, and it alone of Python's writers streams rows and sets
pictures. Nothing in a workbook is a formula: what strangers wrote is text, guarded as in CSV, so
that neither editing a cell nor saving the sheet as CSV makes one of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from io import BytesIO
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from facecheck.core.csv_files import safe_text
from facecheck.core.errors import FacecheckError
from facecheck.core.files import named_path, safe_cell
from facecheck.core.install import extra_hint
from facecheck.core.labels import Verdict
from facecheck.core.scratch import scratch_folder
from facecheck.scanner.results.rows import PATH, Columns, Row

if TYPE_CHECKING:
    from xlsxwriter.worksheet import Worksheet

#: Gives for each row a JPEG of what was classified, or None.
Pictures = Callable[[Iterable[Row]], Iterator[bytes | None]]

#: Excel's own limits: rows of a sheet, the head included; links in one; characters of a cell.
_ROWS = 1_048_576
_LINKS = 65_530
_CHARACTERS = 32_767
#: Longest side of a thumbnail, in pixels.
SIDE = 96
_POINTS = 0.75  # of a pixel
_WIDTHS: Mapping[str, int] = {"picture": 14, PATH: 48, "message": 60, "provenance": 20}
_COLOURS = {
    Verdict.REAL: "#c9e7cb",
    Verdict.ARTIFICIAL: "#f6c7c3",
    Verdict.UNCERTAIN: "#fbe9b7",
}


def need_excel() -> None:
    """Make sure that workbooks can be written.

    Raises:
        FacecheckError: XlsxWriter is not there.
    """
    try:
        import xlsxwriter  # noqa: F401
    except ImportError:
        raise FacecheckError(extra_hint("an .xlsx file", "excel")) from None


def write_workbook(
    made: Path,
    rows: Iterable[Row],
    columns: Columns,
    pictures: Iterable[bytes | None] = (),
    *,
    folder: Path,
    raw_paths: bool = False,
) -> None:
    """Write rows to a workbook whose bytes depend on them and on the pictures alone.

    Each sheet has a head that stays in place, and filters. Where one is full, another follows:
    ``rows``, ``rows 2``… A path is a link to its file, relative to the workbook; members of
    archives and addresses are not, nor what comes after the 65,530 links that Excel takes.

    Args:
        made: the file to write.
        rows: by :func:`~facecheck.scanner.results.rows.tidy`.
        columns: their columns.
        pictures: JPEGs for the first rows, in their order; None where there is none.
        folder: where the workbook is going to lie.
        raw_paths: leave names alone that look like formulas; they are text either way.

    Raises:
        OSError: the file cannot be written.
    """
    from xlsxwriter import Workbook
    from xlsxwriter.exceptions import FileCreateError

    with scratch_folder() as scratch:
        book = Workbook(os.fspath(made), {"constant_memory": True, "tmpdir": os.fspath(scratch)})
        book.set_properties({"created": datetime(2000, 1, 1), "title": "facecheck scan"})
        writer = _Writer(book, columns, folder, raw_paths=raw_paths)
        rest, shown = iter(rows), iter(pictures)
        for number in count(1):
            first = list(islice(rest, 1))
            if number > 1 and not first:
                break
            name = "rows" if number == 1 else f"rows {number}"
            writer.sheet(name, chain(first, islice(rest, _ROWS - 2)), shown)
        try:
            book.close()
        except FileCreateError as error:
            inner = error.args[0] if error.args else None
            raise inner if isinstance(inner, OSError) else OSError(str(error)) from None


def workbook_notes(rows: int, thumbnails: int) -> tuple[str, ...]:
    """Return what a reader should know of a workbook of so many rows, a sentence each."""
    sheets = -(-rows // (_ROWS - 1))
    notes = [f"Excel takes {_ROWS - 1:,} rows in a sheet: there are {sheets} sheets"] * (sheets > 1)
    notes += [f"only the first {_LINKS:,} paths of a sheet are links"] * (rows > _LINKS)
    notes += [f"thumbnails of the first {thumbnails:,} rows"] * (rows > thumbnails)
    return tuple(notes)


class _Writer:
    """Writes the sheets of one workbook."""

    def __init__(self, book: Any, columns: Columns, folder: Path, *, raw_paths: bool) -> None:
        self._book, self._columns, self._raw = book, columns, raw_paths
        self._folder = folder.absolute()
        middle = {"valign": "vcenter"}
        text = {**middle, "num_format": "@", "quote_prefix": True}
        self._formats: dict[Any, Any] = {
            "head": book.add_format({"bold": True, "bottom": 1, **middle}),
            str: book.add_format(text),
            int: book.add_format({**middle, "num_format": "0"}),
            float: book.add_format({**middle, "num_format": "0.000"}),
            "link": book.add_format({**text, "font_color": "#0b57d0", "underline": 1}),
            **{verdict.value: book.add_format({**text, "bg_color": colour})
               for verdict, colour in _COLOURS.items()},
        }  # fmt: skip

    def sheet(self, name: str, rows: Iterable[Row], pictures: Iterator[bytes | None]) -> None:
        """Write one sheet."""
        sheet: Worksheet = self._book.add_worksheet(name)
        heads = ["picture", *self._columns]
        for place, head in enumerate(heads):
            sheet.set_column(place, place, _WIDTHS.get(head, 12))
            sheet.write_string(0, place, head, self._formats["head"])
        last = 0
        for last, row in enumerate(rows, 1):
            self._row(sheet, last, row, next(pictures, None))
        sheet.freeze_panes(1, 2)
        sheet.autofilter(0, 0, last, len(heads) - 1)

    def _row(self, sheet: Worksheet, number: int, row: Row, picture: bytes | None) -> None:
        if picture is not None:
            sheet.set_row(number, (SIDE + 4) * _POINTS)
            data = {"image_data": BytesIO(picture), "object_position": 1}
            sheet.insert_image(number, 0, "picture.jpg", {**data, "x_offset": 2, "y_offset": 2})
        for place, (name, kind) in enumerate(self._columns.items(), 1):
            value = row[name]
            if value is None or value == "":
                continue
            if kind is not str:
                sheet.write_number(number, place, float(value), self._formats[kind])
            elif name == PATH:
                self._path(sheet, number, place, str(value))
            else:
                form = self._formats.get(value if name == "verdict" else kind, self._formats[str])
                sheet.write_string(number, place, _cell(safe_text(str(value))), form)

    def _path(self, sheet: Worksheet, number: int, place: int, name: str) -> None:
        text = _cell(name if self._raw else safe_cell(name))
        target = self._target(name) if number <= _LINKS else None
        if target is None:
            sheet.write_string(number, place, text, self._formats[str])
            return
        from xlsxwriter.url import Url

        url = Url("external:file")
        url.text = text
        # XlsxWriter would make backslashes of slashes, which only Windows takes for a path.
        url._relationship_link = target
        sheet.write_url(number, place, url, self._formats["link"])

    def _target(self, name: str) -> str | None:
        """Return where a plain file is, as a link from the workbook; None for anything else."""
        path = named_path(name)
        if not path.is_file():
            return None
        target = quote(os.fsencode(os.path.relpath(path.absolute(), self._folder)))
        return target if len(target) < 2_000 else None  # Excel takes 2,079 characters


def _cell(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[: _CHARACTERS - 1]}…"
