from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import TypedDict

import pytest
from PIL import Image

from facecheck.core.errors import FacecheckError, SourceError, UsageError
from facecheck.core.lock import only_one
from facecheck.core.manifest import read_manifest
from facecheck.core.tree import walk_files
from facecheck.data.options import CatalogOptions, SplitOptions
from facecheck.data.sources.fetch import Fetched, FetchResult
from facecheck.data.sources.marker import Marker
from facecheck.data.sources.offer import list_sources
from facecheck.data.split import split
from tests.data.sources.fetching import fetch
from tests.data.sources.stub_server import StubServer, zipped


class Places(TypedDict):
    root: Path
    manifest: Path
    lock: Path


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return {
        "root": tmp_path / "raw",
        "manifest": tmp_path / "manifest.csv",
        "lock": tmp_path / "facecheck.lock",
    }


def only(result: FetchResult) -> Fetched:
    assert not result.failed
    (fetched,) = result.sources
    return fetched


def marker(result: FetchResult) -> Marker:
    return only(result).marker


def records(result: FetchResult) -> int:
    assert result.indexed is not None
    return result.indexed.records


def test_a_folder_is_copied_indexed_and_deduplicated(drawn: Path, places: Places) -> None:
    result = fetch(origin=drawn, **places)
    assert marker(result).files == records(result) == 36
    assert only(result).kinds == {"photo": 12, "cartoon": 12, "sketch": 12}
    assert result.deduplicated is not None
    paths = read_manifest(places["manifest"]).paths()
    assert all(path.is_relative_to(places["root"]) for path in paths)
    assert only(fetch(origin=drawn, **places)).status == "already there"
    assert not places["lock"].exists()


@pytest.mark.parametrize("archive_format", ["zip", "gztar", "xztar"])
@pytest.mark.parametrize("top", [".", "inner"])
def test_an_archive_is_unpacked_whatever_its_top(
    drawn: Path, tmp_path: Path, places: Places, archive_format: str, top: str
) -> None:
    shutil.copytree(drawn, tmp_path / "packed" / top)
    archive = Path(shutil.make_archive(str(tmp_path / "a"), archive_format, tmp_path / "packed"))
    assert marker(fetch(origin=archive, deduplicate=False, **places)).folders == (
        "cartoon/drawn-cartoon", "photo/drawn-photo", "sketch/drawn-sketch",
    )  # fmt: skip
    assert archive.exists()


def test_a_flat_folder_is_placed_by_kind_and_source(drawn: Path, places: Places) -> None:
    flat = drawn / "photo" / "drawn-photo"
    placed = fetch(origin=flat, kind="photo", source="mine", **places)
    assert marker(placed).folders == ("photo/mine",)
    assert records(fetch(origin=flat, kind="photo", source="too", **places)) == 24


def test_content_already_there_is_never_replaced(
    drawn: Path, tmp_path: Path, places: Places
) -> None:
    fetch(origin=drawn, **places)
    other = tmp_path / "other" / "photo" / "drawn-photo"
    other.mkdir(parents=True)
    shutil.copy(drawn / "photo" / "drawn-photo" / "001.png", other / "000.png")
    before = (places["root"] / "photo" / "drawn-photo" / "000.png").read_bytes()
    with pytest.raises(SourceError, match="already there with other content"):
        fetch(origin=tmp_path / "other", **places)
    assert (places["root"] / "photo" / "drawn-photo" / "000.png").read_bytes() == before


def test_what_cannot_be_fetched_is_told(tmp_path: Path, places: Places) -> None:
    with pytest.raises(UsageError, match="nothing at"):
        fetch(origin=tmp_path / "nothing", **places)
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(UsageError, match="neither a folder nor"):
        fetch(origin=tmp_path / "a.txt", **places)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no <kind>/<source>/"):
        fetch(origin=tmp_path / "empty", **places)
    with pytest.raises(UsageError, match="go together"):
        fetch(origin=tmp_path / "empty", kind="photo", **places)
    with pytest.raises(UsageError, match="not a path"):
        fetch(origin=tmp_path / "empty", kind="photo", source="../x", **places)
    with pytest.raises(UsageError, match="did you mean 'cufs'"):
        fetch(["cuhs"], **places)
    with pytest.raises(UsageError, match="name one"):
        fetch(["cufs", "lfw"], origin=tmp_path, **places)
    with pytest.raises(UsageError, match="without a named source"):
        fetch(["cufs"], kind="photo", source="s", **places)


def pair_folders(drawn: Path, folder: Path, sketches: str = "original_sketch") -> Path:
    """A face sketch database as users unpack it: one name for one person, on both sides."""
    for number in range(4):
        for kind, side in (("photo", "photo"), ("sketch", sketches)):
            target = folder / side / f"{number:05}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(drawn / kind / f"drawn-{kind}" / f"{number:03}.png", target)
    return folder


def test_a_manual_source_is_explained_then_checked(
    drawn: Path, tmp_path: Path, places: Places
) -> None:
    with pytest.raises(SourceError, match="must be got by hand.*facecheck fetch cufsf --from"):
        fetch(["cufsf"], **places)
    folder = pair_folders(drawn, tmp_path / "wrong", sketches="other")
    with pytest.raises(SourceError, match="no sketch in .*sign the agreement"):
        fetch(["cufsf"], origin=folder, **places)
    result = fetch(["cufsf"], origin=pair_folders(drawn, tmp_path / "right"), **places)
    assert "4 images of kind photo were found, and 1,194 expected" in only(result).notes
    table = read_manifest(places["manifest"])
    groups = {record.path: record.group for record in table.records()}
    assert set(groups.values()) == {f"cufsf/{number:05}" for number in range(4)}
    assert only(fetch(["cufsf"], **places)).status == "already there"


def test_a_source_that_fails_does_not_stop_the_others(
    drawn: Path, tmp_path: Path, places: Places
) -> None:
    pair_folders(drawn, tmp_path / "unpacked")
    own = tmp_path / "own.yaml"
    own.write_text(
        "mine: {platform: local, handle: unpacked, rules: [{files: photo/*, kind: photo}]}\n"
        .replace("unpacked", str(tmp_path / "unpacked"))
    )  # fmt: skip
    result = fetch(["cufsf", "mine"], catalog=own, **places)
    assert [fetched.name for fetched in result.sources] == ["mine"]
    assert "by hand" in result.failed["cufsf"]
    assert only(fetch(["mine"], catalog=own, **places)).status == "already there"
    assert records(result) == 4
    assert result.sources[0].left_out == 4


def test_files_taken_away_since_are_told(drawn: Path, places: Places) -> None:
    fetch(origin=drawn, **places)
    next(iter(walk_files(places["root"]))).unlink()
    again = fetch(origin=drawn, **places)
    assert only(again).notes == ("35 files are there, and 36 were fetched",)


def test_a_source_taken_away_is_fetched_again(drawn: Path, places: Places) -> None:
    fetch(origin=drawn, **places)
    shutil.rmtree(places["root"] / "photo")
    assert only(fetch(origin=drawn, **places)).notes == ("24 files are there, and 36 were fetched",)
    for kind in ("cartoon", "sketch"):
        shutil.rmtree(places["root"] / kind)
    again = only(fetch(origin=drawn, **places))
    assert (again.status, again.kinds["photo"]) == ("fetched", 12)


def test_a_disk_too_small_is_told_and_nothing_is_copied(
    drawn: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(total=10_000, used=9_000, free=1_000)
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage)
    with pytest.raises(FacecheckError, match="GB are free: make room"):
        fetch(origin=drawn, **places)
    assert not list(walk_files(places["root"]))


def test_rules_give_exclusions_and_columns(drawn: Path, tmp_path: Path, places: Places) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        f"""
catalog:
  mine:
    platform: local
    handle: {drawn}
    rules:
      - {{files: 'drawn-photo/000.png', kind: photo, exclude: 'no face in it'}}
      - {{files: 'drawn-photo/001.png', exclude: 'a thumbnail'}}
      - files: drawn-photo/*
        kind: photo
        name: '(?P<number>\\d+)\\.png'
        columns: {{number: '{{number}}', place: '{{folder}}'}}
"""
    )
    result = fetch(["mine"], catalog=own, **places)
    assert records(result) == 11
    frame = read_manifest(places["manifest"]).frame
    assert frame["excluded"].to_list()[0] == "no face in it"
    assert frame["number"].to_list()[:3] == ["", "002", "003"]
    assert frame["place"].unique().sort().to_list() == ["", "drawn-photo"]


def test_new_rules_are_followed_where_files_may_stay(
    drawn: Path, tmp_path: Path, places: Places
) -> None:
    own = tmp_path / "own.yaml"
    entry = (
        f"mine: {{platform: local, handle: '{drawn}', rules: [{{files: drawn-photo/*, kind: %s}}]}}"
    )
    own.write_text(entry % "photo")
    fetch(["mine"], catalog=own, **places)
    own.write_text(entry % "photo, group: '{stem}'")
    again = only(fetch(["mine"], catalog=own, deduplicate=False, **places))
    assert again.notes == ("its groups and columns follow the catalogue's new rules",)
    assert read_manifest(places["manifest"]).frame["group"][0] == "mine/000"
    own.write_text(entry % "sketch")
    (note,) = only(fetch(["mine"], catalog=own, **places)).notes
    assert "would place its files elsewhere" in note


def test_a_disk_that_cannot_be_written_is_told(
    drawn: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "x.png")

    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(SourceError, match="No space left on device x.png: fix that"):
        fetch(origin=drawn, **places)


def test_an_interrupted_placement_is_finished(
    drawn: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop after each of its steps in turn; run again; the outcome is always the same."""
    real = Path.rename
    for stop in range(4):
        root = places["root"].with_name(f"raw{stop}")
        left = stop

        def rename(path: Path, target: Path) -> Path:
            nonlocal left
            if "ready" in path.parts:
                if left == 0:
                    raise KeyboardInterrupt
                left -= 1
            return real(path, target)

        monkeypatch.setattr(Path, "rename", rename)
        here: Places = {**places, "root": root}
        if stop < 3:
            with pytest.raises(KeyboardInterrupt):
                fetch(origin=drawn, deduplicate=False, **here)
            monkeypatch.setattr(Path, "rename", real)
            assert not list((root / ".facecheck").glob("*.json"))
        result = fetch(origin=drawn, deduplicate=False, **here)
        assert (only(result).status, records(result)) == ("fetched", 36)
        assert not list((root / ".facecheck" / "staging").iterdir())


def test_names_that_had_to_change_are_listed(drawn: Path, tmp_path: Path, places: Places) -> None:
    flat = drawn / "photo" / "drawn-photo"
    with tarfile.open(tmp_path / "a.tar", "w") as bundle:
        bundle.add(flat / "000.png", "aux.png")
        bundle.add(flat / "001.png", "ok.png")
    result = fetch(origin=tmp_path / "a.tar", kind="photo", source="s", **places)
    assert only(result).renamed == 1
    (table,) = (places["root"] / ".facecheck").glob("*.renamed.csv")
    assert table.read_text() == "was,now\naux.png,_aux.png\n"
    assert (places["root"] / "photo" / "s" / "_aux.png").is_file()


@pytest.mark.slow
def test_two_fetches_to_one_root_do_not_meet(drawn: Path, places: Places) -> None:
    places["root"].mkdir(parents=True)
    with (
        only_one(places["root"], "fetch"),
        pytest.raises(FacecheckError, match=rf"process {os.getpid()}"),
    ):
        fetch(origin=drawn, **places)


def test_the_plan_says_what_a_fetch_would_take(tmp_path: Path) -> None:
    listing = list_sources((), CatalogOptions(root=tmp_path / "raw"))
    assert [row.source.name for row in listing.sources] == [
        "selfie2anime", "cufs", "ciplab-fakes", "paper-collection",
    ]  # fmt: skip
    assert listing.bytes == sum(row.source.bytes or 0 for row in listing.sources)
    assert listing.unknown == 1
    assert listing.free > 0
    assert not (tmp_path / "raw").exists()


def test_what_a_folder_holds_besides_is_counted_and_left_where_it_is(
    drawn: Path, tmp_path: Path, places: Places
) -> None:
    shutil.copytree(drawn, tmp_path / "in")
    (tmp_path / "in" / "photo" / "linked").symlink_to(drawn / "photo" / "drawn-photo")
    thumbs = tmp_path / "in" / "photo" / "drawn-photo" / "@eaDir" / "000.png"
    shutil.copytree(drawn / "photo" / "drawn-photo", thumbs)
    first = only(fetch(origin=tmp_path / "in", deduplicate=False, **places))
    assert (first.marker.files, first.skipped.counts()) == (36, {"links": 1, "machine_made": 1})
    places["root"] = tmp_path / "other"
    second = fetch(
        origin=tmp_path / "in", deduplicate=False, follow=True, exclude=("000.*",), **places
    )
    assert records(second) == marker(second).files == 4 * 11
    assert only(second).skipped.counts() == {"machine_made": 1, "excluded": 4}


def test_globs_choose_in_an_archive_too(drawn: Path, tmp_path: Path, places: Places) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "zip", drawn))
    result = fetch(origin=archive, include=("photo/**",), deduplicate=False, **places)
    assert marker(result).folders == ("photo/drawn-photo",)
    assert only(result).skipped.counts() == {"excluded": 24}


def test_more_data_leaves_a_split_as_it_is(drawn: Path, tmp_path: Path, places: Places) -> None:
    """`fetch --from MORE` after `split` emptied the column split without a word."""
    for name in ("photo", "sketch"):
        shutil.copytree(drawn / name, tmp_path / name / name)
    fetch(origin=tmp_path / "photo", **places)
    split(places["manifest"], SplitOptions(ratio="2:1"))
    before = {record.path: record.split for record in read_manifest(places["manifest"]).records()}
    more = fetch(origin=tmp_path / "sketch", **places)
    assert more.indexed is not None
    assert more.indexed.kept.columns["split"] == 12
    now = {record.path: record.split for record in read_manifest(places["manifest"]).records()}
    assert {path: now[path] for path in before} == before
    assert len(now) == 24
    assert split(places["manifest"], SplitOptions(ratio="2:1", extend=True)).kept == 12


def test_a_refused_archive_leaves_nothing_in_staging(tmp_path: Path, places: Places) -> None:
    content = zipped({"photo/mine/1.png": b"x" * 500_000, "../evil.png": b"x"})
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(SourceError, match="nothing was kept"):
        fetch(origin=tmp_path / "a.zip", **places)
    kept = [file for file in places["root"].rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in kept) < 1000


def test_no_file_that_is_kept_holds_the_token_of_an_address(tmp_path: Path, places: Places) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    packed = zipped({"1.png": (tmp_path / "1.png").read_bytes()})
    server = StubServer()
    server.serve("/a.zip", packed)
    (tmp_path / "own.yaml").write_text(
        f"mine: {{platform: http, handle: '{server.url}/a.zip?token=SECRET&id=7', "
        "rules: [{files: '*', kind: photo}]}\n"
    )
    try:
        first = fetch(["mine"], catalog=tmp_path / "own.yaml", keep_archives=True, **places)
        assert only(first).status == "fetched"
        again = fetch(["mine"], catalog=tmp_path / "own.yaml", locked=True, **places)
        assert only(again).status == "already there"
    finally:
        server.close()
    kept = [file for file in tmp_path.rglob("*") if file.is_file() and file.name != "own.yaml"]
    assert not [file for file in kept if b"SECRET" in file.read_bytes()]
    assert "?token=…&id=7" in places["lock"].read_text()
