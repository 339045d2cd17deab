"""What to scan, over real files of every odd kind."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facecheck.core.errors import FacecheckError, ImageError, ManifestError, UsageError
from facecheck.core.manifest import Manifest, write_manifest
from facecheck.core.record import Record
from facecheck.scanner.inputs.items import Inputs, Item, find_inputs, shard
from facecheck.scanner.options import InputOptions

FSENCODED = b"caf\xe9.jpg"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, so that names are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode())


def names(*inputs: str, stdin: io.BytesIO | None = None, **options: Any) -> list[str]:
    return [item.name for item in find_inputs(inputs, InputOptions(**options), stdin=stdin)]


def counted(found: Inputs) -> dict[str, int]:
    list(found)
    return found.skipped.counts()


def reason(item: Item) -> str:
    with pytest.raises(ImageError) as caught, item.open():
        pass
    return str(caught.value)


def test_a_folder_gives_its_images_depth_first_in_byte_order(place: Path) -> None:
    make("b/2.jpg", "b/10.jpg", "a.JPG", "a/x.png", "Z.webp", "b/notes.txt", "b/c/d/e.gif", "é.jpg")
    found = find_inputs(["."])
    assert [item.name for item in found] == [
        "Z.webp", "a/x.png", "a.JPG", "b/10.jpg", "b/2.jpg", "b/c/d/e.gif", "é.jpg",
    ]  # fmt: skip
    assert counted(find_inputs(["."])) == {"ignored": 1}
    assert names(".") == names("./") == [item.name for item in found]
    assert names(str(place)) == [f"{place}/{name}" for name in names(".")]


def test_an_item_knows_its_file_and_can_be_sent_away(place: Path) -> None:
    make("a/b.jpg")
    os.utime("a/b.jpg", ns=(5, 1_234_567_890_123_456_789))
    (item,) = find_inputs(["a"])
    assert item == Item("a/b.jpg", 7, 1_234_567_890_123_456_789, "a/b.jpg")
    sent = pickle.loads(pickle.dumps(item))
    assert sent == item
    assert sent.load() == Path("a/b.jpg")


def test_what_is_named_is_taken_whatever_its_name(place: Path) -> None:
    make("photo", ".hidden.jpg", "notes.txt", "a/x.jpg")
    given = ("photo", ".hidden.jpg", "notes.txt")
    assert names(*given, "a") == [*given, "a/x.jpg"]
    assert names(*given, exclude=["*"]) == list(given)


def test_what_is_not_there_is_refused_at_once(place: Path) -> None:
    for missing in ("nothing", "no/such.jpg", "", "a\0b"):
        with pytest.raises(UsageError, match="nothing to scan at"):
            find_inputs([missing])
    with pytest.raises(UsageError, match="nothing to scan: name"):
        find_inputs([])


def test_hidden_files_need_hidden(place: Path) -> None:
    make("x/.a.jpg", "x/.b/c.jpg", "x/d.jpg", ".e/f.jpg")
    assert names("x") == ["x/d.jpg"]
    assert names("x", hidden=True) == ["x/.a.jpg", "x/.b/c.jpg", "x/d.jpg"]
    assert names(".e") == [".e/f.jpg"]


def test_links_to_files_are_taken_and_links_to_folders_followed_when_asked(place: Path) -> None:
    make("a/1.jpg", "b/2.jpg", "b/deep/3.jpg")
    Path("a/to-file.jpg").symlink_to("../b/2.jpg")
    Path("a/to-folder").symlink_to("../b")
    Path("a/to-folder.jpg").symlink_to("../b")
    Path("b/deep/back").symlink_to("../../a")
    Path("b/self.jpg").symlink_to("self.jpg")
    Path("a/null.jpg").symlink_to("/dev/null")
    assert names("a") == ["a/1.jpg", "a/to-file.jpg"]
    assert counted(find_inputs(["a"])) == {"links": 2, "special": 1}
    assert names("a", follow=True) == [
        "a/1.jpg", "a/to-file.jpg",
        "a/to-folder/2.jpg", "a/to-folder/deep/3.jpg", "a/to-folder/self.jpg",
        "a/to-folder.jpg/2.jpg", "a/to-folder.jpg/deep/3.jpg", "a/to-folder.jpg/self.jpg",
    ]  # fmt: skip
    assert counted(find_inputs(["a"], InputOptions(follow=True))) == {"links": 2, "special": 1}


def test_pipes_sockets_and_devices_are_never_opened(place: Path) -> None:
    make("x/a.jpg")
    os.mkfifo("x/pipe.jpg")
    Path("x/piped.jpg").symlink_to("pipe.jpg")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("x/socket.jpg")
        assert names("x") == ["x/a.jpg"]
        assert counted(find_inputs(["x"])) == {"special": 3}
        odd = ["x/pipe.jpg", "x/piped.jpg", "x/socket.jpg", "/dev/null"]
        for item in find_inputs(odd):
            assert "a pipe, socket or device" in reason(item)
    listed = find_inputs(["-"], stdin=io.BytesIO(b"x/pipe.jpg\nx\n/dev/zero"))
    assert ["pipe" in reason(item) for item in listed] == [True, False, True]


def test_a_pipe_that_takes_the_place_of_a_file_does_not_block(place: Path) -> None:
    make("x/a.jpg")
    (item,) = find_inputs(["x"])
    Path("x/a.jpg").unlink()
    os.mkfifo("x/a.jpg")
    assert "a pipe" in reason(item)


def test_what_cannot_be_had_is_an_item_that_says_why(place: Path) -> None:
    make("x/a.jpg", "x/b.jpg", "x/huge.tif")
    Path("x/dangling.jpg").symlink_to("nothing")
    Path("x/self.jpg").symlink_to("self.jpg")
    os.truncate("x/huge.tif", 2**31)
    items = {item.name: item for item in find_inputs(["x"])}
    Path("x/b.jpg").unlink()
    assert items.pop("x/a.jpg").load() == Path("x/a.jpg")
    assert {name: reason(item).partition(":")[0] for name, item in items.items()} == {
        "x/b.jpg": "the file is not there",
        "x/dangling.jpg": "the file is not there",
        "x/huge.tif": "too large",
        "x/self.jpg": "cannot be opened",
    }
    (named,) = find_inputs(["x/dangling.jpg"])
    assert reason(named) == "the file is not there"


@pytest.fixture
def public_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to stand in that everyone may enter; pytest's own are private."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.chdir(folder)
        yield Path(folder)


def test_what_may_not_be_read_is_told(public_place: Path) -> None:
    make("x/a.jpg", "x/locked.jpg", "x/closed/b.jpg", "x/shut/c.jpg")
    Path("x/locked.jpg").chmod(0)
    Path("x/closed").chmod(0)
    Path("x/shut").chmod(0o444)  # its names can be listed, its files not be reached
    code = """
        import os, sys
        from facecheck.core.errors import ImageError
        from facecheck.scanner.inputs.items import find_inputs
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        found = find_inputs(["x"])
        for item in found:
            try:
                with item.open():
                    print(item.name, item.load())
            except ImageError as error:
                print(item.name, error)
        print(found.skipped.unlistable, found.skipped.first["unlistable"])
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "x/a.jpg x/a.jpg",
        "x/locked.jpg no permission to read the file",
        "x/shut/c.jpg no permission to read the file",
        "1 x/closed/",
    ]


def test_hostile_names_come_whole(place: Path) -> None:
    long = "n" * 251 + ".jpg"
    make(f"x/{long}", "x/new\nline.jpg", "=cmd.jpg", "-o.jpg")
    Path(os.fsdecode(b"x/" + FSENCODED)).write_bytes(b"latin")
    items = list(find_inputs(["."]))
    assert [item.name for item in items] == [
        "-o.jpg", "=cmd.jpg", "x/caf\\xe9.jpg", "x/new\nline.jpg", f"x/{long}",
    ]  # fmt: skip
    for item in items:
        assert item.source is not None
        assert item.load() == Path(item.source)
        assert Path(item.source).is_file()


def test_a_tree_deeper_than_a_path_may_be_long_is_told(place: Path) -> None:
    deep = "d" * 250
    code = (
        f"import os\nfor _ in range(20): os.mkdir('{deep}'); os.chdir('{deep}')\nopen('a.jpg', 'w')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    make("z.jpg")
    found = find_inputs(["."])
    assert [item.name for item in found] == ["z.jpg"]
    assert found.skipped.unlistable == 1
    shutil.rmtree(deep)


def test_globs_choose(place: Path) -> None:
    make("x/a.jpg", "x/b.png", "x/thumbs/c.jpg", "x/y/thumbs/d.jpg", "x/y/e.jpg", "x/y/f.JPG")
    assert names("x", include=("*.png",)) == ["x/b.png"]
    assert names("x", include=["y/*.jpg"]) == ["x/y/e.jpg"]
    assert names("x", include=["/*.jpg", "*.JPG"]) == ["x/a.jpg", "x/y/f.JPG"]
    assert names("x", include=["y/"]) == ["x/y/e.jpg", "x/y/f.JPG", "x/y/thumbs/d.jpg"]
    assert names("x", exclude=["thumbs"]) == ["x/a.jpg", "x/b.png", "x/y/e.jpg", "x/y/f.JPG"]
    assert names("x", exclude=["y/thumbs/", "*.{png,JPG}"]) == [
        "x/a.jpg", "x/thumbs/c.jpg", "x/y/e.jpg",
    ]  # fmt: skip
    assert names("x", include=["**/thumbs/**"], exclude=["y"]) == ["x/thumbs/c.jpg"]
    assert names("x", include=["[!ab].jpg"], exclude=["thumbs"]) == ["x/y/e.jpg"]
    assert counted(find_inputs(["x"], InputOptions(include=("*.png",)))) == {"excluded": 5}


def test_a_folder_that_is_left_out_is_not_even_listed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("x/a.jpg", "x/thumbs/c.jpg")
    seen = []
    scandir = os.scandir

    def seeing(path: str) -> Any:
        seen.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", seeing)
    assert names("x", exclude=["thumbs/"]) == ["x/a.jpg"]
    assert seen == ["x/"]


def test_globs_that_choose_nothing_are_refused(place: Path) -> None:
    make("x/a.jpg")
    with pytest.raises(UsageError, match=r"--include '!thumbs' .* pass --exclude 'thumbs'"):
        find_inputs(["x"], InputOptions(include=("!thumbs",)))
    with pytest.raises(UsageError, match="--exclude '' chooses nothing"):
        find_inputs(["x"], InputOptions(exclude=("",)))


def test_what_is_given_twice_is_listed_once(place: Path) -> None:
    make("a/1.jpg", "a/b/2.jpg", "a/b/c/3.jpg", "a/.h/4.jpg")
    Path("link").symlink_to("a")
    everything = ["a/1.jpg", "a/b/2.jpg", "a/b/c/3.jpg"]
    assert names("a", "a", "./a", "a/", "link", str(Path("a").resolve())) == everything
    assert names("a", "a/b") == everything
    assert names("a/b", "a") == ["a/b/2.jpg", "a/b/c/3.jpg", "a/1.jpg"]
    assert names("a", "a/b/c/3.jpg", "./a/b/c/3.jpg") == everything
    assert names("a/b/c/3.jpg", "a") == ["a/b/c/3.jpg", "a/1.jpg", "a/b/2.jpg"]
    assert names("a", "a/.h") == [*everything, "a/.h/4.jpg"]
    Path("c").mkdir()
    Path("c/to-a").symlink_to("../a")
    assert names("c", "a", follow=True) == everything
    os.link("a/1.jpg", "a/5.jpg")  # two names of one file are two files
    assert names("a/1.jpg", "a/5.jpg", "a/b") == ["a/1.jpg", "a/5.jpg", *everything[1:]]


def test_a_later_folder_is_not_listed_before_its_turn(place: Path) -> None:
    make("x/a/1.jpg", "x/b/2.jpg", "x/b/3.jpg")
    items = iter(find_inputs(["x"]))
    assert next(items).name == "x/a/1.jpg"
    Path("x/b/2.jpg").unlink()
    assert [item.name for item in items] == ["x/b/3.jpg"]


@pytest.mark.slow
def test_memory_is_bounded_by_the_largest_folder(place: Path) -> None:
    make(*(f"files/{number}.jpg" for number in range(100)))
    for folder, links, target in (("folders", 100, "files"), ("x", 4, "folders")):
        Path(folder).mkdir()
        for number in range(links):
            Path(f"{folder}/{number}").symlink_to(f"../{target}")
    # In a process of its own: what the interpreter keeps of names, for all tests, grows in leaps.
    code = (
        "import tracemalloc\n"
        "from itertools import islice\n"
        "from facecheck.scanner.inputs.items import find_inputs\n"
        "from facecheck.scanner.options import InputOptions\n"
        "found = find_inputs(['x'], InputOptions(follow=True))\n"
        "list(islice(found, 10))\n"
        "tracemalloc.start()\n"
        "print(sum(1 for _ in found), tracemalloc.get_traced_memory()[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, peak = map(int, done.stdout.split())
    assert count == 40_000
    assert peak < 6_000_000  # the items of all would take 14 MB


def test_a_list_may_be_separated_by_newlines_or_nul(place: Path) -> None:
    make("a.jpg", "b", "new\nline.jpg")
    Path(os.fsdecode(FSENCODED)).touch()

    def listed(text: bytes, **options: Any) -> list[str]:
        return names("-", stdin=io.BytesIO(text), **options)

    assert listed(b"a.jpg\nb\n") == listed(b"a.jpg\n\nb") == ["a.jpg", "b"]
    assert listed(b"a.jpg\0new\nline.jpg\0b") == ["a.jpg", "new\nline.jpg", "b"]
    assert listed(b"new\nline.jpg", null=True) == ["new\nline.jpg"]
    assert listed(FSENCODED) == ["caf\\xe9.jpg"]
    assert listed(b"") == []
    assert listed(b"a.jpg\nb\n", include=["*.jpg"]) == ["a.jpg"]
    assert listed(b"./a.jpg\nsub/b\n", exclude=["sub", "/a.jpg"]) == []
    (gone,) = find_inputs(["-"], stdin=io.BytesIO(b"gone.jpg\n"))
    assert reason(gone) == "the file is not there"


def test_a_list_is_read_as_it_comes_and_once(place: Path) -> None:
    make("a.jpg", "b.jpg")
    out, into = os.pipe()
    with os.fdopen(out, "rb") as stream, os.fdopen(into, "wb", buffering=0) as writer:
        found = find_inputs(["-"], stdin=stream)
        items: Iterator[Item] = iter(found)
        writer.write(b"a.jpg\nb.")
        assert next(items).name == "a.jpg"
        writer.write(b"jpg\n")
        assert next(items).name == "b.jpg"
        writer.close()
        assert list(items) == []
    with pytest.raises(FacecheckError, match="only once"):
        list(found)


@pytest.mark.slow
def test_what_is_no_list_is_refused(place: Path) -> None:
    with pytest.raises(FacecheckError, match="no list of paths"):
        names("-", stdin=io.BytesIO(b"x" * 2**21))
    with pytest.raises(FacecheckError, match="pass --null"):
        names("-", stdin=io.BytesIO(b"x\n" * 2**16 + b"y\0z\n"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_manifest_gives_its_records(place: Path, suffix: str) -> None:
    make("a/1.jpg", "a/2")
    records = [
        Record(str(place / "a/2"), "s", "photo", split="test"),
        Record(str(place / "a/1.jpg"), "s", "photo", split="train"),
        Record("/elsewhere/3\0.jpg", "s", "photo", split="test", excluded="duplicate"),
    ]
    manifest = Path(f"m{suffix}")
    write_manifest(Manifest.from_records(records), manifest, {})
    every = [str(place / "a/2"), str(place / "a/1.jpg"), "/elsewhere/3\0.jpg"]
    assert names(manifest=manifest) == every
    assert names(manifest=manifest, split=["test"]) == every[:1]
    assert names(manifest=manifest, include=["a/*.jpg"]) == every[1:2]
    assert names("a/1.jpg", manifest=manifest) == ["a/1.jpg", *every]
    assert (
        reason(list(find_inputs([], InputOptions(manifest=manifest)))[2]) == "the file is not there"
    )
    with pytest.raises(UsageError, match="no split is called 'tset'"):
        find_inputs([], InputOptions(manifest=manifest, split=("tset",)))
    make("bad.csv")
    with pytest.raises(ManifestError):
        find_inputs([], InputOptions(manifest=Path("bad.csv")))


def test_shards_share_out_all_items_evenly_and_keep_them_when_others_come() -> None:
    items = [Item(f"folder/{number}.jpg", 0, 0, None) for number in range(10_000)]
    parts = [list(shard(items, index, 4)) for index in range(4)]
    assert sorted(item.name for part in parts for item in part) == sorted(
        item.name for item in items
    )
    assert all(2_300 < len(part) < 2_700 for part in parts)
    assert all(items[item.place].name == item.name for part in parts for item in part)
    second = {item.name for item in parts[1]}
    assert [item.name for item in shard(items[::3], 1, 4)] == [
        item.name for item in items[::3] if item.name in second
    ]
    odd = Item("caf\udce9.jpg", 0, 0, None)
    assert sum(odd in shard([odd], index, 3) for index in range(3)) == 1
    with pytest.raises(UsageError, match="no shard 4 of 4"):
        shard(items, 4, 4)


def test_two_runs_give_one_order(place: Path) -> None:
    make(*(f"x/{number * 7919 % 100}/{number}.jpg" for number in range(300)))
    found = find_inputs(["x", "x/5"])
    assert list(found) == list(found) == list(find_inputs(["x", "x/5"]))


@pytest.mark.parametrize(
    "glob", ["*a*a*a*a*b", "**/x/**/y/**/*.jpg", "{1..100000}.jpg", "{a,b}" * 12 + ".jpg"]
)
def test_a_glob_that_may_take_for_ever_is_refused_at_once(place: Path, glob: str) -> None:
    with pytest.raises(UsageError, match="stars in one name|use fewer braces"):
        find_inputs([place], InputOptions(include=(glob,)))
