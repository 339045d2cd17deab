"""The page of a curation, as people see it in a browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from draw_faces import draw_dataset
from PIL import Image

import facecheck
from facecheck.core.errors import FacecheckError, UsageError
from facecheck.report.curation.plots import short
from facecheck.report.curation.report import curation_report
from facecheck.report.options import CurationReportOptions
from tests.conftest import Outcome

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=alert(1)>.png"
ODD_SOURCE = "<b>$x_1$ & 日本"


@pytest.fixture(scope="session")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest with all that curation leaves: duplicates, a conflict, rejects, an audit."""
    workspace = tmp_path_factory.mktemp("curated")
    raw = workspace / "raw"
    draw_dataset(raw, 24)
    photos, sketches = raw / "photo" / "drawn-photo", raw / "sketch" / "drawn-sketch"
    other = raw / "photo" / ODD_SOURCE
    other.mkdir()
    shutil.copy(photos / "003.png", other / HOSTILE)
    with Image.open(photos / "004.png") as image:
        image.resize((80, 80)).save(other / "small.jpg", quality=90)
    shutil.copy(sketches / "005.png", sketches / "twice.png")
    shutil.copy(photos / "006.png", sketches / "=wrong().png")
    (other / "text.jpg").write_text("not an image")
    manifest = workspace / "manifest.csv"
    facecheck.index([raw], manifest)
    facecheck.dedup(manifest)
    facecheck.split(manifest)
    facecheck.audit(manifest)
    return manifest


@pytest.fixture(scope="session")
def page(curated: Path) -> Path:
    return curation_report(curated, curated.parent / "report").page


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_page_shows_what_was_found(
    page: Path, browse: Callable[..., Any], width: int, dark: bool
) -> None:
    shown = browse(page, width=width, dark=dark)
    assert shown.inner_text("h1") == "Curation of 76 images"
    tiles = shown.locator(".tiles").inner_text().split("\n")
    assert tiles[1::2][:5] == ["of use", "sources", "duplicates", "files in conflict", "shortcuts"]
    assert tiles[0::2][:4] == ["71", "4", "4", "2"]
    assert shown.locator("#pairs > li").count() == 4
    assert shown.locator("#pairs > li").first.inner_text().startswith("same bytes kinds at odds")
    assert shown.locator("#conflicts figure").count() == 2
    assert "a text file, not an image" in shown.inner_text("#rejects")
    assert "No group and no duplicate crosses the split." in shown.inner_text("#overview")
    shown.locator("img").last.scroll_into_view_if_needed()
    for image in shown.locator("img").all():
        image.scroll_into_view_if_needed()
        shown.wait_for_function(
            "image => image.complete && image.naturalWidth > 0", arg=image.element_handle()
        )


def test_names_are_text(page: Path, browse: Callable[..., Any]) -> None:
    shown = browse(page)
    assert shown.locator('img[src="x"]').count() == 0
    assert shown.locator("main b:text-is('$x_1$')").count() == 0
    pair = shown.locator("#pairs > li", has_text=HOSTILE)
    assert ODD_SOURCE in pair.inner_text()
    link = pair.locator("a", has=shown.get_by_alt_text(HOSTILE)).evaluate(
        "link => decodeURIComponent(link.href)"
    )
    assert link.endswith(f"/{ODD_SOURCE}/{HOSTILE}")
    assert ODD_SOURCE in shown.inner_text("#sources")


def test_the_pairs_filter(page: Path, browse: Callable[..., Any]) -> None:
    shown = browse(page)

    def count() -> str:
        visible = shown.locator("#pairs > li:visible").count()
        told: str = shown.inner_text("#count")
        assert told == f"{visible} of 4 pairs"
        return told

    assert count() == "4 of 4 pairs"
    shown.select_option("#why", "same picture")
    assert count() == "1 of 4 pairs"
    assert "small.jpg" in shown.inner_text("#pairs")
    shown.click("text=Show all")
    shown.wait_for_function("document.getElementById('count').textContent === '4 of 4 pairs'")
    shown.check("#between")
    assert count() == "3 of 4 pairs"
    shown.check("#odds")
    assert count() == "1 of 4 pairs"
    assert "=wrong().png" in shown.inner_text("#pairs")
    shown.click("text=Show all")
    shown.fill("#search", "ONERROR")
    assert count() == "1 of 4 pairs"
    shown.fill("#search", "no such name")
    assert count() == "0 of 4 pairs"


def whole_paths(pairs: pl.DataFrame, manifest: Path) -> pl.DataFrame:
    """Return a table of duplicates with whole paths; dedup writes them from the manifest on."""
    folder = pl.lit(f"{manifest.parent}/")
    return pairs.with_columns(dropped=folder + pl.col("dropped"), keeper=folder + pl.col("keeper"))


def test_the_numbers_are_those_of_the_tables(curated: Path, page: Path) -> None:
    out = page.parent
    records = facecheck.read_manifest(curated).frame
    sources = pl.read_csv(out / "sources.csv")
    assert sources["images"].sum() == records.height
    for split in ("train", "val", "test"):
        used = records.filter((pl.col("split") == split) & (pl.col("excluded") == ""))
        assert sources[split].sum() == used.height
    assert sources.filter(pl.col("source") == ODD_SOURCE)["duplicates"].item() == 1
    for name in ("contamination", "conflicts"):
        beside = pl.read_csv(curated.with_name(f"manifest.{name}.csv")).rows()
        assert sorted(pl.read_csv(out / f"{name}.csv").rows()) == sorted(beside)
    pairs = pl.read_csv(out / "duplicates.csv")
    beside_pairs = pl.read_csv(curated.with_name("manifest.duplicates.csv"))
    assert pairs.select("dropped", "keeper", "why", "distance").rows() == (
        whole_paths(beside_pairs, curated).select("dropped", "keeper", "why", "distance").rows()
    )
    sizes = pl.read_csv(out / "sizes.csv").filter(pl.col("source") == ODD_SOURCE)
    assert sizes.select("smallest", "largest", "formats").row(0) == (80, 96, "JPEG, PNG")
    audit = json.loads(curated.with_name("manifest.audit.json").read_text())
    shortcuts = pl.read_csv(out / "shortcuts.csv")
    assert shortcuts.height == len(audit["guesses"])
    summary = json.loads((out / "summary.json").read_text())
    assert summary["warnings"] == len(audit["warnings"])
    assert (summary["leaks"], summary["audit_is_old"], summary["missing"]) == (0, False, 0)
    assert summary["excluded"] == {"duplicate": 3, "conflict": 2}
    for name in ("sizes", "between", "shortcuts"):
        for theme in ("", "-dark"):
            with Image.open(out / f"{name}{theme}.png") as plot:
                assert plot.width > 400


def test_a_bare_manifest_says_what_would_fill_the_page(
    curated: Path, tmp_path: Path, browse: Callable[..., Any]
) -> None:
    bare = tmp_path / "bare.csv"
    facecheck.index([curated.parent / "raw"], bare)
    result = curation_report(bare, tmp_path / "out")
    assert (result.duplicates, result.conflicts, result.warnings, result.leaks) == (None,) * 4
    shown = browse(result.page)
    for section, step in (("duplicates", "dedup"), ("shortcuts", "audit")):
        assert f"facecheck {step}" in shown.inner_text(f"#{section}")
    assert shown.locator("#conflicts").count() == 0


def test_files_that_are_gone_are_said_and_an_old_audit_too(
    curated: Path, tmp_path: Path, browse: Callable[..., Any]
) -> None:
    shutil.copytree(curated.parent, tmp_path / "copy")
    manifest = tmp_path / "copy" / "manifest.csv"
    table = manifest.with_name("manifest.duplicates.csv")
    table.write_text(table.read_text().replace(str(curated.parent), str(manifest.parent)))
    (tmp_path / "copy/raw/sketch/drawn-sketch/twice.png").unlink()
    facecheck.split(manifest, facecheck.SplitOptions(seed=5))
    result = curation_report(manifest, tmp_path / "out")
    assert (result.missing, result.audit_is_old) == (1, True)
    shown = browse(result.page)
    assert shown.locator(".gone").count() == 1
    assert "another state of the manifest" in shown.inner_text("#shortcuts")


def test_only_so_many_pairs_are_shown_and_an_old_table_is_read(
    curated: Path, tmp_path: Path, browse: Callable[..., Any]
) -> None:
    """A table by an earlier version names no sources: the manifest does."""
    manifest = tmp_path / "manifest.csv"
    facecheck.read_manifest(curated).frame.write_csv(manifest)
    pairs = whole_paths(pl.read_csv(curated.with_name("manifest.duplicates.csv")), curated)
    pairs.select("dropped", "keeper", "why").write_csv(tmp_path / "manifest.duplicates.csv")
    result = curation_report(manifest, tmp_path / "out", limit=2)
    assert result.duplicates == 4
    assert result.thumbnails == 4
    shown = browse(result.page)
    assert shown.locator("#pairs > li").count() == 2
    assert "Shown are 2 of 4" in shown.inner_text("#duplicates")
    assert pl.read_csv(tmp_path / "out" / "duplicates.csv").height == 4
    assert pl.read_csv(tmp_path / "out" / "contamination.csv")["pairs"].sum() == 4


def test_a_mistake_leaves_what_was_there(curated: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="no report has put there"):
        curation_report(curated, tmp_path / "out", CurationReportOptions(overwrite=True))
    empty = tmp_path / "empty.csv"
    empty.write_text("path,source,kind\n")
    with pytest.raises(FacecheckError, match="no records"):
        curation_report(empty, tmp_path / "new")
    shutil.copy(curated, tmp_path / "m.csv")
    (tmp_path / "m.audit.json").write_text("[]")
    with pytest.raises(FacecheckError, match="run `facecheck audit` again"):
        curation_report(tmp_path / "m.csv", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "empty.csv", "m.audit.json", "m.csv", "out",
    ]  # fmt: skip


def test_the_command(command: Callable[..., Outcome], curated: Path, tmp_path: Path) -> None:
    done = command("report", curated, "--out", "r")
    assert done.code == 0, done.err
    assert "76 images of 4 sources: 4 duplicates, 2 files in conflict" in done.out
    assert "open r/index.html" in done.out
    again = command("report", curated, "--out", "r")
    assert again.code == 2
    assert "pass --overwrite" in again.err
    told = json.loads(command("report", curated, "--out", "r", "--overwrite", "--json").out)
    assert (told["page"], told["records"]) == ("r/index.html", 76)


def test_plots_show_names_on_one_line_in_letters_they_have() -> None:
    assert short("ffhq-256") == "ffhq-256"
    assert short("日本\nx") == "???x"
    assert len(short("x" * 300)) == 28
