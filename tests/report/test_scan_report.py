"""The report of a scan, looked at as people do: in a browser."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

import facecheck
from facecheck.core.errors import FacecheckError
from facecheck.core.files import write_json
from facecheck.core.workspace import BUILTIN_FAST
from facecheck.report.options import ScanReportOptions
from facecheck.report.scan_report import HeatMaps, ScanReport, heat_rows, scan_report
from facecheck.report.thumbs import numbered
from facecheck.scanner.classified_picture import classified_picture
from facecheck.scanner.inputs.named import load_named
from facecheck.scanner.inputs.reach import EVERYWHERE
from facecheck.scanner.options import ScanOptions
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import CSV, Row, read_rows, tidy, write_rows
from facecheck.scanner.results.sink import read_meta
from tests.report.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

    Browse = Callable[..., Page]

HOSTILE = "<img src=x onerror=alert(1)>.jpg"
FORMULA = "=1+1,\n\"'.png"
BYTES = b"b\xffytes \\x41 #?%.png"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, drawn: Path) -> Iterator[Path]:
    """A current folder with files of hostile names, a real scan of them, and its report.

    After the scan one file was removed and one replaced.
    """
    folder = tmp_path_factory.mktemp("workspace")
    faces = folder / "faces"
    shutil.copytree(drawn / "photo" / "drawn-photo", faces)
    shutil.copytree(drawn / "cartoon" / "drawn-cartoon", folder / "cartoons")
    with zipfile.ZipFile(folder / "a.zip", "w") as bundle:
        bundle.write(faces / "000.png", "in/side.png")
    face = Image.open(faces / "001.png")
    face.save(faces / HOSTILE.replace("/", ""))
    face.save(folder / FORMULA)
    face.resize((300, 200)).save(os.fsdecode(os.fsencode(faces) + b"/" + BYTES))
    (faces / "damaged.png").write_bytes((faces / "000.png").read_bytes()[:90])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        inputs = ["faces", "cartoons", "a.zip", FORMULA]
        facecheck.scan(
            inputs, Path("results.csv"), BUILTIN_FAST, ScanOptions(faces="off", workers=1)
        )
        (faces / "002.png").unlink()
        face.resize((5, 5)).save(faces / "003.png")
        scan_report(Path("results.csv"), Path("out"), ScanReportOptions(workers=1))
        yield folder


@pytest.fixture
def browse(browse: Browse) -> Browse:
    """Open a page, and wait until its rows are there."""

    def opened(path: Path, **window: Any) -> Page:
        page = browse(path, **window)
        page.wait_for_selector("[data-ready]")
        return page

    return opened


@pytest.fixture
def page(workspace: Path, browse: Browse) -> Page:
    return browse(workspace / "out" / "index.html")


def settle(page: Page) -> None:
    """Wait until what was done to the filters is drawn: the page does so with its next frame."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def shown(page: Page) -> str:
    settle(page)
    return page.inner_text("#shown")


def names(page: Page) -> list[str]:
    """Return the names on the tiles that are elements, in the order of their places."""
    settle(page)
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('#faces .open')]"
        ".sort((a, b) => a.dataset.place - b.dataset.place)"
        ".map((tile) => tile.querySelector('.name').textContent)"
    )
    return found


def exported(page: Page) -> list[dict[str, str]]:
    with page.expect_download() as waiting:
        page.click("#export")
    text = Path(waiting.value.path()).read_text("utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def scan_rows(workspace: Path) -> list[dict[str, str]]:
    with (workspace / "results.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_every_row_is_there_and_hostile_names_are_text(
    workspace: Path, browse: Browse, width: int, dark: bool
) -> None:
    page = browse(workspace / "out" / "index.html", width=width, height=4000, dark=dark)
    assert page.inner_text("h1") == "Scan of 29 rows"
    assert names(page) == [
        name if FORMULA not in name else FORMULA
        for name in (
            row["path"].removeprefix("./").rpartition("/")[2] for row in scan_rows(workspace)
        )
    ]
    assert HOSTILE in names(page)
    assert "b\\xffytes \\x5cx41 #?%.png" in names(page)
    assert page.locator("[src=x]").count() == 0
    broken = "[...document.images].filter((one) => one.complete && !one.naturalWidth).length"
    until(page, "[...document.querySelectorAll('#faces img')].every((one) => one.complete)")
    assert page.evaluate(broken) == 0
    assert sorted(page.locator(".blank").all_inner_texts()) == [
        "error",
        "file not found",
        "file not found",
    ]


def test_filters_go_together_and_can_be_undone(workspace: Path, page: Page) -> None:
    rows = scan_rows(workspace)
    page.fill("#search", "FACES/00")
    assert shown(page) == f"{sum('faces/00' in row['path'] for row in rows)} of 29 rows"
    page.click("#form [type=reset]")
    assert shown(page) == "29 rows"
    page.check("#facet-status [data-word=error]")
    assert shown(page) == "1 of 29 rows"
    assert names(page) == ["damaged.png"]
    page.click("#form [type=reset]")
    kinds = sorted({row["kind"] for row in rows if row["kind"]})[:2]
    for kind in kinds:
        page.check(f"#facet-kind [data-word={kind}]")
    wanted = [row for row in rows if row["kind"] in kinds]
    assert shown(page).split()[0] == str(len(wanted))
    verdict = wanted[0]["verdict"]
    page.check(f"#facet-verdict [data-word={verdict}]")
    wanted = [row for row in wanted if row["verdict"] == verdict]
    assert shown(page).split()[0] == str(len(wanted))
    page.click("#form [type=reset]")
    middle = sorted(float(row["score"]) for row in rows if row["score"])[14]
    page.fill("#low", str(middle))
    assert shown(page).split()[0] == str(
        sum(bool(row["score"]) and float(row["score"]) >= middle for row in rows)
    )
    page.fill("#search", "no such name")
    assert shown(page) == "0 of 29 rows"
    assert page.is_visible("#nothing")
    assert page.is_disabled("#tick-all")


def test_rows_are_sorted(workspace: Path, page: Page) -> None:
    rows = scan_rows(workspace)
    scored = sorted(
        ((-float(row["score"]), place) for place, row in enumerate(rows) if row["score"])
    )
    page.select_option("#sort", "artificial")
    settle(page)
    first = rows[scored[0][1]]["path"]
    assert names(page)[0] == first.rpartition("/")[2]
    assert names(page)[-1] == "damaged.png"
    page.select_option("#sort", "name")
    settle(page)
    assert (
        names(page).index("000.png")
        < names(page).index("004.png")
        < names(page).index("damaged.png")
    )
    page.select_option("#sort", "large")
    settle(page)
    assert names(page)[0] == "b\\xffytes \\x5cx41 #?%.png"


def test_a_face_is_opened_and_left_by_keyboard(page: Page) -> None:
    page.locator("#faces [tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.is_visible("#large")
    assert page.inner_text("#large-name") == "001.png"
    page.wait_for_selector("#stage .frame img")
    assert page.evaluate("document.querySelector('#stage img').naturalWidth") > 0
    assert page.inner_text("#large-note") == ""
    shares = [float(text) for text in page.locator("#large-kinds .num").all_inner_texts()]
    assert sum(shares) == pytest.approx(1, abs=2e-3)
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#large-name") == "002.png"
    page.wait_for_selector("#stage .blank")
    page.keyboard.press("Escape")
    assert not page.is_visible("#large")
    until(page, "document.activeElement.querySelector('.name')?.textContent === '002.png'")


def test_the_file_itself_is_shown_whatever_its_name(page: Page) -> None:
    """Its name holds bytes that are not UTF-8, and what an address would be cut at."""
    page.fill("#search", "ytes")
    page.click("#faces .open")
    page.wait_for_selector("#stage .frame img")
    assert page.evaluate("document.querySelector('#stage img').naturalWidth") == 300
    page.keyboard.press("Escape")
    page.fill("#search", "a.zip")
    settle(page)
    page.click("#faces .open")
    page.wait_for_selector("#stage .frame img")
    assert page.inner_text("#large-folder") == "a.zip::in/"
    assert "thumbnail" in page.inner_text("#large-note")


def test_what_is_ticked_is_exported_as_scan_wrote_it(workspace: Path, page: Page) -> None:
    rows = scan_rows(workspace)
    assert page.is_disabled("#export")
    page.click("#tick-all")
    assert page.inner_text("#ticked") == "29 ticked"
    assert exported(page) == rows
    page.click("#untick")
    page.locator("#faces [tabindex='0']").focus()
    page.keyboard.press(" ")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ ")
    assert exported(page) == rows[:3]
    assert not page.is_visible("#large")
    page.check("#only-ticked")
    assert shown(page) == "3 of 29 rows"
    page.click("#faces .open")
    page.uncheck("#large-tick")
    page.keyboard.press("Escape")
    assert exported(page) == rows[1:3]


def test_what_a_verdict_rests_on_is_shown_where_it_is_not_the_pixels(
    tmp_path: Path, browse: Browse
) -> None:
    said: Row = {"provenance": "mark:comfyui;software", "generator": "<b>Comfy, UI"}
    rows: list[Row] = [
        {"path": "a.jpg", "status": "ok", "verdict": "real", "basis": "pixels", "score": 0.1},
        {
            "path": "b.jpg",
            "status": "ok",
            "verdict": "artificial",
            "basis": "known",
            "score": 0.2,
            **said,
        },
        {"path": "c.jpg", "status": "ok", "verdict": "real", "basis": "known"},
        {"path": "d.jpg", "status": "error"},
    ]
    page = browse(report(tmp_path, rows).page)
    assert page.locator("#faces .reason").all_inner_texts() == ["known", "known"]
    page.check("#facet-reason [data-word=known]")
    assert names(page) == ["b.jpg", "c.jpg"]
    page.click("#faces .open")
    facts = page.inner_text("#large-facts")
    assert all(word in facts for word in ("known", "mark:comfyui, software", "<b>Comfy, UI"))
    page.keyboard.press("Escape")
    page.click("#tick-all")
    assert [row["basis"] for row in exported(page)] == ["known", "known"]
    assert {name: exported(page)[0][name] for name in said} == said


def test_without_such_verdicts_there_is_nothing_to_choose(tmp_path: Path, browse: Browse) -> None:
    row: Row = {"path": "a.jpg", "status": "ok", "verdict": "real", "basis": "pixels", "score": 0.1}
    assert not browse(report(tmp_path, [row]).page).is_visible("#facet-reason")


def test_a_name_that_would_run_is_exported_so_that_it_does_not(
    tmp_path: Path, browse: Browse
) -> None:
    """JSON holds exact names; the browser makes them safe."""
    row: Row = {"path": "@SUM(A1)", "status": "error", "message": "the file is not there"}
    made = report(tmp_path, [row], suffix=".jsonl")
    page = browse(made.page)
    assert names(page) == ["@SUM(A1)"]
    page.click("#tick-all")
    assert [row["path"] for row in exported(page)] == ["./@SUM(A1)"]


def report(
    folder: Path,
    rows: Iterable[Row],
    *,
    suffix: str = CSV,
    draw_heat: HeatMaps | None = None,
    **options: Any,
) -> ScanReport:
    """Write rows as the results of a scan, and report them."""
    results = folder / f"results{suffix}"
    write_rows(results, (tidy(row, COLUMNS) for row in rows), COLUMNS, suffix)
    made = ScanReportOptions(**options)
    return scan_report(results, folder / "out", made, draw_heat=draw_heat, reach=EVERYWHERE)


def many(count: int) -> Iterator[Row]:
    for number in range(count):
        score = number / (count - 1)
        yield {
            **{"path": f"data/{number // 5000}/face {number:06}.jpg", "status": "ok"},
            **{"verdict": "real" if score < 0.5 else "artificial", "score": score},
            **{"kind": "photo" if score < 0.5 else "generated", "p_photo": 1 - score},
            **{"p_generated": score, "view": "whole", "width": 64, "height": 64},
        }


@pytest.mark.parametrize("width", [1280, 390])
def test_a_hundred_thousand_rows_scroll_to_the_end_with_few_elements(
    large: Path, browse: Browse, width: int
) -> None:
    page = browse(large, width=width)
    assert shown(page) == "100,000 rows"
    elements = "document.getElementsByTagName('*').length"
    counts = []
    for share in (0.2, 0.4, 0.9, 1):
        page.evaluate(
            f"scrollTo({{top: {share} * document.body.scrollHeight, behavior: 'instant'}})"
        )
        settle(page)
        counts.append(page.evaluate(elements))
    assert max(counts) < 1500
    assert names(page)[-1] == "face 099999.jpg"
    page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
    page.locator("#faces [tabindex='0']").focus()
    page.keyboard.press("End")
    assert (
        page.evaluate("document.activeElement.querySelector('.name').textContent")
        == "face 099999.jpg"
    )
    if width < 500:
        page.click("#filters summary")
    page.fill("#search", "9999")
    assert shown(page) == "19 of 100,000 rows"
    page.fill("#search", "")
    page.fill("#low", "0.75")
    assert shown(page) == "25,000 of 100,000 rows"
    page.select_option("#sort", "artificial")
    settle(page)
    assert names(page)[0] == "face 099999.jpg"
    assert page.evaluate(elements) < 1500


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(tmp_path_factory.mktemp("large"), many(100_000), thumbnails=0).page


def test_heat_maps_are_of_the_surest_and_the_least_sure(tmp_path: Path, browse: Browse) -> None:
    rows = list(many(11))
    assert heat_rows(rows, 2) == [10, 9, 5, 4]
    asked: list[str] = []

    def draw(chosen: Sequence[Row]) -> Iterator[Image.Image | None]:
        for row in chosen:
            asked.append(str(row["path"]))
            yield None if "05" in str(row["path"]) else Image.new("RGB", (40, 40), "red")

    made = report(tmp_path, rows, heat_maps=2, draw_heat=draw)
    assert asked == [rows[place]["path"] for place in (10, 9, 5, 4)]
    assert made.heat_maps == 3
    assert (made.out / "heat" / numbered(9)).is_file()
    page = browse(made.page)
    page.fill("#search", "09")
    settle(page)
    page.click("#faces .open")
    page.check("#heat")
    page.wait_for_selector("#stage .frame img")
    assert "heat map" in page.inner_text("#large-note")


@pytest.mark.slow
def test_what_was_made_is_told(workspace: Path) -> None:
    summary = json.loads((workspace / "out" / "summary.json").read_bytes())
    rows = scan_rows(workspace)
    assert summary["rows"] == len(rows) == 29
    assert summary["statuses"]["error"] == 1
    assert summary["thumbnails"] == 26
    assert summary["missing"] == 3
    with (workspace / "out" / "counts.csv").open(newline="") as stream:
        assert sum(int(row["rows"]) for row in csv.DictReader(stream)) == 29
    with (workspace / "out" / "scores.csv").open(newline="") as stream:
        bins = list(csv.DictReader(stream))
    assert sum(int(row[name]) for row in bins for name in list(row)[2:]) == sum(
        summary["verdicts"].values()
    )
    with Image.open(workspace / "out" / "scores-dark.png") as dark:
        assert dark.convert("L").getpixel((0, 0)) < 60  # type: ignore[operator]


def test_a_thumbnail_shows_what_was_judged(tmp_path: Path) -> None:
    image = Image.new("RGB", (400, 200), "blue")
    image.paste("red", (300, 0, 400, 200))
    image.save(tmp_path / "a.png")
    row: dict[str, str | int | float | None] = {
        **{"path": str(tmp_path / "a.png"), "view": "whole", "width": 400, "height": 200},
        **{"frame": None, "face_left": 320, "face_top": 70, "face_width": 40, "face_height": 40},
    }
    assert classified_picture(row, 128).size == (128, 64)
    crop = classified_picture({**row, "view": "face"}, 128)
    assert crop.getextrema() == ((254, 255), (0, 0), (0, 0)) or crop.getpixel((30, 30)) == (
        255,
        0,
        0,
    )
    assert crop.size == (64, 64)


def test_members_of_archives_are_loaded_and_what_is_gone_is_told(tmp_path: Path) -> None:
    name = tmp_path / "odd::name.zip"
    with zipfile.ZipFile(name, "w") as bundle:
        bundle.writestr(".hidden/a.png", b"content")
    assert load_named(f"{name}::.hidden/a.png") == b"content"
    for gone in (f"{name}::b.png", f"{tmp_path}/no.zip::b.png", "nosuch://bucket/a.png"):
        with pytest.raises(FacecheckError):
            load_named(gone)


@pytest.mark.slow
def test_results_of_every_format_without_their_meta_and_without_rows(tmp_path: Path) -> None:
    for suffix in (".jsonl", ".parquet"):
        folder = tmp_path / suffix
        folder.mkdir()
        assert report(folder, many(3), suffix=suffix).verdicts == {"artificial": 2, "real": 1}
        assert list(read_rows(folder / f"results{suffix}", COLUMNS))
        assert "no .meta.json next to" in (folder / "out" / "index.html").read_text("utf-8")
    with pytest.raises(FacecheckError, match="no rows"):
        report(tmp_path, [])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_page_says_what_the_model_knows_and_what_real_does_not_say(tmp_path: Path) -> None:
    model = {
        **{"kinds": ["photo", "generated"], "never_saw": ["sketch"], "budget": 0.01, "epoch": 7},
        **{"trained_on": {"generated": {"<b>gan": 1200}}, "val_top1": None, "epochs": None},
    }
    meta = tmp_path / "results.csv.meta.json"
    meta.write_text(json.dumps({"model": {**model, "caution": "none", "other": 1}}))
    report(tmp_path, many(3))
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    for text in (
        *("The verdict real is no proof of a real person", "no val split after epoch 7"),
        *("calibrated for errors of 1 %", "photo, generated", "Never saw", "&lt;b&gt;gan (1,200)"),
    ):
        assert text in page
    for strange in ("text", {"kinds": 7}, {**model, "trained_on": 7}):
        meta.write_text(json.dumps({"model": strange}))
        report(tmp_path, many(3), overwrite=True)


def test_no_cell_of_its_tables_is_run_by_a_spreadsheet(tmp_path: Path) -> None:
    strange: Row = {
        "path": "a",
        "status": "@SUM(A1)",
        "verdict": "=1+1",
        "kind": "+x",
        "score": 0.5,
    }
    made = report(tmp_path, [strange])
    assert "'@SUM(A1),'=1+1,'+x,1" in (made.out / "counts.csv").read_text()


def test_real_faces_are_cut_out_and_their_box_is_drawn(
    portraits: list[Path], detector: Path, tmp_path: Path, browse: Browse
) -> None:
    """A portrait pasted into a large picture: the thumbnail is the face, the box is around it."""
    scene = Image.new("RGB", (900, 600), "#7090b0")
    with Image.open(portraits[0]) as face:
        scene.paste(face.convert("RGB").resize((200, 200)), (60, 340))
    (tmp_path / "in").mkdir()
    scene.save(tmp_path / "in" / "scene.jpg")
    results = tmp_path / "results.csv"
    options = ScanOptions(face_detector=detector, workers=1)
    facecheck.scan([tmp_path / "in"], results, BUILTIN_FAST, options)
    made = scan_report(results, tmp_path / "out")
    with Image.open(made.out / "thumbs" / numbered(0)) as thumbnail:
        assert thumbnail.size == (128, 128)
        assert abs(sum(thumbnail.getpixel((64, 64))) - sum((0x70, 0x90, 0xB0))) > 30  # type: ignore[arg-type]
    page = browse(made.page)
    page.click("#faces .open")
    page.wait_for_selector("#stage rect.over")
    rect = page.locator("#stage rect.over").bounding_box()
    frame = page.locator("#stage .frame").bounding_box()
    assert rect is not None
    assert frame is not None
    middle = (rect["x"] + rect["width"] / 2 - frame["x"]) / frame["width"] * 900
    assert 60 < middle < 260
    assert "px at" in page.inner_text("#large-facts")


def test_a_report_from_another_folder_finds_the_pictures(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By where the scan ran; or, with all moved elsewhere, by the folder that is given."""
    options = ScanReportOptions(workers=1, thumbnails=8)
    monkeypatch.chdir(tmp_path)
    there = scan_report(workspace / "results.csv", Path("one"), options)
    assert there.thumbnails > 4
    assert there.base == workspace
    assert there.hint == ""
    page = (tmp_path / "one" / "index.html").read_text()
    assert json.dumps(os.path.relpath(workspace, tmp_path / "one")) in page

    moved = tmp_path / "moved"
    shutil.copytree(workspace / "faces", moved / "faces")
    shutil.copy(workspace / "results.csv", "r.csv")
    meta = read_meta(workspace / "results.csv")
    write_json(Path("r.csv.meta.json"), {**meta, "folder": "/gone", "roots": ["/gone/faces"]})
    lost = scan_report(Path("r.csv"), Path("two"), options)
    assert lost.thumbnails == 0
    assert lost.hint.endswith("paths in r.csv are relative to where the scan ran: pass --base DIR")
    found = scan_report(
        Path("r.csv"), Path("three"), ScanReportOptions(workers=1, thumbnails=8, base=Path("moved"))
    )
    assert found.thumbnails == there.thumbnails
    assert found.hint == ""
    assert all((tmp_path / "three" / "thumbs" / numbered(n)).exists() for n in (0, 1))
