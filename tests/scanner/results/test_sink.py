from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.scanner.chunking import Chunk, cut, not_seen_before
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.options import ResultOptions
from facecheck.scanner.results.rows import FORMATS, read_rows
from facecheck.scanner.results.sink import ArrivalSink, StreamSink
from tests.scanner.items import (
    COLUMNS,
    FACTS,
    HOSTILE,
    SIZE,
    chunks_of,
    fake,
    holding,
    judged,
    named,
    open_sink,
    rows_of,
    write_some,
)

ROOT = Path(__file__).parents[3]
ITEMS = named([*HOSTILE, *(f"more/{number}.jpg" for number in range(12))])


def write_all(out: Path, items: Sequence[Item] = ITEMS, **options: Any) -> bytes:
    with open_sink(out, **options) as sink:
        assert write_some(sink, items, sharded="shard" in options)
        sink.finish()
    return out.read_bytes()


def test_each_item_has_its_rows_in_order(tmp_path: Path) -> None:
    for suffix in FORMATS:
        write_all(tmp_path / f"r{suffix}", raw_paths=True)
        rows = list(read_rows(tmp_path / f"r{suffix}", COLUMNS))
        assert [row["path"] for row in rows] == [
            row["path"] for item in ITEMS for row in rows_of(item)
        ]


def test_when_finished_the_results_and_how_they_were_made_are_left(tmp_path: Path) -> None:
    out = tmp_path / "new" / "r.csv"
    content = write_all(out)
    assert sorted(os.listdir(tmp_path / "new")) == ["r.csv", "r.csv.journal", "r.csv.meta.json"]
    meta = json.loads((tmp_path / "new" / "r.csv.meta.json").read_text())
    assert meta["items"] == len(ITEMS)
    assert meta["rows"] == content.count(b'"damaged') + content.count(b",ok,")
    assert meta["sha256"] == hashlib.sha256(content).hexdigest()
    assert meta["checkpoint_sha256"] == FACTS["checkpoint_sha256"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_scan_cut_anywhere_continues_to_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    """Either file at many lengths, the other one whole."""
    whole = write_all(tmp_path / f"whole{suffix}")
    out = tmp_path / f"cut{suffix}"
    with open_sink(out) as sink:
        write_some(sink, ITEMS)
    rows, journal = sink.rows_path.read_bytes(), sink.journal.path.read_bytes()
    assert rows == whole
    done = set()
    cuts = [(cut, len(journal)) for cut in range(0, len(rows), 41)]
    cuts += [(len(rows), cut) for cut in range(0, len(journal), 61)]
    cuts.append((len(rows), len(journal)))
    for rows_cut, journal_cut in cuts:
        sink.rows_path.write_bytes(rows[:rows_cut])
        sink.journal.path.write_bytes(journal[:journal_cut])
        with open_sink(out) as again:
            assert write_some(again, ITEMS)
            done.add(again.resumed)
        assert again.rows_path.read_bytes() == rows
        assert again.journal.path.read_bytes() == journal
        assert again.tally == sink.tally
        assert again.rows == sink.rows
    assert done == {0, 4, 8, 12, 16, 20, 24, 27}


def test_rows_changed_by_another_hand_are_written_again(tmp_path: Path) -> None:
    whole = write_all(tmp_path / "whole.csv")
    out = tmp_path / "r.csv"
    with open_sink(out) as sink:
        write_some(sink, ITEMS, 4)
    content = bytearray(sink.rows_path.read_bytes())
    place = content.index(b"caf")
    content[place] ^= 1
    sink.rows_path.write_bytes(content)
    assert write_all(out) == whole
    with open_sink(tmp_path / "other.csv") as sink:
        write_some(sink, ITEMS, 4)
    sink.rows_path.write_bytes(content)
    with open_sink(tmp_path / "other.csv") as sink:
        next(iter(chunks_of(sink, ITEMS)))
    assert sink.resumed == 8
    assert sink.dropped == "8 of 16 files keep their rows: the rows behind them are damaged"


@pytest.mark.parametrize(
    ("change", "done", "why"),
    [
        (lambda items: items, 12, ""),
        (lambda items: [*items, fake("new")], 12, ""),
        (lambda items: [*items[:5], dataclasses.replace(items[5], mtime_ns=2), *items[6:]], 4,
         r"4 of 12 files keep their rows: between '=cmd\(\).jpg' and '\\tt.jpg' files are new, "
         "gone or changed"),
        (lambda items: [*items[:5], dataclasses.replace(items[5], size=2), *items[6:]], 4, "4 of"),
        (lambda items: items[1:], 0, "0 of 12"),
        (lambda items: [fake("new"), *items], 0, "0 of 12"),
        (lambda items: items[:8], 8, "8 of 12 files keep their rows: the files after them are gon"),
        (lambda items: items[:10], 8, "8 of 12"),
        (lambda items: [], 0, "0 of 12"),
    ],
)  # fmt: skip
def test_what_changed_is_judged_again_and_said(
    tmp_path: Path, change: Any, done: int, why: str
) -> None:
    out = tmp_path / "r.csv"
    with open_sink(out) as sink:
        write_some(sink, ITEMS, 3)
    now = change(ITEMS)
    with open_sink(out) as sink:
        assert write_some(sink, now)
        assert sink.resumed == done
        assert re.match(why, sink.dropped)
        assert bool(sink.dropped) == bool(why)
        sink.finish()
    assert out.read_bytes() == write_all(tmp_path / "whole.csv", now)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"facts": {**FACTS, "checkpoint_sha256": "cd"}}, "checkpoint_sha256 was .* and is \"cd\""),
        ({"facts": {**FACTS, "more": 1}}, "more was null and is 1"),
        ({"raw_paths": True}, "raw_paths was false and is true"),
        ({"excel": True}, "excel was false and is true"),
        ({"only": ["artificial"]}, "only was"),
        ({"shard": (1, 2)}, "shard was"),
    ],
)  # fmt: skip
def test_another_model_or_other_options_start_anew_and_say_so(
    tmp_path: Path, options: dict[str, Any], why: str
) -> None:
    out = tmp_path / "r.csv"
    with open_sink(out) as sink:
        write_some(sink, ITEMS, 3)
    assert sink.dropped == ""
    with open_sink(out, **options) as sink:
        assert re.search(why, sink.dropped)
        write_some(sink, ITEMS, sharded="shard" in options)
        assert sink.resumed == 0
        sink.finish()
    assert out.read_bytes() == write_all(tmp_path / "whole.csv", **options)


def test_verify_goes_by_content_not_by_time(tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    touched = [dataclasses.replace(item, mtime_ns=2) for item in ITEMS]
    other = [*touched[:9], holding(touched[9], b"other"), *touched[10:]]
    gone = [*touched[:9], holding(touched[9], None), *touched[10:]]
    done = []
    for items in (ITEMS, touched, other, gone, gone):
        with open_sink(out) as sink:
            write_some(sink, items, verify=True)
        done.append(sink.resumed)
    assert done == [0, 27, 8, 8, 27]
    with open_sink(tmp_path / "plain.csv") as sink:
        write_some(sink, ITEMS, 3)
    with open_sink(tmp_path / "plain.csv") as sink:
        write_some(sink, ITEMS, verify=True)
    assert "were not made with --verify" in sink.dropped


def test_only_some_verdicts_are_written_and_all_are_counted(tmp_path: Path) -> None:
    write_all(tmp_path / "all.csv")
    for suffix in FORMATS:
        out, cut = tmp_path / f"r{suffix}", tmp_path / f"cut{suffix}"
        with open_sink(out, only=["artificial"]) as sink:
            write_some(sink, ITEMS)
            sink.finish()
        assert sink.tally.total() > sink.rows > 0
        with open_sink(cut, only=["artificial"]) as again:
            write_some(again, ITEMS, 3)
        with open_sink(cut, only=["artificial"]) as again:
            write_some(again, ITEMS)
            again.finish()
        assert again.resumed == 12
        assert again.tally == sink.tally
        assert cut.read_bytes() == out.read_bytes()
        wanted = [row for row in read_rows(tmp_path / "all.csv", COLUMNS)
                  if row["verdict"] == "artificial"]  # fmt: skip
        assert [row["score"] for row in read_rows(out, COLUMNS)] == [r["score"] for r in wanted]


def test_an_output_that_is_there_is_kept_until_it_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    out.write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        open_sink(out)
    assert os.listdir(tmp_path) == ["r.csv"]
    with open_sink(out, overwrite=True) as sink:
        write_some(sink, ITEMS, 2)
    assert out.read_text() == "mine"
    with open_sink(out, overwrite=True) as sink:
        write_some(sink, ITEMS)
        assert sink.resumed == 8
        sink.finish()
    assert out.read_bytes() == write_all(tmp_path / "whole.csv")


def test_rows_must_be_those_of_the_next_chunk(tmp_path: Path) -> None:
    with open_sink(tmp_path / "r.csv") as sink:
        first, second, *_ = chunks_of(sink, ITEMS)
        for chunk, rows in ((second, judged(second, sink)), (first, judged(first, sink)[1:])):
            with pytest.raises(ValueError, match="chunk 0"):
                sink.write(chunk, rows)
    with open_sink(tmp_path / "r.csv") as sink:
        next(chunks_of(sink, ITEMS))
        with pytest.raises(ValueError, match="without rows"):
            sink.finish()


@pytest.mark.slow
def test_a_second_scan_of_one_output_is_refused(tmp_path: Path) -> None:
    with open_sink(tmp_path / "r.csv") as sink:
        with pytest.raises(FacecheckError, match=f"being written by process {os.getpid()} on"):
            open_sink(tmp_path / "r.csv")
        assert write_some(sink, ITEMS)
        sink.finish()
    assert not (tmp_path / "r.csv.lock").exists()


SCAN = """
import sys, time
from pathlib import Path
from tests.scanner.items import chunks_of, judged, named, open_sink
out, pause = Path(sys.argv[1]), float(sys.argv[2])
items = named(f"{number}.jpg" for number in range(400))
with open_sink(out) as sink:
    print("open", flush=True)
    for chunk in chunks_of(sink, items):
        sink.write(chunk, judged(chunk, sink))
        time.sleep(pause)
    sink.finish()
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_scan_killed_again_and_again_ends_in_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    items = named(f"{number}.jpg" for number in range(400))
    whole = write_all(tmp_path / f"whole{suffix}", items)
    out = tmp_path / f"r{suffix}"
    chance = random.Random(1)
    for _ in range(3):
        command = [sys.executable, "-c", SCAN, str(out), "0.01"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as scan:
            assert scan.stdout is not None
            scan.stdout.readline()
            time.sleep(chance.uniform(0, 0.3))
            scan.send_signal(signal.SIGKILL)
    assert not out.exists()
    subprocess.run([sys.executable, "-c", SCAN, str(out), "0"], cwd=ROOT, check=True)
    assert out.read_bytes() == whole
    left_over = {name for name in os.listdir(tmp_path) if not name.startswith("whole")}
    assert left_over == {out.name, f"{out.name}.journal", f"{out.name}.meta.json"}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_full_disk_is_one_line_and_nothing_is_lost(small_disk: Path, suffix: str) -> None:
    items = named(f"{number}.jpg" for number in range(3000))
    out = small_disk / f"r{suffix}"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(320_000))
    with pytest.raises(FacecheckError, match="No space left") as caught, open_sink(out) as sink:
        write_some(sink, items)
        sink.finish()
    assert "\n" not in str(caught.value)
    ballast.unlink()
    with open_sink(out) as sink:
        assert write_some(sink, items)
        assert 0 < sink.resumed < len(items)
        assert sink.dropped == ""
        sink.finish()
    assert out.read_bytes() == write_all(small_disk.parent / f"whole{suffix}", items)


def test_a_folder_that_takes_no_file_is_one_line(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(FacecheckError, match="cannot be written") as caught:
        open_sink(small_disk / "r.csv")
    assert "\n" not in str(caught.value)


def watched(out: Path, facts: dict[str, Any] = FACTS, *, overwrite: bool = False) -> ArrivalSink:
    return ArrivalSink(out, COLUMNS, facts, ResultOptions(overwrite=overwrite))


def test_arrivals_are_appended_and_no_file_is_classified_twice(tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    arriving: list[Item | None] = [*ITEMS[:3], None, None, *ITEMS[3:8]]
    sizes = []
    with watched(out) as sink:
        for chunk in not_seen_before(arriving, sink.journal, SIZE):
            sizes.append(len(chunk.items))
            sink.write(chunk, judged(chunk, sink))
        sink.finish()
    assert sizes == [3, 4, 1]
    before = out.read_bytes()
    changed = dataclasses.replace(ITEMS[0], mtime_ns=5)
    with watched(out) as sink:
        chunks = list(not_seen_before([*reversed(ITEMS[:10]), changed], sink.journal, SIZE))
        assert [item for chunk in chunks for item in chunk.items] == [ITEMS[9], ITEMS[8], changed]
        assert sink.resumed == 8
        for chunk in chunks:
            sink.write(chunk, judged(chunk, sink))
        sink.finish()
    assert out.read_bytes().startswith(before)
    with pytest.raises(UsageError, match="cannot be continued .*checkpoint_sha256"):
        watched(out, {**FACTS, "checkpoint_sha256": "cd"})
    assert len(out.read_bytes()) > len(before)
    other = tmp_path / "mine.csv"
    other.write_text("mine, not a journal's\n" * 9)
    with pytest.raises(UsageError, match="cannot be continued"):
        watched(other)
    with watched(out, overwrite=True) as sink:
        assert len(list(not_seen_before(ITEMS, sink.journal, SIZE))) == 7
    with pytest.raises(UsageError, match="Parquet cannot grow"):
        watched(tmp_path / "r.parquet")


def test_parquet_rows_are_those_of_csv(tmp_path: Path) -> None:
    write_all(tmp_path / "r.csv", raw_paths=True)
    write_all(tmp_path / "r.parquet")
    table = pl.read_parquet(tmp_path / "r.parquet")
    assert table["path"].to_list() == [
        row["path"] for row in read_rows(tmp_path / "r.csv", COLUMNS)
    ]
    assert table["score"].null_count() == table.filter(pl.col("status") == "error").height > 0


def test_stdout_is_csv_and_its_reader_may_leave(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with StreamSink(stream, COLUMNS) as sink:
        for chunk in cut(ITEMS, SIZE):
            sink.write(chunk, judged(chunk, sink))
        sink.finish()
    assert stream.getvalue() == write_all(tmp_path / "r.csv")
    code = (
        "import itertools, sys\n"
        "from facecheck.scanner.chunking import cut\n"
        "from facecheck.scanner.results.sink import StreamSink\n"
        "from tests.scanner.items import COLUMNS, fake, judged\n"
        "with StreamSink(sys.stdout.buffer, COLUMNS) as sink:\n"
        "    for chunk in cut(itertools.repeat(fake('a.jpg')), 64):\n"
        "        if sink.closed:\n"
        "            break\n"
        "        sink.write(chunk, judged(chunk, sink))\n"
        "    sink.finish()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as scan:
        assert scan.stdout is not None
        assert scan.stderr is not None
        header = scan.stdout.readline().decode()
        scan.stdout.close()
        assert scan.stderr.read() == b""
        assert scan.wait() == 0
    assert next(csv.reader([header])) == list(COLUMNS)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    """Neither while rows are written nor while a scan finds where it was."""
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from tests.scanner.items import chunks_of, fake, open_sink\n"
        "out, count = Path(sys.argv[1]), int(sys.argv[2])\n"
        "for _ in range(2):\n"
        "    with open_sink(out) as sink:\n"
        "        for chunk in chunks_of(sink, (fake(f'{n}.jpg') for n in range(count))):\n"
        "            make = sink.form.maker()\n"
        "            sink.write(chunk, [make([{'path': item.name}]) for item in chunk.items])\n"
        "print(sink.resumed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = []
    for count in (2_000, 60_000):
        command = [sys.executable, "-c", code, str(tmp_path / f"{count}.csv"), str(count)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        found, peak = map(int, done.stdout.split())
        assert found == count
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 4_000  # kB; the rows alone are more


def test_chunks_are_of_the_items_in_order(tmp_path: Path) -> None:
    with open_sink(tmp_path / "r.csv") as sink:
        chunks = list(chunks_of(sink, ITEMS))
    assert [chunk.number for chunk in chunks] == list(range(7))
    assert [item for chunk in chunks for item in chunk.items] == ITEMS
    assert isinstance(chunks[0], Chunk)
