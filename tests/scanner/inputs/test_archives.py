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

from facecheck.core.errors import ImageError, SourceError, UsageError
from facecheck.data.sources import listing
from facecheck.data.sources.archive import unpack
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
    monkeypatch.setattr(archives, "HARMLESS", 10_000)
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


def _long_name(size: int) -> bytes:
    """Return a tar whose first member's name has ``size`` bytes, zeros mostly."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, size
    return header.tobuf() + bytes(-size % 512 + size) + tarfile.TarInfo("1.jpg").tobuf()


def _attributes(text: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """Return a tar header with these attributes, and one member behind it."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = kind, len(text)
    return header.tobuf() + text + bytes(-len(text) % 512) + tarfile.TarInfo("1.jpg").tobuf()


def _endless_sparse() -> bytes:
    """Return a sparse member whose map goes on in one block after the other."""
    header = bytearray(tarfile.TarInfo("1.jpg").tobuf(tarfile.GNU_FORMAT))
    header[156:157], header[482] = tarfile.GNUTYPE_SPARSE, 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    block = bytearray(b"00000000001\x00" * 42 + bytes(8))
    block[504] = 1
    return bytes(header) + bytes(block) * 200_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_long_name(300_000_000), "a header of 300,000,000 bytes"),
        (_attributes(b"9" * 2_000_000), "a header of 2,000,000 bytes"),
        # Records of two bytes, the name of each to the end of the text: 10 GB, were they kept.
        (_attributes(b"2 " * 200_000 + b"="), "extended header is damaged"),
        (
            b"".join(
                _attributes(b"1000010 %03d=%s\n" % (n, b"x" * 999_997), tarfile.XGLTYPE)[:-512]
                for n in range(3)
            ),
            "global headers of over",
        ),
        (_endless_sparse(), "sparse"),
    ],
    ids=["long-name", "attributes", "two-byte-records", "global", "sparse"],
)
def test_headers_of_a_tar_are_bounded_in_scan_and_fetch(content: bytes, said: str) -> None:
    import gzip
    import tracemalloc

    Path("a.tgz").write_bytes(gzip.compress(content, 1))
    del content
    tracemalloc.start()
    try:
        (item, *_) = find_inputs(["a.tgz"])
        assert said in reason(item)
        with pytest.raises(SourceError):
            unpack(Path("a.tgz"), Path("out"))
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()
    assert not Path("out").exists()


def test_attributes_that_are_well_formed_are_read() -> None:
    name = "ä" * 200 + "/1.jpg"
    with tarfile.open("a.tar", "w", format=tarfile.PAX_FORMAT) as bundle:
        member = tarfile.TarInfo(name)
        member.size, member.pax_headers = 3, {"comment": "two\nlines = 1"}
        bundle.addfile(member, io.BytesIO(b"abc"))
    assert read("a.tar") == [(f"a.tar::{name}", b"abc")]


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_packed_tar_in_several_streams_with_something_behind_it_is_whole(suffix: str) -> None:
    import bz2
    import gzip
    import lzma

    pack: Any = {".tar.gz": gzip.compress, ".tar.bz2": bz2.compress, ".tar.xz": lzma.compress}[
        suffix
    ]
    write_tar("a.tar", {"1.jpg": b"1" * 5000, "2.jpg": b"2" * 5000})
    content = Path("a.tar").read_bytes()
    padding = bytes(512) if suffix == ".tar.gz" else b"something else"
    Path(f"b{suffix}").write_bytes(pack(content[:4000]) + pack(content[4000:]) + padding)
    assert [content for _, content in read(f"b{suffix}")] == [b"1" * 5000, b"2" * 5000]


def test_members_that_unpack_to_too_much_end_the_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "HARMLESS", 100_000)
    write_tar("a.tgz", {"1.jpg": bytes(50_000_000), "2.jpg": b"2"}, "w:gz")
    assert "maybe a bomb" in reason(list(find_inputs(["a.tgz"]))[-1])


def test_a_zip_of_another_compression_says_so_in_scan_and_fetch() -> None:
    write_zip("a.zip", {"1.jpg": b"1" * 100})
    data = bytearray(Path("a.zip").read_bytes())
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = data.rindex(mark)
        data[start + at : start + at + 2] = (9).to_bytes(2, "little")
    Path("a.zip").write_bytes(data)
    said = "this compression (Deflate64) is not supported: pack it again"
    assert said in reason(next(iter(find_inputs(["a.zip"]))))
    with pytest.raises(SourceError, match="Deflate64"):
        unpack(Path("a.zip"), Path("out"))
    assert not Path("out").exists()


def test_a_zip_behind_other_bytes_is_a_zip_in_scan_and_fetch() -> None:
    write_zip("a.zip", {"1.jpg": b"1", "2.jpg": b"2" * 9000})
    Path("b.zip").write_bytes(b"#!/bin/sh\n" * 100 + Path("a.zip").read_bytes())
    assert [content for _, content in read("b.zip")] == [b"1", b"2" * 9000]
    assert unpack(Path("b.zip"), Path("out")).files == 2


def test_reading_a_member_of_a_zip_needs_no_table_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    write_zip("a.zip", {f"{n}.jpg": b"%d" % n for n in range(100)})
    items = list(find_inputs(["a.zip"]))
    assert max(len(pickle.dumps(item)) for item in items) < 1000
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert [item.load() for item in items] == [b"%d" % n for n in range(100)]
