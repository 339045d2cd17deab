"""The whole way in a real browser: serve a folder, scan, review by keyboard, use the outcome."""

from __future__ import annotations

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("starlette", reason="needs starlette of extra serve")

from tests.conftest import Outcome

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=alert(1)>.png"
COUNT = 300
INBOX = (COUNT - 2) // 2 + 2


class Served:
    """`facecheck serve` in a process of its own, as in a terminal."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self.words = folder, folder / "serve.txt"
        with self.words.open("w") as words:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "facecheck", "serve", *arguments],
                cwd=folder, stdout=subprocess.PIPE, stderr=words, text=True,
            )  # fmt: skip
        until = time.monotonic() + 60
        while not (found := re.search(r"open (http://\S+)", self.said)):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < until, self.said
            time.sleep(0.1)
        self.address = found[1]

    @property
    def said(self) -> str:
        return self.words.read_text()

    def end(self, number: int = signal.SIGINT) -> str:
        """End it as Ctrl-C does; return what it printed."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=60)
        return out


@pytest.fixture(scope="module")
def workspace(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three hundred pictures: one is damaged, one has a hostile name."""
    folder = tmp_path_factory.mktemp("serve")
    pictures = sorted(drawn.rglob("*.png"))
    for number in range(COUNT - 2):
        path = pictures[number % len(pictures)]
        target = folder / "mixed" / ("inbox" if number % 2 else "old/2024")
        target.mkdir(parents=True, exist_ok=True)
        (target / f"{number:03}.png").write_bytes(path.read_bytes() + b"\0" * number)
    shutil.copy(pictures[0], folder / "mixed" / "inbox" / HOSTILE)
    (folder / "mixed" / "inbox" / "broken.png").write_bytes(pictures[0].read_bytes()[:90])
    return folder


@pytest.fixture(scope="module")
def served(workspace: Path) -> Iterator[Served]:
    arguments = ("mixed", "--results", "kept", "--port", "0", "--checkpoint", "builtin-fast")
    running = Served(workspace, *arguments)
    yield running
    if running.process.poll() is None:
        running.end()


@pytest.fixture
def visit(browser: Browser, served: Served) -> Iterator[Callable[..., Page]]:
    """Open the page with its token; at the end there may be no error and no request elsewhere."""
    pages: list[Page] = []
    faults: list[str] = []
    local = (served.address.split("/?")[0], "data:", "blob:")

    def note(fault: str, counts: bool = True) -> None:
        if counts:
            faults.append(fault)

    def alerted(dialog: Dialog) -> None:
        note(dialog.message)
        dialog.dismiss()

    def open_page(*, width: int = 1280, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
        )
        page = context.new_page()
        page.on("console", lambda said: note(said.text, said.type == "error"))
        page.on("pageerror", lambda error: note(str(error)))
        page.on("dialog", alerted)
        page.on("request", lambda asked: note(asked.url, not asked.url.startswith(local)))
        page.goto(served.address)
        assert "token" not in page.url
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(over) <= 0, "wider than its window"
        page.context.close()
    assert faults == []


def open_scan(page: Page) -> None:
    page.click("#choose button[type=submit]")
    page.wait_for_url("**/scans/**")
    page.wait_for_selector("[data-ready]")


def test_a_folder_is_scanned_and_ten_faces_decided_by_keyboard(
    visit: Callable[..., Page], workspace: Path, command: Callable[..., Outcome]
) -> None:
    page = visit()
    page.click("text=inbox")
    assert f"{INBOX} pictures in this folder" in page.inner_text("#choose")
    page.go_back()
    open_scan(page)
    assert page.inner_text("#progress-words") == "Not started"
    page.click("#start")
    page.wait_for_selector("#stop:visible")
    page.click("#stop")
    page.wait_for_selector("#start:visible, #progress-words:has-text('Done')")
    if page.is_visible("#start"):
        page.click("#start")
    page.wait_for_selector(f"#progress-words:has-text('Done: {COUNT} files')", timeout=120_000)
    page.wait_for_selector(f"#shown:has-text('{COUNT} rows')")
    page.wait_for_selector("[data-ready]")
    assert page.locator("[src=x]").count() == 0

    page.fill("#by", "Anna")
    page.select_option("#folder", "mixed/inbox/")
    page.wait_for_selector(f"#shown:has-text('{INBOX} of {COUNT} rows')")
    page.locator("#faces [tabindex='0']").focus()
    for key in "1212121212":
        page.keyboard.press(key)
    page.wait_for_selector("#decided:has-text('10 decided')")
    page.keyboard.press("Enter")
    page.wait_for_selector("#stage .frame img")
    page.go_back()
    page.wait_for_selector("#large", state="hidden")
    with page.expect_download() as waiting:
        page.click("#corrections")
    exported = Path(waiting.value.path()).read_bytes()
    (saved,) = (workspace / "kept").glob("*.corrections.csv")
    assert exported == saved.read_bytes()
    with saved.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["kind"] for row in rows][:3] == ["photo", "cartoon", "photo"]
    assert len(rows) == 10
    assert all(row["sha256"] and row["by"] == "Anna" for row in rows)

    page.reload()
    page.wait_for_selector("#decided:has-text('10 decided')")
    page.go_back()
    page.wait_for_selector("text=Folders and scans")
    assert page.inner_text("tbody td:last-child") == "10"

    os.chdir(workspace)  # names in results are of where serve ran
    known = command("known", "add", saved, "--root", "mixed", "--known", workspace / "known.csv")
    assert known.code == 0, known.err
    table = workspace / "labels" / "manifest.csv"
    indexed = command("index", workspace / "mixed", "--labels", saved, "--out", table)
    assert indexed.code == 0, indexed.err
    with table.open(newline="") as stream:
        kinds = {Path(row["path"]).name: row["kind"] for row in csv.DictReader(stream)}
    assert kinds == {Path(row["path"]).name: row["kind"] for row in rows}
    assert command("split", table).code == 0
    recipe = ("--arch", "resnet10t", "--no-pretrained", "--image-size", 32, "--epochs", 1)
    how = ("--batch-size", 4, "--device", "cpu", "--workers", 0, "--runs", workspace / "runs")
    trained = command("train", "--manifest", table, *recipe, *how, "--name", "decided")
    assert trained.code == 0, trained.err
    assert (workspace / "runs" / "decided" / "best.safetensors").is_file()


@pytest.mark.parametrize(("width", "dark"), [(1280, True), (390, False), (390, True)])
def test_every_window_shows_it_without_an_error(
    visit: Callable[..., Page], width: int, dark: bool
) -> None:
    page = visit(width=width, dark=dark)
    open_scan(page)
    page.wait_for_selector("#faces li")
    page.click("#legend summary")
    page.locator("#faces [tabindex='0']").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#stage .frame img, #stage .blank")
    page.keyboard.press("Escape")


def test_it_ends_cleanly_and_says_where_corrections_are(served: Served) -> None:
    taken = subprocess.run(
        [sys.executable, "-m", "facecheck", "serve", "mixed", "--results", "other", "--port",
         re.search(r":(\d+)/", served.address)[1]],  # type: ignore[index]
        cwd=served.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert taken.returncode == 2
    assert re.fullmatch(
        r"facecheck: 127.0.0.1:\d+ is taken: name another with --port.*\n", taken.stderr
    )
    out = served.end()
    assert served.process.returncode == 0
    assert "corrections in kept/mixed-" in out
    assert "Traceback" not in served.said
    assert list((served.folder / "kept").glob("*.lock")) == []
