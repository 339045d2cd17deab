from __future__ import annotations

import os
from pathlib import Path

from facecheck.core.tree import walk_files


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
