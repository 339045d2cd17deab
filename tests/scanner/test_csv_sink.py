from __future__ import annotations

from pathlib import Path

import pytest

from facecheck.scanner.csv_sink import COLUMNS, CsvSink

FACTS = {"checkpoint_sha256": "ab", "batch_size": 2}
FILES = ["a.jpg", 'b "q", x.jpg', "c\nd.jpg", "e.jpg", "f.jpg"]


def row(name: str) -> list[str]:
    return [name, "ok", "real", "photo", *[""] * (len(COLUMNS) - 4)]


def write_all(out: Path) -> bytes:
    with CsvSink(out, FACTS, FILES, 2) as sink:
        for start in range(sink.done, len(FILES), 2):
            sink.write([row(name) for name in FILES[start : start + 2]])
        sink.finish()
    assert sink.tally == {("ok", "real", "photo"): len(FILES)}
    return out.read_bytes()


def test_a_run_cut_at_any_byte_continues_to_the_same_bytes(tmp_path: Path) -> None:
    whole = write_all(tmp_path / "whole.csv")
    header = whole.index(b"\n") + 1
    resumed = set()
    for cut in range(len(whole) + 1):
        out = tmp_path / "cut.csv"
        with CsvSink(out, FACTS, FILES, 2):
            pass
        (tmp_path / "cut.csv.partial").write_bytes(whole[:cut])
        with CsvSink(out, FACTS, FILES, 2) as sink:
            resumed.add(sink.done)
            assert cut < header or sink.partial.stat().st_size <= max(cut, header)
        assert write_all(out) == whole
        out.unlink()
    assert resumed == {0, 2, 4}


@pytest.mark.parametrize(
    ("facts", "files"),
    [({**FACTS, "checkpoint_sha256": "cd"}, FILES), (FACTS, ["z.jpg", *FILES[1:]])],
)
def test_another_model_or_other_files_start_anew(
    tmp_path: Path, facts: dict[str, object], files: list[str]
) -> None:
    out = tmp_path / "r.csv"
    with CsvSink(out, FACTS, FILES, 2) as sink:
        sink.write([row(name) for name in FILES[:2]])
    with CsvSink(out, FACTS, FILES, 2) as again:
        assert again.done == 2
    with CsvSink(out, facts, files, 2) as other:
        assert other.done == 0
        assert not other.tally


def test_when_finished_only_the_results_are_left(tmp_path: Path) -> None:
    write_all(tmp_path / "new" / "r.csv")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["r.csv"]
