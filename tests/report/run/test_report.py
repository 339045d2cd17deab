from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from facecheck.core.errors import UsageError
from facecheck.core.manifest import Manifest, read_manifest, write_manifest
from facecheck.core.workspace import BUILTIN_FAST
from facecheck.engines.export import export_checkpoint
from facecheck.evaluation.evaluate import evaluate
from facecheck.evaluation.options import EvaluateOptions
from facecheck.report.options import RunReportOptions
from facecheck.report.run.report import RunReport, run_report

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def workspace(trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all a report can show, and a manifest whose test split has hostile names.

    Every third cartoon is a photo, so that there are errors to show.
    """
    folder = tmp_path_factory.mktemp("reported")
    run = folder / "runs" / "one"
    shutil.copytree(trained[1].parent, run)
    rates = np.geomspace(1e-7, 1, 100)
    losses = 1 + (np.log10(rates) + 2) ** 2 / 10
    pl.DataFrame({"rate": rates, "loss": losses, "smoothed": losses}).write_csv(run / "lr-find.csv")
    (run / "benchmark").mkdir()
    cases = ("clean", "web", "hard", "jpeg 75", "blur 1", "32 px", "64 px", "as a real")
    pl.DataFrame(
        [
            (case, kind, f"drawn-{kind}", 10, 0.9 - 0.1 * number, 0.5, 1.0, 0.0)
            for case in cases
            for number, kind in enumerate(("photo", "cartoon", "sketch"))
        ],
        schema=["case", "kind", "source", "images", "right", "low", "high", "uncertain"],
        orient="row",
    ).write_csv(run / "benchmark" / "benchmark.csv")
    records = read_manifest(trained[0]).frame
    rows = []
    for number, row in enumerate(records.iter_rows(named=True)):
        path = folder / f"{HOSTILE}{number}.png"
        shutil.copy(row["path"], path)
        is_swapped = row["kind"] == "cartoon" and number % 3 == 0
        rows.append(
            {
                "path": str(path),
                "source": f"{HOSTILE}$x$" if is_swapped else row["source"],
                "kind": "photo" if is_swapped else row["kind"],
                "split": "train" if number % 9 == 0 else "test",
            }
        )
    write_manifest(Manifest.from_frame(pl.DataFrame(rows)), folder / "m.csv", {})
    return folder


@pytest.fixture(scope="module")
def reported(workspace: Path) -> RunReport:
    return run_report(
        workspace / "runs" / "one",
        workspace / "out",
        RunReportOptions(manifest=workspace / "m.csv", device="cpu"),
    )


def test_its_numbers_are_those_of_evaluate(reported: RunReport, workspace: Path) -> None:
    judged = evaluate(
        workspace / "runs/one/best.safetensors", workspace / "m.csv", EvaluateOptions(device="cpu")
    )
    assert reported.result == judged
    saved = json.loads((reported.folder / "evaluation.json").read_text())
    assert saved["overall"]["top1"] == judged.overall.top1
    table = pl.read_csv(reported.folder / "confusion.csv")
    assert table["count"].to_list() == [n for row in judged.confusion for n in row]
    wrong = pl.read_csv(reported.folder / "errors.csv")
    assert wrong.height == round((1 - judged.overall.top1) * judged.overall.count) > 0
    assert wrong["p_predicted"].to_list() == sorted(wrong["p_predicted"], reverse=True)
    assert pl.read_csv(reported.folder / "predictions.csv").height == reported.images
    sources = pl.read_csv(reported.folder / "sources.csv")
    top1 = {(kind, source): share for kind, source, share in
            sources.select("kind", "source", "top1").iter_rows()}  # fmt: skip
    assert top1 == {key: pytest.approx(part.top1) for key, part in judged.by_source.items()}
    rates = pl.read_csv(reported.folder / "lr_find.csv")["rate"].to_list()
    assert rates == pytest.approx(np.geomspace(1e-7, 1, 100).tolist())
    ranked = pl.read_csv(reported.folder / "ranking.csv", infer_schema_length=None)
    area = np.trapezoid(ranked["true_positive_rate"], ranked["false_positive_rate"])
    assert area == pytest.approx(judged.ranking.auc.value, abs=1e-4)


def test_every_figure_is_there_for_light_pages_and_dark(reported: RunReport) -> None:
    assert {"lr_find.png", "schedule.png", "curves.png", "confusion.png", "sources.png",
            "reliability.png", "ranking.png", "risk_coverage.png", "robustness.png",
            "robustness_lines.png", "map.png", "filters.png", "augmentation.png"} < {
        *reported.figures
    }  # fmt: skip
    for name in reported.figures:
        light, dark = (
            np.asarray(Image.open(reported.folder / file).convert("L"))
            for file in (name, name.replace(".png", "-dark.png"))
        )
        assert light.shape == dark.shape
        assert light[0, 0] == 255, name
        assert dark[0, 0] < 40, name
    # Drawings of twelve images a kind are too few for an audit; a resnet10t has no gates.
    assert [section for section, _ in reported.left_out] == ["sources", "network"]


def test_the_page_shows_faces_under_the_pointer_and_the_keys(
    reported: RunReport, browse: Callable[..., Any]
) -> None:
    page = browse(reported.page)
    canvas, card = page.locator("#map-canvas"), page.locator("#map-face")
    assert canvas.get_attribute("data-shown") == str(reported.points)
    assert not card.is_visible()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    # t-SNE touches all four edges, 14 pixels within the canvas: find its rightmost point.
    places = pl.read_csv(reported.folder / "map.csv")
    at = int(np.argmax(places["tsne_x"]))
    down = (1 - places["tsne_y"][at]) / 2
    page.mouse.move(box["x"] + box["width"] - 14, box["y"] + 14 + down * (box["height"] - 28))
    card.wait_for(state="visible")
    assert Path(places["path"][at]).name in card.inner_text()
    picture = page.locator("#map-picture").evaluate("e => getComputedStyle(e).backgroundImage")
    assert "faces/000.jpg" in picture
    page.mouse.move(1, 1)
    card.wait_for(state="hidden")
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    first = card.inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert card.inner_text() != first
    page.keyboard.press("Escape")
    assert not card.is_visible()


def test_groups_can_be_hidden_and_the_list_holds_what_is_shown(
    reported: RunReport, browse: Callable[..., Any]
) -> None:
    page = browse(reported.page, width=390, dark=True)
    page.locator("summary").click()
    options = page.locator("#map-list option")
    assert options.count() == reported.points
    assert HOSTILE in options.first.inner_text()
    page.locator("#map-list").select_option(index=3)
    assert page.locator("#map-face").is_visible()
    button = page.locator("#map-legend button", has_text="sketch")
    button.focus()
    page.keyboard.press("Enter")
    count = int(button.inner_text().rsplit(maxsplit=1)[-1])
    assert button.get_attribute("aria-pressed") == "false"
    assert options.count() == reported.points - count
    page.locator("#map-wrong").check()
    errors = pl.read_csv(reported.folder / "errors.csv")
    assert options.count() == errors.filter(pl.col("kind") != "sketch").height
    for colour in ("source", "predicted", "right"):
        page.locator("#map-colour").select_option(colour)
    page.locator("#map-name").select_option("PCA")


def test_names_of_strangers_are_text(reported: RunReport, browse: Callable[..., Any]) -> None:
    page = browse(reported.page)
    assert page.locator("img[src=x]").count() == 0
    cards = page.locator(".errors .card")
    errors = pl.read_csv(reported.folder / "errors.csv")
    assert cards.count() == errors.height
    assert HOSTILE in cards.first.locator(".name").inner_text()
    first = errors.row(0, named=True)
    told = cards.first.inner_text().split()
    assert {first["kind"], first["predicted_kind"], first["verdict"]} <= set(told)
    assert f"{100 * first['p_predicted']:.1f}" in told
    for picture in page.locator("main img").all():
        picture.scroll_into_view_if_needed()
        page.wait_for_function(
            "e => e.complete && e.naturalWidth > 0", arg=picture.element_handle()
        )
    assert "not the one that the model was trained on" in page.inner_text("header")


def test_an_export_is_reported_without_what_needs_torch(
    workspace: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    arguments = ("builtin-fast", "--manifest", workspace / "m.csv", "--per-source", "4")
    done = command("report", *arguments, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert list(told) == [
        *("folder", "page", "result", "images", "points", "figures", "tables", "left_out")
    ]
    assert told["result"]["checkpoint"] == str(BUILTIN_FAST)
    assert told["images"] <= 4 * 4
    assert "filters.png" not in told["figures"]
    assert any("of an export" in why for _, why in told["left_out"])
    assert (tmp_path / "builtin-fast-report" / "index.html").is_file()
    again = command("report", *arguments)
    assert again.code == 2
    assert "--overwrite" in again.err


@pytest.mark.parametrize(
    ("suffix", "needs"), [(".ts", "torch"), (".xml", "openvino"), (".tflite", "litert_torch")]
)
def test_every_format_is_reported_without_its_filters(
    trained: tuple[Path, Path], tmp_path: Path, suffix: str, needs: str
) -> None:
    pytest.importorskip(needs, reason=f"{suffix} needs {needs}, which is not installed")
    exported = export_checkpoint(trained[1], tmp_path / f"e{suffix}", manifest=trained[0]).path
    told = run_report(
        exported,
        tmp_path / "out",
        RunReportOptions(manifest=trained[0], per_source=2, device="cpu"),
    )
    assert "confusion.png" in told.figures
    assert "filters.png" not in told.figures
    assert any("of an export" in why for section, why in told.left_out if section == "network")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"manifest": "none.csv"}, "no manifest at"),
        ({"benchmark": "m.csv"}, "not the table of a benchmark"),
        ({"benchmark": "none"}, "no benchmark at"),
        ({"split": "tset"}, "must be one of"),
        ({"audit": "m.csv"}, "not an audit of"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    workspace: Path, tmp_path: Path, options: dict[str, str], told: str
) -> None:
    given: dict[str, Any] = {
        name: value if name == "split" else workspace / value for name, value in options.items()
    }
    with pytest.raises(UsageError, match=told):
        run_report(
            workspace / "runs/one",
            tmp_path / "out",
            RunReportOptions(**{"manifest": workspace / "m.csv", "per_source": 1, **given}),
        )
    assert list(tmp_path.iterdir()) == []
