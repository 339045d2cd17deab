from __future__ import annotations

import os
from itertools import islice
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facecheck.core.errors import UsageError
from facecheck.core.files import (
    atomic_path,
    is_utf8,
    name_text,
    named_path,
    numbered,
    open_regular,
    path_text,
    refuse_to_overwrite,
    safe_cell,
    temporary_folder,
    temporary_name,
    write_text,
)


def test_an_error_while_writing_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_a_kill_leaves_is_used_up_by_the_next_writer(tmp_path: Path) -> None:
    path, folder = tmp_path / "a.txt", tmp_path / "report"
    temporary_name(path).write_text("left, and longer than what follows")
    (temporary_name(folder) / "thumbs").mkdir(parents=True)
    (temporary_name(folder) / "thumbs" / "1.jpg").touch()
    write_text(path, "new")
    with temporary_folder(folder) as made:
        assert list(made.iterdir()) == []
        (made / "new").mkdir()
        (made / "new").rename(folder)
    assert path.read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "report"]


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_path(path) as first, atomic_path(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    with temporary_folder(path) as one, temporary_folder(path) as two:
        assert one != two
    assert os.listdir(tmp_path) == ["a.txt"]


def test_written_files_have_ordinary_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.txt", "x")
    (tmp_path / "b.txt").touch()
    assert (tmp_path / "new" / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_names_become_text_that_cannot_harm(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(b"caf\xe9.jpg"))
    assert path_text(odd) == "caf\\xe9.jpg"
    assert path_text("=a.jpg") == "./=a.jpg"
    assert not is_utf8(odd)
    assert is_utf8(Path("café.jpg"))
    assert [path_text(Path(name)) for name in ("=1.jpg", "-rf", "+a", "@b", "a=b")] == [
        "./=1.jpg", "./-rf", "./+a", "./@b", "a=b",
    ]  # fmt: skip


@given(st.lists(st.sampled_from([b"\\", b"x", b"4", b"e9", b"\xe9", b"\xc3\xa9", b"=", b"\n"])))
@example([b"\\x", b"\xe9"])
@example([b"\\xe9"])
def test_any_name_comes_back_from_its_text(parts: list[bytes]) -> None:
    path = Path(os.fsdecode(b"".join([*parts, b".jpg"])))
    text = name_text(path)
    assert text.encode().decode() == text
    assert named_path(text) == path
    assert named_path(safe_cell(text)) == path


def test_ordinary_names_are_their_own_text() -> None:
    for name in ("a.jpg", "café\n.jpg", "back\\slash.jpg", r"C:\x\y.jpg", "-rf"):
        assert name_text(Path(name)) == name


def test_existing_outputs_are_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    refuse_to_overwrite(path, overwrite=False)
    path.touch()
    refuse_to_overwrite(path, overwrite=True)
    with pytest.raises(UsageError, match="--overwrite"):
        refuse_to_overwrite(path, overwrite=False)


def test_only_regular_files_are_opened_and_nothing_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    with open_regular(tmp_path / "link") as stream:
        assert stream.read() == b"x"
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="a pipe, socket or device"):
            open_regular(odd)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        open_regular("a\0b")


def test_a_free_name_has_a_number_and_is_no_longer_than_names_may_be() -> None:
    names = [path.name for path in islice(numbered(Path("a") / "b.tar.gz"), 3)]
    assert names == ["b.tar.gz", "b.tar~2.gz", "b.tar~3.gz"]
    long = PurePosixPath(f"{'é' * 125}.jpeg")
    second = list(islice(numbered(long), 2))[1]
    assert second.name == f"{'é' * 124}~2.jpeg"
    assert len(second.name.encode()) <= 255
