from __future__ import annotations

from pathlib import Path

import pytest

from facecheck.core.errors import FacecheckError
from facecheck.known.lookup import open_known
from facecheck.known.table import Entry

A, B, C = "a" * 64, "b" * 64, "c" * 64
LONG = "x\n" * 100_000
HASHES = f"{C},{'0' * 16}"


def table(folder: Path, text: str | bytes) -> Path:
    path = folder / "known.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "row 1: no known files"),
        ("path,verdict\na.jpg,real\n", "row 1: no known files"),
        ("sha256,note\n", "row 1: no known files"),
        (f"sha256,verdit\n{A},real\n", "row 1: unknown column 'verdit'"),
        (f"sha256,verdict,verdict\n{A},real,real\n", "row 1: a column is there twice"),
        (f"sha256,verdict\n{A},real\n{B},fake\n", "row 3: unknown verdict 'fake'"),
        (f"sha256,verdict\n{A},\n", "row 2: neither a verdict nor a kind"),
        (f"sha256,verdict,kind\n{A},real,cartoon\n", "row 2: verdict real with kind cartoon"),
        (f"sha256,kind\n{A},anime\n", "unknown kind 'anime' in .*row 2"),
        ("sha256,verdict\nabc,real\n", "row 2: sha256 'abc': must be 64 hex digits"),
        ("sha256,verdict\n,real\n", "row 2: neither sha256 nor pixel_hash"),
        (f"sha256,pixel_hash,verdict\n{A},{C},real\n", "row 2: pixel_hash and phash belong"),
        (f"sha256,verdict,note\n{A},real,=cmd()\n", "row 2: a note that a spreadsheet would run"),
        (f"sha256,verdict,note\n{A},real,{'x' * 501}\n", "row 2: a note of 501 letters"),
        (f"sha256,verdict\n{A},real,more\n", "row 2: 3 cells instead of 2"),
        (f'sha256,verdict\n{A},"real\n', "row 2: .*correct its quotes"),
        (f"sha256,verdict\n{A},real\0\n", "row 2: bytes that no text holds"),
        (f"sha256,verdict\n{A},\xff\n".encode("latin-1"), "row 2: not UTF-8"),
        (f"sha256,verdict\n{A},{'x' * 100_000}\n", "row 2: a line of more than 65,536 bytes"),
        (f'sha256,verdict\n{A},"{LONG}"\n', "row 2: field larger than field limit"),
        ("\ufeffsha256,verdict\n".encode("utf-16"), "in UTF-16: save it as CSV in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "row 1: "),
        (
            f"sha256,verdict\n{A},real\n{B},real\n{A},artificial\n",
            r"rows 2 and 4 decide differently of one file \(real and artificial\)",
        ),
        (
            f"sha256,kind\n{A},cartoon\n{A},sketch\n{A},cartoon\n",
            r"decide differently of one file \(artificial (cartoon|sketch) and artificial",
        ),
        (
            f"sha256,pixel_hash,phash,verdict\n{A},{HASHES},real\n{B},{HASHES},uncertain\n",
            "rows 2 and 3 decide differently of one picture",
        ),
        ("sha256,verdict\n" + f"{A},real\n" * 65, "more than 64 rows of one sha256"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_that_names_the_row(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    with pytest.raises(FacecheckError, match=said) as found:
        open_known(table(tmp_path, text))
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 400


@pytest.mark.parametrize(
    "text",
    [
        f"sha256,verdict\n{A},real\n{A},real\n",
        f"\ufeffSHA256;Verdict\r\n{A.upper()};real\r\n",
        f"sha256\tkind\n{A}\tphoto\n\n",
        f'verdict,note,sha256\nreal,"of two\nlines, and more",{A}\n',
        f"sha256,verdict,kind\n{A},real,\n{A},real,photo\n",
    ],
)
def test_what_people_and_spreadsheets_write_is_read(tmp_path: Path, text: str) -> None:
    known = open_known(table(tmp_path, text))
    assert set(known.known.verdicts) == {"real"}
    match = known.row_of(Entry(sha256=A))
    assert match is not None
    assert match.verdict == "real"
    assert known.row_of(Entry(sha256=B)) is None
