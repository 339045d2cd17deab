"""Archives are listed by another process, whose end is one error."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from facecheck.core.errors import ImageError
from facecheck.scanner.inputs import archives
from facecheck.scanner.inputs.archives import members
from facecheck.scanner.inputs.isolated_listing import BATCH, IsolatedListing
from facecheck.scanner.inputs.items import find_inputs


def packed(path: Path, count: int) -> Path:
    with zipfile.ZipFile(path, "w") as bundle:
        for number in range(count):
            bundle.writestr(f"{number:05}.jpg", f"content {number}")
    return path


def test_it_lists_what_is_listed_here_in_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = [packed(tmp_path / f"{name}.zip", 2 * BATCH + 3) for name in "ab"]
    names = [member.name for member in members(str(two[0]), 0)]
    with IsolatedListing() as lists:
        # Two at a time: the process follows whoever asks.
        both = list(zip(*(lists(str(path), 0) for path in two), strict=True))
        assert [[each.name for each in pair] for pair in both] == [[name] * 2 for name in names]
        assert both[-1][0].read() == f"content {2 * BATCH + 2}".encode()
        monkeypatch.setattr(archives, "open_zip", None)  # which makes the table, in this process
        found = find_inputs([two[0]], lists=lists)
        assert [item.name.partition("::")[2] for item in found] == names


def test_a_listing_that_dies_or_is_damaged_is_one_error(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", 2 * BATCH)
    with IsolatedListing() as lists:
        some = lists(str(path), 0)
        next(some)
        lists._isolated._mine.process._process.kill()
        with pytest.raises(ImageError, match=r"cannot be listed: .*SIGKILL"):
            list(some)
        assert len(list(lists(str(path), 0))) == 2 * BATCH
        path.write_bytes(path.read_bytes()[:5_000])
        with pytest.raises(ImageError, match="damaged"):
            list(lists(str(path), 1))
        packed(path, 2 * BATCH)
        items = list(find_inputs([path], lists=lists))
        assert len(items) == 2 * BATCH
