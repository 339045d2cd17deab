"""Deciding faces in the page of a scan, as people do: by keyboard, in a browser."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from facecheck.known.add import known_add
from facecheck.known.options import KnownAddOptions
from facecheck.report.gallery_rows import GalleryRows
from facecheck.report.options import ScanReportOptions
from facecheck.report.scan_report import scan_report
from facecheck.scanner.inputs.reach import EVERYWHERE
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import CSV, Row, tidy, write_rows
from tests.report.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

    Browse = Callable[..., Page]

LOW, HIGH = 0.2, 0.9


def row(path: str, score: float | None = None, **more: Any) -> Row:
    """Return a row as a scan with the thresholds 0.2 and 0.9 writes it."""
    found: dict[str, Any] = {"path": path, "status": "ok", "basis": "pixels", "score": score}
    if score is None:
        return {**found, "status": "no_face", "basis": "", **more}
    between = f"score {score:.3f} lies between {LOW:.3f} (real) and {HIGH:.3f} (artificial)"
    unsure = LOW < score < HIGH
    verdict = "uncertain" if unsure else "real" if score <= LOW else "artificial"
    kind = "photo" if score < 0.5 else "generated"
    found |= {
        "verdict": verdict,
        "kind": kind,
        "view": "whole",
        "message": between if unsure else "",
    }
    return {**found, **more}


UNLIKE = {"verdict": "uncertain", "message": "unlike the images that the model was trained on"}
ROWS = [
    row("in/a 10.jpg", 0.1, width=300, height=200),
    row("in/a 9.jpg", 0.97),
    row("in/b/c.jpg", 0.5, face_left=5, face_top=5, face_width=40, face_height=60),
    row("in/b/d.jpg", 0.99, **UNLIKE),
    row("other/e.jpg", 0.89),
    row("other/f.jpg"),
    row("=1+1.png", 0.05),
]


@pytest.fixture
def made(tmp_path: Path, browse: Browse) -> Callable[..., Page]:
    """Return what writes rows as results, reports them, and opens the page."""

    def make(rows: list[Row] = ROWS, *, per_face: bool = False, **window: Any) -> Page:
        results = tmp_path / "results.csv"
        write_rows(results, (tidy(each, COLUMNS) for each in rows), COLUMNS, CSV)
        meta = {"thresholds": [LOW, HIGH], "per_face": per_face}
        meta["artificial_from_by_faces"] = {"1": 0.9, "4": 0.95}
        results.with_name("results.csv.meta.json").write_text(json.dumps(meta))
        report = scan_report(
            results, tmp_path / "out", ScanReportOptions(overwrite=True), reach=EVERYWHERE
        )
        page = browse(report.page, **window)
        page.wait_for_selector("[data-ready]")
        return page

    return make


def names(page: Page) -> list[str]:
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('#faces .open')]"
        ".sort((a, b) => a.dataset.place - b.dataset.place)"
        ".map((tile) => tile.querySelector('.name').textContent)"
    )
    return found


def corrections(page: Page) -> tuple[str, list[dict[str, str]]]:
    with page.expect_download() as waiting:
        page.click("#corrections")
    text = Path(waiting.value.path()).read_text("utf-8")
    return text, list(csv.DictReader(io.StringIO(text, newline="")))


def decided(page: Page) -> dict[str, str]:
    """Return what is marked on the tiles, by their names."""
    return {
        tile.locator(".name").inner_text(): tile.locator(".decided").inner_text()
        for tile in page.locator("#faces li").all()
        if tile.locator(".decided").count()
    }


def test_faces_are_decided_by_one_key_each(made: Callable[..., Page]) -> None:
    page = made()
    page.fill("#by", "Anna")
    page.locator("#faces [tabindex='0']").focus()
    for key in ("a", "d", "2", "u", "a"):
        page.keyboard.press(key)
    assert page.inner_text("#said").startswith("No verdict to agree with")
    for key in ("ArrowRight", "6", "d"):
        page.keyboard.press(key)
    assert decided(page) == {
        "a 10.jpg": "✓ photo",
        "a 9.jpg": "✗ photo",
        "c.jpg": "✗ cartoon",
        "d.jpg": "? cannot tell",
        "f.jpg": "✗ generated",
        "=1+1.png": "✗ artificial",
    }
    assert page.inner_text("#decided") == "6 decided"
    text, rows = corrections(page)
    assert text.splitlines()[0] == "path,sha256,face,faces,verdict,kind,note,by,at"
    assert [(each["path"], each["verdict"], each["kind"], each["by"]) for each in rows] == [
        ("in/a 10.jpg", "real", "photo", "Anna"),
        ("in/a 9.jpg", "real", "photo", "Anna"),
        ("in/b/c.jpg", "artificial", "cartoon", "Anna"),
        ("in/b/d.jpg", "uncertain", "", "Anna"),
        ("other/f.jpg", "artificial", "generated", "Anna"),
        ("./=1+1.png", "artificial", "", "Anna"),
    ]
    assert all(each["at"].endswith("Z") and len(each["at"]) == 20 for each in rows)
    page.locator("#faces [tabindex='0']").focus()
    page.keyboard.press("z")
    page.click("#undo")
    page.check("#facet-decision [data-word='not decided']")
    assert names(page) == ["e.jpg", "f.jpg", "=1+1.png"]


def test_decisions_survive_a_reload_and_come_back_from_a_file(
    made: Callable[..., Page], tmp_path: Path
) -> None:
    page = made()
    page.locator("#faces [tabindex='0']").focus()
    page.keyboard.press("a")
    page.keyboard.press("5")
    page.reload()
    page.wait_for_selector("[data-ready]")
    assert decided(page) == {"a 10.jpg": "✓ photo", "a 9.jpg": "✗ sculpture"}
    text, _ = corrections(page)
    page.locator("#faces [tabindex='0']").focus()
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    assert decided(page) == {}
    kept = tmp_path / "kept.csv"
    kept.write_text(
        "\ufeff" + text + 'gone.jpg,,,,real,photo,,,\r\nin/b/c.jpg,,,,,sketch,"a,\nb",,\r\n'
    )
    page.set_input_files("#load", kept)
    until(page, "document.querySelector('#said').textContent.startsWith('Loaded')")
    assert page.inner_text("#said") == "Loaded 3 decisions; 1 are of no row here"
    assert decided(page) == {
        "a 10.jpg": "✓ photo",
        "a 9.jpg": "✗ sculpture",
        "c.jpg": "✗ sketch",
    }
    kept.write_text("name,label\na,b\n")
    page.set_input_files("#load", kept)
    until(page, "document.querySelector('#said').textContent.startsWith('These')")


def test_a_face_is_decided_in_the_large_picture_with_a_note(made: Callable[..., Page]) -> None:
    page = made()
    page.locator("#faces [tabindex='0']").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("d")
    assert page.inner_text("#large-name") == "a 9.jpg"
    page.keyboard.press("ArrowLeft")
    assert page.get_attribute("#choices [data-key=d]", "aria-pressed") == "true"
    page.keyboard.press("n")
    page.keyboard.type("=1+1 looks drawn, a d 1")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.click("#choices [data-key='3']")
    page.click("#choices [data-key='u']")
    assert page.inner_text("#large-name") == "d.jpg"
    page.keyboard.press("Escape")
    _, rows = corrections(page)
    assert [(each["verdict"], each["kind"], each["note"]) for each in rows] == [
        ("artificial", "", "1+1 looks drawn, a d 1"),
        ("artificial", "sketch", ""),
        ("uncertain", "", ""),
    ]


def test_the_back_button_closes_a_face_and_its_address_opens_it(made: Callable[..., Page]) -> None:
    page = made()
    page.locator("#faces [tabindex='0']").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    assert page.url.endswith("#face-2")
    page.go_back()
    until(page, "!document.querySelector('#large').open")
    page.go_forward()
    until(page, "document.querySelector('#large').open")
    assert page.inner_text("#large-name") == "a 9.jpg"
    page.keyboard.press("Escape")
    until(page, "!location.hash.startsWith('#face')")
    page.check("#facet-status [data-word=no_face]")
    page.evaluate("location.hash = '#face-3'")
    until(page, "document.querySelector('#large').open")
    assert page.inner_text("#large-name") == "c.jpg"


def test_the_least_sure_come_first_and_those_unlike_all_before_them(
    made: Callable[..., Page],
) -> None:
    page = made()
    page.select_option("#sort", "unsure")
    assert names(page) == [
        *("d.jpg", "c.jpg", "e.jpg", "a 10.jpg", "a 9.jpg", "=1+1.png", "f.jpg"),
    ]
    page.select_option("#sort", "name")
    assert names(page)[1:3] == ["a 9.jpg", "a 10.jpg"]


def test_rows_are_filtered_by_reason_face_size_and_folder(made: Callable[..., Page]) -> None:
    page = made()
    page.check("#facet-reason [data-word=unfamiliar]")
    assert names(page) == ["d.jpg"]
    page.check("#facet-reason [data-word=between]")
    assert names(page) == ["c.jpg", "d.jpg", "e.jpg"]
    page.click("#form [type=reset]")
    page.fill("#face-most", "100")
    assert names(page) == ["c.jpg"]
    page.fill("#face-most", "")
    page.fill("#face-least", "41")
    assert names(page) == ["a 10.jpg"]
    page.click("#form [type=reset]")
    options = page.locator("#folder option").all_inner_texts()
    assert options == ["all folders", "./ (1)", "in/ (4)", "in/b/ (2)", "other/ (2)"]
    page.select_option("#folder", "in/")
    assert names(page) == ["a 10.jpg", "a 9.jpg", "c.jpg", "d.jpg"]


def test_the_page_says_what_its_marks_mean_and_why_a_row_is_uncertain(
    made: Callable[..., Page],
) -> None:
    page = made()
    page.click("#legend summary")
    legend = page.inner_text("#legend")
    for words in (
        "A score up to 0.200 is real, from 0.900 on it is artificial",
        "0.950 of 4",
        "The verdict real is no proof of a real person",
        "agree with the verdict and kind",
    ):
        assert words in legend
    assert page.locator("#faces .reason").all_inner_texts() == ["between", "unfamiliar", "between"]
    page.locator("#faces .open").nth(2).click()
    assert "between the thresholds: score 0.500 lies between 0.200" in page.inner_text(
        "#large-message"
    )


def test_ticked_rows_are_decided_together(made: Callable[..., Page]) -> None:
    page = made()
    page.check("#facet-verdict [data-word=real]")
    page.click("#tick-all")
    page.select_option("#bulk", "a")
    assert decided(page) == {"a 10.jpg": "✓ photo", "=1+1.png": "✓ photo"}
    page.click("#undo")
    assert page.inner_text("#decided") == "0 decided"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_all_faces_of_a_group_are_shown_in_order_and_decided_each(
    made: Callable[..., Page], tmp_path: Path, width: int, dark: bool
) -> None:
    picture = tmp_path / "group.png"
    Image.new("RGB", (600, 300), "#7090b0").save(picture)
    box = {"face_top": 50, "face_width": 60, "face_height": 80, "width": 600, "height": 300}
    faces = [
        row(str(picture), score, view="face", faces=3, face=number, face_left=150 * number, **box)
        for number, score in enumerate((0.05, 0.95, 0.1), 1)
    ]
    page = made([*faces, row("other.jpg", 0.1)], per_face=True, width=width, dark=dark)
    page.locator("#faces [tabindex='0']").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#stage rect.over")
    assert page.locator("#large-faces button").all_inner_texts() == ["Face 1", "Face 2", "Face 3"]
    assert page.locator("#stage .number").all_inner_texts() == ["2", "3", "1"]
    assert page.locator("#stage rect.other").count() == 2
    assert page.inner_text("#large-view") == (
        "Classified: the square around face 1 of 3, whose box is drawn."
    )
    page.keyboard.press("a")
    page.click("#large-faces [data-row='2']")
    assert "face 3 of 3" in page.inner_text("#large-view")
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    text, rows = corrections(page)
    assert [(each["face"], each["faces"], each["verdict"]) for each in rows] == [
        ("1", "3", "real"),
        ("3", "3", "real"),
    ]
    table = tmp_path / "corrections.csv"
    table.write_text(text)
    result = known_add([table], tmp_path / "known.csv", KnownAddOptions())
    assert result.failed == {"2 of its 3 faces decided, as real: decide the others, too": 1}


def test_a_browser_that_keeps_nothing_says_so(made: Callable[..., Page]) -> None:
    page = made()
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full'); }; }")
    page.locator("#faces [tabindex='0']").focus()
    page.keyboard.press("a")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "export the corrections" in page.inner_text("#trouble")


def test_rows_that_come_later_take_nobody_to_another_face(made: Callable[..., Page]) -> None:
    """As in the page of `facecheck serve` while its scan runs."""
    page = made()
    more = [row("a.zip::new.jpg", 0.995, width=70_000, height=9), row("in/new too.jpg")]
    packed = GalleryRows(tidy(each, COLUMNS) for each in [*ROWS, *more]).packed(len(ROWS))
    page.select_option("#sort", "artificial")
    page.locator("#faces .open[title='in/a 9.jpg']").click()
    page.evaluate("(packed) => gallery.append(packed)", packed)
    assert page.inner_text("#large-name") == "a 9.jpg"
    page.click("#choices [data-key='3']")
    page.keyboard.press("Escape")
    until(page, "document.querySelector('#shown').textContent === '9 rows'")
    assert names(page)[:3] == ["new.jpg", "d.jpg", "a 9.jpg"]
    assert decided(page) == {"a 9.jpg": "✗ sketch"}
    page.locator("#faces .open[title='a.zip::new.jpg']").click()
    assert "70000 \u00d7 9 px" in page.inner_text("#large-facts")
    page.evaluate("(packed) => gallery.append(packed)", packed)
    page.keyboard.press("Escape")
    assert page.inner_text("#shown") == "9 rows"
