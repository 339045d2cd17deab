"""Addresses, through the filesystems that fsspec brings itself."""

from __future__ import annotations

import io
import pickle
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facecheck.core.errors import FacecheckError, ImageError, UsageError
from facecheck.scanner.inputs import items as inputs
from facecheck.scanner.inputs import remote
from facecheck.scanner.inputs.items import Item, find_inputs
from facecheck.scanner.options import InputOptions

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def store() -> Iterator[Any]:
    """An empty store in memory."""
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]
    yield filesystem
    filesystem.store.clear()


def fill(store: Any, *names: str) -> None:
    for name in names:
        store.pipe_file(f"/bucket/{name}", name.encode())


def names(*given: str, **options: Any) -> list[str]:
    return [item.name for item in find_inputs(given, InputOptions(**options))]


def reason(item: Item) -> str:
    with pytest.raises(ImageError) as caught:
        item.load()
    return str(caught.value)


def test_a_folder_of_a_store_gives_its_images_in_order(store: Any) -> None:
    fill(store, "b/2.jpg", "b/10.jpg", "a.jpg", "Z.png", "n.txt", ".h/1.jpg", "b/thumbs/3.jpg")
    found = find_inputs(["memory://bucket"])
    items = list(found)
    assert [item.name.removeprefix("memory://bucket/") for item in items] == [
        "Z.png", "a.jpg", "b/10.jpg", "b/2.jpg", "b/thumbs/3.jpg",
    ]  # fmt: skip
    assert [item.load() for item in items[:2]] == [b"Z.png", b"a.jpg"]
    assert (items[2].size, items[2].source, found.skipped.ignored) == (8, None, 1)
    assert items[2].mtime_ns == pickle.loads(pickle.dumps(items[2])).mtime_ns > 10**18
    assert names("memory://bucket/") == [item.name for item in items]
    assert names("memory://bucket", exclude=["thumbs/"], include=["b/*"]) == [
        "memory://bucket/b/10.jpg", "memory://bucket/b/2.jpg",
    ]  # fmt: skip
    assert "memory://bucket/.h/1.jpg" in names("memory://bucket", hidden=True)


def test_a_single_file_and_a_list_of_addresses(store: Any) -> None:
    fill(store, "a", "b.jpg")
    assert names("memory://bucket/a") == ["memory://bucket/a"]
    stdin = io.BytesIO(b"memory://bucket/b.jpg\nmemory://bucket/gone.jpg\nnope://x.jpg")
    listed = list(find_inputs(["-"], stdin=stdin))
    assert listed[0].load() == b"b.jpg"
    assert reason(listed[1]) == "the file is not there"
    assert "cannot be fetched" in reason(listed[2])


def test_a_file_that_is_too_large_is_refused(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, "a.jpg")
    monkeypatch.setattr(inputs, "MAX_MEMBER", 4)
    (item,) = find_inputs(["memory://bucket"])
    assert "too large" in reason(item)


def test_archives_in_a_store(store: Any) -> None:
    for number in range(2):
        for mode, ending in (("w", "tar"), ("w:gz", "tar.gz")):
            packed = io.BytesIO()
            with tarfile.open(fileobj=packed, mode=mode) as bundle:  # type: ignore[call-overload]
                member = tarfile.TarInfo("k.jpg")
                member.size = 1
                bundle.addfile(member, io.BytesIO(b"%d" % number))
            store.pipe_file(f"/bucket/s-{number}.{ending}", packed.getvalue())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        zipped.writestr("z.jpg", b"zip")
    store.pipe_file("/bucket/z.zip", packed.getvalue())
    given = ["memory://bucket/s-{0..1}.tar", "memory://bucket/s-1.tar.gz", "memory://bucket/z.zip"]
    found = [
        (item.name.removeprefix("memory://bucket/"), item.load()) for item in find_inputs(given)
    ]
    assert found == [
        ("s-0.tar::k.jpg", b"0"), ("s-1.tar::k.jpg", b"1"),
        ("s-1.tar.gz::k.jpg", b"1"), ("z.zip::z.jpg", b"zip"),
    ]  # fmt: skip
    assert names("memory://bucket") == []
    assert len(names("memory://bucket", archives=True)) == 5


def test_an_address_of_a_local_file_is_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()
    assert [item.source for item in find_inputs([f"file://{tmp_path}"])] == [str(path)]
    stdin = io.BytesIO(f"file://{path}".encode())
    assert [item.load() for item in find_inputs(["-"], stdin=stdin)] == [path]


def test_a_folder_that_cannot_be_listed_is_told(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, "a/1.jpg", "b/2.jpg")
    listed = remote._listed

    def failing(address: str) -> Any:
        if address.endswith("/a"):
            raise OSError("no rights")
        return listed(address)

    monkeypatch.setattr(remote, "_listed", failing)
    found = find_inputs(["memory://bucket"])
    assert [item.name for item in found] == ["memory://bucket/b/2.jpg"]
    assert (found.skipped.unlistable, found.skipped.first["unlistable"]) == (1, "memory://bucket/a")


def test_a_later_folder_is_not_listed_before_its_turn(store: Any) -> None:
    fill(store, "a/1.jpg", "b/2.jpg")
    items = iter(find_inputs(["memory://bucket"]))
    next(items)
    store.rm("/bucket/b/2.jpg")
    fill(store, "b/3.jpg")
    assert [item.name for item in items] == ["memory://bucket/b/3.jpg"]


def test_wrong_addresses_are_refused_in_one_line(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="nothing to scan at memory://nowhere"):
        find_inputs(["memory://nowhere"])
    with pytest.raises(UsageError, match=r"no store is called 'memry'; did you mean 'memory'"):
        find_inputs(["memry://bucket"])
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(FacecheckError, match=r"pip install 'facecheck\[cloud\]'"):
        find_inputs(["s3://bucket"])
