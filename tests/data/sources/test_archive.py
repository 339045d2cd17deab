from __future__ import annotations

import contextlib
import io
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from facecheck.core.errors import FacecheckError, SourceError
from facecheck.core.tree import walk_files
from facecheck.data.sources.archive import Renamed, is_archive, unpack
from tests.data.sources.stub_server import tarred, zipped

HOSTILE = (
    *("../x", "/etc/x", "a/../../x", "C:\\x", "..\\x", "\\\\server\\x", "a/b", "A/b", "x", "x/y"),
    *(
        "con.png",
        "NUL",
        "a:b",
        "a?.png",
        "dot.",
        "space ",
        ".",
        "./a",
        "a//b",
        "é.png",
        "e\u0301.png",
    ),
    *("n" * 300 + ".png", "a\nb", "-rf", "\udcff.png", "~", "a/" * 80 + "x"),
)
NAMES = st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=12))
RESERVED = set('<>:"|?*\\')


def members(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def written(tmp_path: Path, content: bytes) -> Path:
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    return archive


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(names=st.lists(NAMES, min_size=1, max_size=4), as_zip=st.booleans(), link=st.booleans())
@example(names=["a", "a/b"], as_zip=True, link=False)
@example(names=["A.png", "a.png", "a.PNG", "a~2.png"], as_zip=True, link=False)
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
        result = unpack(archive, folder)
        assert result.files == len(members(folder))
    _check_inside(base, archive, folder)


def _check_inside(base: Path, archive: Path, folder: Path) -> None:
    outside = {path for path in base.rglob("*") if not path.is_relative_to(folder)}
    assert outside == {archive, base / "deep"}
    inside = list(folder.rglob("*"))
    assert not any(path.is_symlink() for path in inside)
    assert all(path.is_file() or path.is_dir() for path in inside)
    for path in inside:  # what is there can be there on any system
        assert path.name.encode("utf-8")
        assert not set(path.name) & RESERVED
        assert path.name[-1] not in {".", " "}
    keys = [path.as_posix().casefold() for path in inside if path.is_file()]
    assert len(keys) == len(set(keys))


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


WHOLE = [
    zipped({"a/b.png": b"content" * 9, "a/c.png": b""}),
    *(
        tarred({"a/b.png": b"content" * 9, "c": b""}, mode)
        for mode in ("w", "w:gz", "w:bz2", "w:xz")
    ),
]


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    whole=st.sampled_from(WHOLE),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    cut=st.floats(0, 1),
    noise=st.binary(max_size=20),
)
def test_damage_is_told_and_leaves_the_folder_alone(
    whole: bytes,
    changes: list[tuple[float, int]],
    cut: float,
    noise: bytes,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    base = tmp_path_factory.mktemp("damage")
    archive, folder = base / "archive", base / "deep" / "inside"
    folder.mkdir(parents=True)
    content = bytearray(whole)
    for place, value in changes:
        content[min(len(content) - 1, int(place * len(content)))] = value
    archive.write_bytes(bytes(content[: int((0.5 + cut) * len(content))]) + noise)
    with contextlib.suppress(SourceError):  # any other error is a bug
        unpack(archive, folder)
    _check_inside(base, archive, folder)


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as bundle:
        member = tarfile.TarInfo("device")
        member.type, member.linkname = kind, "/etc/passwd"
        bundle.addfile(member)
    with pytest.raises(SourceError, match="link, sparse file or device"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_that_some_system_cannot_hold_are_changed_and_told(tmp_path: Path) -> None:
    names = ["a/Photo.png", "a/photo.png", "aux.png", "what?.png", "end.", "c" * 260 + ".png"]
    result = unpack(written(tmp_path, zipped({n: n.encode() for n in names})), tmp_path / "out")
    found = members(tmp_path / "out")
    assert sorted(found.values()) == sorted(name.encode() for name in names)
    assert found["a/Photo.png"] == b"a/Photo.png"
    assert result.renamed[:4] == (
        Renamed("a/photo.png", "a/photo~2.png"),
        Renamed("aux.png", "_aux.png"),
        Renamed("what?.png", "what_.png"),
        Renamed("end.", "end_"),
    )
    assert result.renamed[4].now.endswith(".png")
    assert len(result.renamed[4].now) <= 240


def test_names_in_old_encodings_are_kept_readable(tmp_path: Path) -> None:
    """Zip without the UTF-8 flag: UTF-8 all the same, or else code page 437; tar: raw bytes."""
    utf8 = zipped({"caf__.png": b"1"}).replace(b"caf__.png", "café.png".encode())
    assert list(members(_out(utf8, tmp_path / "u"))) == ["café.png"]
    dos = zipped({"caf_.png": b"1"}).replace(b"caf_.png", b"caf\x82.png")
    assert list(members(_out(dos, tmp_path / "d"))) == ["café.png"]
    latin = tarred({"caf\udce9.png": b"1"})
    assert list(members(_out(latin, tmp_path / "l"))) == ["caf%E9.png"]


def _out(content: bytes, base: Path) -> Path:
    base.mkdir()
    unpack(written(base, content), base / "out")
    return base / "out"


def test_windows_separators_make_folders(tmp_path: Path) -> None:
    content = zipped({"photo_s_1.png": b"1"}).replace(b"photo_s_1.png", b"photo\\s\\1.png")
    assert list(members(_out(content, tmp_path / "w"))) == ["photo/s/1.png"]


def test_a_file_and_a_folder_of_one_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="share the name"):
        unpack(written(tmp_path, zipped({"a": b"", "a/b": b""})), tmp_path / "out")


def test_a_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facecheck.data.sources.archive.MAX_RATIO", 2)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        for number in range(5):
            bundle.writestr(f"{number}.png", bytes(2**20))
    with pytest.raises(SourceError, match="may be a bomb"):
        unpack(tmp_path / "bomb.zip", tmp_path / "out")


def test_a_disk_too_small_is_told_before_a_byte_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(total=10_000, used=9_000, free=1_000)
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage)
    with pytest.raises(FacecheckError, match="unpacking it needs"):
        unpack(written(tmp_path, zipped({"a.png": bytes(5000)})), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_archive_is_told(drawn: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "gztar", drawn))
    archive.write_bytes(archive.read_bytes()[:3000])
    with pytest.raises(SourceError, match="damaged"):
        unpack(archive, tmp_path / "out")


def test_an_encrypted_archive_is_told(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.png": b"1"}))
    for header in (b"PK\x03\x04", b"PK\x01\x02"):
        at = content.index(header)
        content[at + (6 if header.endswith(b"\x04") else 8)] |= 1  # the flag for encryption
    with pytest.raises(SourceError, match="encrypted"):
        unpack(written(tmp_path, bytes(content)), tmp_path / "out")


@pytest.mark.parametrize(("start", "name"), [(b"7z\xbc\xaf'\x1c", "7z"), (b"Rar!\x1a\x07", "rar")])
def test_formats_that_are_not_read_are_named(tmp_path: Path, start: bytes, name: str) -> None:
    archive = written(tmp_path, start + bytes(100))
    assert not is_archive(archive)
    with pytest.raises(SourceError, match=f"a {name} archive, which facecheck does not read"):
        unpack(archive, tmp_path / "out")


def test_nothing_in_an_archive_can_be_run(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        member = zipfile.ZipInfo("run.sh")
        member.external_attr = (stat.S_IFREG | 0o6777) << 16
        bundle.writestr(member, "#!/bin/sh")
    unpack(tmp_path / "a.zip", tmp_path / "out")
    (file,) = walk_files(tmp_path / "out")
    assert not file.stat().st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR)
