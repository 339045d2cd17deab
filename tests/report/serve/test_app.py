"""Scans and decisions as the page asks for them."""

from __future__ import annotations

import csv
import hashlib
import shutil
import socket
import sys
import time
from pathlib import Path

import pytest

from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.workspace import BUILTIN_FAST
from facecheck.known.add import known_add
from facecheck.known.options import KnownAddOptions
from facecheck.report.serve.corrections import read_corrections
from facecheck.report.serve.live_scan import LiveScan
from facecheck.report.serve.options import ServeOptions
from facecheck.report.serve.pictures import Pictures
from facecheck.report.serve.running import Progress
from facecheck.report.serve.server import _names, serve
from facecheck.report.serve.workplace import Workplace
from facecheck.scanner.chunking import cut, without_rows
from facecheck.scanner.inputs.items import find_inputs
from facecheck.scanner.options import InputOptions, ResultOptions
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.sink import FileSink
from tests.report.serve.conftest import Asking, results_of, row

REAL = {"verdict": "real", "kind": "photo", "note": "", "by": "Anna", "at": "2026-11-29T18:00:00Z"}
FALSE = {**REAL, "verdict": "artificial", "kind": "", "note": "too smooth"}
DECISIONS = "/scans/results/decisions"


def test_decisions_are_written_as_they_are_made_and_found_again(folder: Path) -> None:
    names = [folder / "a.png", folder / "inner" / "b.png", folder / "gone.png"]
    results = results_of(folder.parent, [row(name) for name in names])
    with Workplace(results, BUILTIN_FAST, ServeOptions()) as workplace:
        ask = Asking(workplace)
        assert ask("/").headers["location"] == "/scans/results/"
        body = {"decisions": [[0, REAL], [2, FALSE]]}
        assert ask(DECISIONS, method="POST", body=body).json == {"decided": 2}
        assert (
            ask(DECISIONS, method="POST", body={"decisions": [[0, FALSE], [1, REAL]]}).status == 200
        )
        assert ask(DECISIONS, method="POST", body={"decisions": [[1, None]]}).json["decided"] == 2
    with (folder.parent / "results.corrections.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    digest = hashlib.sha256(names[0].read_bytes()).hexdigest()
    assert [(each["path"], each["sha256"], each["verdict"]) for each in rows] == [
        (str(names[2]), "", "artificial"), (str(names[0]), digest, "artificial"),
    ]  # fmt: skip
    with Workplace(results, BUILTIN_FAST, ServeOptions()) as workplace:
        assert Asking(workplace)(DECISIONS).json == {"decisions": [[0, FALSE], [2, FALSE]]}
        page = Asking(workplace)("/scans/results/").content.decode()
        assert "A score up to 0.200 is real" in page
        given = Asking(workplace)("/scans/results/corrections.csv")
        assert given.headers["content-disposition"].startswith("attachment")


def test_faces_are_decided_one_by_one(folder: Path) -> None:
    faces = [row(folder / "a.png", face=number, faces=2) for number in (1, 2)]
    results = results_of(folder.parent, faces, per_face=True)
    with Workplace(results, BUILTIN_FAST, ServeOptions()) as workplace:
        ask = Asking(workplace)
        assert ask(DECISIONS, method="POST", body={"decisions": [[1, REAL]]}).status == 200
        assert ask(DECISIONS).json["decisions"] == [[1, REAL]]
    corrections = folder.parent / "results.corrections.csv"
    (one,) = read_corrections(corrections)
    assert (one.face, one.faces) == ("2", "2")
    result = known_add([corrections], folder.parent / "known.csv", KnownAddOptions())
    assert (result.added, sum(result.failed.values())) == (0, 1)


@pytest.mark.parametrize(
    "decisions",
    [
        [[7, REAL]], [[-1, REAL]], [["0", REAL]], [[True, REAL]], [[0]], {"0": REAL}, None, [0],
        [[0, {**REAL, "verdict": "true"}]], [[0, {**REAL, "kind": "cat"}]],
        [[0, {**REAL, "kind": "sketch"}]], [[0, {**REAL, "note": "=1+1"}]],
        [[0, {**REAL, "note": "x" * 501}]], [[0, {**REAL, "by": "x" * 101}]],
        [[0, {**REAL, "at": "now"}]], [[0, "real"]], [[0, {}]],
    ],
)  # fmt: skip
def test_what_cannot_be_decided_is_refused_in_a_line(folder: Path, decisions: object) -> None:
    results = results_of(folder.parent, [row(folder / "a.png")])
    with Workplace(results, BUILTIN_FAST, ServeOptions()) as workplace:
        answer = Asking(workplace)(DECISIONS, method="POST", body={"decisions": decisions})
        assert answer.status == 400
        assert "\n" not in answer.json["error"]
    assert not (folder.parent / "results.corrections.csv").exists()


def test_names_that_would_run_are_kept_exact(folder: Path) -> None:
    (folder.parent / "=1+1.png").write_bytes((folder / "a.png").read_bytes())
    results = results_of(folder.parent, [row("=1+1.png"), row('-x,\n"y.png', width=None)])
    options = ServeOptions(root=(folder.parent,))
    body = {"decisions": [[0, REAL], [1, {**FALSE, "by": "=cmd()"}]]}
    with Workplace(results, BUILTIN_FAST, options) as workplace:
        assert Asking(workplace)(DECISIONS, method="POST", body=body).status == 200
    text = (folder.parent / "results.corrections.csv").read_text()
    assert "./=1+1.png" in text
    assert "'=cmd()" in text
    with Workplace(results, BUILTIN_FAST, options) as workplace:
        assert [each[0] for each in Asking(workplace)(DECISIONS).json["decisions"]] == [0, 1]


def test_what_is_at_odds_with_the_place_is_one_line(folder: Path) -> None:
    with pytest.raises(UsageError, match="no folder and no results at"):
        Workplace(folder / "no", BUILTIN_FAST, ServeOptions())
    results = results_of(folder.parent, [row(folder / "a.png")])
    (folder.parent / "results.corrections.csv").write_text("path,verdict\na.png,maybe\n")
    with pytest.raises(FacecheckError, match=r"row 2: no correction .*maybe"):
        Workplace(results, BUILTIN_FAST, ServeOptions())
    (folder.parent / "results.corrections.csv").unlink()
    with Workplace(results, BUILTIN_FAST, ServeOptions()) as workplace:
        answer = Asking(workplace)("/scans/results/start", method="POST", body={})
        assert answer.status == 400
        with pytest.raises(FacecheckError, match="is being written by process"):
            Workplace(results, BUILTIN_FAST, ServeOptions())


def ended(scan: LiveScan) -> Progress:
    """Wait until a scan runs no more; return how it ended."""
    until = time.monotonic() + 120
    while (found := scan.progress()).state == "running" and time.monotonic() < until:
        time.sleep(0.2)
    return found


@pytest.mark.slow
def test_a_scan_is_started_stopped_resumed_and_updated(drawn: Path, tmp_path: Path) -> None:
    """Its rows come as they are made, and decisions stay with their files."""
    inbox, kept = tmp_path / "inbox", tmp_path / "kept"
    shutil.copytree(drawn / "photo" / "drawn-photo", inbox)
    kept.mkdir()
    with Pictures([inbox]) as pictures:
        files = (kept / "a.csv", kept / "a.corrections.csv")
        scan = LiveScan(*files, pictures, folder=inbox, checkpoint=BUILTIN_FAST)
        assert scan.progress().state == "new"
        scan.start()
        with pytest.raises(UsageError, match="running"):
            scan.start()
        scan.stop()
        assert scan.progress().state in {"stopped", "done"}
        if not files[0].exists():
            scan.start()
        found = ended(scan)
        assert (found.state, found.done, found.message) == ("done", 12, "")
        assert len(scan.rows) == 12
        assert scan.facts.thresholds is not None
        scan.decide([(0, REAL)])
        shutil.copy(inbox / "000.png", inbox / "!first.png")
        before = scan.generation
        scan.start()
        assert (ended(scan).state, len(scan.rows)) == ("done", 13)
        assert scan.generation > before
        assert scan.decisions() == [[1, REAL]]
        again = LiveScan(*files, pictures, folder=inbox, checkpoint=BUILTIN_FAST)
        assert list(again.rows) == list(scan.rows)


@pytest.mark.slow
def test_a_scan_that_fails_says_why(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("*.png"):
        path.unlink()
    with Pictures([folder]) as pictures:
        files = (tmp_path / "a.csv", tmp_path / "a.corrections.csv")
        scan = LiveScan(*files, pictures, folder=folder, checkpoint=BUILTIN_FAST)
        scan.start()
        found = ended(scan)
        assert found.state == "failed"
        assert "no images in" in found.message


def test_without_its_extra_it_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(FacecheckError, match=r"facecheck serve needs the extra serve: pip install"):
        serve(folder, BUILTIN_FAST, opened=print)


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("127.0.0.1", ["127.0.0.1", "localhost", "[::1]"]),
        ("::1", ["[::1]", "127.0.0.1", "localhost"]),
        ("192.0.2.7", ["192.0.2.7"]),
    ],
)
def test_a_browser_may_call_it_by_its_own_names_alone(host: str, names: list[str]) -> None:
    assert _names(host) == names


def test_every_name_of_this_machine_counts_where_every_address_is_served() -> None:
    assert {socket.gethostname(), "localhost", "127.0.0.1"} <= {*_names("0.0.0.0")}


@pytest.mark.parametrize("excel", [False, True])
def test_rows_of_a_scan_that_runs_are_read_chunk_by_chunk(folder: Path, excel: bool) -> None:
    """As a scan writes them: rows first, then the line of the journal that makes them count."""
    out = folder.parent / "out.csv"
    files = (out, folder.parent / "out.corrections.csv")
    facts = {"thresholds": [0.2, 0.9], "per_face": False}
    with Pictures([folder]) as pictures:
        scan = LiveScan(*files, pictures, folder=folder)
        with FileSink(out, COLUMNS, facts, ResultOptions(excel=excel)) as sink:
            items, make = list(find_inputs([folder], InputOptions())), sink.form.maker()
            for chunk in without_rows(cut(items, 1), sink.journal, verify=False):
                sink.write(chunk, [make([row(item.name)]) for item in chunk.items])
                assert scan.progress().state == "stopped"
                assert scan.rows.path(len(scan.rows) - 1) == chunk.items[0].name
            generation = scan.generation
            sink.finish()
        assert (scan.progress().state, len(scan.rows)) == ("done", len(items))
        assert scan.generation == generation
        assert scan.facts.thresholds == (0.2, 0.9)


def test_results_from_elsewhere_find_their_pictures_by_a_base(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    results = results_of(folder.parent, [row("inner/b.png")])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with Workplace(results, BUILTIN_FAST, ServeOptions()) as workplace:
        assert Asking(workplace)("/scans/results/thumbs/0").status == 404
    with Workplace(results, BUILTIN_FAST, ServeOptions(base=folder)) as workplace:
        ask = Asking(workplace)
        assert ask("/scans/results/thumbs/0").status == 200
        assert ask(DECISIONS, method="POST", body={"decisions": [[0, REAL]]}).status == 200
    (one,) = read_corrections(folder.parent / "results.corrections.csv")
    assert (one.path, len(one.sha256)) == ("inner/b.png", 64)


def test_what_is_no_results_is_refused_in_a_line(folder: Path) -> None:
    for name in ("a.png", "results.xlsx"):
        (folder / name).write_bytes(b"PK")
        with pytest.raises(UsageError, match=r"name a folder, or the results of a scan \(.csv"):
            Workplace(folder / name, BUILTIN_FAST, ServeOptions())
