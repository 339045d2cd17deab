"""The page of check, decided on as people do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

import facecheck
from facecheck.core.errors import FacecheckError, ManifestError, UsageError
from facecheck.core.manifest import read_manifest
from facecheck.core.tables import read_table
from facecheck.faults.check import FaultResult, check
from facecheck.faults.options import FaultOptions
from facecheck.report.fault_page import fault_report
from facecheck.report.options import CurationReportOptions
from tests.conftest import Outcome

if TYPE_CHECKING:
    from playwright.sync_api import Page

    Browse = Callable[..., Page]

HOSTILE = "=<img src=x onerror=alert(1)>.png"
PLAIN = FaultOptions(learn=False, faces=False)


@pytest.fixture
def found(drawn: Path, tmp_path: Path) -> FaultResult:
    """Drawn photographs, two of them dark and one of these of a hostile name; and a copy of one."""
    folder = tmp_path / "d" / "photo" / "s"
    folder.mkdir(parents=True)
    for number, path in enumerate(sorted((drawn / "photo" / "drawn-photo").iterdir())):
        (folder / f"{number}.png").write_bytes(path.read_bytes())
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    for number, name in enumerate(("dark.png", HOSTILE), 1):
        with Image.open(folder / f"{number}.png") as image:
            image.convert("RGB").point(lambda value: value // 9).save(folder / name)
    facecheck.index([tmp_path / "d"], tmp_path / "m.csv")
    facecheck.dedup(tmp_path / "m.csv")
    return check(tmp_path / "m.csv", PLAIN)


def test_people_decide_by_key_export_and_the_manifest_follows(
    found: FaultResult, browse: Browse, tmp_path: Path
) -> None:
    report = fault_report(found.table, tmp_path / "page")
    assert report.rows["dark"] == report.shown["dark"] == 2
    assert report.missing == 0
    page = browse(report.page)
    page.select_option("#reason", "dark")
    assert page.inner_text("#count") == "2 images"
    names = [Path(name).name for name in page.locator("#list .name").all_inner_texts()]
    assert set(names) == {"dark.png", HOSTILE}
    page.locator("#list li").first.focus()
    page.keyboard.press("k")
    assert page.locator("#list li .decision").first.inner_text() == "decided: kept"
    page.keyboard.press("e")  # of the next one, which has the focus now
    page.keyboard.press("z")
    assert page.inner_text("#decided") == "1 decision"
    page.keyboard.press("e")
    assert page.locator("#list li .decision").nth(1).inner_text() == "decided: excluded"
    page.reload()
    page.locator("#decided", has_text="2 decisions").wait_for()
    with page.expect_download() as download:
        page.click("#export")
    file = tmp_path / "elsewhere" / "corrections.csv"
    download.value.save_as(file)
    rows = {Path(row["path"]).name: row for row in read_table(file).to_dicts()}
    assert {names[0], names[1]} == rows.keys()
    assert (rows[names[0]]["kind"], rows[names[1]]["excluded"]) == ("photo", "dark")
    assert len(rows[names[0]]["sha256"]) == 64
    again = check(found.manifest, FaultOptions(learn=False, faces=False, decisions=file))
    assert again.decided is not None
    assert (again.decided.kept, again.decided.excluded, again.decided.unknown) == (1, 1, 0)
    assert (again.counts["dark"], again.settled) == (0, 1)
    excluded = dict(read_manifest(found.manifest).frame.select("path", "excluded").iter_rows())
    assert excluded[str(tmp_path / "d" / "photo" / "s" / names[1])] == "dark"


def test_another_kind_is_chosen_by_a_digit_or_in_the_list(
    found: FaultResult, browse: Browse, tmp_path: Path
) -> None:
    page = browse(fault_report(found.table, tmp_path / "page").page, width=390, dark=True)
    page.select_option("#reason", "exact duplicate")
    assert page.locator("#list .near img").count() == 1
    page.locator("#list li").focus()
    page.keyboard.press("3")
    assert page.locator("#list select").input_value() == "sketch"
    page.select_option("#list select", "painting")
    assert page.inner_text("#list .decision") == "decided: painting"
    page.check("#open")
    assert page.inner_text("#count") == "0 images"


def test_the_worst_are_shown_and_the_rest_counted(found: FaultResult, tmp_path: Path) -> None:
    report = fault_report(found.table, tmp_path / "page", limit=1)
    assert (report.rows["dark"], report.shown["dark"]) == (2, 1)
    summary = json.loads((tmp_path / "page" / "summary.json").read_text())
    assert summary["shown"]["dark"] == 1
    with pytest.raises(UsageError, match="--overwrite"):
        fault_report(found.table, tmp_path / "page")
    (tmp_path / "d" / "photo" / "s" / "dark.png").unlink()
    options = CurationReportOptions(overwrite=True)
    assert fault_report(found.table, tmp_path / "page", options).missing == 1


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("path,reason,suggested,neighbours\na,b,c,\n", ManifestError, "no table of `facecheck"),
        ("{head}\na.png,photo,s,dark,much,1,u,,,,\n", ManifestError, "damaged"),
        ("{head}\na.png,photo,s,dark,1,1,u,,[1,,\n", ManifestError, "damaged"),
        ("{head}\n", FacecheckError, "nothing to decide"),
    ],
)
def test_what_is_no_table_of_check_is_refused(
    text: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    from facecheck.faults.table import SCHEMA

    table = tmp_path / "x.check.csv"
    table.write_text(text.replace("{head}", ",".join(SCHEMA)))
    with pytest.raises(error, match=message):
        fault_report(table, tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_report_knows_the_table_of_check(
    found: FaultResult, command: Callable[..., Outcome]
) -> None:
    done = command("report", found.table, "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told["rows"]["exact duplicate"] == 1
    assert Path(told["page"]).is_file()
    rows = sum(found.counts.values())
    assert f"{rows} of {rows} rows" in command("report", found.table, "--overwrite").out
