from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facecheck.core.errors import UsageError
from facecheck.core.files import temporary_name
from facecheck.report.page import _environment, report_folder, script_json, write_page

HOSTILE = "</script><img src=x onerror=alert(1)>.jpg"


def make(out: Path, *, overwrite: bool = False) -> Path:
    """Write a page of nothing but its frame, and a table beside it."""
    with report_folder(out, overwrite=overwrite) as folder:
        (folder / "a.csv").write_text("a\n")
        page = write_page(
            folder,
            "base.html.j2",
            {"title": HOSTILE, "contents": {"a": HOSTILE, "b": "B"}},
            data={"name": HOSTILE},
        )
    return out / page.name


@pytest.mark.parametrize("width", [1280, 390])
def test_text_is_text_wherever_it_stands(
    tmp_path: Path, browse: Callable[..., Any], width: int
) -> None:
    page = browse(make(tmp_path / "out"), width=width)
    assert page.title() == HOSTILE
    assert page.inner_text("h1") == HOSTILE
    assert page.inner_text(".toc a >> nth=0") == HOSTILE
    assert page.evaluate("pageData().name") == HOSTILE
    assert page.locator("img").count() == 0


def test_only_the_pages_own_scripts_run(tmp_path: Path, browse: Callable[..., Any]) -> None:
    """Should a template ever let markup through, the policy still stands."""
    index = make(tmp_path / "out")
    text = index.read_text("utf-8").replace(
        "<main", "<script>window.ran = 1</script><b id='on' onclick='window.ran = 1'>x</b><main"
    )
    index.write_text(text)
    page = browse(index)
    page.click("#on")
    assert page.evaluate("[window.ran ?? 0, typeof el]") == [0, "function"]
    browse.faults.clear()  # type: ignore[attr-defined]  # the browser told of both


@pytest.mark.parametrize(
    "block",
    [
        "facts({text: text})",
        "tiles([[text, text]])",
        "figure('a.png', text, text, csv='a.csv')",
        "table([text], [[text, text]], caption=text)",
        "bars([[text, 1, 'kind-photo']], text)",
        "gallery([{'src': 'a.png', 'name': text, 'note': text}])",
    ],
)
def test_blocks_show_text_as_text(block: str) -> None:
    source = '{% import "blocks.html.j2" as blocks %}{{ blocks.' + block + " }}"
    shown = _environment().from_string(source).render(text=HOSTILE)
    assert "<img src=x" not in shown
    assert "</script" not in shown
    assert "&lt;img src=x" in shown


def test_json_in_a_script_ends_nothing_and_is_the_same_json() -> None:
    value = {"name": "</script><!--\u2028&", "numbers": [1, 0.5, None]}
    text = str(script_json(value))
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json([float("nan")])


def test_a_missing_name_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError), report_folder(tmp_path / "out", overwrite=False) as folder:
        write_page(folder, "base.html.j2", {"title": "t"})
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_replaced_only_when_asked_and_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    with pytest.raises(UsageError, match="pass --overwrite"):
        make(out)
    (out / "index.html").write_text("old")
    make(out, overwrite=True)
    assert (out / "index.html").read_text().startswith("<!doctype html>")
    with pytest.raises(KeyError), report_folder(out, overwrite=True):
        raise KeyError
    assert (out / "index.html").read_text().startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_report_that_a_kill_took_the_name_from_gets_it_back(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    (temporary_name(out) / "new").mkdir(parents=True)
    out.rename(temporary_name(out) / "old")
    with pytest.raises(KeyError), report_folder(out, overwrite=True):
        raise KeyError
    assert (out / "index.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_what_is_not_a_reports_own_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    make(out)
    (out / "selection.csv").write_text("mine")
    with pytest.raises(UsageError, match="no report has put there .selection.csv"):
        make(out, overwrite=True)
    assert (out / "selection.csv").read_text() == "mine"
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="no folder of a report"):
        make(tmp_path / "file", overwrite=True)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="no folder of a report"):
        make(tmp_path / "link", overwrite=True)
