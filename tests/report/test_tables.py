"""Tables and paths at every width: nothing is cut off in silence."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable

import pytest
from rich.console import Console, RenderableType

from facecheck.report.terminal.tables import count_table, cut_middle, make_table

WIDTHS = (20, 40, 60, 80, 120, 160)


def shown(table: RenderableType, width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(table)
    return stream.getvalue()


def words(lines: Iterable[str]) -> set[str]:
    return set(re.findall(r"[^\s;:]+", " ".join(lines)))


@pytest.mark.parametrize("width", WIDTHS)
def test_headings_and_numbers_are_whole_at_every_width(width: int) -> None:
    headings = ("kind", "source", "images", "right of these", "metadata alone", "95 % interval")
    table = make_table(*headings)
    rows = [
        ("generated", "stylegan-256", "1,000,000", "93.33 %", "100.00 %", "91.0 to 95.1"),
        ("photo", "ffhq-256", "12", "100.00 %", "-", "2.5 to 97.5"),
    ]
    for row in rows:
        table.add_row(*row)
    text = shown(table, width)
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    # A paragraph is named by the words that it begins with, which need no heading.
    assert words([*headings[2:], *(cell for row in rows for cell in row)]) <= words([text])
    if width >= 60:
        assert "91.0 to 95.1" in text
    assert "…" not in text


@pytest.mark.parametrize("width", WIDTHS)
def test_a_path_keeps_its_name_at_every_width(width: int) -> None:
    path = "/home/somebody/data/raw/photo/ffhq-256/portraits/0001/IMG_20230401_123456.jpg"
    table = make_table("file", "in", "belongs with", "which is in", "reason")
    table.add_row(path, "train", path.replace("123456", "654321"), "test", "same picture")
    text = shown(table, width)
    joined = "".join(text.split()) if width < 60 else text
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    assert "123456.jpg" in joined
    assert "654321.jpg" in joined
    for heading in ("belongs", "which", "reason"):
        assert heading in text


def test_a_reason_with_a_path_is_broken_between_words_and_cut_in_the_path() -> None:
    said = "/data/raw/photo/ffhq-256/a-very-long-folder-name/00193.jpg: the file is not there"
    text = shown(count_table("reason", {said: 1}), 60)
    assert "00193.jpg: " in text.replace("\n", " ")
    assert "is not there" in " ".join(text.split())


def test_sections_and_styles_stay() -> None:
    table = make_table("kind", "images")
    table.add_row("photo", "1")
    table.add_row("all", "1", style="bold")
    assert shown(table, 80).splitlines() == ["kind   images", "photo       1", "all         1"]


@pytest.mark.parametrize(
    ("text", "width", "cut"),
    [
        ("short.jpg", 20, "short.jpg"),
        ("data/raw/photo/ffhq/000123.png", 16, "data…/000123.png"),
        ("data/raw/photo/ffhq/the-first-of-all.png", 24, "da…/the-first-of-all.png"),
        ("data/raw/a-name-that-is-much-too-long.png", 16, "data/…o-long.png"),
        ("ab", 1, "…"),
        ("日本語の写真.png", 9, "日…真.png"),
    ],
)
def test_the_middle_is_left_out(text: str, width: int, cut: str) -> None:
    assert cut_middle(text, width) == cut
