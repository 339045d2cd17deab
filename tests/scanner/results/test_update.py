from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.options import ResultOptions
from facecheck.scanner.results.rows import FORMATS, read_rows
from facecheck.scanner.results.sink import FileSink, read_meta
from facecheck.scanner.results.update import Updated, UpdateSink
from tests.scanner.items import (
    COLUMNS,
    FACTS,
    HOSTILE,
    SIZE,
    chunks_of,
    fake,
    judged,
    named,
    open_sink,
    rows_of,
)

ITEMS = named([*HOSTILE, *(f"more/{number}.jpg" for number in range(30))])


def scanned(out: Path, items: Sequence[Item], **options: Any) -> bytes:
    with open_sink(out, **options) as sink:
        for chunk in chunks_of(sink, items):
            sink.write(chunk, judged(chunk, sink))
        sink.finish()
    return out.read_bytes()


def updated(
    out: Path,
    items: Sequence[Item],
    most: int | None = None,
    facts: dict[str, Any] = FACTS,
    **options: Any,
) -> tuple[Updated | None, list[str]]:
    """Update; return what was found and what was classified, None where it was interrupted."""
    classified: list[str] = []
    with UpdateSink(out, COLUMNS, facts, ResultOptions(update=True, **options)) as sink:
        for count, chunk in enumerate(sink.todo(items, SIZE)):
            if count == most:
                return None, classified
            classified += [item.name for item in chunk.items]
            sink.write(chunk, judged(chunk, sink))
        sink.finish()
        return sink.updated, classified


def changed() -> tuple[list[Item], list[str]]:
    """Return the items with three that are new, two changed and two gone; and what to classify."""
    items = list(ITEMS)
    items[3] = dataclasses.replace(items[3], mtime_ns=7)
    items[20] = dataclasses.replace(items[20], size=7)
    classified = [items[3].name, items[20].name, "new-a.jpg", "new-b.jpg", "new-c.jpg"]
    del items[30], items[5]
    for place, name in ((0, "new-a.jpg"), (17, "new-b.jpg"), (len(items), "new-c.jpg")):
        items.insert(place, fake(name))
    return items, classified


@pytest.mark.parametrize(
    "options", [{}, {"only": ("artificial",)}, {"raw_paths": True}, {"excel": True}]
)
@pytest.mark.parametrize("suffix", FORMATS)
def test_an_update_is_the_scan_that_would_have_been_from_scratch(
    tmp_path: Path, suffix: str, options: dict[str, Any]
) -> None:
    if options.get("excel") and suffix != ".csv":
        return
    out, whole = tmp_path / f"r{suffix}", tmp_path / f"whole{suffix}"
    scanned(out, ITEMS, **options)
    items, wanted = changed()
    found, classified = updated(out, items, drop_gone=True, **options)
    assert found == Updated(3, 2, len(ITEMS) - 4, 2, "dropped")
    assert sorted(classified) == sorted(wanted)
    assert out.read_bytes() == scanned(whole, items, **options)
    counts = [{k: read_meta(path)[k] for k in ("items", "rows", "tally")} for path in (out, whole)]
    assert counts[0] == counts[1]
    assert sorted(os.listdir(tmp_path)) == sorted(
        f"{path.name}{end}" for path in (out, whole) for end in ("", ".journal", ".meta.json")
    )


def test_rows_of_files_that_are_gone_stay_and_are_last(tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    scanned(out, ITEMS)
    before = out.read_bytes().splitlines(keepends=True)
    items, _ = changed()
    found, _ = updated(out, items)
    assert found is not None
    assert (found.gone, found.gone_rows) == (2, "kept")
    whole = scanned(tmp_path / "whole.csv", items)
    content = out.read_bytes()
    assert content.startswith(whole)
    last = list(read_rows(out, COLUMNS))[len(list(read_rows(tmp_path / "whole.csv", COLUMNS))) :]
    assert {row["path"] for row in last} == {ITEMS[5].name.replace("-rf", "./-rf"), ITEMS[30].name}
    kept = set(before) & set(content.splitlines(keepends=True))
    assert len(kept) >= len(before) - 4
    # They come back where they belong.
    again, classified = updated(out, ITEMS)
    assert again == Updated(0, 2, len(ITEMS) - 2, 3, "kept")
    assert sorted(classified) == sorted([ITEMS[3].name, ITEMS[20].name])


@pytest.mark.parametrize("suffix", FORMATS)
def test_nothing_new_leaves_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"r{suffix}"
    content = scanned(out, ITEMS)
    assert updated(out, ITEMS) == (Updated(0, 0, len(ITEMS), 0, "kept"), [])
    assert out.read_bytes() == content
    shuffled = random.Random(1).sample(ITEMS, len(ITEMS))
    assert updated(out, shuffled)[1] == []
    assert out.read_bytes() == scanned(tmp_path / f"whole{suffix}", shuffled)
    found, _ = updated(out, [])
    assert found == Updated(0, 0, 0, len(ITEMS), "kept")


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_update_that_is_cut_anywhere_continues_to_the_same_bytes(
    tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"r{suffix}"
    old = scanned(out, ITEMS)
    items, _ = changed()
    items += named(f"z/{number}.jpg" for number in range(20))
    updated(out, items)
    whole, meta = out.read_bytes(), read_meta(out)
    for most in range(6):
        (tmp_path / f"{out.name}.journal").unlink()
        out.unlink()
        assert scanned(out, ITEMS) == old
        assert updated(out, items, most)[0] is None
        assert out.read_bytes() == old  # until the end
        with (tmp_path / f"{out.name}.update").open("ab") as rows:
            rows.write(b"half of a ro")
        found, classified = updated(out, items)
        assert found is not None
        assert found.new == 23
        assert len(classified) < 25 or not most
        assert out.read_bytes() == whole
        assert read_meta(out) == meta
        assert not list(tmp_path.glob("*.update*"))


def test_other_models_and_options_are_refused_by_name(tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    content = scanned(out, ITEMS)
    with pytest.raises(UsageError, match="cannot be updated: stability was 0 and is 4: "):
        updated(out, ITEMS, facts={**FACTS, "stability": 4})
    with pytest.raises(UsageError, match="cannot be updated: checkpoint_sha256 was"):
        updated(out, ITEMS, facts={**FACTS, "checkpoint_sha256": "cd" * 32})
    with pytest.raises(UsageError, match=r"only was \[\] and is \[\"real\"\]"):
        updated(out, ITEMS, only=("real",))
    updated(out, ITEMS, facts={**FACTS, "batch_size": 8})  # no row depends on it
    assert out.read_bytes() == content


@pytest.mark.parametrize("suffix", FORMATS)
def test_results_that_were_changed_are_refused(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"r{suffix}"
    scanned(out, ITEMS)
    scanned(tmp_path / f"other{suffix}", ITEMS[1:])
    (tmp_path / f"other{suffix}").replace(out)
    with pytest.raises(FacecheckError, match="was changed since the scan"):
        updated(out, ITEMS)
    assert not list(tmp_path.glob("*.before*"))
    (tmp_path / f"r{suffix}.journal").unlink()
    with pytest.raises(UsageError, match=r"r\S+.journal next to it, which is not there"):
        updated(out, ITEMS)


def test_a_line_more_is_noticed(tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    scanned(out, ITEMS)
    with out.open("ab") as rows:
        rows.write(b"a.jpg,ok,real,photo,0.100000,1,\n")
    with pytest.raises(FacecheckError, match="was changed since the scan"):
        updated(out, ITEMS)


def test_the_same_file_named_twice_is_no_other_file(tmp_path: Path) -> None:
    out, twice = tmp_path / "r.csv", [*ITEMS, ITEMS[2], ITEMS[2]]
    content = scanned(out, twice)
    assert updated(out, twice) == (Updated(0, 0, len(twice), 0, "kept"), [])
    assert out.read_bytes() == content
    found, _ = updated(out, ITEMS)
    assert found == Updated(0, 0, len(ITEMS), 0, "kept")


def test_a_thousand_kept_files_are_one_chunk(tmp_path: Path) -> None:
    out, many = tmp_path / "r.csv", named(f"{number:04}.jpg" for number in range(1000))
    scanned(out, many)
    with UpdateSink(out, COLUMNS, FACTS, ResultOptions(update=True)) as sink:
        chunks = list(sink.todo([*many, fake("new.jpg")], SIZE))
    assert len(chunks) == 1
    assert [item.name for item in chunks[0].items] == ["new.jpg"]


@pytest.mark.parametrize(
    "options",
    [{"update": True, "overwrite": True}, {"update": True, "verify": True}, {"drop_gone": True}],
)
def test_what_is_at_odds_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ResultOptions(**options)


def test_rows_are_of_the_stand_in() -> None:
    """The tests above would pass without rows."""
    assert sum(len(rows_of(item)) for item in ITEMS) > len(ITEMS)
    assert issubclass(UpdateSink, FileSink)
