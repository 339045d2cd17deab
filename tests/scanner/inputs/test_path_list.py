"""Lists of paths as Windows and Macs write them."""

from __future__ import annotations

import codecs
import io
import unicodedata
from pathlib import Path
from typing import Literal

import pytest

from facecheck.scanner.inputs.items import find_inputs
from facecheck.scanner.options import InputOptions

NAMES = ["a.jpg", "b c.jpg", "é.jpg"]
NFC: Literal["NFC"] = "NFC"
NFD: Literal["NFD"] = "NFD"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        Path(name).touch()


def listed(content: bytes) -> list[str]:
    return [item.name for item in find_inputs(["-"], stdin=io.BytesIO(content))]


@pytest.mark.parametrize("ending", ["\n", "\r\n", " \r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_lists_of_windows_are_read(encoding: str, ending: str, quote: str) -> None:
    text = "".join(f"{quote}{name}{quote}{ending}" for name in NAMES)
    assert listed(text.encode(encoding)) == NAMES


def test_names_of_one_letter_between_zeros_are_told_from_utf16_by_null() -> None:
    for name in "abcdef":
        Path(name).touch()
    content = b"a\0b\0c\0d\0e\0f\0"
    listed = find_inputs(["-"], InputOptions(null=True), stdin=io.BytesIO(content))
    assert [item.name for item in listed] == list("abcdef")


@pytest.mark.slow
def test_a_big_endian_list_is_read_in_blocks_of_any_size() -> None:
    text = codecs.BOM_UTF16_BE + "\r\n".join(NAMES * 20_000).encode("utf-16-be")
    assert listed(text) == NAMES * 20_000


def test_a_file_that_is_called_so_comes_before_what_a_program_may_have_added() -> None:
    for name in ("a.jpg\r", "'a.jpg'", "a.jpg "):
        Path(name).touch()
    assert listed(b"a.jpg\r\n'a.jpg'\na.jpg \n") == ["a.jpg\r", "'a.jpg'", "a.jpg "]


@pytest.mark.parametrize("form", [NFC, NFD])
def test_a_name_is_found_in_the_other_unicode_form(form: Literal["NFC", "NFD"]) -> None:
    there, asked = (unicodedata.normalize(each, "ü.jpg") for each in (form, NFC))
    Path(there).touch()
    assert listed(f"{asked}\n".encode()) == [there]
    assert listed(f"{unicodedata.normalize(NFD, asked)}\n".encode()) == [there]


def test_what_is_not_there_is_named_without_what_was_added() -> None:
    assert listed(b'"gone.jpg"\r\n') == ["gone.jpg"]
