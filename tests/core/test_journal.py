from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from facecheck.core.journal import Entry, Journal


def pair(value: Any) -> tuple[str, int]:
    return str(value["name"]), int(value["count"])


@pytest.fixture
def journal(tmp_path: Path) -> Journal[tuple[str, int]]:
    return Journal(tmp_path / "work" / "done.jsonl", pair)


def test_what_is_appended_is_read_back(journal: Journal[tuple[str, int]]) -> None:
    assert journal.values() == []
    with journal:
        journal.append({"name": "b\n\udcff\u2028", "count": 1}, {"name": "a", "count": 2})
        journal.append()
        journal.append({"name": "c", "count": 3}, sync=True)
    assert journal.values() == [("b\n\udcff\u2028", 1), ("a", 2), ("c", 3)]
    assert journal.path.read_bytes().count(b"\n") == 3


def test_a_file_cut_at_any_byte_keeps_its_whole_lines(journal: Journal[tuple[str, int]]) -> None:
    with journal:
        journal.append(*({"name": "é" * 20, "count": number} for number in range(4)))
    whole = journal.path.read_bytes()
    for cut in range(len(whole) + 1):
        journal.path.write_bytes(whole[:cut])
        lines = whole[:cut].count(b"\n")
        assert [count for _, count in journal.values()] == list(range(lines))
        assert journal.dropped == 0
        with journal:
            journal.append({"name": "next", "count": 9})
        assert [count for _, count in journal.values()] == [*range(lines), 9]
        assert journal.dropped == 0


def test_a_cut_line_longer_than_a_block_is_removed(journal: Journal[tuple[str, int]]) -> None:
    with journal:
        journal.append({"name": "a", "count": 1})
    with journal.path.open("ab") as stream:
        stream.write(b"x" * 200_000)
    with journal:
        journal.append({"name": "b", "count": 2})
    assert journal.values() == [("a", 1), ("b", 2)]


def test_bad_lines_are_dropped_and_counted(journal: Journal[tuple[str, int]]) -> None:
    bad = (b"no json", b"", b"[]", b"7", b"{}", b'{"name": 1, "count": "x"}', b"\xff", b"[" * 9999)
    journal.path.parent.mkdir()
    good = b'{"name": "a", "count": 1}'
    journal.path.write_bytes(b"\n".join([*bad, good, b""]))
    assert journal.values() == [("a", 1)]
    assert journal.dropped == len(bad)
    assert journal.head() is None


def test_it_is_read_from_and_cut_at_the_end_of_an_entry(journal: Journal[tuple[str, int]]) -> None:
    with journal:
        journal.append("the head", *({"name": name, "count": 1} for name in "abc"))
        head = journal.head()
        assert head == Entry("the head", 11)
        first, second, _ = journal.entries(head.end)
        assert [entry.value[0] for entry in journal.entries(first.end)] == ["b", "c"]
        journal.truncate(second.end)
        journal.append({"name": "d", "count": 1})
    assert [name for name, _ in journal.values()] == ["a", "b", "d"]
    journal.replace([{"name": "e", "count": 1}])
    assert [name for name, _ in journal.values()] == ["e"]


def test_a_process_that_is_killed_has_lost_nothing_it_appended(
    journal: Journal[tuple[str, int]],
) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from facecheck.core.journal import Journal
with Journal(Path(sys.argv[1]), str) as journal:
    for number in range(500):
        journal.append({"name": "a", "count": number})
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, str(journal.path)], check=False)
    assert [count for _, count in journal.values()] == list(range(500))
