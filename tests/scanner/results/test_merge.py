from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.results.merge import merge
from facecheck.scanner.results.rows import FORMATS, read_rows
from tests.scanner.items import COLUMNS, FACTS, HOSTILE, named, open_sink, write_some

ITEMS = named([*HOSTILE, *(f"more/{number}.jpg" for number in range(60))])


def scanned(out: Path, items: Sequence[Item], **options: Any) -> Path:
    with open_sink(out, **options) as sink:
        write_some(sink, items, sharded="shard" in options)
        sink.finish()
    return out


def shards(folder: Path, suffix: str, of: int, items: Sequence[Item], **options: Any) -> list[Path]:
    return [
        scanned(
            folder / f"part{number}{suffix}",
            [item for item in items if crc32(item.name.encode()) % of == number - 1],
            shard=(number, of),
            **options,
        )
        for number in range(1, of + 1)
    ]


@pytest.mark.parametrize("options", [{}, {"only": ["artificial"]}, {"raw_paths": True}])
@pytest.mark.parametrize("suffix", FORMATS)
def test_the_shards_become_the_bytes_of_one_scan(
    tmp_path: Path, suffix: str, options: dict[str, Any]
) -> None:
    whole = scanned(tmp_path / f"whole{suffix}", ITEMS, **options)
    parts = shards(tmp_path, suffix, 5, ITEMS, **options)
    out = tmp_path / f"merged{suffix}"
    result = merge(out, parts[::-1])
    assert out.read_bytes() == whole.read_bytes()
    assert result.parts == tuple(parts)
    assert result.files == len(ITEMS)
    assert not [name for name in os.listdir(tmp_path) if "lock" in name or name.startswith(".")]
    before, after = (json.loads((tmp_path / f"{p.name}.meta.json").read_text())
                     for p in (whole, out))  # fmt: skip
    assert before == after


def test_the_mark_for_spreadsheets_is_there_once(tmp_path: Path) -> None:
    whole = scanned(tmp_path / "whole.csv", ITEMS, excel=True)
    parts = shards(tmp_path, ".csv", 2, ITEMS, excel=True)
    out = tmp_path / "merged.csv"
    merge(out, parts)
    assert out.read_bytes() == whole.read_bytes()
    assert whole.read_bytes().startswith("\ufeffpath,".encode())
    assert whole.read_bytes().count("\ufeff".encode()) == 1
    plain = scanned(tmp_path / "plain.csv", ITEMS)
    assert list(read_rows(whole, COLUMNS)) == list(read_rows(plain, COLUMNS))
    with pytest.raises(UsageError, match=r"--excel is for CSV"):
        scanned(tmp_path / "other.jsonl", ITEMS, excel=True)


def test_shards_of_any_format_merge_into_any(tmp_path: Path) -> None:
    whole = scanned(tmp_path / "whole.parquet", ITEMS)
    parts = shards(tmp_path, ".jsonl", 2, ITEMS)
    merge(tmp_path / "merged.parquet", parts)
    assert (tmp_path / "merged.parquet").read_bytes() == whole.read_bytes()


def test_a_shard_that_was_interrupted_merges_like_any_other(tmp_path: Path) -> None:
    whole = scanned(tmp_path / "whole.csv", ITEMS)
    mine = [item for item in ITEMS if crc32(item.name.encode()) % 2 == 0]
    with open_sink(tmp_path / "part1.csv", shard=(1, 2)) as sink:
        write_some(sink, mine, 3, sharded=True)
    parts = shards(tmp_path, ".csv", 2, ITEMS)
    merge(tmp_path / "merged.csv", parts)
    assert (tmp_path / "merged.csv").read_bytes() == whole.read_bytes()


def test_shards_that_are_missing_twice_or_strange_are_named(tmp_path: Path) -> None:
    out = tmp_path / "merged.csv"
    parts = shards(tmp_path, ".csv", 4, ITEMS)
    with pytest.raises(UsageError, match=r"4 shards of one scan \(missing: 2/4, 4/4\)"):
        merge(out, [parts[0], parts[2]])
    again = scanned(tmp_path / "again.csv", [], shard=(1, 4))
    with pytest.raises(UsageError, match="twice: 1/4"):
        merge(out, [*parts, again])
    other = scanned(tmp_path / "other.csv", [], shard=(1, 2))
    with pytest.raises(UsageError, match="missing: 1/4; of another split: 1/2"):
        merge(out, [*parts[1:], other])
    with pytest.raises(UsageError, match="named twice"):
        merge(out, [*parts, parts[0]])
    with pytest.raises(UsageError, match="no parts"):
        merge(out, [])
    assert not out.exists()


def test_parts_of_different_models_or_columns_are_refused(tmp_path: Path) -> None:
    parts = shards(tmp_path, ".csv", 2, ITEMS)
    facts = {**FACTS, "checkpoint_sha256": "cd"}
    other = scanned(tmp_path / "other.csv", [], shard=(2, 2), facts=facts)
    with pytest.raises(UsageError, match="differ in checkpoint_sha256"):
        merge(tmp_path / "merged.csv", [parts[0], other])
    whole = scanned(tmp_path / "whole.csv", ITEMS)
    (tmp_path / "whole.csv.journal").touch()
    with pytest.raises(UsageError, match="not a shard"):
        merge(tmp_path / "merged.csv", [parts[0], whole])


def test_parts_that_were_changed_or_saw_other_files_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "merged.csv"
    (tmp_path / "a").mkdir()
    first, second = shards(tmp_path / "a", ".csv", 2, ITEMS)
    (tmp_path / "b").mkdir()
    _, later = shards(tmp_path / "b", ".csv", 2, named(["new", *(i.name for i in ITEMS)]))
    with pytest.raises(FacecheckError, match="did not see the same files"):
        merge(out, [first, later])
    assert not out.exists()
    second.write_bytes(second.read_bytes().replace(b"photo", b"phony", 1))
    with pytest.raises(FacecheckError, match="not the bytes its scan wrote"):
        merge(out, [first, second])
    (tmp_path / "a" / "part2.csv.journal").unlink()
    with pytest.raises(UsageError, match=r"part2.csv.journal is not there"):
        merge(out, [first, second])


def test_an_output_that_is_there_is_kept(tmp_path: Path) -> None:
    parts = shards(tmp_path, ".csv", 2, ITEMS)
    out = tmp_path / "merged.csv"
    out.write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        merge(out, parts)
    with pytest.raises(UsageError, match="one of the parts"):
        merge(parts[0], parts, overwrite=True)
    merge(out, parts, overwrite=True)
    assert out.read_bytes() == scanned(tmp_path / "whole.csv", ITEMS).read_bytes()
    with pytest.raises(FacecheckError, match="cannot be written"):
        merge(Path("/proc/facecheck/r.csv"), parts)
