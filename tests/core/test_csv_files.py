"""Tables as spreadsheets save them."""

from __future__ import annotations

from pathlib import Path

import pytest

import facecheck
from facecheck.core.manifest import read_manifest
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import read_columns, read_rows

#: Encoding and separator: CSV UTF-8, CSV in a locale with decimal commas, and Unicode text.
SAVED = [
    ("utf-8-sig", ","),
    ("utf-8", ";"),
    ("utf-8-sig", ";"),
    ("utf-8", "\t"),
    ("utf-16", "\t"),
    ("utf-16-le", ";"),
]


def save(path: Path, encoding: str, separator: str) -> Path:
    """Write a CSV file again as a spreadsheet would."""
    text = path.read_text(encoding="utf-8")
    if separator == ";":
        text = text.replace(".", "\0").replace(",", ";").replace("\0", ".")
    text = text.replace(",", separator).replace("\n", "\r\n")
    saved = path.with_name("saved.csv")
    saved.write_bytes(text.encode(encoding))
    return saved


@pytest.mark.parametrize(("encoding", "separator"), SAVED)
def test_a_manifest_is_read(drawn: Path, tmp_path: Path, encoding: str, separator: str) -> None:
    facecheck.index([drawn], tmp_path / "m.csv")
    before = read_manifest(tmp_path / "m.csv")
    assert read_manifest(save(tmp_path / "m.csv", encoding, separator)).frame.equals(before.frame)


@pytest.mark.parametrize(("encoding", "separator"), SAVED)
def test_results_are_read(tmp_path: Path, encoding: str, separator: str) -> None:
    cells = {"path": "a.jpg", "status": "ok", "verdict": "real", "score": "0.123456", "width": "9"}
    rows = [list(COLUMNS), [cells.get(name, "") for name in COLUMNS]]
    whole = tmp_path / "r.csv"
    whole.write_text("".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
    before = list(read_rows(whole, COLUMNS))
    assert before[0]["score"] == 0.123456
    saved = save(whole, encoding, separator)
    if separator == ";":  # where the comma stands between whole and fraction
        saved.write_text(saved.read_text(encoding).replace("0.1", "0,1"), encoding, newline="")
    assert list(read_columns(saved)) == list(COLUMNS)
    assert list(read_rows(saved, COLUMNS)) == before
