from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facecheck.known.index import FEW, RADIUS, build, index_path, read
from facecheck.known.lookup import open_known
from facecheck.known.table import Entry

COUNT = 10_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of rows with random hashes; every tenth has no pixels."""
    path = tmp_path_factory.mktemp("known") / "known.csv"
    random = np.random.default_rng(0)
    lines = ["sha256,pixel_hash,phash,verdict"]
    for number in range(COUNT):
        sha, pixels = (random.bytes(32).hex() for _ in range(2))
        has = number % 10 != 0
        phash = random.bytes(8).hex() if has else ""
        lines.append(f"{sha},{pixels if has else ''},{phash},{('real', 'artificial')[number % 2]}")
    path.write_text("\n".join(lines) + "\n")
    return path


def rows(path: Path) -> list[list[str]]:
    return [line.split(",") for line in path.read_text().splitlines()[1:]]


def test_every_row_is_found_again_and_no_other(large: Path) -> None:
    known = open_known(large)
    assert (known.known.rows, known.known.pictures) == (COUNT, COUNT * 9 // 10)
    for sha, pixels, _, verdict in rows(large)[:200]:
        for wanted in (Entry(sha256=sha), Entry(pixel_hash=pixels)):
            found = known.row_of(wanted)
            assert found is None if not (wanted.sha256 or wanted.pixel_hash) else found is not None
            assert found is None or (found.sha256, found.verdict) == (sha, verdict)
        # The same first 64 bits are not the same file.
        assert known.row_of(Entry(sha256=sha[:16] + "0" * 48)) is None


def test_hashes_within_the_radius_are_found_by_their_bands_as_by_comparing_all(
    large: Path,
) -> None:
    with large.open("rb") as stream:
        _, index = build(large, stream, "")
    random = np.random.default_rng(1)
    hashed = [int(row[2], 16) for row in rows(large) if row[2]]
    for number in range(300):
        asked = hashed[number]
        for bit in random.choice(64, int(random.integers(0, RADIUS + 3)), replace=False).tolist():
            asked ^= 1 << bit
        found = [int(index.phash[row]) for row in index.near(asked)]
        near = [each for each in hashed if (each ^ asked).bit_count() <= RADIUS]
        assert sorted(found) == sorted(near)
        assert [(each ^ asked).bit_count() for each in found] == sorted(
            (each ^ asked).bit_count() for each in near
        )


@pytest.mark.slow
def test_an_index_is_stored_and_read_again_and_a_damaged_one_made_again(large: Path) -> None:
    assert COUNT >= FEW
    first = open_known(large)
    stored = read(large)
    assert stored is not None
    assert stored[0] == first.known
    with large.open("rb") as stream:
        _, made = build(large, stream, first.sha256)
    for name, values in vars(made).items():
        assert np.array_equal(values, getattr(stored[1], name)), name
    path = index_path(large)
    whole = path.read_bytes()
    for damaged in (b"", whole[:5000], b"{}" + whole[2:], whole[:4096] + b"\xff" * 500_000):
        path.write_bytes(damaged)
        assert read(large) is None
        assert open_known(large).known == first.known
        assert path.read_bytes() == whole


def test_an_index_of_another_table_is_not_used(large: Path, tmp_path: Path) -> None:
    open_known(large)
    copy = tmp_path / "known.csv"
    copy.write_text(large.read_text().replace(",real", ",uncertain"))
    index_path(copy).write_bytes(index_path(large).read_bytes())
    assert set(open_known(copy).known.verdicts) == {"uncertain", "artificial"}


def test_a_table_of_few_rows_has_no_file_next_to_it(tmp_path: Path) -> None:
    path = tmp_path / "known.csv"
    path.write_text(f"sha256,verdict\n{'a' * 64},real\n")
    open_known(path)
    assert [each.name for each in tmp_path.iterdir()] == ["known.csv"]


def test_a_table_without_rows_knows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "known.csv"
    path.write_text("sha256,verdict\n")
    with path.open("rb") as stream:
        known, index = build(path, stream, "")
    assert known.rows == 0
    assert index.near(5) == []
    assert list(index.same_bytes("0" * 64)) == []


def test_a_large_table_of_bytes_alone_is_indexed(tmp_path: Path) -> None:
    path = tmp_path / "known.csv"
    random = np.random.default_rng(0)
    hashes = [random.bytes(32).hex() for _ in range(FEW)]
    path.write_text("sha256,verdict\n" + "".join(f"{each},real\n" for each in hashes))
    known = open_known(path)
    stored = read(path)
    assert stored is not None
    assert stored[1].near(5) == []
    assert known.row_of(Entry(sha256=hashes[-1])) is not None
