"""Plain words: what docs/architecture.md says to avoid is nowhere in what users and readers see."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import facecheck

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs" / "architecture.md"
SUFFIXES = {".py", ".yaml", ".yml", ".j2", ".js", ".css", ".md"}
PLACES = [
    *(path for path in Path(facecheck.__file__).parent.rglob("*") if path.suffix in SUFFIXES),
    *(path for path in (ROOT / "docs").rglob("*") if path.suffix in SUFFIXES),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
]
#: Names that say nothing, or something else, of what they stand for.
VAGUE = r"^class (Ready|Given|Told|Passed|Cues|Insight)\b"


def avoided() -> list[str]:
    """Return the phrases on the left of the glossary's table of words to avoid."""
    table = GLOSSARY.read_text().split("## Words to avoid")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| .+ \|$", table, re.MULTILINE)
    return [phrase for row in rows if row != "avoid" for phrase in row.split(", ")]


def text_of(path: Path) -> str:
    """Return a file's text, lines joined, without the glossary's own table."""
    text = path.read_text()
    if path == GLOSSARY:
        before, table = text.split("## Words to avoid")
        text = before + table.split("\n## ", 1)[1]
    # Over the ends of lines, with what comments and strings begin and end with there.
    return re.sub(r"[\s\"#*f]*\n[\s\"#:*f]*", " ", text)


def test_the_glossary_is_read() -> None:
    assert {"anew", "beside", "gone on with"} <= set(avoided())
    assert len(PLACES) > 200


@pytest.mark.parametrize("phrase", avoided())
def test_words_to_avoid_are_avoided(phrase: str) -> None:
    word = re.compile(rf"\b{re.escape(phrase)}\b", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}: …{text[max(0, hit.start() - 40) : hit.end() + 40]}…"
        for path in PLACES
        for text in (text_of(path),)
        for hit in word.finditer(text)
    ]
    assert not found, "\n".join(["say it otherwise (docs/architecture.md):", *found])


def test_classes_have_names_that_say_what_they_are() -> None:
    found = [path for path in PLACES if re.search(VAGUE, path.read_text(), re.MULTILINE)]
    assert not found
