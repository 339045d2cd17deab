"""How a page of many rows behaves in a browser: first paint, filters, sorting, scrolling.

    python benchmarks/review.py --rows 1000000

Rows are made up, in 200 folders, with the scores, reasons and boxes that a scan writes; there are
no thumbnails. Needs Chromium, and playwright of the extra `test`.
"""

from __future__ import annotations

import argparse
import platform
import random
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from facecheck.core.labels import KINDS
from facecheck.report.options import ScanReportOptions
from facecheck.report.scan_report import scan_report
from facecheck.scanner.inputs.reach import EVERYWHERE
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import CSV, Row, tidy, write_rows

if TYPE_CHECKING:
    from playwright.sync_api import Page

LOW, HIGH = 0.366, 0.961
FOLDERS = 200
#: When the browser had painted something, in milliseconds from the beginning of the load.
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
#: Scrolls the window by `step` pixels a frame; returns the milliseconds between frames.
SCROLL = """async (step) => {
  const gaps = [];
  let last = await new Promise(requestAnimationFrame);
  for (let frame = 0; frame < 120; frame++) {
    scrollBy({ top: step, behavior: 'instant' });
    const now = await new Promise(requestAnimationFrame);
    gaps.push(now - last);
    last = now;
  }
  return gaps;
}"""
#: Sets a field and waits for the frame that shows the result; returns the milliseconds.
CHANGE = """async ([selector, value]) => {
  const field = document.querySelector(selector);
  const begun = performance.now();
  if (field.type === 'checkbox') field.checked = value;
  else field.value = value;
  field.dispatchEvent(new Event('input', { bubbles: true }));
  await new Promise(requestAnimationFrame);
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - begun;
}"""


def rows(count: int) -> Iterator[Row]:
    """Yield rows such as a scan writes, the same ones each time."""
    rng = random.Random(0)
    for number in range(count):
        score = rng.betavariate(0.3, 0.3)
        verdict, message = ("real" if score <= LOW else "artificial"), ""
        if LOW < score < HIGH:
            verdict = "uncertain"
            message = f"score {score:.3f} lies between {LOW:.3f} (real) and {HIGH:.3f} (artificial)"
        elif rng.random() < 0.02:
            verdict, message = "uncertain", "unlike the images that the model was trained on"
        shares = [rng.random() for _ in KINDS[1:]]
        side = rng.randint(32, 900)
        yield {
            "path": f"inbox/{number * FOLDERS // count:03}/IMG_{rng.randrange(10**8):08}.jpg",
            "status": "ok", "verdict": verdict, "basis": "pixels", "score": score,
            "kind": "photo" if score < 0.5 else rng.choice(KINDS[1:]),
            "p_photo": 1 - score,
            **{f"p_{k}": score * s / sum(shares) for k, s in zip(KINDS[1:], shares, strict=True)},
            "view": "face", "faces": 1, "face": 1, "face_left": rng.randint(0, 1000),
            "face_top": rng.randint(0, 1000), "face_width": side, "face_height": side + 20,
            "face_confidence": rng.uniform(0.7, 1), "width": 2000, "height": 3000,
            "message": message,
        }  # fmt: skip


def measured(page: Page, change: Callable[[str, object], float]) -> Iterator[tuple[str, float]]:
    """Yield what is measured, and how many milliseconds it takes."""
    yield "filter: verdict uncertain", change("#facet-verdict [data-word=uncertain]", True)
    yield "filter: also between the thresholds", change("#facet-reason [data-word=between]", True)
    page.click("#form [type=reset]")
    yield "filter: score from 0.9", change("#low", "0.9")
    yield "filter: no score limit", change("#low", "0")
    yield "filter: face of 200 px or more", change("#face-least", "200")
    yield "filter: no face limit", change("#face-least", "")
    yield "filter: one folder", change("#folder", "inbox/007/")
    yield "filter: all folders", change("#folder", "")
    yield "search: the first time", change("#search", "img_77")
    yield "search: a letter more", change("#search", "img_777")
    yield "search: nothing", change("#search", "")
    for by in ("unsure", "artificial", "large"):
        yield f"sort: {by}", change("#sort", by)
    yield "sort: name, the first time", change("#sort", "name")
    yield "sort: name, again", change("#sort", "name")
    yield "sort: order of the scan", change("#sort", "order")
    page.locator("#faces [tabindex='0']").focus()
    begun = time.perf_counter()
    page.keyboard.press("a")
    page.wait_for_function("document.querySelector('#decided').textContent === '1 decided'")
    yield "decide by a key", 1000 * (time.perf_counter() - begun)


def show(name: str, value: str) -> None:
    print(f"{name:<40} {value:>14}", flush=True)


def browse(index: Path) -> None:
    """Open a page in Chromium, use it as people do, and print how long each step takes."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(index.as_uri(), wait_until="commit")
        page.wait_for_selector("#faces li", timeout=120_000)
        there = page.evaluate("performance.now()")
        page.wait_for_selector("[data-ready]", timeout=120_000)
        show("first paint", f"{page.evaluate(PAINTED):,.0f} ms")
        show("the first faces", f"{there:,.0f} ms")
        show("all columns", f"{page.evaluate('performance.now()'):,.0f} ms")
        memory = page.evaluate("performance.memory.usedJSHeapSize")
        show("memory of the scripts", f"{memory / 1e6:,.0f} MB")

        def change(selector: str, value: object) -> float:
            return float(page.evaluate(CHANGE, [selector, value]))

        for name, milliseconds in measured(page, change):
            show(name, f"{milliseconds:,.0f} ms")
        page.evaluate("document.querySelector('#faces').scrollIntoView()")
        for step, name in ((40, "a wheel"), (4000, "the bar, fast")):
            gaps = sorted(page.evaluate(SCROLL, step))
            middle, slow = statistics.median(gaps), gaps[int(0.95 * len(gaps))]
            show(f"scroll by {name}: frame, median", f"{middle:.0f} ms")
            show(f"scroll by {name}: frame, 95 %", f"{slow:.0f} ms")
            show(f"scroll by {name}: slowest frame", f"{gaps[-1]:.0f} ms")
        show("elements", f"{page.evaluate('document.getElementsByTagName(`*`).length'):,}")
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, required=True, help="1000000 in the docs")
    count = parser.parse_args().rows
    print(f"{count:,} rows; {platform.processor() or platform.machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.csv"
        write_rows(results, (tidy(row, COLUMNS) for row in rows(count)), COLUMNS, CSV)
        begun = time.perf_counter()
        options = ScanReportOptions(thumbnails=0)
        made = scan_report(results, Path(folder) / "out", options, reach=EVERYWHERE)
        show("the page is made in", f"{time.perf_counter() - begun:,.1f} s")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        show("memory for that, at most", f"{peak:,.0f} MB")
        show("size of the page", f"{made.page.stat().st_size / 1e6:,.1f} MB")
        browse(made.page)


if __name__ == "__main__":
    main()
