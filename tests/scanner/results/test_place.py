from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import name_text
from facecheck.scanner.inputs.reach import EVERYWHERE
from facecheck.scanner.results.place import PlaceResult
from facecheck.scanner.results.place import place as job
from facecheck.scanner.results.rows import FORMATS, format_of, tidy, write_rows
from tests.scanner.items import COLUMNS

#: These results are the test's own.
place = partial(job, reach=EVERYWHERE)

HOSTILE = ("=1.jpg", "-rf.jpg", "new\nline.jpg", "caf\udce9.jpg", "\\xe9.jpg", "x" * 251 + ".jpg")


def results_of(out: Path, verdicts: Mapping[str, str]) -> Path:
    """Write results that give these verdicts on these names."""
    rows = [
        tidy({"path": name, "status": "ok" if verdict else "error", "verdict": verdict,
              "score": 0.5 if verdict else None}, COLUMNS)
        for name, verdict in verdicts.items()
    ]  # fmt: skip
    write_rows(out, rows, COLUMNS, format_of(out))
    return out


def filled(folder: Path, names: tuple[str, ...]) -> list[Path]:
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f"content of {name!r}")
    return [folder / name for name in names]


def contents(folder: Path) -> Counter[str]:
    return Counter(path.read_text() for path in folder.rglob("*.jpg"))


@pytest.mark.parametrize("move", [False, True])
@pytest.mark.parametrize("suffix", FORMATS)
def test_files_with_any_name_go_to_their_verdicts(
    tmp_path: Path, suffix: str, move: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = filled(Path("in"), HOSTILE)
    before = contents(Path("in"))
    told = dict(zip(map(name_text, paths), ["real", "artificial", "uncertain"] * 2, strict=True))
    results = results_of(tmp_path / f"r{suffix}", told)
    to = tmp_path / "out"
    result = place(results, to, move=move, confirmed=True, roots=[Path("in")])
    assert (result.placed, result.already, result.left, result.failed) == (6, 0, 0, {})
    assert result.verdicts == {"real": 2, "artificial": 2, "uncertain": 2}
    for path, verdict in zip(paths, told.values(), strict=True):
        assert (to / verdict / path.name).read_text() == f"content of {path.name!r}"
        assert path.exists() != move
    again = place(results, to, move=move, confirmed=True, roots=[Path("in")])
    assert (again.placed, again.already, again.failed) == (0, 6, {})
    assert contents(to) == before


def test_nothing_is_moved_unasked(tmp_path: Path) -> None:
    (path,) = filled(tmp_path / "in", ("a.jpg",))
    results = results_of(tmp_path / "r.csv", {str(path): "real"})
    with pytest.raises(UsageError, match="--yes"):
        place(results, tmp_path / "out", move=True)
    assert path.exists()


@pytest.mark.parametrize("move", [False, True])
def test_nothing_is_overwritten_and_no_file_of_a_name_is_lost(tmp_path: Path, move: bool) -> None:
    names = ("a.jpg", "x" * 251 + ".jpg")
    first, second, third = (filled(tmp_path / name, names) for name in ("1", "2", "3"))
    for path in second:
        path.write_text("other")
    before = sum((contents(tmp_path / name) for name in "123"), Counter())
    to = tmp_path / "out"
    (to / "real").mkdir(parents=True)
    (to / "real" / "a.jpg").write_text("mine")
    told = {str(path): "real" for path in (*first, *second, *third)}
    results = results_of(tmp_path / "r.csv", told)
    roots = [tmp_path / name for name in "123"]
    for _ in range(2):
        result = place(results, to, move=move, confirmed=True, roots=roots)
        assert not result.failed
        assert (to / "real" / "a.jpg").read_text() == "mine"
        placed = contents(to)
        del placed["mine"]
        # Of equal files in one place one copy is enough, but both that are moved must be there.
        assert placed == (before if move else before - contents(tmp_path / "3"))
    assert all(path.exists() != move for path in (*first, *second, *third))


@pytest.mark.slow
@pytest.mark.parametrize("other_disk", [False, True])
def test_a_move_killed_at_any_step_neither_doubles_nor_loses(
    tmp_path: Path, other_disk: bool
) -> None:
    to = tmp_path / "out"
    if other_disk:
        shared_memory = Path("/dev/shm")
        if not shared_memory.is_dir() or shared_memory.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is no other disk here")
        to = shared_memory / f"facecheck-test-{os.getpid()}"
    try:
        steps = 0
        while _one_kill(steps + 1, tmp_path / f"{steps}", to / f"{steps}"):
            steps += 1
        assert 20 < steps < 200
    finally:
        if other_disk:
            shutil.rmtree(to, ignore_errors=True)


def _one_kill(step: int, folder: Path, to: Path) -> bool:
    """Move a few files, killed once and run again; return whether it was killed."""
    folder.mkdir()
    paths = filled(folder / "in", ("a.jpg", "b.jpg"))
    (folder / "in" / "sub").mkdir()
    paths.append(Path(shutil.copy(paths[0], folder / "in" / "sub" / "a.jpg")))
    before = contents(folder / "in")
    # Both named a.jpg meet in one place.
    roots = [folder / "in" / "sub", folder / "in"]
    results = results_of(folder / "r.csv", {str(path): "real" for path in paths})
    killed = _killed_at(step, results, to, roots)
    assert not before - (contents(to) + contents(folder / "in"))
    result = place(results, to, move=True, confirmed=True, roots=roots)
    assert result.placed + result.already == 3
    assert not list((folder / "in").rglob("*.jpg"))
    assert contents(to) == before
    assert {path.name for path in (to / "real").iterdir()} == {"a.jpg", "a~2.jpg", "b.jpg"}
    return killed


def _killed_at(step: int, results: Path, to: Path, roots: list[Path]) -> bool:
    """Move in a process that dies before its so-many-th change; return whether it died."""
    child = os.fork()
    if not child:
        seen = 0

        def count(event: str, _: tuple[Any, ...]) -> None:
            nonlocal seen
            if event in {"os.link", "os.remove", "os.rename", "os.mkdir", "os.truncate", "open"}:
                seen += 1
                if seen == step:
                    os._exit(9)

        sys.addaudithook(count)
        try:
            place(results, to, move=True, confirmed=True, roots=roots)
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, 9}
    return code == 9


def test_names_never_leave_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    filled(tmp_path / "in", ("a.jpg",))
    told = {
        "../in/a.jpg": "real",
        str(tmp_path / "in" / "a.jpg"): "artificial",
        "z.zip::../../b.jpg": "real",
        "z.zip::/etc/c.jpg": "real",
        "s3://bucket/d.jpg": "real",
        "../in/./a.jpg": "../../../out-of-it",
    }
    results = results_of(tmp_path / "r.csv", told)
    to = tmp_path / "out"
    monkeypatch.setattr("facecheck.scanner.results.place.load_named", lambda name: name.encode())
    result = place(results, to)
    assert result.placed == 5
    assert result.left == 1
    absolute = tmp_path.relative_to("/").as_posix()
    assert {path.relative_to(to).as_posix() for path in to.rglob("*.jpg")} == {
        "real/in/a.jpg", f"artificial/{absolute}/in/a.jpg", "real/z.zip/b.jpg",
        "real/z.zip/etc/c.jpg", "real/s3/bucket/d.jpg",
    }  # fmt: skip
    assert (to / "real" / "s3" / "bucket" / "d.jpg").read_text() == "s3://bucket/d.jpg"
    assert not (tmp_path / "out-of-it").exists()
    again = place(results, to)
    assert (again.placed, again.already) == (0, 5)


def test_members_and_addresses_are_not_moved(tmp_path: Path) -> None:
    (path,) = filled(tmp_path / "in", ("a.jpg",))
    told = {"z.zip::b.jpg": "real", str(path): "real", "s3://bucket/d.jpg": "real"}
    results = results_of(tmp_path / "r.csv", told)
    for placed, already in ((1, 0), (0, 1)):
        result = place(results, tmp_path / "out", move=True, confirmed=True)
        assert (result.placed, result.already, result.left) == (placed, already, 2)


def test_members_of_archives_are_copied_out(tmp_path: Path) -> None:
    archive = tmp_path / "faces.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("one/a.jpg", b"first")
        bundle.writestr("b.jpg", b"second")
    told = {f"{archive}::one/a.jpg": "real", f"{archive}::b.jpg": "artificial"}
    told |= {f"{archive}::gone.jpg": "real", f"{tmp_path}/none.zip::a.jpg": "real"}
    result = place(results_of(tmp_path / "r.csv", told), tmp_path / "out", roots=[tmp_path])
    assert result.placed == 2
    assert result.failed == {"the file is not there": 2}
    assert (tmp_path / "out" / "real" / "faces.zip" / "one" / "a.jpg").read_bytes() == b"first"
    assert (tmp_path / "out" / "artificial" / "faces.zip" / "b.jpg").read_bytes() == b"second"


def test_what_cannot_be_placed_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    paths = filled(tmp_path / "in", ("a.jpg", "gone.jpg", "link.jpg", "bad.jpg"))
    paths[1].unlink()
    paths[2].unlink()
    paths[2].symlink_to(paths[0])
    told = {str(path): "real" for path in paths[:3]}
    told[str(paths[3])] = ""
    told["z.zip::b.jpg"] = "artificial"

    result = place(results_of(tmp_path / "r.csv", told), tmp_path / "out")
    assert (result.placed, result.left) == (2, 1)
    assert result.failed == {"the file is not there": 2}
    moved = place(
        results_of(tmp_path / "m.csv", told), tmp_path / "moved", move=True, confirmed=True
    )
    # The file that a link shows is not the scan's to take: a link's place gets a copy.
    assert moved.placed + sum(moved.failed.values()) == 3
    assert not paths[0].exists()


def test_only_the_verdicts_that_were_asked_for(tmp_path: Path) -> None:
    paths = filled(tmp_path / "in", ("a.jpg", "b.jpg"))
    told = dict(zip(map(str, paths), ("real", "artificial"), strict=True))
    result = place(
        results_of(tmp_path / "r.csv", told), tmp_path / "out", verdicts=["artificial"],
        roots=[tmp_path / "in"],
    )  # fmt: skip
    assert (result.placed, result.left) == (1, 1)
    assert (tmp_path / "out" / "artificial" / "b.jpg").exists()


def test_a_file_with_several_faces_goes_by_the_most_artificial(tmp_path: Path) -> None:
    (path,) = filled(tmp_path / "in", ("a.jpg",))
    rows = [
        tidy({"path": str(path), "verdict": verdict, "score": score}, COLUMNS)
        for verdict, score in (("real", 0.1), ("artificial", 0.9), ("uncertain", 0.5))
    ]
    write_rows(tmp_path / "r.csv", rows, COLUMNS, ".csv")
    result = place(tmp_path / "r.csv", tmp_path / "out")
    assert result.verdicts == {"artificial": 1}


def test_other_results_and_folders_that_cannot_be_are_told(tmp_path: Path) -> None:
    (path,) = filled(tmp_path / "in", ("a.jpg",))
    results = results_of(tmp_path / "r.csv", {str(path): "real"})
    with pytest.raises(FacecheckError, match="cannot be placed there"):
        place(results, Path("/proc/facecheck"))
    with pytest.raises(FacecheckError, match="cannot be placed|cannot be read"):
        place(tmp_path / "nothing.csv", tmp_path / "out")
    for header, what in (("path,score", "a table"), ("path,kind,source", "a manifest")):
        (tmp_path / "other.csv").write_text(f"{header}\na,b,c\n")
        with pytest.raises(FacecheckError, match=f"is {what}, .*name a file that `facecheck scan`"):
            place(tmp_path / "other.csv", tmp_path / "out")
    place(results, tmp_path / "out")
    assert contents(tmp_path / "out") == Counter(["content of 'a.jpg'"])


def test_each_folder_has_a_record_of_its_own_which_nothing_replaces(tmp_path: Path) -> None:
    paths = filled(tmp_path / "in", ("a.jpg", "b.jpg"))
    results = results_of(tmp_path / "r.csv", {str(path): "real" for path in paths})
    for name in ("one", "two"):
        place(results, tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    results_of(results, {str(paths[0]): "real"})  # as by --overwrite, when the other was moved
    place(results, tmp_path / "one", move=True, confirmed=True)
    records = sorted(tmp_path.glob("r.csv.placed-*.jsonl"))
    lines = [list(map(json.loads, path.read_text().splitlines())) for path in records]
    told = Counter((head["to"], head["move"], len(files)) for head, *files in lines)
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert told == Counter([(one, False, 2), (two, False, 2), (one, True, 1)])


def test_a_damaged_line_of_the_record_costs_no_other_file_its_own(tmp_path: Path) -> None:
    paths = filled(tmp_path / "in", ("a.jpg", "b.jpg", "c.jpg"))
    results = results_of(tmp_path / "r.csv", {str(path): "real" for path in paths})

    def move() -> PlaceResult:
        return place(results, tmp_path / "out", move=True, confirmed=True, roots=[tmp_path / "in"])

    move()
    (record,) = tmp_path.glob("r.csv.placed-*.jsonl")
    lines = record.read_text().splitlines()
    record.write_text("\n".join([lines[0], "garbage", *lines[2:], ""]))
    for _ in range(2):
        again = move()
        assert (again.already, again.failed) == (2, {"the file is not there": 1})
    assert [json.loads(line) for line in record.read_text().splitlines()[2:4]] == [
        json.loads(line) for line in lines[2:]
    ]
