"""What the rows of a stranger's results may name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import facecheck
from facecheck.core.errors import ImageError
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.inputs.reach import Roots, reach_of
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import CSV, Row, tidy, write_rows
from facecheck.scanner.results.sink import meta_path
from tests.conftest import Outcome


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write results that name an image of the scanned folder, and what is not theirs to name."""
    monkeypatch.chdir(tmp_path)
    for folder in ("pics", "victim"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "1.png")
    Path("pics/notes.png").write_text("no image")
    Path("victim/id_rsa").write_text("secret")
    Path("pics/link").symlink_to(tmp_path / "victim")
    names = [
        *("pics/1.png", "pics/notes.png", "victim/1.png", "victim/id_rsa", "pics/../victim/1.png"),
        *(str(tmp_path / "victim/1.png"), "pics/link/../victim/1.png"),
        *("webhdfs://127.0.0.1:1/x.jpg", "http://127.0.0.1:1/x.jpg", "victim/a.zip::1.png"),
    ]
    scanned: Row = {"status": "ok", "verdict": "real", "score": 0.5, "width": 8, "height": 8}
    rows = [tidy({"path": name, **scanned}, COLUMNS) for name in names]
    results = tmp_path / "r.csv"
    write_rows(results, rows, COLUMNS, CSV)
    meta_path(results).write_text(json.dumps({"roots": [str(tmp_path / "pics")]}))
    return results


def test_python_reads_no_more_than_the_commands_unless_told(strange: Path) -> None:
    assert facecheck.place(strange, Path("one")).placed == 1
    assert facecheck.scan_report(strange, Path("page")).thumbnails == 1
    assert facecheck.place(strange, Path("two"), roots=[Path("victim")]).placed == 5
    without = Path("lone.csv")
    without.write_bytes(strange.read_bytes())
    assert facecheck.place(without, Path("three")).placed == 0
    assert facecheck.scan_report(without, Path("page2")).thumbnails == 0


@pytest.mark.parametrize("how", ["--copy-to", "--move-to"])
def test_place_touches_only_images_of_the_scanned_folders(
    command: Callable[..., Outcome], strange: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facecheck.scanner.inputs.remote.look", None)  # no address is asked
    before = {path for path in Path("victim").rglob("*") if path.is_file()}
    done = command("place", strange, how, "to", "--yes", "--json")
    assert done.code == 3, done.err
    told = json.loads(done.out)
    assert told["placed"] == 1
    assert sum(told["failed"].values()) == 9
    assert {path for path in Path("victim").rglob("*") if path.is_file()} == before
    assert [path.name for path in Path("to").rglob("*") if path.is_file()] == ["1.png"]
    assert Path("pics/notes.png").is_file()


def test_a_root_that_the_user_names_is_in_reach(
    command: Callable[..., Outcome], strange: Path, tmp_path: Path
) -> None:
    told = command("place", strange, "--copy-to", "to", "--root", tmp_path / "victim", "--json")
    assert json.loads(told.out)["placed"] + json.loads(told.out)["already"] == 5


def test_without_meta_nothing_is_in_reach(strange: Path) -> None:
    meta_path(strange).unlink()
    with pytest.raises(ImageError, match="--root"):
        reach_of(strange).check("pics/1.png")
    reach_of(strange, [Path("pics")]).check("pics/1.png")


def test_a_report_opens_nothing_out_of_reach(
    strange: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facecheck.report import thumbs
    from facecheck.scanner.results.rows import read_rows

    opened: list[str] = []

    def note(name: str) -> Path:
        opened.append(name)
        return Path("gone")

    monkeypatch.setattr("facecheck.scanner.classified_picture.load_named", note)
    rows = list(read_rows(strange, COLUMNS))
    reasons = list(thumbs.write_thumbnails(rows, Path("thumbs"), reach=reach_of(strange)))
    assert len(reasons) == len(rows)
    assert all(reasons)  # why there is none, of each
    assert sorted(opened) == ["pics/1.png", "pics/notes.png"]


def test_a_scan_notes_what_it_was_given_and_the_folder_that_a_list_shares(tmp_path: Path) -> None:
    items = [Item("x", 0, 0, str(tmp_path / "a" / name / "1.png")) for name in ("b", "c", "c")]
    roots = Roots([tmp_path / "in", "-", "s3://bucket/x"], lists=False)
    assert list(roots.noting(items)) == items
    assert roots.names() == [str(tmp_path / "in"), str(tmp_path / "a")]
    apart = Roots(["-"], lists=False)
    list(apart.noting([Item("x", 0, 0, f"/{name}/1.png") for name in "ab"]))
    assert apart.names() == []
