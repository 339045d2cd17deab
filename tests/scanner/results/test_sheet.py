from __future__ import annotations

import builtins
import io
import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.utils.escape import unescape
from PIL import Image

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.scanner.options import ResultOptions
from facecheck.scanner.results import sheet
from facecheck.scanner.results.rows import Row, read_rows, tidy
from facecheck.scanner.results.sheet import workbook_notes, write_workbook
from facecheck.scanner.results.sink import FileSink
from tests.scanner.items import COLUMNS, FACTS, HOSTILE, chunks_of, judged, named, rows_of

ITEMS = named([*HOSTILE, *(f"more/{number}.jpg" for number in range(12))])


def jpegs(rows: Iterable[Row], colour: str = "#402010") -> Iterator[bytes | None]:
    for number, _ in enumerate(rows):
        out = io.BytesIO()
        Image.new("RGB", (96, 72), colour).save(out, "JPEG")
        yield out.getvalue() if number != 1 else None


def opened(out: Path, **options: Any) -> FileSink:
    return FileSink(out, COLUMNS, FACTS, ResultOptions(**options), pictures=jpegs)


def scanned(out: Path, most: int | None = None, **options: Any) -> bytes:
    with opened(out, **options) as sink:
        for count, chunk in enumerate(chunks_of(sink, ITEMS)):
            if count == most:
                return b""
            sink.write(chunk, judged(chunk, sink))
        sink.finish()
    return out.read_bytes()


def values(out: Path) -> list[tuple[Any, ...]]:
    """Return the rows of all sheets, without their heads, as another program reads them."""
    book = openpyxl.load_workbook(out)
    return [
        tuple(cell.value for cell in row)
        for one in book.worksheets
        for row in one.iter_rows(min_row=2)
        if len(row) > 1
    ]


def wanted() -> list[dict[str, Any]]:
    return [tidy(row, COLUMNS) for item in ITEMS for row in rows_of(item)]


def test_a_workbook_has_the_rows_as_text_and_numbers_and_no_formula(tmp_path: Path) -> None:
    out = tmp_path / "r.xlsx"
    scanned(out)
    book = openpyxl.load_workbook(out)
    page = book["rows"]
    assert [cell.value for cell in page[1]] == ["picture", *COLUMNS]
    assert page.freeze_panes == "C2"
    assert page.auto_filter.ref == f"A1:H{len(wanted()) + 1}"
    for cells, row in zip(page.iter_rows(min_row=2), wanted(), strict=True):
        for cell, (name, kind) in zip(cells[1:], COLUMNS.items(), strict=True):
            assert cell.data_type in {"s", "n", "inlineStr"}, cell.coordinate
            if kind is str:
                guard = "./" if name == "path" and row[name][0] in "=-@\t" else ""
                assert unescape(cell.value or "") == guard + row[name]
            else:
                assert cell.value == pytest.approx(row[name])
    with zipfile.ZipFile(out) as parts:
        assert b"<f>" not in b"".join(parts.read(name) for name in parts.namelist())


def test_thumbnails_are_in_the_cells_of_their_rows(tmp_path: Path) -> None:
    scanned(tmp_path / "r.xlsx", thumbnails=5)
    page = openpyxl.load_workbook(tmp_path / "r.xlsx")["rows"]
    placed = [(one.anchor._from.row, one.anchor._from.col) for one in page._images]
    assert placed == [(1, 0), (3, 0), (4, 0), (5, 0)]  # the second row has none
    assert page.row_dimensions[2].height == 75
    assert page.row_dimensions[3].height is None
    with zipfile.ZipFile(tmp_path / "r.xlsx") as parts:
        (media,) = [name for name in parts.namelist() if "media" in name]  # the same, once
        assert Image.open(io.BytesIO(parts.read(media))).size == (96, 72)
    scanned(tmp_path / "none.xlsx", thumbnails=0)
    assert openpyxl.load_workbook(tmp_path / "none.xlsx")["rows"]._images == []


def test_a_path_is_a_link_to_its_file_from_where_the_workbook_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["in/a b#1%20.jpg", "in/été.jpg", "=1.jpg", "gone.jpg", "a.zip::x.jpg"]
    for name in names[:3]:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    rows = [tidy({"path": name, "status": "ok"}, COLUMNS) for name in names]
    write_workbook(Path("made.xlsx"), rows, COLUMNS, folder=tmp_path / "out")
    page = openpyxl.load_workbook("made.xlsx")["rows"]
    links = [page.cell(number, 2).hyperlink for number in range(2, 7)]
    assert [link and link.target for link in links] == [
        "../in/a%20b%231%2520.jpg", "../in/%C3%A9t%C3%A9.jpg", "../%3D1.jpg", None, None,
    ]  # fmt: skip
    assert [page.cell(number, 2).value for number in (2, 4)] == ["in/a b#1%20.jpg", "./=1.jpg"]


def test_where_a_sheet_is_full_another_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "_ROWS", 11)
    scanned(tmp_path / "r.xlsx", thumbnails=12)
    book = openpyxl.load_workbook(tmp_path / "r.xlsx")
    count = len(wanted())
    assert book.sheetnames == ["rows", "rows 2", "rows 3", "rows 4"]
    assert [one.max_row - 1 for one in book.worksheets] == [10, 10, 10, count - 30]
    assert len(values(tmp_path / "r.xlsx")) == count
    assert [len(one._images) for one in book.worksheets] == [9, 2, 0, 0]
    assert workbook_notes(count, 12) == (
        "Excel takes 10 rows in a sheet: there are 4 sheets", "thumbnails of the first 12 rows",
    )  # fmt: skip


def test_sheets_that_are_just_full_are_not_followed_by_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "_ROWS", 4)
    rows = [tidy({"path": f"{number}.jpg"}, COLUMNS) for number in range(6)]
    write_workbook(tmp_path / "r.xlsx", rows, COLUMNS, folder=tmp_path)
    assert openpyxl.load_workbook(tmp_path / "r.xlsx").sheetnames == ["rows", "rows 2"]
    write_workbook(tmp_path / "none.xlsx", [], COLUMNS, folder=tmp_path)
    assert values(tmp_path / "none.xlsx") == []
    assert workbook_notes(6, 6) == ("Excel takes 3 rows in a sheet: there are 2 sheets",)


def test_no_more_links_than_excel_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "_LINKS", 2)
    (tmp_path / "a.jpg").touch()
    rows = [tidy({"path": str(tmp_path / "a.jpg")}, COLUMNS)] * 4
    write_workbook(tmp_path / "r.xlsx", rows, COLUMNS, folder=tmp_path)
    page = openpyxl.load_workbook(tmp_path / "r.xlsx")["rows"]
    assert [bool(page.cell(number, 2).hyperlink) for number in range(2, 6)] == [1, 1, 0, 0]
    assert "only the first 2 paths of a sheet are links" in workbook_notes(4, 4)


def test_long_texts_and_control_characters_are_cells(tmp_path: Path) -> None:
    rows = [tidy({"path": "a\x07\x1b.jpg", "message": "=x" + "é" * 40_000}, COLUMNS)]
    write_workbook(tmp_path / "r.xlsx", rows, COLUMNS, folder=tmp_path)
    ((_, path, *_, message),) = values(tmp_path / "r.xlsx")
    assert unescape(path) == "a\x07\x1b.jpg"
    assert len(message) == 32_767
    assert message.startswith("'=xé")


def test_an_interrupted_scan_continues_to_the_same_bytes(tmp_path: Path) -> None:
    whole = scanned(tmp_path / "whole.xlsx")
    for most in (0, 1, 4):
        out = tmp_path / f"{most}.xlsx"
        scanned(out, most)
        assert not out.exists()
        assert scanned(out) == whole
        (tmp_path / f"{most}.xlsx.journal").unlink()
    left = [name for name in os.listdir(tmp_path) if "partial" in name or "making" in name]
    assert left == []


def test_a_workbook_is_for_people(tmp_path: Path) -> None:
    out = tmp_path / "r.xlsx"
    scanned(out)
    with pytest.raises(UsageError, match="a workbook is for people"):
        list(read_rows(out, COLUMNS))
    with pytest.raises(UsageError, match="--excel is for CSV"):
        opened(tmp_path / "x.xlsx", excel=True)


def test_without_the_extra_one_line_says_so_before_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def lacking(name: str, *more: Any) -> Any:
        if name.startswith("xlsxwriter"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(FacecheckError, match=r"needs the extra excel: pip install"):
        opened(tmp_path / "r.xlsx")
    assert os.listdir(tmp_path) == []
