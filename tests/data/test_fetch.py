from __future__ import annotations

import contextlib
import io
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecheck.core.errors import SourceError, UsageError
from facecheck.core.manifest import read_manifest
from facecheck.data.archive import unpack
from facecheck.data.fetch import fetch


class Places(TypedDict):
    root: Path
    manifest: Path


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return {"root": tmp_path / "raw", "manifest": tmp_path / "manifest.csv"}


def test_a_folder_is_copied_indexed_and_deduplicated(drawn: Path, places: Places) -> None:
    result = fetch(drawn, **places)
    assert result.marker.files == result.indexed.records == 36
    assert result.deduplicated is not None
    assert all(path.is_relative_to(places["root"]) for path in _paths(places))
    assert fetch(drawn, **places).already_there


def _paths(places: Places) -> list[Path]:
    return read_manifest(places["manifest"]).paths()


@pytest.mark.parametrize("archive_format", ["zip", "gztar"])
@pytest.mark.parametrize("top", [".", "inner"])
def test_an_archive_is_unpacked_whatever_its_top(
    drawn: Path, tmp_path: Path, places: Places, archive_format: str, top: str
) -> None:
    shutil.copytree(drawn, tmp_path / "packed" / top)
    archive = shutil.make_archive(str(tmp_path / "a"), archive_format, tmp_path / "packed")
    assert fetch(Path(archive), **places).marker.folders == (
        "cartoon/drawn-cartoon", "photo/drawn-photo", "sketch/drawn-sketch",
    )  # fmt: skip


def test_a_flat_folder_is_placed_by_kind_and_source(drawn: Path, places: Places) -> None:
    flat = drawn / "photo" / "drawn-photo"
    assert fetch(flat, kind="photo", source="mine", **places).marker.folders == ("photo/mine",)
    assert fetch(flat, kind="photo", source="too", **places).indexed.records == 24


def test_content_already_there_is_never_replaced(
    drawn: Path, tmp_path: Path, places: Places
) -> None:
    fetch(drawn, **places)
    other = tmp_path / "other" / "photo" / "drawn-photo"
    other.mkdir(parents=True)
    shutil.copy(drawn / "photo" / "drawn-photo" / "001.png", other / "000.png")
    before = (places["root"] / "photo" / "drawn-photo" / "000.png").read_bytes()
    with pytest.raises(SourceError, match="already there with other content"):
        fetch(tmp_path / "other", **places)
    assert (places["root"] / "photo" / "drawn-photo" / "000.png").read_bytes() == before


def test_what_cannot_be_fetched_is_told(tmp_path: Path, places: Places) -> None:
    with pytest.raises(UsageError, match="nothing at"):
        fetch(tmp_path / "nothing", **places)
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(UsageError, match="neither a folder nor"):
        fetch(tmp_path / "a.txt", **places)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no <kind>/<source>/"):
        fetch(tmp_path / "empty", **places)
    with pytest.raises(UsageError, match="go together"):
        fetch(tmp_path / "empty", kind="photo", **places)


NAMES = st.one_of(
    st.sampled_from(
        ["../x", "/etc/x", "a/../../x", "C:\\x", "..\\x", "con.png", "a/b", "A/b", "x"]
    ),
    st.text(min_size=1, max_size=12),
)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=150, deadline=None)
@given(names=st.lists(NAMES, min_size=1, max_size=4), as_zip=st.booleans(), link=st.booleans())
def test_nothing_ever_leaves_the_folder(
    names: list[str], as_zip: bool, link: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("fuzz")
    archive, folder = base / "archive", base / "deep" / "inside"
    folder.mkdir(parents=True)
    try:
        if as_zip:
            _zip(archive, names, link)
        else:
            _tar(archive, names, link)
    except (ValueError, UnicodeError):
        return  # not even an archive can hold this name
    with contextlib.suppress(SourceError):
        unpack(archive, folder)
    outside = {path for path in base.rglob("*") if not path.is_relative_to(folder)}
    assert outside == {archive, base / "deep"}
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def _zip(archive: Path, names: list[str], link: bool) -> None:
    with zipfile.ZipFile(archive, "w") as bundle:
        for name in names:
            member = zipfile.ZipInfo(name)
            if link:
                member.external_attr = (stat.S_IFLNK | 0o777) << 16
            bundle.writestr(member, "../../outside" if link else "content")


def _tar(archive: Path, names: list[str], link: bool) -> None:
    with tarfile.open(archive, "w") as bundle:
        for name in names:
            member = tarfile.TarInfo(name)
            if link:
                member.type, member.linkname = tarfile.SYMTYPE, "../../outside"
                bundle.addfile(member)
            else:
                member.size = 7
                bundle.addfile(member, io.BytesIO(b"content"))


def test_a_bomb_is_stopped(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        for number in range(5):
            bundle.writestr(f"{number}.png", bytes(60 * 2**20))
    with pytest.raises(SourceError, match="may be a bomb"):
        unpack(tmp_path / "bomb.zip", tmp_path / "out")


def test_a_damaged_archive_is_told(drawn: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "gztar", drawn))
    archive.write_bytes(archive.read_bytes()[:3000])
    with pytest.raises(SourceError, match="damaged"):
        unpack(archive, tmp_path / "out")
