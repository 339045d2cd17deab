"""Images in zip and tar archives, whole and broken."""

from __future__ import annotations

import io
import os
import pickle
import random
import tarfile
import warnings
import zipfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from facecheck.core.errors import ImageError, UsageError
from facecheck.scanner.inputs import archives
from facecheck.scanner.inputs.items import Item, find_inputs
from facecheck.scanner.options import InputOptions

PACKED = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
#: In no order of their own, with what an archive of faces also holds.
CONTENT = {
    "b/2.jpg": b"two",
    "b/1.jpg": b"one" * 1000,
    "notes.txt": b"text",
    ".hidden/3.jpg": b"three",
    "__MACOSX/._1.jpg": b"fork",
    "0.png": b"",
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_tar(path: str, content: Mapping[str, bytes] = CONTENT, mode: str = "w") -> None:
    with tarfile.open(path, mode) as bundle:  # type: ignore[call-overload]
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            bundle.addfile(member, io.BytesIO(data))


def write_zip(path: str, content: Mapping[str, bytes] = CONTENT) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.mkdir("b")
        for name, data in content.items():
            bundle.writestr(name, data)


def write(path: str, content: Mapping[str, bytes] = CONTENT) -> None:
    if path.endswith(".zip"):
        write_zip(path, content)
    else:
        write_tar(path, content, PACKED[path[path.index(".") :]])


def read(*inputs: str, **options: Any) -> list[tuple[str, Path | bytes]]:
    return [(item.name, item.load()) for item in find_inputs(inputs, InputOptions(**options))]


def reason(item: Item) -> str:
    with pytest.raises(ImageError) as caught:
        item.load()
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".zip", *PACKED])
def test_members_named_like_images_are_items(suffix: str) -> None:
    name = f"faces{suffix}"
    write(name)
    os.utime(name, ns=(7, 7_000_000_001))
    items = list(find_inputs([name]))
    assert [(item.name, item.size, item.mtime_ns, item.source) for item in items] == [
        (f"{name}::b/2.jpg", 3, 7_000_000_001, None),
        (f"{name}::b/1.jpg", 3000, 7_000_000_001, None),
        (f"{name}::0.png", 0, 7_000_000_001, None),
    ]
    assert [item.load() for item in items] == [b"two", b"one" * 1000, b""]
    assert [item.load() for item in reversed(items)] == [b"", b"one" * 1000, b"two"]
    assert len(read(name, hidden=True)) == 4  # not what a Mac adds
    assert read(name, include=["/b/*"], exclude=["2.jpg"]) == [(f"{name}::b/1.jpg", b"one" * 1000)]
    assert [item.name for item in find_inputs([name])] == [item.name for item in items]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_members_are_read_by_many_threads_and_other_processes(
    suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_BEHIND", 20_000)  # so that some come too late
    chance = random.Random(1)
    content = {f"{number}.jpg": chance.randbytes(1000) for number in range(200)}
    write(f"faces{suffix}", content)
    items = list(find_inputs([f"faces{suffix}"]))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(Item.load, items)) == list(content.values())
        chance.shuffle(items)
        names = [item.name.partition("::")[2] for item in items]
        assert list(pool.map(Item.load, items)) == [content[name] for name in names]
    assert pickle.loads(pickle.dumps(items)) == items
    items[0].load()  # so that the children are forked with the archive open
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as processes:
        assert list(processes.map(Item.load, items)) == [content[name] for name in names]


def test_archives_in_folders_are_opened_only_when_asked() -> None:
    Path("x").mkdir()
    write_tar("x/b.tar")
    Path("x/a.jpg").touch()
    found = find_inputs(["x"])
    assert [item.name for item in found] == ["x/a.jpg"]
    assert (found.skipped.archives, found.skipped.ignored) == (1, 0)
    opened = ["x/a.jpg", "x/b.tar::b/2.jpg", "x/b.tar::b/1.jpg", "x/b.tar::0.png"]
    found = find_inputs(["x"], InputOptions(archives=True))
    assert [item.name for item in found] == opened
    assert (found.skipped.archives, found.skipped.ignored) == (0, 1)
    found = find_inputs(["x"], InputOptions(archives=True, include=("0.*",)))
    assert [item.name for item in found] == opened[-1:]
    assert [
        item.name for item in find_inputs(["x"], InputOptions(archives=True, exclude=("*.tar",)))
    ] == opened[:1]


def test_archives_in_a_list_are_opened() -> None:
    write_tar("a.tar")
    write_tar("b.tar")

    def listed(**options: Any) -> list[str]:
        stdin = io.BytesIO(b"a.tar\nb.tar\n")
        return [item.name for item in find_inputs(["-"], InputOptions(**options), stdin=stdin)]

    assert listed(include=["*.png"]) == ["a.tar::0.png", "b.tar::0.png"]
    assert listed(include=["*.png"], exclude=["a.*"]) == ["b.tar::0.png"]


def test_braces_stand_for_several_shards() -> None:
    for number in (8, 9, 10):
        write_tar(f"shard-{number:03}.tar", {f"key{number}.jpg": b"%d" % number, "key.cls": b"0"})
    assert read("shard-{008..010}.tar") == [
        ("shard-008.tar::key8.jpg", b"8"),
        ("shard-009.tar::key9.jpg", b"9"),
        ("shard-010.tar::key10.jpg", b"10"),
    ]
    with pytest.raises(UsageError, match="nothing to scan at shard-011.tar"):
        find_inputs(["shard-{008..011}.tar"])
    Path("{a,b}.jpg").touch()
    assert [item.name for item in find_inputs(["{a,b}.jpg"])] == ["{a,b}.jpg"]


def test_hostile_member_names_come_whole_and_lead_nowhere() -> None:
    odd = {"new\nline.jpg": b"1", "../../up.jpg": b"2", "/etc/passwd.jpg": b"3", "=cmd.jpg": b"4"}
    write_zip("=odd.zip", odd)
    assert read("=odd.zip") == [(f"=odd.zip::{name}", data) for name, data in odd.items()]
    write_tar("odd.tar", {**odd, os.fsdecode(b"caf\xe9.jpg"): b"5", "./dot.jpg": b"6"})
    assert read("odd.tar")[-2:] == [("odd.tar::caf\\xe9.jpg", b"5"), ("odd.tar::./dot.jpg", b"6")]


def test_two_members_of_one_name_are_two_items() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile("twice.zip", "w") as bundle:
            bundle.writestr("a.jpg", b"1")
            bundle.writestr("a.jpg", b"2")
    assert read("twice.zip") == [("twice.zip::a.jpg", b"1"), ("twice.zip::a.jpg", b"2")]


def test_a_tar_that_ends_in_a_zip_is_a_tar() -> None:
    write_zip("inner.zip")
    write_tar("outer.tar", {"a.jpg": b"1", "inner.zip": Path("inner.zip").read_bytes()})
    assert read("outer.tar", archives=True) == [("outer.tar::a.jpg", b"1")]


def test_links_and_devices_in_archives_say_so() -> None:
    with tarfile.open("links.tar", "w") as bundle:
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(f"{number}.jpg")
            member.type, member.linkname = kind, "/etc/passwd"
            bundle.addfile(member)
    with zipfile.ZipFile("links.zip", "w") as zipped:
        info = zipfile.ZipInfo("3.jpg")
        info.external_attr = 0o120777 << 16
        zipped.writestr(info, "/etc/passwd")
    items = list(find_inputs(["links.tar", "links.zip"]))
    assert [item.name.partition("::")[2] for item in items] == [f"{n}.jpg" for n in range(4)]
    assert all("in the archive" in reason(item) for item in items)


def test_what_is_no_archive_or_damaged_is_one_item_that_says_so() -> None:
    for name in ("text.zip", "text.tar", "text.tar.gz"):
        Path(name).write_bytes(b"no archive at all" * 100)
    for name in ("empty.tar", "empty.zip"):
        Path(name).touch()
    Path("fake.tar.gz").write_bytes(b"\x1f\x8bnot gzip")
    Path("fake.zip").write_bytes(b"PKnot zip")
    given = sorted(str(path) for path in Path().iterdir())
    items = list(find_inputs(given))
    assert [item.name for item in items] == given
    assert all("archive is damaged" in reason(item) or "opened" in reason(item) for item in items)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_what_comes_before_the_damage_is_still_read(suffix: str) -> None:
    chance = random.Random(1)
    content = {f"{number}.jpg": chance.randbytes(5000) for number in range(9)}
    name = f"cut{suffix}"
    write(name, content)
    whole = Path(name).read_bytes()
    Path(name).write_bytes(whole[: len(whole) // 2])
    *items, last = find_inputs([name])
    assert 3 <= len(items) <= 6
    assert [item.load() for item in items[:-1]] == list(content.values())[: len(items) - 1]
    assert last.name == name
    assert "the archive is damaged" in reason(last)


def test_a_damaged_header_in_a_tar_is_told() -> None:
    write_tar("bad.tar", {"1.jpg": b"1", "2.jpg": b"2", "3.jpg": b"3"})
    with Path("bad.tar").open("r+b") as stream:
        stream.seek(2048)  # each has a header and a block of content
        stream.write(b"\xff" * 100)
    first, second, told = find_inputs(["bad.tar"])
    assert (first.load(), second.load()) == (b"1", b"2")
    assert told.name == "bad.tar"
    assert "the archive is damaged" in reason(told)


def test_damaged_and_encrypted_members_say_so_and_others_are_read() -> None:
    write_zip("bad.zip", {"1.jpg": b"1" * 100, "2.jpg": b"2" * 100, "3.jpg": b"3" * 100})
    data = bytearray(Path("bad.zip").read_bytes())
    with zipfile.ZipFile("bad.zip") as bundle:
        second, third = bundle.infolist()[2:]
    data[second.header_offset + 30 + len("2.jpg")] ^= 0xFF
    data[third.header_offset + 6] |= 1  # "encrypted", in both of its headers
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    Path("bad.zip").write_bytes(data)
    items = list(find_inputs(["bad.zip"]))
    assert items[0].load() == b"1" * 100
    assert "damaged" in reason(items[1])
    assert "encrypted" in reason(items[2])


def test_bombs_are_refused_by_what_they_claim_and_by_what_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archives, "_HARMLESS", 10_000)
    monkeypatch.setattr(archives, "MAX_MEMBER", 1_000_000)
    zeros = {"bomb.jpg": bytes(2_000_000), "ratio.jpg": bytes(900_000), "good.jpg": bytes(9_000)}
    for name in ("bomb.zip", "bomb.tar", "bomb.tar.gz"):
        write(name, zeros)
        bomb, ratio, good = find_inputs([name])
        assert "2,000,000 bytes, over" in reason(bomb)
        if name.endswith(".zip"):
            assert "maybe a bomb" in reason(ratio)
        assert good.load() == bytes(9_000)
    data = bytearray(Path("bomb.zip").read_bytes())
    at = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4) + 24  # of bomb.jpg, after b/
    assert int.from_bytes(data[at : at + 4], "little") == 2_000_000
    data[at : at + 4] = (5_000).to_bytes(4, "little")
    Path("liar.zip").write_bytes(data)
    assert "damaged" in reason(next(iter(find_inputs(["liar.zip"]))))


def test_an_archive_that_vanishes_or_changes_is_told() -> None:
    write_zip("a.zip", {"1.jpg": b"1"})
    write_tar("b.tar", {"2.jpg": b"2"})
    write_tar("c.tar.gz", {"3.jpg": b"3"}, "w:gz")
    items = list(find_inputs(["a.zip", "b.tar", "c.tar.gz"]))
    archives._directory.cache_clear()  # as in another process
    Path("a.zip").unlink()
    Path("b.tar").unlink()
    Path("c.tar.gz").write_bytes(b"")
    assert [reason(item) for item in items[:2]] == ["the file is not there"] * 2
    assert "cut short" in reason(items[2])
    write_zip("a.zip", {"other.jpg": b"1"})
    assert "has changed" in reason(items[0])


def test_a_changed_archive_is_read_anew() -> None:
    write_zip("a.zip", {"1.jpg": b"old"})
    assert read("a.zip") == [("a.zip::1.jpg", b"old")]
    write_zip("a.zip", {"1.jpg": b"new", "2.jpg": b"too"})
    assert read("a.zip") == [("a.zip::1.jpg", b"new"), ("a.zip::2.jpg", b"too")]
