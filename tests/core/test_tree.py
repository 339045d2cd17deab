from __future__ import annotations

import os
from pathlib import Path

import pytest

from facecheck.core.tree import folder_prefix, place_of_file, place_of_folder, walk_files


def test_files_come_in_one_order_without_hidden_ones_links_to_folders_or_pipes(
    tmp_path: Path,
) -> None:
    for name in ("b/2.jpg", "b/10.jpg", "a.jpg", ".hidden/x.jpg", ".y.jpg", "Z.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    (tmp_path / "linked.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "piped.jpg").symlink_to(tmp_path / "pipe.jpg")
    found = [str(path.relative_to(tmp_path)) for path in walk_files(tmp_path)]
    assert found == ["Z.jpg", "a.jpg", "b/10.jpg", "b/2.jpg", "dangling.jpg", "linked.jpg"]


def test_links_in_a_circle_are_left_to_who_opens_them(tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert list(walk_files(tmp_path)) == [tmp_path / "self"]


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(walk_files(tmp_path / "nothing"))


def test_a_folder_sorts_by_its_bare_name(tmp_path: Path) -> None:
    for name in ("a/1", "a!", "a.jpg", "b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in walk_files(tmp_path)]
    assert found == ["a/1", "a!", "a.jpg", "b"]


def test_places_do_not_depend_on_how_a_path_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    Path("a/1").touch()
    Path("link").symlink_to("a")
    assert place_of_folder("a") == place_of_folder("link/") == place_of_folder(str(tmp_path / "a"))
    assert place_of_file("a/1") == place_of_file("./link/1") != place_of_file("a/2")
    assert [folder_prefix(text) for text in (".", "./", "a", "./a/", "/")] == [
        "", "", "a/", "a/", "/",
    ]  # fmt: skip
